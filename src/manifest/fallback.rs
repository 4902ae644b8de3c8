//! An endpoint's fallback: the answer that stands in where no worker can answer in time. It must be one that the endpoint may give.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::document::Value;
use super::names;
use super::reader::{Cursor, Read, all, list};
use super::values::{fitting, json};
use crate::service::json_schema::JsonSchema;
use crate::service::{Column, Data, Dtype};

/// Reads a fallback for this output: a row where it has rows, else the whole value.
pub(super) fn fallback(cursor: Cursor<'_>, output: &Data) -> Read<Json> {
    match output {
        Data::Table { columns, .. } => row(cursor, columns),
        Data::Tensor { dtype, shape } => tensor(cursor, *dtype, shape),
        Data::Json { schema } => fitting_json(cursor, schema),
        Data::Text => cursor.prose().map(Json::from),
        Data::Binary { .. } | Data::Image { .. } => {
            cursor.refuse_key("bytes have no fallback", "remove it: a manifest cannot hold bytes")
        }
    }
}

fn fitting_json(cursor: Cursor<'_>, schema: &Json) -> Read<Json> {
    let value = json(cursor.node);
    // What is wrong with the schema is told where it stands.
    let problem = JsonSchema::new(schema).ok().flatten().and_then(|schema| schema.problems(&value, 1).pop());
    match problem {
        None => Ok(value),
        Some(problem) => {
            let message = format!("`fallback` does not fit the output: `{}` {}", problem.pointer, problem.message);
            cursor.refuse(message, "an answer with it would be refused")
        }
    }
}

fn row(cursor: Cursor<'_>, columns: &[Column]) -> Read<Json> {
    let Value::Mapping(_) = cursor.node.value else {
        return cursor.expected("one row of the output, such as `{label: unknown}`");
    };
    let known = || columns.iter().map(|column| column.name.as_str());
    let row: Map<String, Json> = all(cursor.names(&names::COLUMN)?.map(|(name, cursor)| {
        match columns.iter().find(|column| column.name == name) {
            Some(column) => Ok((name.to_owned(), fitting(cursor, column)?)),
            None => cursor.refuse_key("the output has no such column", format!("its columns are {}", list(known()))),
        }
    }))?;
    let missing: BTreeSet<&str> = known().filter(|name| !row.contains_key(*name)).collect();
    if !missing.is_empty() {
        let hint = "a fallback is a whole row: write a value for every column";
        return cursor.refuse_key(format!("`fallback` lacks {}", list(missing.into_iter())), hint);
    }
    Ok(Json::Object(row))
}

fn tensor(cursor: Cursor<'_>, dtype: Dtype, shape: &[Option<u64>]) -> Read<Json> {
    let value = json(cursor.node);
    // A free first dimension is that of the rows.
    let (one, shape) = match shape {
        [None, row @ ..] => ("one row of the output", row),
        whole => ("the whole output", whole),
    };
    if fits(&value, dtype, shape) {
        return Ok(value);
    }
    let lengths: Vec<String> =
        shape.iter().map(|length| length.map_or_else(|| "any".to_owned(), |length| length.to_string())).collect();
    let what = match lengths.as_slice() {
        [] => "one number".to_owned(),
        lengths => format!("lists of {} numbers", lengths.join(" × ")),
    };
    cursor.refuse(
        format!("`fallback` does not fit the output: it must be {what}"),
        format!("write {one}, of the output's `dtype`"),
    )
}

fn fits(value: &Json, dtype: Dtype, shape: &[Option<u64>]) -> bool {
    match (shape, value) {
        ([length, inner @ ..], Json::Array(items)) => {
            length.is_none_or(|length| length == items.len() as u64)
                && items.iter().all(|item| fits(item, dtype, inner))
        }
        ([], value) => is_element(value, dtype),
        _ => false,
    }
}

fn is_element(value: &Json, dtype: Dtype) -> bool {
    let within = |least: i64, most: i64| value.as_i64().is_some_and(|number| (least..=most).contains(&number));
    match dtype {
        Dtype::Bool => value.is_boolean(),
        Dtype::Int8 => within(i8::MIN.into(), i8::MAX.into()),
        Dtype::Int16 => within(i16::MIN.into(), i16::MAX.into()),
        Dtype::Int32 => within(i32::MIN.into(), i32::MAX.into()),
        Dtype::Int64 => value.is_i64(),
        Dtype::Uint8 => within(0, u8::MAX.into()),
        Dtype::Uint16 => within(0, u16::MAX.into()),
        Dtype::Uint32 => within(0, u32::MAX.into()),
        Dtype::Uint64 => value.is_u64(),
        Dtype::Float32 => value.as_f64().is_some_and(|number| number.abs() <= f32::MAX.into()),
        Dtype::Float64 => value.is_number(),
    }
}
