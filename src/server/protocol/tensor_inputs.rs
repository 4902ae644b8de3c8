//! Tensors that a request gives, read into what an endpoint takes.
//!
//! A table is one tensor for each column, of shape `[rows]` or `[rows, 1]`, or one of shape `[rows, columns]`. A tensor is one
//! tensor, by any name. A text, JSON value or file is an element of one BYTES tensor; each is a call of its own.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::value::Error;
use serde::de::{Deserializer, IntoDeserializer};

use super::instances::{MAX_CALLS, invalid};
use super::tensors::Kind;
use crate::server::contract::{Endpoint, Form, Schema};
use crate::server::data::{Payload, Table, Tensor, size};
use crate::server::failure::Failure;
use crate::server::validate::{self, Dialect, Elements, Grid, TableReader, TensorReader};
use crate::service::Dtype;

/// Python's clients write numbers that JSON does not have.
const DIALECT: Dialect = Dialect { lists: false, drop_unknown: false, non_finite: true };

/// A tensor whose elements have been found, but not read.
pub(super) struct Given<'a> {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) kind: Kind,
    /// Whether files in JSON are base64.
    pub(super) base64: bool,
    pub(super) data: Data<'a>,
    /// Where the elements stand in the body.
    pub(super) place: String,
}

/// The elements of a tensor.
pub(super) enum Data<'a> {
    /// A list, however deep it is nested.
    Json(&'a str),
    /// Little-endian and row-major; byte strings each after its length in 32 bits.
    Binary(Bytes),
}

/// Reads what the endpoint is to be called with, one call after the other.
pub(super) fn payloads(endpoint: &Endpoint, mut inputs: Vec<Given<'_>>) -> Result<Vec<Payload>, Failure> {
    if let Form::Table(schema) = &endpoint.input {
        return Ok(vec![Payload::Table(table(schema, &inputs)?)]);
    }
    let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
        return Err(invalid("/inputs", "must be one tensor"));
    };
    if let Form::Tensor { dtype, shape } = &endpoint.input {
        return Ok(vec![Payload::Tensor(tensor(*dtype, shape, &input)?)]);
    }
    let texts = texts(&input)?;
    let most = if matches!(endpoint.output, Form::Table(_) | Form::Tensor { .. }) { 1 } else { MAX_CALLS };
    if texts.is_empty() || texts.len() > most {
        return Err(invalid(&input.place, &format!("must have at least one element and at most {most}")));
    }
    if input.shape.iter().try_fold(1_usize, |count, length| count.checked_mul(*length)) != Some(texts.len()) {
        return Err(invalid(&input.place, "must have as many elements as its shape says"));
    }
    texts.into_iter().map(|text| content(&endpoint.input, text, &input)).collect()
}

fn table(schema: &Schema, inputs: &[Given<'_>]) -> Result<Table, Failure> {
    let mut table = TableReader::new(schema, DIALECT);
    let all = schema.rules.len();
    for (number, input) in inputs.iter().enumerate() {
        let (positions, rows) = match (schema.position(&input.name, number), input.shape.as_slice()) {
            (Some(position), [rows] | [rows, 1]) => (vec![position], *rows),
            (None, [rows, columns]) if *columns == all && inputs.len() == 1 => ((0..all).collect(), *rows),
            (Some(_), _) => {
                table.problem(format!("/inputs/{number}/shape"), "must be `[rows]` or `[rows, 1]`");
                continue;
            }
            (None, _) if schema.ignore_extra => continue,
            (None, _) => {
                let message = format!("is unknown; the columns are {}", schema.names());
                table.problem(format!("/inputs/{number}/name"), message);
                continue;
            }
        };
        let expected = rows.saturating_mul(positions.len());
        let mut grid = Grid::new(&mut table, positions, &input.place);
        elements(&mut grid, input)?;
        grid.finish(expected);
    }
    table.finish_columns()
}

fn tensor(dtype: Dtype, shape: &[Option<usize>], input: &Given<'_>) -> Result<Tensor, Failure> {
    let mut tensor = TensorReader::new(dtype, shape, DIALECT, &input.place);
    match &input.data {
        Data::Binary(bytes) if input.kind == Kind::Element(dtype) => tensor.bytes(bytes),
        _ => elements(&mut tensor, input)?,
    }
    tensor.shaped(&input.shape)
}

/// Reads the elements of a tensor in order.
fn elements(into: &mut impl Elements, input: &Given<'_>) -> Result<(), Failure> {
    match (&input.data, input.kind) {
        (Data::Json(text), _) => validate::flatten(into, &input.place, text),
        (Data::Binary(bytes), Kind::Bytes) => byte_strings(bytes, &input.place).try_for_each(|bytes| {
            let bytes = bytes?;
            let text = std::str::from_utf8(&bytes).map_err(|_| invalid(&input.place, "must be UTF-8"))?;
            element(into, text.into_deserializer(), &input.place)
        }),
        (Data::Binary(bytes), Kind::Element(dtype)) => {
            if bytes.len() % size(dtype) != 0 {
                return Err(invalid(&input.place, "must have as many elements as its shape says"));
            }
            bytes.chunks_exact(size(dtype)).try_for_each(|bytes| number(into, dtype, bytes, &input.place))
        }
    }
}

fn element<'de>(
    into: &mut impl Elements,
    value: impl Deserializer<'de, Error = Error>,
    place: &str,
) -> Result<(), Failure> {
    into.element(value).map_err(|_| invalid(place, "must be values of the type that the model takes"))
}

