//! The manifest's JSON Schema (2020-12), for editors: completion, descriptions and most of the checks.
//!
//! It comes from the vocabulary that the reader uses, so the two cannot drift apart. What it cannot say, such as
//! whether a file exists, only the reader checks.

use serde_json::{Map, Value, json};

use super::keys::{Form, Key, MANIFEST};

/// Returns the schema.
pub fn json_schema() -> Value {
    let mut schema = fields(MANIFEST);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("mlpack model manifest");
    schema
}

fn fields(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| {
            let mut schema = form(&key.form);
            schema["description"] = json!(key.about);
            (key.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn form(form: &Form) -> Value {
    match form {
        Form::Text => json!({ "type": "string" }),
        Form::Named(rule) => json!({ "type": "string", "pattern": rule.pattern }),
        Form::Integer(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Form::Exactly(number) => json!({ "const": number }),
        Form::Number => json!({ "type": "number" }),
        Form::Boolean => json!({ "type": "boolean" }),
        Form::Null => json!({ "type": "null" }),
        Form::Any => json!({}),
        Form::Choice(choices) => json!({ "enum": choices }),
        Form::List(item) => json!({ "type": "array", "items": self::form(item) }),
        Form::Texts(item) => {
            let item = self::form(item);
            json!({ "anyOf": [item, { "type": "array", "items": item }] })
        }
        Form::Names(rule, value) => json!({
            "type": "object",
            "propertyNames": { "pattern": rule.pattern },
            "additionalProperties": self::form(value),
        }),
        Form::Fields(keys) => fields(keys),
        Form::Either(forms) => json!({ "anyOf": forms.iter().map(self::form).collect::<Vec<_>>() }),
    }
}
