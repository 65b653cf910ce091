//! A class: its fields, how it is made, and how each field reads back.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::emit::{docstring, literal, name as python_name};
use super::schema::{Definition, Schema, Type, WHOLE, reference};

struct Field {
    json: String,
    python: String,
    kind: Type,
    doc: String,
    default: Default,
}

/// What a field is where it is left out.
enum Default {
    /// It may not be.
    Required,
    /// The version of the document's form, which is written in any case.
    Version,
    /// Nothing.
    None,
    /// Text, a number, or a list of such.
    Literal(Value),
    /// What this expression makes; a constant of the module has it.
    Made(String),
}

impl Default {
    fn is_required(&self) -> bool {
        matches!(self, Self::Required | Self::Version)
    }
}

/// Writes the class. Returns the names that it makes.
pub fn emit(schema: &Schema, class: &str, value: &Value, out: &mut String) -> Result<Vec<String>> {
    let fields = fields(schema, value).with_context(|| format!("in {class}"))?;
    let constants = fields.iter().filter_map(|field| match &field.default {
        Default::Made(expression) => Some((constant(class, field), field.kind.given.as_str(), expression)),
        _ => None,
    });
    for (n, (name, kind, expression)) in constants.enumerate() {
        out.push_str(if n == 0 { "\n\n" } else { "" });
        out.push_str(&format!("{name}: {kind} = {expression}\n"));
    }
    let base = if class == WHOLE { "Document" } else { "Record" };
    out.push_str(&format!("\n\nclass {class}({base}):\n"));
    out.push_str(&docstring(value["description"].as_str().unwrap_or(class), 4));
    out.push_str("\n    __slots__ = ()\n\n");
    table(class, &fields, out);
    constructor(class, &fields, out);
    fields.iter().for_each(|field| property(field, out));
    Ok(vec![class.to_owned()])
}

fn fields(schema: &Schema, value: &Value) -> Result<Vec<Field>> {
    let none = Map::new();
    let properties = value["properties"].as_object().unwrap_or(&none);
    let required = |name: &str| {
        value["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name))
    };
    let mut fields = Vec::new();
    for (json, property) in properties {
        let mut kind = schema.type_of(property).with_context(|| json.clone())?;
        if property["pattern"] == "^/" {
            kind = Type::of("Union[str, os.PathLike[str]]", "str", "PATH");
        }
        let default = if json == "version" {
            Default::Version
        } else if required(json) && !kind.optional {
            Default::Required
        } else {
            default(schema, property, &kind).with_context(|| json.clone())?
        };
        kind.optional |= matches!(default, Default::None);
        let doc = property["description"].as_str().unwrap_or(json).to_owned();
        fields.push(Field { json: json.clone(), python: python_name(json), kind, doc, default });
    }
    fields.sort_by_key(|field| !matches!(field.default, Default::Required));
    Ok(fields)
}

fn default(schema: &Schema, property: &Value, kind: &Type) -> Result<Default> {
    let codec = &kind.codec;
    if let Some(value) = property.get("default").filter(|value| !value.is_null()) {
        return Ok(match value {
            Value::Object(_) => Default::Made(format!("{codec}.read({codec}.decode({}))", literal(value))),
            other => Default::Literal(other.clone()),
        });
    }
    if kind.optional {
        return Ok(Default::None);
    }
    if codec.starts_with("Many(") {
        return Ok(Default::Literal(Value::Array(Vec::new())));
    }
    if codec.starts_with("Named(") {
        return Ok(Default::Literal(Value::Object(Map::new())));
    }
    if let Some(name) = reference(property)
        && matches!(schema.definition(&name)?, Definition::Record(_))
    {
        return Ok(Default::Made(format!("{name}()")));
    }
    bail!(
        "it has no default in the schema, which leaves out those that are not written: say `#[schemars(extend(\"default\" = …))]`"
    )
}

/// `_GUEST_TRANSIT`.
fn constant(class: &str, field: &Field) -> String {
    format!("_{}_{}", class.to_uppercase(), field.python.to_uppercase())
}

fn table(class: &str, fields: &[Field], out: &mut String) {
    out.push_str("    _fields = {\n");
    for field in fields {
        let codec = &field.kind.codec;
        let default = match &field.default {
            Default::Required | Default::Version => ", required=True".to_owned(),
            Default::None => String::new(),
            Default::Literal(value) if codec == "PLAIN" => format!(", {}", literal(value)),
            Default::Literal(value) => format!(", {codec}.encode({})", literal(value)),
            Default::Made(_) => format!(", {codec}.encode({})", constant(class, field)),
        };
        out.push_str(&format!(
            "        \"{}\": Field(\"{}\", {codec}{default}),\n",
            field.json, field.python
        ));
    }
    out.push_str("    }\n\n");
}

fn constructor(class: &str, fields: &[Field], out: &mut String) {
    out.push_str("    def __init__(\n        self,\n");
    if !fields.is_empty() {
        out.push_str("        *,\n");
    }
    for field in fields {
        let given = &field.kind.given;
        let parameter = match &field.default {
            Default::Required => given.clone(),
            Default::Version => format!("{given} = VERSION"),
            Default::None => format!("Optional[{given}] = None"),
            Default::Literal(value) => format!("{given} = {}", literal(value)),
            Default::Made(_) => format!("{given} = {}", constant(class, field)),
        };
        out.push_str(&format!("        {}: {parameter},\n", field.python));
    }
    out.push_str("    ) -> None:\n");
    let first: Vec<String> = fields
        .iter()
        .filter(|field| field.default.is_required())
        .map(|field| format!("\"{}\": {}", field.json, encoded(field)))
        .collect();
    out.push_str(&format!("        wire: Dict[str, Any] = {{{}}}\n", first.join(", ")));
    for field in fields.iter().filter(|field| !field.default.is_required()) {
        let Field { json, python, .. } = field;
        let put = match &field.default {
            Default::None => format!("wire[\"{json}\"] = {}", encoded(field)),
            _ if field.kind.codec == "PLAIN" => format!("wire[\"{json}\"] = {python}"),
            _ => format!("self._put(wire, \"{json}\", {python})"),
        };
        let differs = match &field.default {
            Default::None => format!("{python} is not None"),
            Default::Literal(Value::Bool(value)) => {
                format!("{python} is not {}", literal(&Value::Bool(*value)))
            }
            Default::Made(_) => format!("{python} is not {}", constant(class, field)),
            Default::Literal(Value::Array(list)) if list.is_empty() => python.clone(),
            Default::Literal(Value::Object(_)) => python.clone(),
            Default::Literal(value) => format!("{python} != {}", literal(value)),
            Default::Required | Default::Version => continue,
        };
        out.push_str(&format!("        if {differs}:\n            {put}\n"));
    }
    out.push_str("        self._hold(wire)\n");
}

/// The expression that a field is kept as.
fn encoded(field: &Field) -> String {
    match field.kind.codec.as_str() {
        "PLAIN" => field.python.clone(),
        _ => format!("self._encoded(\"{}\", {})", field.json, field.python),
    }
}

fn property(field: &Field, out: &mut String) {
    let Field { json, python, .. } = field;
    let read =
        if field.kind.optional { format!("Optional[{}]", field.kind.read) } else { field.kind.read.clone() };
    out.push_str(&format!("\n    @property\n    def {python}(self) -> {read}:\n"));
    out.push_str(&docstring(&field.doc, 8));
    out.push_str(&format!("        value: {read} = self._read(\"{json}\")\n        return value\n"));
}
