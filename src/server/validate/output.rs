//! Checks what a model gave against the contract, before any of it reaches a client.

use crate::server::contract::{Form, Rule, Schema};
use crate::server::data::{Column, Payload, Table, Tensor};
use crate::service::{ColumnType, Dtype};

/// Says in words for the log what does not fit; `rows` is how many there must be, where that is known.
pub fn check(form: &Form, payload: &Payload, rows: Option<usize>) -> Result<(), String> {
    if let Some(expected) = rows.filter(|&expected| expected != payload.rows()) {
        return Err(format!("the model gave {} rows for {expected}", payload.rows()));
    }
    match (form, payload) {
        (Form::Table(schema), Payload::Table(table)) => check_table(schema, table),
        (Form::Tensor { shape, .. }, Payload::Tensor(tensor)) => check_tensor(shape, tensor),
        (Form::Json, Payload::Bytes(bytes)) => {
            let read = serde_json::from_slice::<&serde_json::value::RawValue>(bytes);
            read.map(drop).map_err(|error| format!("the model's answer is not JSON: {error}"))
        }
        (Form::Text, Payload::Bytes(bytes)) => {
            std::str::from_utf8(bytes).map(drop).map_err(|error| format!("the model's text is not UTF-8: {error}"))
        }
        (Form::Binary { .. }, Payload::Bytes(_)) => Ok(()),
        _ => Err("the model's answer has another form".to_owned()),
    }
}

fn check_table(schema: &Schema, table: &Table) -> Result<(), String> {
    for (rule, column) in schema.rules.iter().zip(&table.columns) {
        check_column(rule, column).map_err(|(row, message)| format!("column `{}`, row {row}: {message}", rule.name))?;
    }
    Ok(())
}

fn check_column(rule: &Rule, column: &Column) -> Result<(), (usize, String)> {
    let mut text = 0;
    for row in 0..column.len() {
        let length = match column.kind {
            ColumnType::String => u32::from_le_bytes(column.bytes(row)) as usize,
            _ => 0,
        };
        if column.is_valid(row) {
            check_value(rule, column, row, &column.text[text..text + length]).map_err(|message| (row, message))?;
        }
        text += length;
    }
    Ok(())
}

fn check_value(rule: &Rule, column: &Column, row: usize, text: &[u8]) -> Result<(), String> {
    match column.kind {
        ColumnType::String => match std::str::from_utf8(text) {
            Ok(text) => rule.check_text(text),
            Err(_) => Err("must be UTF-8".to_owned()),
        },
        ColumnType::Integer => rule.check_number(i64::from_le_bytes(column.bytes(row)) as f64),
        ColumnType::Number => {
            let number = f64::from_le_bytes(column.bytes(row));
            if number.is_finite() { rule.check_number(number) } else { Err("must be finite".to_owned()) }
        }
        ColumnType::Boolean if column.values[row] > 1 => Err("must be 0 or 1".to_owned()),
        ColumnType::Category => {
            let code = i32::from_le_bytes(column.bytes(row));
            let known = usize::try_from(code).is_ok_and(|code| code < rule.levels.len());
            if known { Ok(()) } else { Err(rule.one_of()) }
        }
        _ => Ok(()),
    }
}

fn check_tensor(shape: &[Option<usize>], tensor: &Tensor) -> Result<(), String> {
    let fits = |(&length, expected): (&usize, &Option<usize>)| expected.is_none_or(|expected| expected == length);
    if tensor.shape.len() != shape.len() || !tensor.shape.iter().zip(shape).all(fits) {
        return Err(format!("the model gave a tensor of shape {:?}", tensor.shape));
    }
    let finite = match tensor.dtype {
        Dtype::Float32 => tensor.data.as_chunks().0.iter().all(|bytes| f32::from_le_bytes(*bytes).is_finite()),
        Dtype::Float64 => tensor.data.as_chunks().0.iter().all(|bytes| f64::from_le_bytes(*bytes).is_finite()),
        _ => true,
    };
    if finite { Ok(()) } else { Err("the model gave a tensor with numbers that are not finite".to_owned()) }
}
