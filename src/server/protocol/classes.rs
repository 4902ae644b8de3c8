//! Classes as Triton's classification extension writes them: the best of each row, as `score:index:label`.
//!
//! They come from a table that gives classes, see [`crate::service::task`], or from a tensor of scores with a row for each
//! instance, whose classes have no labels.

use crate::server::contract::{Endpoint, Form, Schema};
use crate::server::data::{Column, Payload, Table, Tensor};
use crate::server::render::{Cell, Cells};
use crate::service::task::Classes;
use crate::service::{ColumnType, Dtype};

/// Returns whether an endpoint gives classes.
pub(super) fn has(endpoint: &Endpoint) -> bool {
    match &endpoint.output {
        Form::Table(_) => endpoint.roles.classes.is_some(),
        Form::Tensor { dtype: Dtype::Float32 | Dtype::Float64, shape } => shape.len() == 2,
        _ => false,
    }
}

/// Returns how many rows there are, and up to `most` classes of each, one row after the other.
pub(super) fn best(endpoint: &Endpoint, result: &Payload, most: usize) -> (usize, Vec<String>) {
    match (&endpoint.output, result, &endpoint.roles.classes) {
        (Form::Table(schema), Payload::Table(table), Some(Classes::Label { label, score })) => {
            (table.rows, labels(schema, table, *label, *score))
        }
        (Form::Table(schema), Payload::Table(table), Some(Classes::Columns(columns))) => {
            let names: Vec<&str> = columns.iter().map(|&position| schema.rules[position].name.as_str()).collect();
            let row = |row| columns.iter().map(move |&position| number(&table.columns[position], row));
            let best = (0..table.rows).flat_map(|number| best_of(row(number), Some(&names), most));
            (table.rows, best.collect())
        }
        (_, Payload::Tensor(tensor), _) => {
            let rows = tensor.shape[0];
            let scores = scores(tensor);
            let width = tensor.shape[1].max(1);
            (rows, scores.chunks(width).flat_map(|row| best_of(row.iter().copied(), None, most)).collect())
        }
        _ => unreachable!("the output has been checked to give classes"),
    }
}

/// Returns the label of each row, which is its best class.
fn labels(schema: &Schema, table: &Table, label: usize, score: Option<usize>) -> Vec<String> {
    let rule = &schema.rules[label];
    let labels = Cells::new(&rule.levels, &table.columns[label]).enumerate();
    let text = |(row, cell): (usize, Cell<'_>)| {
        let text = if let Cell::Text(text) = cell { text } else { "" };
        let score = score.map_or(1.0, |score| number(&table.columns[score], row));
        format!("{score}:{}:{text}", rule.code(text).unwrap_or_default())
    };
    labels.map(text).collect()
}

/// Returns the classes with the highest scores; equal ones stay in order.
fn best_of(scores: impl Iterator<Item = f64>, names: Option<&[&str]>, most: usize) -> Vec<String> {
    let mut ranked: Vec<(usize, f64)> = scores.enumerate().collect();
    ranked.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let text = |(index, score): (usize, f64)| match names {
        Some(names) => format!("{score}:{index}:{}", names[index]),
        None => format!("{score}:{index}"),
    };
    ranked.into_iter().take(most).map(text).collect()
}

fn number(column: &Column, row: usize) -> f64 {
    match column.kind {
        ColumnType::Number => f64::from_le_bytes(column.bytes(row)),
        _ => 0.0,
    }
}

fn scores(tensor: &Tensor) -> Vec<f64> {
    match tensor.dtype {
        Dtype::Float32 => tensor.data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes).into()).collect(),
        _ => tensor.data.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
    }
}
