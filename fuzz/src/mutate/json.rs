//! Trees of JSON: nodes are replaced, removed, repeated, exchanged, put deeper, and get names of fields from the schemas.

use serde_json::{Map, Number, Value, json};

use super::{Dice, words};

/// How deep a node is put: readers end at 128.
const DEEP: usize = 140;

/// Changes a document in JSON.
pub fn text(input: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let mut tree = serde_json::from_slice(input).ok()?;
    change(&mut tree, dice);
    let text = if dice.one_in(8) { with_a_field_twice(tree, dice) } else { tree.to_string() };
    Some(text.into_bytes())
}

/// Changes one of several documents in JSON, with a NUL between each two.
pub fn files(input: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let mut files: Vec<Vec<u8>> = input.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let at = dice.below(files.len());
    files[at] = text(&files[at], dice)?;
    Some(files.join(&0))
}

/// Changes a document in TOML.
pub fn toml(input: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let mut tree: Value = toml::from_str(std::str::from_utf8(input).ok()?).ok()?;
    change(&mut tree, dice);
    toml::to_string(&tree).ok().map(String::into_bytes)
}

fn change(tree: &mut Value, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        change_one(tree, dice);
    }
}

fn change_one(tree: &mut Value, dice: &mut Dice) {
    let at = dice.below(count(tree));
    let other = nth(tree, dice.below(count(tree))).map_or(Value::Null, |node| node.clone());
    let Some(node) = nth(tree, at) else { return };
    match dice.below(8) {
        0 => *node = value(dice),
        // What stands elsewhere, a secret for instance, stands here too.
        1 => *node = other,
        2 => remove_from(node, dice),
        3 => add_to(node, other, dice),
        4 => rename_in(node, dice),
        5 => alter(node, dice),
        6 => {
            let taken = node.take();
            *node = if dice.one_in(2) { json!([taken]) } else { json!({ word(dice): taken }) };
        }
        _ if dice.one_in(4) => {
            for _ in 0..dice.below(DEEP) {
                *node = Value::Array(vec![node.take()]);
            }
        }
        _ => {
            let here = node.clone();
            if let Some(there) = nth(tree, dice.below(at + 1)) {
                *there = here;
            }
        }
    }
}

fn word(dice: &mut Dice) -> String {
    dice.pick(words()).cloned().unwrap_or_default()
}

fn value(dice: &mut Dice) -> Value {
    match dice.below(8) {
        0 => Value::Null,
        1 => Value::Bool(dice.one_in(2)),
        2 => number(dice),
        3 => json!([]),
        4 => json!({}),
        _ => word(dice).into(),
    }
}

fn number(dice: &mut Dice) -> Value {
    let edges: [i128; 14] = [
        0,
        1,
        -1,
        127,
        128,
        255,
        256,
        65_535,
        65_536,
        i128::from(u32::MAX),
        1 << 32,
        i128::from(i64::MIN),
        i128::from(i64::MAX),
        i128::from(u64::MAX),
    ];
    match dice.below(4) {
        0 => Number::from_f64(f64::from_bits(dice.roll())).map_or(Value::Null, Value::Number),
        1 => dice.below(300).into(),
        _ => dice.pick(&edges).and_then(|n| Number::from_i128(*n)).map_or(Value::Null, Value::Number),
    }
}

fn remove_from(node: &mut Value, dice: &mut Dice) {
    match node {
        Value::Array(list) if !list.is_empty() => drop(list.remove(dice.below(list.len()))),
        Value::Object(fields) => {
            let name = fields.keys().nth(dice.below(fields.len())).cloned();
            name.into_iter().for_each(|name| drop(fields.remove(&name)));
        }
        other => *other = Value::Null,
    }
}

fn add_to(node: &mut Value, other: Value, dice: &mut Dice) {
    match node {
        Value::Array(list) => {
            let again = dice.pick(list).cloned().filter(|_| !dice.one_in(3));
            list.insert(dice.below(list.len() + 1), again.unwrap_or(other));
        }
        Value::Object(fields) => {
            let new = if dice.one_in(2) { value(dice) } else { other };
            fields.insert(word(dice), new);
        }
        single => *single = json!([single.take(), other]),
    }
}

fn rename_in(node: &mut Value, dice: &mut Dice) {
    let Value::Object(fields) = node else { return };
    let at = dice.below(fields.len());
    let renamed = std::mem::take(fields).into_iter().enumerate();
    *fields = renamed
        .map(|(n, (name, value))| (if n == at { word(dice) } else { name }, value))
        .collect::<Map<_, _>>();
}

/// Changes a value a little, as a slip of the hand would.
fn alter(node: &mut Value, dice: &mut Dice) {
    match node {
        Value::String(text) => {
            let mut letters: Vec<char> = text.chars().collect();
            let at = dice.below(letters.len() + 1);
            let odd = [
                '\0', '\n', '\u{7f}', '\u{202e}', '/', ':', ',', '#', '"', '.', '-', '0', 'f', 'F', ' ', 'ä',
            ];
            let letter = dice.pick(&odd).copied().unwrap_or('x');
            match dice.below(4) {
                0 => letters.insert(at, letter),
                1 if at < letters.len() => letters[at] = letter,
                2 if at < letters.len() => drop(letters.remove(at)),
                _ => {
                    let more = dice.below(70);
                    letters.extend(std::iter::repeat_n(letter, more));
                }
            }
            *text = letters.into_iter().collect();
        }
        Value::Number(_) => *node = number(dice),
        Value::Bool(is) => *is = !*is,
        other => *other = value(dice),
    }
}

/// The text of `tree` with a field twice in one record, which no tree has.
fn with_a_field_twice(mut tree: Value, dice: &mut Dice) -> String {
    const AGAIN: &str = "\u{1}";
    let at = dice.below(count(&tree));
    let Some(Value::Object(fields)) = nth(&mut tree, at) else { return tree.to_string() };
    let Some((name, value)) = fields.iter().nth(dice.below(fields.len())) else { return tree.to_string() };
    let (name, value) = (Value::from(name.as_str()), value.clone());
    fields.insert(AGAIN.to_owned(), value);
    tree.to_string().replacen(&Value::from(AGAIN).to_string(), &name.to_string(), 1)
}

fn count(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The node of `tree` before which come `n` others.
fn nth(tree: &mut Value, n: usize) -> Option<&mut Value> {
    fn walk<'a>(node: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
        if *left == 0 {
            return Some(node);
        }
        *left -= 1;
        match node {
            Value::Array(list) => list.iter_mut().find_map(|node| walk(node, left)),
            Value::Object(fields) => fields.values_mut().find_map(|node| walk(node, left)),
            _ => None,
        }
    }
    let mut left = n;
    walk(tree, &mut left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_stays_one_and_every_change_happens() {
        let start =
            json!({"version": 1, "guests": [{"name": "web1", "interfaces": [{"mac": "02:00:5e:00:53:01"}]}]});
        let start = start.to_string().into_bytes();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..500 {
            let changed = text(&start, &mut Dice::new(seed)).unwrap();
            assert_eq!(changed, text(&start, &mut Dice::new(seed)).unwrap(), "it follows from the seed");
            assert!(serde_json::from_slice::<Value>(&changed).is_ok() || changed.len() > 128);
            seen.insert(changed);
        }
        assert!(seen.len() > 400, "only {} documents", seen.len());
    }
}
