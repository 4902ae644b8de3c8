//! Writes results as JSON. What arrives here has been checked; writing cannot fail. Numbers of tensors that JSON does not have
//! become the bare words `NaN`, `Infinity` and `-Infinity`: protocols that do not have them look first.

use std::io::Write;

use super::contract::{Rule, Schema};
use super::data::{Column, Table, Tensor, size};
use super::validate::{Orientation, time};
use crate::service::{ColumnType, Dtype};

/// Writes a table the way its request was sent.
pub fn table(schema: &Schema, table: &Table, orientation: Orientation) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + table.rows * table.columns.len() * 24);
    match orientation {
        Orientation::List => {
            records(&mut out, schema, table);
            return out;
        }
        Orientation::Rows => {
            out.extend_from_slice(b"{\"rows\":");
            records(&mut out, schema, table);
        }
        Orientation::Columns => {
            out.extend_from_slice(b"{\"columns\":");
            columns(&mut out, schema, table);
        }
    }
    out.push(b'}');
    out
}

/// Writes `[{column: value, …}, …]`.
pub fn records(out: &mut Vec<u8>, schema: &Schema, table: &Table) {
    let mut cells = cells(schema, table);
    let names: Vec<Vec<u8>> = schema.rules.iter().map(|rule| key(&rule.name)).collect();
    list(out, *b"[]", 0..table.rows, |out, _| {
        list(out, *b"{}", cells.iter_mut().zip(&names), |out, (cells, name)| {
            out.extend_from_slice(name);
            cells.write_next(out);
        });
    });
}

/// Writes `{column: [value, …], …}`.
pub fn columns(out: &mut Vec<u8>, schema: &Schema, table: &Table) {
    list(out, *b"{}", schema.rules.iter().zip(&table.columns), |out, (rule, values)| {
        out.extend_from_slice(&key(&rule.name));
        column(out, rule, values);
    });
}

/// Writes `[[value, …], …]`, a list for each row.
pub fn lists(out: &mut Vec<u8>, schema: &Schema, table: &Table) {
    let mut cells = cells(schema, table);
    list(out, *b"[]", 0..table.rows, |out, _| {
        list(out, *b"[]", cells.iter_mut(), |out, cells| cells.write_next(out));
    });
}

/// Writes the values of one column as a list.
pub fn column(out: &mut Vec<u8>, rule: &Rule, column: &Column) {
    let mut cells = Cells::new(&rule.levels, column);
    list(out, *b"[]", 0..column.len(), |out, _| cells.write_next(out));
}

/// Writes `{"tensor": …}`.
pub fn tensor(tensor: &Tensor) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + tensor.data.len() * 3);
    out.extend_from_slice(b"{\"tensor\":");
    nested_tensor(&mut out, tensor);
    out.push(b'}');
    out
}

/// Writes a tensor as nested lists.
pub fn nested_tensor(out: &mut Vec<u8>, tensor: &Tensor) {
    nested(out, tensor.dtype, &tensor.shape, &mut tensor.data.chunks_exact(size(tensor.dtype)));
}

/// Writes a tensor's elements as one list, row-major.
pub fn flat_tensor(out: &mut Vec<u8>, tensor: &Tensor) {
    let elements = tensor.data.chunks_exact(size(tensor.dtype));
    list(out, *b"[]", elements, |out, bytes| element(out, tensor.dtype, bytes));
}

/// Writes an object's key and the colon after it.
pub fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::new();
    scalar(&mut key, name);
    key.push(b':');
    key
}

/// Writes `items` between the two brackets, with commas.
pub fn list<T>(
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
            scalar(out, <$type>::from_le_bytes(array(bytes)))
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
        Dtype::Float32 if let Some(word) = word(f32::from_le_bytes(array(bytes)).into()) => out.extend(word),
        Dtype::Float64 if let Some(word) = word(f64::from_le_bytes(array(bytes))) => out.extend(word),
        Dtype::Float32 => write_as!(f32),
        Dtype::Float64 => write_as!(f64),
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("elements have their type's size")
}

/// Returns what Python and TensorFlow Serving write for a number that JSON does not have.
fn word(number: f64) -> Option<&'static [u8]> {
    match number {
        f64::INFINITY => Some(b"Infinity"),
        f64::NEG_INFINITY => Some(b"-Infinity"),
        number if number.is_nan() => Some(b"NaN"),
        _ => None,
    }
}

/// Returns the values of every column.
pub fn cells<'a>(schema: &'a Schema, table: &'a Table) -> Vec<Cells<'a>> {
    schema.rules.iter().zip(&table.columns).map(|(rule, column)| Cells::new(&rule.levels, column)).collect()
}

/// The values of one column, read from first to last.
pub struct Cells<'a> {
    levels: &'a [String],
    column: &'a Column,
    row: usize,
    text: &'a [u8],
}

/// One value.
pub enum Cell<'a> {
    /// There is none.
    Missing,
    /// A text, or the level of a category.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A day or a moment as text.
    Time(String),
}

impl<'a> Cells<'a> {
    /// Starts at the first row; `levels` are a category's.
    pub fn new(levels: &'a [String], column: &'a Column) -> Self {
        Self { levels, column, row: 0, text: &column.text }
    }

    /// Writes the next value; there must be one.
    pub fn write_next(&mut self, out: &mut Vec<u8>) {
        match self.next().expect("every column has a value for every row") {
            Cell::Missing => out.extend_from_slice(b"null"),
            Cell::Text(text) => scalar(out, text),
            Cell::Integer(number) => scalar(out, number),
            Cell::Number(number) => scalar(out, number),
            Cell::Boolean(value) => scalar(out, value),
            Cell::Time(text) => write!(out, "\"{text}\"").expect("writing to memory cannot fail"),
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

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    fn next(&mut self) -> Option<Cell<'a>> {
        let (column, row) = (self.column, self.row);
        if row == column.len() {
            return None;
        }
        self.row += 1;
        let text = self.next_text(row);
        if !column.is_valid(row) {
            return Some(Cell::Missing);
        }
        Some(match column.kind {
            ColumnType::String => Cell::Text(std::str::from_utf8(text).expect("texts have been checked")),
            ColumnType::Integer => Cell::Integer(i64::from_le_bytes(column.bytes(row))),
            ColumnType::Number => Cell::Number(f64::from_le_bytes(column.bytes(row))),
            ColumnType::Boolean => Cell::Boolean(column.values[row] != 0),
            ColumnType::Date => Cell::Time(time::format_date(i32::from_le_bytes(column.bytes(row)))),
            ColumnType::Datetime => Cell::Time(time::format_datetime(i64::from_le_bytes(column.bytes(row)))),
            ColumnType::Category => Cell::Text(&self.levels[i32::from_le_bytes(column.bytes(row)) as usize]),
        })
    }
}
