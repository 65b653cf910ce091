//! A type that is a choice: an alias, and a codec that tells the choices apart.

use anyhow::{Context, Result};
use serde_json::Value;

use super::emit::{camel_case, docstring, literal};
use super::record;
use super::schema::{Definition, Schema, Type, is_record, reference};

/// What a value can be, where it can be several things.
pub fn choices(value: &Value) -> Option<&Vec<Value>> {
    value["oneOf"].as_array().or_else(|| value["anyOf"].as_array())
}

/// The parts of a choice, as Python has them.
#[derive(Default)]
struct Parts {
    literals: Vec<String>,
    given: Vec<String>,
    read: Vec<String>,
    /// Records that stand behind a name in JSON.
    tagged: Vec<(String, String)>,
    /// Records that do not.
    plain: Vec<String>,
    /// Records that only this choice has.
    own: Vec<(String, Value)>,
    many: Option<String>,
    text: Option<String>,
    docs: Vec<String>,
}

impl Parts {
    fn add(&mut self, found: Type) {
        self.given.push(found.given);
        self.read.push(found.read);
    }

    fn document(&mut self, what: &str, value: &Value) {
        if let Some(description) = value["description"].as_str() {
            self.docs.push(format!("* `{what}`: {}", description.replace('\n', "\n  ")));
        }
    }

    fn read_choice(&mut self, schema: &Schema, name: &str, value: &Value) -> Result<()> {
        if let Some(constant) = value.get("const") {
            self.literals.push(literal(constant));
            self.document(&literal(constant), value);
        } else if let Some(constants) = value["enum"].as_array() {
            self.literals.extend(constants.iter().map(literal));
        } else if is_record(value) {
            self.read_record(schema, name, value)?;
        } else if let Some(inner) = reference(value) {
            match schema.definition(&inner)? {
                Definition::Record(_) => {
                    self.add(Type::of(&inner, &inner, ""));
                    self.plain.push(inner);
                }
                Definition::Union(inner) => self.read(schema, name, inner)?,
                Definition::Inline => self.read_scalar(schema, value)?,
            }
        } else {
            self.read_scalar(schema, value)?;
        }
        Ok(())
    }

    /// An object with one field: a record behind its name, or a record of this choice only.
    fn read_record(&mut self, schema: &Schema, name: &str, value: &Value) -> Result<()> {
        let properties = value["properties"].as_object().context("a choice without fields")?;
        let (tag, content) = properties.iter().next().context("a choice without a field")?;
        let inner = reference(content).filter(|inner| {
            properties.len() == 1
                && matches!(schema.definition(inner), Ok(Definition::Record(_)))
                && self.tagged.iter().all(|(_, known)| known != inner)
        });
        let class = match inner {
            Some(inner) => {
                self.tagged.push((tag.clone(), inner.clone()));
                inner
            }
            None => {
                let class = format!("{name}{}", camel_case(tag));
                self.plain.push(class.clone());
                self.own.push((class.clone(), value.clone()));
                class
            }
        };
        self.document(&class, value);
        self.add(Type::of(&class, &class, ""));
        Ok(())
    }

    fn read_scalar(&mut self, schema: &Schema, value: &Value) -> Result<()> {
        let found = schema.type_of(value)?;
        if value["type"] == "array" {
            self.many = Some(found.codec.clone());
        } else if found.codec != "PLAIN" {
            self.text = Some(found.codec.clone());
        }
        self.add(found);
        Ok(())
    }

    fn read(&mut self, schema: &Schema, name: &str, value: &Value) -> Result<()> {
        match choices(value) {
            Some(choices) => choices.iter().try_for_each(|choice| self.read_choice(schema, name, choice)),
            None => self.read_choice(schema, name, value),
        }
    }

    /// Whether text and numbers are all there is.
    fn is_plain(&self) -> bool {
        self.tagged.is_empty() && self.plain.is_empty() && self.many.is_none() && self.text.is_none()
    }

    fn annotation(&self, types: &[String]) -> String {
        let mut all: Vec<String> = Vec::new();
        for name in types {
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        if !self.literals.is_empty() {
            all.push(format!("Literal[{}]", self.literals.join(", ")));
        }
        match all.as_slice() {
            [one] => one.clone(),
            _ => format!("Union[{}]", all.join(", ")),
        }
    }
}

fn parts(schema: &Schema, name: &str, value: &Value) -> Result<Parts> {
    let mut parts = Parts::default();
    parts.read(schema, name, value).with_context(|| format!("in {name}"))?;
    Ok(parts)
}

/// The choice `name` as the type of a field.
pub fn type_of(schema: &Schema, name: &str, value: &Value) -> Result<Type> {
    let parts = parts(schema, name, value)?;
    let same = parts.given == parts.read;
    let read = if same { name.to_owned() } else { parts.annotation(&parts.read) };
    let codec = if parts.is_plain() { "PLAIN".to_owned() } else { format!("_{name}") };
    Ok(Type::of(name, &read, &codec))
}

/// Writes the alias, and before it the records that only this choice has. Returns the names that it makes.
pub fn emit(schema: &Schema, name: &str, value: &Value, out: &mut String) -> Result<Vec<String>> {
    let parts = parts(schema, name, value)?;
    let mut made = Vec::new();
    for (class, value) in &parts.own {
        // A choice within another one has its records already.
        if !out.contains(&format!("\nclass {class}(")) {
            made.extend(record::emit(schema, class, value, out)?);
        }
    }
    out.push_str(&format!("\n\n{name} = {}\n", parts.annotation(&parts.given)));
    let description = value["description"].as_str().unwrap_or_default();
    let words = [description.to_owned(), parts.docs.join("\n")].join("\n\n");
    if !words.trim().is_empty() {
        out.push_str(&docstring(words.trim(), 0));
    }
    if !parts.is_plain() {
        out.push_str(&format!("_{name} = Either({})\n", arguments(&parts)));
    }
    made.push(name.to_owned());
    Ok(made)
}

fn arguments(parts: &Parts) -> String {
    let mut all = Vec::new();
    if !parts.tagged.is_empty() {
        let tagged = parts.tagged.iter().map(|(tag, class)| format!("\"{tag}\": {class}"));
        all.push(format!("tagged={{{}}}", tagged.collect::<Vec<_>>().join(", ")));
    }
    if !parts.plain.is_empty() {
        all.push(format!("plain=({},)", parts.plain.join(", ")));
    }
    all.extend(parts.many.iter().map(|codec| format!("many={codec}")));
    all.extend(parts.text.iter().map(|codec| format!("text={codec}")));
    all.join(", ")
}
