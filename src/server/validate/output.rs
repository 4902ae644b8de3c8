//! Checks what a model gave against the contract, before any of it reaches a client.

use super::content::{is_image, tree};
use crate::server::contract::{Endpoint, Form, Rule, Schema};
use crate::server::data::{Column, Payload, Table, Tensor};
use crate::service::ColumnType;

/// Says in words for the log why an answer cannot be written at all; `rows` is how many there must be, where that is known.
pub fn check_form(form: &Form, payload: &Payload, rows: Option<usize>) -> Result<(), String> {
    if let Some(expected) = rows.filter(|&expected| expected != payload.rows()) {
        return Err(format!("the model gave {} rows for {expected}", payload.rows()));
    }
    match (form, payload) {
        (Form::Table(schema), Payload::Table(table)) => each_column(schema, table, check_cell_form),
        (Form::Tensor { shape, .. }, Payload::Tensor(tensor)) => check_tensor(shape, tensor),
        (Form::Json { .. }, Payload::Bytes(bytes)) => {
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

/// Says in words for the log which value of an answer the contract does not allow. The answer's form has been checked.
pub fn check_values(endpoint: &Endpoint, payload: &Payload) -> Result<(), String> {
    match (&endpoint.output, payload) {
        (Form::Table(schema), Payload::Table(table)) => {
            each_column(schema, table, check_cell_value)?;
            endpoint.roles.order.map_or(Ok(()), |score| check_order(&schema.rules[score], &table.columns[score]))
        }
        (Form::Json { schema: Some(schema) }, Payload::Bytes(bytes)) => {
            let value = tree(bytes).map_err(|failure| format!("the answer cannot be read: {}", failure.message))?;
            match schema.problems(&value, 1).pop() {
                Some(problem) => Err(format!("`{}` {}", problem.pointer, problem.message)),
                None => Ok(()),
            }
        }
        (Form::Binary { media_types, image: true }, Payload::Bytes(bytes)) if !is_image(media_types, bytes) => {
            Err("the model's answer is not a picture of the contract's types".to_owned())
        }
        _ => Ok(()),
    }
}

/// Makes sure that a ranking's rows are in order.
fn check_order(rule: &Rule, score: &Column) -> Result<(), String> {
    let scores = (0..score.len()).map(|row| f64::from_le_bytes(score.bytes(row)));
    if scores.is_sorted_by(|one, next| one >= next) {
        return Ok(());
    }
    Err(format!("the ranking's rows must be in order of column `{}`, highest first", rule.name))
}

/// Checks one value; `text` is a string's.
type CheckCell = fn(rule: &Rule, column: &Column, row: usize, text: &[u8]) -> Result<(), String>;

fn each_column(schema: &Schema, table: &Table, check: CheckCell) -> Result<(), String> {
    for (rule, column) in schema.rules.iter().zip(&table.columns) {
        each_cell(rule, column, check)
            .map_err(|(row, message)| format!("column `{}`, row {row}: {message}", rule.name))?;
    }
    Ok(())
}

fn each_cell(rule: &Rule, column: &Column, check: CheckCell) -> Result<(), (usize, String)> {
    let mut text = 0;
    for row in 0..column.len() {
        let length = match column.kind {
            ColumnType::String => u32::from_le_bytes(column.bytes(row)) as usize,
            _ => 0,
        };
        if column.is_valid(row) {
            check(rule, column, row, &column.text[text..text + length]).map_err(|message| (row, message))?;
        }
        text += length;
    }
    Ok(())
}

fn check_cell_form(rule: &Rule, column: &Column, row: usize, text: &[u8]) -> Result<(), String> {
    match column.kind {
        ColumnType::String if std::str::from_utf8(text).is_err() => Err("must be UTF-8".to_owned()),
        ColumnType::Number if !f64::from_le_bytes(column.bytes(row)).is_finite() => Err("must be finite".to_owned()),
        ColumnType::Boolean if column.values[row] > 1 => Err("must be 0 or 1".to_owned()),
        ColumnType::Category => {
            let code = i32::from_le_bytes(column.bytes(row));
            let known = usize::try_from(code).is_ok_and(|code| code < rule.levels.len());
            if known { Ok(()) } else { Err(rule.one_of()) }
        }
        _ => Ok(()),
    }
}

fn check_cell_value(rule: &Rule, column: &Column, row: usize, text: &[u8]) -> Result<(), String> {
    match column.kind {
        _ if rule.is_unlimited() => Ok(()),
        ColumnType::String => rule.check_text(std::str::from_utf8(text).expect("the form has been checked")),
        ColumnType::Integer => rule.check_number(i64::from_le_bytes(column.bytes(row)) as f64),
        ColumnType::Number => rule.check_number(f64::from_le_bytes(column.bytes(row))),
        _ => Ok(()),
    }
}

fn check_tensor(shape: &[Option<usize>], tensor: &Tensor) -> Result<(), String> {
    let fits = |(&length, expected): (&usize, &Option<usize>)| expected.is_none_or(|expected| expected == length);
    if tensor.shape.len() != shape.len() || !tensor.shape.iter().zip(shape).all(fits) {
        return Err(format!("the model gave a tensor of shape {:?}", tensor.shape));
    }
    Ok(())
}
