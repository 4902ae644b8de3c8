//! An example of what an endpoint takes, from its contract alone: for the OpenAPI document and the pages.
//!
//! The user's own examples come first. Where there are none, a value is made up that the contract allows; what it cannot
//! know (a text by a pattern, the content of a file) it does not guess.

use serde_json::{Map, Value, json};

use super::json_schema::JsonSchema;
use super::{Column, ColumnType, Data, Dtype};

/// Tensors with more elements have no example: nobody reads it.
const MAX_ELEMENTS: u64 = 1000;
/// The deepest JSON value that is made up from a schema.
const MAX_DEPTH: usize = 8;

/// Returns the JSON value of an example request; `None` where one cannot be made up.
pub fn request(input: &Data) -> Option<Value> {
    match input {
        Data::Table { columns, .. } => row(columns).map(|row| json!({ "rows": [row] })),
        Data::Tensor { dtype, shape } => tensor(*dtype, shape).map(|tensor| json!({ "tensor": tensor })),
        Data::Json { schema } => from_schema(schema, MAX_DEPTH).filter(|value| fits(schema, value)),
        Data::Text => Some(json!("some text")),
        Data::Binary { .. } | Data::Image { .. } => None,
    }
}

/// A row with every column that must be there, and those that have an example.
fn row(columns: &[Column]) -> Option<Value> {
    let mut row = Map::new();
    for column in columns {
        if column.example.is_none() && column.default.is_some() {
            continue;
        }
        row.insert(column.name.clone(), cell(column)?);
    }
    Some(Value::Object(row))
}

fn cell(column: &Column) -> Option<Value> {
    if let Some(value) = column.example.as_ref().or(column.choices.first()) {
        return Some(value.clone());
    }
    let number = 1.0_f64.max(column.minimum.unwrap_or(f64::MIN)).min(column.maximum.unwrap_or(f64::MAX));
    Some(match column.kind {
        // A whole number may have a limit with a fraction.
        ColumnType::Integer if column.minimum.is_some_and(|minimum| minimum > 1.0) => json!(number.ceil() as i64),
        ColumnType::Integer => json!(number.floor() as i64),
        ColumnType::Number => json!(number),
        ColumnType::Boolean => json!(true),
        ColumnType::Date => json!("2026-01-31"),
        ColumnType::Datetime => json!("2026-01-31T12:00:00Z"),
        ColumnType::String if column.pattern.is_none() => json!(text(column.max_length)),
        ColumnType::String | ColumnType::Category => return None,
    })
}

fn text(longest: Option<u64>) -> String {
    "some text".chars().take(longest.unwrap_or(u64::MAX) as usize).collect()
}

/// A tensor with dimensions of one where the length may vary.
fn tensor(dtype: Dtype, shape: &[Option<u64>]) -> Option<Value> {
    let lengths = shape.iter().map(|length| length.unwrap_or(1));
    let elements = lengths.clone().try_fold(1, u64::checked_mul)?;
    let element = match dtype {
        Dtype::Bool => json!(true),
        Dtype::Float32 | Dtype::Float64 => json!(0.5),
        _ => json!(1),
    };
    let nest = |inner: Value, length: u64| Value::Array(vec![inner; length as usize]);
    (elements <= MAX_ELEMENTS).then(|| lengths.rev().fold(element, nest))
}

fn fits(schema: &Value, value: &Value) -> bool {
    let checked = JsonSchema::new(schema);
    checked.is_ok_and(|schema| schema.is_none_or(|schema| schema.problems(value, 1).is_empty()))
}

/// A value for a JSON Schema, which it may yet not fit: its own example where it has one, else the least that its types ask for.
fn from_schema(schema: &Value, depth: usize) -> Option<Value> {
    let own = ["example", "const", "default"].iter().find_map(|keyword| schema.get(keyword));
    let listed = ["examples", "enum"].iter().find_map(|keyword| schema.get(keyword)?.get(0));
    if let Some(value) = listed.or(own) {
        return Some(value.clone());
    }
    let depth = depth.checked_sub(1)?;
    let kind = schema.get("type").map(|kind| kind.get(0).unwrap_or(kind));
    match kind.and_then(Value::as_str) {
        None if schema.as_object().is_none_or(Map::is_empty) => Some(json!({})),
        Some("object") => object(schema, depth),
        Some("array") => array(schema, depth),
        Some("null") => Some(Value::Null),
        Some("boolean") => Some(json!(true)),
        Some("integer" | "number") => Some(json!(1)),
        Some("string") => Some(json!("some text")),
        _ => None,
    }
}

fn object(schema: &Value, depth: usize) -> Option<Value> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let members = properties.into_iter().flatten();
    let made: Option<Map<String, Value>> =
        members.map(|(name, member)| Some((name.clone(), from_schema(member, depth)?))).collect();
    made.map(Value::Object)
}

fn array(schema: &Value, depth: usize) -> Option<Value> {
    let count = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).max(1);
    let item = from_schema(schema.get("items").unwrap_or(&Value::Bool(true)), depth)?;
    (count <= MAX_ELEMENTS).then(|| Value::Array(vec![item; count as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &Value) -> Data {
        let with_all = |column: &Value| {
            let mut whole = json!({"nullable": false, "example": null, "description": "", "enum": [],
                "minimum": null, "maximum": null, "max_length": null});
            whole.as_object_mut().unwrap().extend(column.as_object().unwrap().clone());
            whole
        };
        let columns: Vec<Value> = columns.as_array().unwrap().iter().map(with_all).collect();
        serde_json::from_value(json!({"type": "table", "columns": columns})).unwrap()
    }

    #[test]
    fn columns_give_their_examples_or_what_their_limits_allow() {
        let made = request(&table(&json!([
            {"name": "a", "type": "integer", "example": 3},
            {"name": "b", "type": "integer", "minimum": 2.5},
            {"name": "c", "type": "number", "maximum": -0.5},
            {"name": "d", "type": "string", "max_length": 4},
            {"name": "e", "type": "category", "enum": ["x", "y"]},
            {"name": "f", "type": "date", "default": "2020-01-01"},
        ])));
        let row = json!({"a": 3, "b": 3, "c": -0.5, "d": "some", "e": "x"});
        assert_eq!(made, Some(json!({ "rows": [row] })));
    }

    #[test]
    fn tensors_fill_their_shape_unless_it_is_large() {
        let tensor = |shape: &[Option<u64>]| request(&Data::Tensor { dtype: Dtype::Float32, shape: shape.to_vec() });
        assert_eq!(tensor(&[None, Some(2)]), Some(json!({"tensor": [[0.5, 0.5]]})));
        assert_eq!(tensor(&[None, Some(224), Some(224), Some(3)]), None);
        assert_eq!(tensor(&[Some(u64::MAX), Some(2)]), None);
    }

    #[test]
    fn schemas_give_their_example_or_the_least_that_they_allow() {
        let made = |schema: Value| request(&Data::Json { schema });
        assert_eq!(made(json!({"type": "object", "example": {"a": 1}})), Some(json!({"a": 1})));
        let schema = json!({"type": "object", "properties": {"n": {"type": "array", "items": {"type": "integer"}}}});
        assert_eq!(made(schema), Some(json!({"n": [1]})));
        assert_eq!(made(json!({"type": "string", "pattern": "^x+$"})), None);
        assert_eq!(made(json!({"type": "number", "exclusiveMinimum": 5})), None);
        assert_eq!(made(Value::Null), Some(json!({})));
    }
}
