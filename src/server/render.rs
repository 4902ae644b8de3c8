//! Writes results as JSON. What arrives here has been checked; writing cannot fail.

use std::io::Write;

use super::contract::Schema;
use super::data::{Column, Table, Tensor, size};
use super::validate::{Orientation, time};
use crate::service::{ColumnType, Dtype};

/// Writes a table the way its request was sent.
pub fn table(schema: &Schema, table: &Table, orientation: Orientation) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + table.rows * table.columns.len() * 24);
    let mut cells: Vec<Cells<'_>> =
        schema.rules.iter().zip(&table.columns).map(|(rule, column)| Cells::new(&rule.levels, column)).collect();
    let names: Vec<Vec<u8>> = schema.rules.iter().map(|rule| key(&rule.name)).collect();
    match orientation {
        Orientation::Rows => {
            out.extend_from_slice(b"{\"rows\":");
            list(&mut out, *b"[]", 0..table.rows, |out, _| {
                list(out, *b"{}", cells.iter_mut().zip(&names), |out, (cells, name)| {
                    out.extend_from_slice(name);
                    cells.write_next(out);
                });
            });
        }
        Orientation::Columns => {
            out.extend_from_slice(b"{\"columns\":");
            list(&mut out, *b"{}", cells.iter_mut().zip(&names), |out, (cells, name)| {
                out.extend_from_slice(name);
                list(out, *b"[]", 0..table.rows, |out, _| cells.write_next(out));
            });
        }
    }
    out.push(b'}');
    out
}

/// Writes `{"tensor": …}`.
pub fn tensor(tensor: &Tensor) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + tensor.data.len() * 3);
    out.extend_from_slice(b"{\"tensor\":");
    let mut elements = tensor.data.chunks_exact(size(tensor.dtype));
    nested(&mut out, tensor.dtype, &tensor.shape, &mut elements);
    out.push(b'}');
    out
}

/// Writes any value that JSON has a form for.
pub fn scalar(out: &mut Vec<u8>, value: impl serde::Serialize) {
    serde_json::to_writer(out, &value).expect("a finite number or text can be written to memory");
}

fn nested<'a>(out: &mut Vec<u8>, dtype: Dtype, shape: &[usize], elements: &mut impl Iterator<Item = &'a [u8]>) {
    match shape {
        [] => element(out, dtype, elements.next().expect("the data has as many elements as the shape says")),
        [length, inner @ ..] => list(out, *b"[]", 0..*length, |out, _| nested(out, dtype, inner, elements)),
    }
}

fn element(out: &mut Vec<u8>, dtype: Dtype, bytes: &[u8]) {
    macro_rules! write_as {
        ($type:ty) => {
            scalar(out, <$type>::from_le_bytes(bytes.try_into().expect("elements have their type's size")))
        };
    }
    match dtype {
        Dtype::Bool => scalar(out, bytes[0] != 0),
        Dtype::Int8 => write_as!(i8),
        Dtype::Int16 => write_as!(i16),
        Dtype::Int32 => write_as!(i32),
        Dtype::Int64 => write_as!(i64),
        Dtype::Uint8 => write_as!(u8),
        Dtype::Uint16 => write_as!(u16),
        Dtype::Uint32 => write_as!(u32),
        Dtype::Uint64 => write_as!(u64),
        Dtype::Float32 => write_as!(f32),
        Dtype::Float64 => write_as!(f64),
    }
}

fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::new();
    scalar(&mut key, name);
    key.push(b':');
    key
}

/// Writes `items` between the two brackets, with commas.
fn list<T>(
    out: &mut Vec<u8>,
    brackets: [u8; 2],
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(brackets[0]);
    for (position, item) in items.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(brackets[1]);
}

/// The values of one column, read from first to last.
struct Cells<'a> {
    levels: &'a [String],
    column: &'a Column,
    row: usize,
    text: &'a [u8],
}

impl<'a> Cells<'a> {
    fn new(levels: &'a [String], column: &'a Column) -> Self {
        Self { levels, column, row: 0, text: &column.text }
    }

    fn write_next(&mut self, out: &mut Vec<u8>) {
        let (column, row) = (self.column, self.row);
        self.row += 1;
        let text = self.next_text(row);
        if !column.is_valid(row) {
            return out.extend_from_slice(b"null");
        }
        match column.kind {
            ColumnType::String => scalar(out, std::str::from_utf8(text).expect("texts have been checked")),
            ColumnType::Integer => scalar(out, i64::from_le_bytes(column.bytes(row))),
            ColumnType::Number => scalar(out, f64::from_le_bytes(column.bytes(row))),
            ColumnType::Boolean => scalar(out, column.values[row] != 0),
            ColumnType::Date => quoted(out, &time::format_date(i32::from_le_bytes(column.bytes(row)))),
            ColumnType::Datetime => quoted(out, &time::format_datetime(i64::from_le_bytes(column.bytes(row)))),
            ColumnType::Category => scalar(out, &self.levels[i32::from_le_bytes(column.bytes(row)) as usize]),
        }
    }

    fn next_text(&mut self, row: usize) -> &'a [u8] {
        if self.column.kind != ColumnType::String {
            return &[];
        }
        let length = u32::from_le_bytes(self.column.bytes(row)) as usize;
        let (text, rest) = self.text.split_at(length);
        self.text = rest;
        text
    }
}

fn quoted(out: &mut Vec<u8>, text: &str) {
    write!(out, "\"{text}\"").expect("writing to memory cannot fail");
}
