//! What the schema says, and what it comes to in Python.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::union;

/// The name of the spec itself, which is the root of the schema and whose class can do more.
pub const WHOLE: &str = "HostSpec";

/// The schemas of the documents of a module.
pub struct Schema {
    /// Their types by name, the documents themselves included.
    pub definitions: BTreeMap<String, Value>,
    /// Those of the types that another module has.
    of_others: BTreeSet<String>,
}

/// What becomes of a type.
pub enum Definition<'a> {
    /// It is no type of its own in Python: text, a number, a list.
    Inline,
    /// A class.
    Record(&'a Value),
    /// A choice.
    Union(&'a Value),
}

/// A type in Python.
#[derive(Clone)]
pub struct Type {
    /// What is accepted.
    pub given: String,
    /// What is read back.
    pub read: String,
    /// What converts it.
    pub codec: String,
    /// Whether it may be absent.
    pub optional: bool,
}

impl Type {
    fn plain(name: &str) -> Self {
        Self::of(name, name, "PLAIN")
    }

    /// A type that is there.
    pub fn of(given: &str, read: &str, codec: &str) -> Self {
        Self { given: given.into(), read: read.into(), codec: codec.into(), optional: false }
    }
}

impl Schema {
    /// Reads the schemas, each with the name of its root.
    pub fn new(roots: &[(String, Value)], of_others: &BTreeSet<String>) -> Result<Self> {
        let mut definitions: BTreeMap<String, Value> = BTreeMap::new();
        for (class, root) in roots {
            let inner = root["$defs"].as_object().context("the schema has no definitions")?;
            let all = inner.iter().chain(std::iter::once((class, root)));
            for (name, value) in all {
                let before = definitions.insert(name.clone(), value.clone());
                ensure!(before.is_none_or(|before| before == *value), "two types are called {name}");
            }
        }
        Ok(Self { definitions, of_others: of_others.clone() })
    }

    /// The names of all types.
    pub fn names(&self) -> BTreeSet<String> {
        self.definitions.keys().cloned().collect()
    }

    /// Whether another module has it.
    pub fn is_of_others(&self, name: &str) -> bool {
        self.of_others.contains(name)
    }

    /// The types of another module that those of this one name.
    pub fn used_of_others(&self) -> BTreeSet<String> {
        let mut used = BTreeSet::new();
        let own = self.definitions.iter().filter(|(name, _)| !self.is_of_others(name));
        own.for_each(|(_, value)| references(value, &mut used));
        let has_a_name = |name: &String| !matches!(self.definition(name), Ok(Definition::Inline));
        used.into_iter().filter(|name| self.is_of_others(name) && has_a_name(name)).collect()
    }

    fn get(&self, name: &str) -> Result<&Value> {
        self.definitions.get(name).with_context(|| format!("the schema has no {name}"))
    }

    /// What becomes of `name`.
    pub fn definition(&self, name: &str) -> Result<Definition<'_>> {
        let value = self.get(name)?;
        Ok(if is_record(value) {
            Definition::Record(value)
        } else if union::choices(value).is_some() || value["enum"].is_array() {
            Definition::Union(value)
        } else {
            Definition::Inline
        })
    }

    /// The names of all types, each behind those that it needs.
    pub fn ordered(&self) -> Result<Vec<String>> {
        let mut order = Vec::new();
        for name in self.definitions.keys() {
            self.visit(name, &mut order, &mut BTreeSet::new())?;
        }
        Ok(order)
    }

    fn visit(&self, name: &str, order: &mut Vec<String>, open: &mut BTreeSet<String>) -> Result<()> {
        if order.iter().any(|done| done == name) {
            return Ok(());
        }
        if !open.insert(name.to_owned()) {
            bail!("{name} contains itself");
        }
        let mut needed = BTreeSet::new();
        references(self.get(name)?, &mut needed);
        for name in needed {
            self.visit(&name, order, open)?;
        }
        order.push(name.to_owned());
        Ok(())
    }

    /// The type of a value in Python.
    pub fn type_of(&self, value: &Value) -> Result<Type> {
        if let Some(name) = reference(value) {
            if name.ends_with("Net") {
                bail!(
                    "{name} says too little: `#[schemars(with = …)]` with a type of `guestnet_core::schema`"
                );
            }
            return match self.definition(&name)? {
                Definition::Record(_) => Ok(Type::of(&name, &name, &format!("One({name})"))),
                Definition::Union(value) => union::type_of(self, &name, value),
                Definition::Inline => self.type_of(self.get(&name)?),
            };
        }
        if let Some(choices) = union::choices(value) {
            // A value or null.
            let (null, others): (Vec<_>, Vec<_>) = choices.iter().partition(|c| c["type"] == "null");
            let [only] = others.as_slice() else { bail!("a choice needs a name: {value}") };
            return Ok(Type { optional: !null.is_empty(), ..self.type_of(only)? });
        }
        let names: Vec<&str> = match &value["type"] {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => bail!("what is the type of {value}?"),
        };
        let optional = names.contains(&"null");
        let found = match names.iter().find(|name| **name != "null") {
            Some(&"string") if value["writeOnly"] == true => {
                Type::of("Union[str, Secret]", "Secret", "SECRET")
            }
            Some(&"string") => {
                value["format"].as_str().and_then(address).unwrap_or_else(|| Type::plain("str"))
            }
            Some(&"integer") => Type::plain("int"),
            Some(&"boolean") => Type::plain("bool"),
            Some(&"array") => {
                let element = self.type_of(&value["items"])?;
                Type::of(
                    &format!("Iterable[{}]", element.given),
                    &format!("Tuple[{}, ...]", element.read),
                    &format!("Many({})", element.codec),
                )
            }
            Some(&"object") if value["additionalProperties"].is_object() => {
                let element = self.type_of(&value["additionalProperties"])?;
                Type::of(
                    &format!("Mapping[str, {}]", element.given),
                    &format!("Dict[str, {}]", element.read),
                    &format!("Named({})", element.codec),
                )
            }
            other => bail!("a {other:?} cannot be said in Python yet: {value}"),
        };
        Ok(Type { optional, ..found })
    }
}

/// The type that a value refers to.
pub fn reference(value: &Value) -> Option<String> {
    value["$ref"].as_str()?.strip_prefix("#/$defs/").map(str::to_owned)
}

/// Whether it has fields, be it none.
pub fn is_record(value: &Value) -> bool {
    value["type"] == "object" && (value["properties"].is_object() || value["additionalProperties"] == false)
}

/// Types that Python's `ipaddress` has, by the format.
fn address(format: &str) -> Option<Type> {
    let (read, codec) = match format {
        "ipv4" => ("IPv4Address", "IPV4"),
        "ipv6" => ("IPv6Address", "IPV6"),
        "ip" => ("Union[IPv4Address, IPv6Address]", "IP"),
        "ipv4-prefix" => ("IPv4Network", "NET4"),
        "ipv6-prefix" => ("IPv6Network", "NET6"),
        "ip-prefix" => ("Union[IPv4Network, IPv6Network]", "NET"),
        "ipv4-interface" => ("IPv4Interface", "INTERFACE4"),
        "ip-interface" => ("Union[IPv4Interface, IPv6Interface]", "INTERFACE"),
        _ => return None,
    };
    let inner = read.strip_prefix("Union[").and_then(|read| read.strip_suffix(']')).unwrap_or(read);
    Some(Type::of(&format!("Union[str, {inner}]"), read, codec))
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(reference(value));
            fields
                .iter()
                .filter(|(name, _)| *name != "$defs")
                .for_each(|(_, value)| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}
