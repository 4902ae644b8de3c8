//! What the types of a contract are as JSON Schemas (2020-12) in the OpenAPI document.

use serde_json::{Map, Value, json};

use crate::service::{Column, ColumnType, Data, Dtype, Extra};

/// Returns the media types of an input or output, each with its schema; `path` is that of the operation. Where it is not `home`, what the
/// user wrote as a schema is not written again, but referred to there: no `$id` or anchor may stand twice in a document.
pub(super) fn content(path: &str, home: &str, data: &Data, output: bool) -> Value {
    match data {
        Data::Table { columns, extra } => {
            json!({"application/json": {"schema": table(columns, *extra, output)}})
        }
        Data::Tensor { dtype, shape } => {
            let tensor = shape.iter().rev().fold(element(*dtype), |items, length| nested(&items, *length));
            let schema = closed(&json!({ "tensor": tensor }), &["tensor"]);
            json!({"application/json": {"schema": schema}})
        }
        Data::Json { schema } => {
            let part = if output { "responses/200" } else { "requestBody" };
            let place = format!("#/paths/{}/post/{part}/content/application~1json/schema", pointer(home));
            let schema = if path == home { embedded(schema, &place) } else { json!({ "$ref": place }) };
            json!({"application/json": {"schema": schema}})
        }
        Data::Text => json!({
            "text/plain": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "string"}},
        }),
        Data::Binary { media_type } => files(std::slice::from_ref(media_type), output),
        Data::Image { media_types } => files(media_types, output),
    }
}

/// Writes a path as a part of a JSON pointer in a fragment (RFC 6901, section 6).
fn pointer(path: &str) -> String {
    path.replace('/', "~1").replace('{', "%7B").replace('}', "%7D")
}

/// A file of any of the media types; an answer has the first.
fn files(media_types: &[String], output: bool) -> Value {
    if output {
        return json!({&media_types[0]: {}});
    }
    let mut types: Map<String, Value> = media_types.iter().map(|media_type| (media_type.clone(), json!({}))).collect();
    types.insert("application/octet-stream".to_owned(), json!({}));
    let file = json!({"type": "string", "contentMediaType": media_types[0]});
    let form = closed(&json!({ "file": file }), &["file"]);
    let encoding = json!({"file": {"contentType": media_types.join(", ")}});
    types.insert("multipart/form-data".to_owned(), json!({"schema": form, "encoding": encoding}));
    Value::Object(types)
}

/// Words whose values are no schemas, and so hold no references.
const DATA: [&str; 5] = ["const", "default", "enum", "example", "examples"];

/// Puts a schema into the document: references from its own root now go by `place`, a JSON pointer in a fragment.
fn embedded(schema: &Value, place: &str) -> Value {
    match schema {
        Value::Object(members) if members.contains_key("$id") => schema.clone(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let value = match (name.as_str(), value) {
                    ("$ref", Value::String(reference)) => match reference.strip_prefix('#') {
                        Some(rest) if rest.is_empty() || rest.starts_with('/') => json!(format!("{place}{rest}")),
                        _ => value.clone(),
                    },
                    (name, _) if DATA.contains(&name) => value.clone(),
                    _ => embedded(value, place),
                };
                (name.clone(), value)
            })
            .collect(),
        Value::Array(items) => items.iter().map(|item| embedded(item, place)).collect(),
        Value::Null => json!({}),
        other => other.clone(),
    }
}

/// A table by row. The other way round, an object of lists, is taken as well, but that all lists have one length cannot be said
/// in JSON Schema: it is said in words, at the operation.
fn table(columns: &[Column], extra: Extra, output: bool) -> Value {
    let required: Vec<&str> =
        columns.iter().filter(|column| output || column.default.is_none()).map(|column| column.name.as_str()).collect();
    let cells: Map<String, Value> = columns.iter().map(|column| (column.name.clone(), cell(column, output))).collect();
    let mut row = closed(&Value::Object(cells), &required);
    row["additionalProperties"] = json!(extra == Extra::Ignore);
    let rows = json!({"type": "array", "items": row, "minItems": u8::from(!output)});
    closed(&json!({ "rows": rows }), &["rows"])
}

