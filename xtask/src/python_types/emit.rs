//! Words and values as Python writes them.

use serde_json::Value;

/// Python's keywords that could be the name of a field (`keyword.kwlist`).
const KEYWORDS: &[&str] = &[
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else",
    "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not",
    "or", "pass", "raise", "return", "self", "try", "while", "with", "yield",
];

/// The name of a field in Python.
pub fn name(name: &str) -> String {
    let name = name.replace('-', "_");
    if KEYWORDS.contains(&name.as_str()) { format!("{name}_") } else { name }
}

/// `per_family` as `PerFamily`.
pub fn camel_case(name: &str) -> String {
    let capital = |part: &str| {
        let mut letters = part.chars();
        letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
    };
    name.split(['_', '-']).map(capital).collect()
}

/// A value as an expression.
pub fn literal(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Array(list) => match list.as_slice() {
            [] => "()".into(),
            [one] => format!("({},)", literal(one)),
            many => format!("({})", many.iter().map(literal).collect::<Vec<_>>().join(", ")),
        },
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("\"{name}\": {}", literal(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        // JSON's numbers and strings are Python's too.
        other => other.to_string(),
    }
}

/// A description as a docstring, indented by `indent` spaces. What is written for rustdoc is taken out.
pub fn docstring(text: &str, indent: usize) -> String {
    let mut words = String::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            words.push_str(line);
            words.push('\n');
        }
    }
    let words = without_links(words.trim()).replace('\\', "\\\\").replace("\"\"\"", "'''");
    let space = " ".repeat(indent);
    let lines: Vec<String> = words
        .lines()
        .map(|line| if line.is_empty() { String::new() } else { format!("{space}{line}") })
        .collect();
    let body = lines.join("\n");
    // A quotation mark at the end would run into those that close.
    let end = if lines.len() > 1 {
        format!("\n{space}")
    } else if body.ends_with('"') {
        " ".into()
    } else {
        String::new()
    };
    format!("{space}\"\"\"{}{end}\"\"\"\n", body.trim_start())
}

/// A link of rustdoc, which has brackets and a path, as its last name in backticks.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        out.push_str(before);
        match after.split_once("`]") {
            Some((link, after)) => {
                out.push_str(&format!("`{}`", link.rsplit("::").next().unwrap_or(link)));
                rest = after;
            }
            None => {
                out.push_str("[`");
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_for_rustdoc_is_not_in_a_docstring() {
        let text = "Of [`core::Mode`], see [`b`].\n\n```\nlet a = 1;\n```";
        assert_eq!(docstring(text, 4), "    \"\"\"Of `Mode`, see `b`.\"\"\"\n");
    }

    #[test]
    fn values_are_python() {
        let value = serde_json::json!([true, null, ["a"], {"b": 1}]);
        assert_eq!(literal(&value), "(True, None, (\"a\",), {\"b\": 1})");
    }
}