fn number(into: &mut impl Elements, dtype: Dtype, bytes: &[u8], place: &str) -> Result<(), Failure> {
    macro_rules! take {
        ($type:ty) => {{
            let value = <$type>::from_le_bytes(bytes.try_into().expect("elements have their type's size"));
            element(into, value.into_deserializer(), place)
        }};
    }
    match dtype {
        Dtype::Bool => element(into, (bytes[0] != 0).into_deserializer(), place),
        Dtype::Int8 => take!(i8),
        Dtype::Int16 => take!(i16),
        Dtype::Int32 => take!(i32),
        Dtype::Int64 => take!(i64),
        Dtype::Uint8 => take!(u8),
        Dtype::Uint16 => take!(u16),
        Dtype::Uint32 => take!(u32),
        Dtype::Uint64 => take!(u64),
        Dtype::Float32 => take!(f32),
        Dtype::Float64 => take!(f64),
    }
}

/// The elements of a BYTES tensor, each its length in 32 bits and then its bytes; `None` for what is no element. There is no list of
/// them, which could take far more than they do.
pub(super) struct ByteStrings(Bytes);

impl ByteStrings {
    /// Cuts the elements of a tensor.
    pub(super) fn of(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Iterator for ByteStrings {
    type Item = Option<Bytes>;

    fn next(&mut self) -> Option<Option<Bytes>> {
        let mut rest = std::mem::take(&mut self.0);
        if rest.is_empty() {
            return None;
        }
        let length = rest.first_chunk().map(|length| u32::from_le_bytes(*length) as usize);
        Some(length.filter(|length| *length <= rest.len() - 4).map(|length| {
            let element = rest.split_off(4);
            self.0 = element.slice(length..);
            element.slice(..length)
        }))
    }
}

/// Appends an element of a BYTES tensor.
pub(super) fn push_bytes(bytes: &mut Vec<u8>, element: &[u8]) {
    bytes.extend_from_slice(&(element.len() as u32).to_le_bytes());
    bytes.extend_from_slice(element);
}

fn byte_strings(bytes: &Bytes, place: &str) -> impl Iterator<Item = Result<Bytes, Failure>> {
    let wrong = move || invalid(place, "must be byte strings, each after its length");
    ByteStrings::of(bytes.clone()).map(move |element| element.ok_or_else(wrong))
}

/// Returns the elements of a BYTES tensor, and no more of them than are too many.
fn texts(input: &Given<'_>) -> Result<Vec<Bytes>, Failure> {
    if input.kind != Kind::Bytes {
        return Err(invalid(&input.place, "must be of type BYTES"));
    }
    match &input.data {
        Data::Binary(bytes) => byte_strings(bytes, &input.place).take(MAX_CALLS + 1).collect(),
        Data::Json(text) => {
            let mut texts = Texts(Vec::new());
            validate::flatten(&mut texts, &input.place, text)?;
            Ok(texts.0)
        }
    }
}

struct Texts(Vec<Bytes>);

impl Elements for Texts {
    fn element<'de, D: Deserializer<'de>>(&mut self, reader: D) -> Result<(), D::Error> {
        let text = String::deserialize(reader)?;
        if self.0.len() <= MAX_CALLS {
            self.0.push(text.into());
        }
        Ok(())
    }
}

/// Makes an input without rows of one byte string.
fn content(form: &Form, bytes: Bytes, input: &Given<'_>) -> Result<Payload, Failure> {
    let bytes = match form {
        Form::Binary { .. } if input.base64 && matches!(input.data, Data::Json(_)) => {
            let decoded = std::str::from_utf8(&bytes).ok().and_then(validate::base64);
            decoded.map(Bytes::from).ok_or_else(|| invalid(&input.place, "must be base64"))?
        }
        _ => bytes,
    };
    validate::content(form, bytes, &input.place)
}