/// Returns the schema of an object with these members and no others.
pub(super) fn closed(properties: &Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn cell(column: &Column, output: bool) -> Value {
    let (name, format) = match column.kind {
        ColumnType::String | ColumnType::Category => ("string", None),
        ColumnType::Integer => ("integer", Some("int64")),
        ColumnType::Number => ("number", Some("double")),
        ColumnType::Boolean => ("boolean", None),
        ColumnType::Date => ("string", Some("date")),
        ColumnType::Datetime => ("string", Some("date-time")),
    };
    let mut cell = json!({ "type": if column.nullable { json!([name, "null"]) } else { json!(name) } });
    let mut set = |member: &str, value: Option<Value>| {
        if let Some(value) = value {
            cell[member] = value;
        }
    };
    let whole = column.kind == ColumnType::Integer;
    set("format", format.map(Value::from));
    set("description", (!column.description.is_empty()).then(|| json!(column.description)));
    set("default", column.default.clone().filter(|_| !output));
    set("examples", column.example.as_ref().map(|example| json!([example])));
    set("minimum", column.minimum.map(|limit| number(limit, whole)).or(whole.then(|| json!(i64::MIN))));
    set("maximum", column.maximum.map(|limit| number(limit, whole)).or(whole.then(|| json!(i64::MAX))));
    set("maxLength", column.max_length.map(Value::from));
    set("pattern", column.pattern.as_deref().map(Value::from));
    if !column.choices.is_empty() {
        let missing = column.nullable.then_some(Value::Null);
        set("enum", Some(column.choices.iter().cloned().chain(missing).collect()));
    }
    cell
}

/// Writes a limit of a whole number without a fraction where it has none.
fn number(limit: f64, whole: bool) -> Value {
    if whole && limit.fract() == 0.0 && limit.abs() < 9e15 { json!(limit as i64) } else { json!(limit) }
}

fn nested(items: &Value, length: Option<u64>) -> Value {
    match length {
        Some(length) => json!({"type": "array", "items": items, "minItems": length, "maxItems": length}),
        None => json!({"type": "array", "items": items, "minItems": 1}),
    }
}

fn element(dtype: Dtype) -> Value {
    let whole = |least: Value, most: Value| json!({"type": "integer", "minimum": least, "maximum": most});
    match dtype {
        Dtype::Bool => json!({"type": "boolean"}),
        Dtype::Int8 => whole(json!(i8::MIN), json!(i8::MAX)),
        Dtype::Int16 => whole(json!(i16::MIN), json!(i16::MAX)),
        Dtype::Int32 => whole(json!(i32::MIN), json!(i32::MAX)),
        Dtype::Int64 => whole(json!(i64::MIN), json!(i64::MAX)),
        Dtype::Uint8 => whole(json!(0), json!(u8::MAX)),
        Dtype::Uint16 => whole(json!(0), json!(u16::MAX)),
        Dtype::Uint32 => whole(json!(0), json!(u32::MAX)),
        Dtype::Uint64 => whole(json!(0), json!(u64::MAX)),
        Dtype::Float32 => {
            json!({"type": "number", "format": "float", "minimum": f64::from(f32::MIN), "maximum": f64::from(f32::MAX)})
        }
        Dtype::Float64 => json!({"type": "number", "format": "double"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(more: &Value) -> Column {
        let mut column = json!({"name": "x", "type": "integer", "nullable": false, "example": null,
            "description": "", "enum": [], "minimum": null, "maximum": null, "max_length": null});
        column.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        serde_json::from_value(column).unwrap()
    }

    #[test]
    fn a_nullable_category_allows_null_among_its_levels() {
        let column = column(&json!({"type": "category", "nullable": true, "enum": ["a", "b"]}));
        assert_eq!(cell(&column, false), json!({"type": ["string", "null"], "enum": ["a", "b", null]}));
    }

    #[test]
    fn whole_numbers_have_64_bits_unless_the_contract_is_narrower() {
        let cell = cell(&column(&json!({"maximum": 5.0})), false);
        assert_eq!(cell, json!({"type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": 5}));
    }

    #[test]
    fn columns_with_defaults_may_be_left_out_of_requests_only() {
        let columns = [column(&json!({"default": 1}))];
        assert_eq!(table(&columns, Extra::Forbid, false)["properties"]["rows"]["items"]["required"], json!([]));
        assert_eq!(table(&columns, Extra::Forbid, true)["properties"]["rows"]["items"]["required"], json!(["x"]));
    }

    #[test]
    fn references_of_a_schema_hold_in_the_document() {
        let schema =
            json!({"$defs": {"a": {"enum": [{"$ref": "#/b"}]}}, "items": [{"$ref": "#/$defs/a"}, {"$ref": "#"}]});
        let data = Data::Json { schema };
        let found = &content("/x", "/x", &data, true)["application/json"]["schema"];
        let place = "#/paths/~1x/post/responses/200/content/application~1json/schema";
        assert_eq!(found["items"], json!([{"$ref": format!("{place}/$defs/a")}, {"$ref": place}]));
        assert_eq!(found["$defs"]["a"]["enum"], json!([{"$ref": "#/b"}]));
    }

    #[test]
    fn a_schema_with_a_name_stands_once_in_the_document() {
        let data = Data::Json { schema: json!({"$id": "https://example.org/x", "$anchor": "x"}) };
        let found = &content("/v/{version}/x", "/x", &data, false)["application/json"]["schema"];
        assert_eq!(*found, json!({"$ref": "#/paths/~1x/post/requestBody/content/application~1json/schema"}));
        assert_eq!(content("/x", "/x", &data, false)["application/json"]["schema"]["$anchor"], "x");
    }

    #[test]
    fn tensors_nest_as_deep_as_their_shape() {
        let data = Data::Tensor { dtype: Dtype::Uint8, shape: vec![None, Some(2)] };
        let tensor = &content("/x", "/x", &data, false)["application/json"]["schema"]["properties"]["tensor"];
        assert_eq!(tensor["minItems"], json!(1));
        assert_eq!(tensor["items"]["maxItems"], json!(2));
        assert_eq!(tensor["items"]["items"]["maximum"], json!(255));
    }
}
