//! Reads an inference request: JSON, and after it the tensors that are sent as bytes.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::value::Error;
use serde::de::{Deserializer, IntoDeserializer};
use serde_json::value::RawValue;

use super::datatype;
use crate::server::app::App;
use crate::server::contract::{Endpoint, Form, Schema};
use crate::server::data::{Payload, Table, Tensor, size};
use crate::server::exchange::Call;
use crate::server::failure::{Code, Detail, Failure};
use crate::server::protocol::instances::MAX_CALLS;
use crate::server::protocol::tensors::Kind;
use crate::server::validate::{self, Dialect, Elements, Grid, TableReader, TensorReader};
use crate::service::Dtype;

/// Python's clients write numbers that JSON does not have.
const DIALECT: Dialect = Dialect { lists: false, drop_unknown: false, non_finite: true };

/// What the answer needs to know of the request.
pub(super) struct Style {
    pub(super) id: Option<String>,
    /// The outputs wanted; all where there are none.
    pub(super) outputs: Vec<Output>,
    /// Whether outputs are sent as bytes unless they say otherwise.
    pub(super) binary: bool,
}

#[derive(Deserialize)]
struct Infer<'a> {
    id: Option<String>,
    #[serde(default)]
    parameters: Option<Settings>,
    #[serde(borrow)]
    inputs: Vec<Input<'a>>,
    #[serde(default)]
    outputs: Option<Vec<Output>>,
}

#[derive(Default, Deserialize)]
struct Settings {
    #[serde(default)]
    binary_data_output: bool,
}

#[derive(Deserialize)]
struct Input<'a> {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    #[serde(default)]
    parameters: Option<InputSettings>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct InputSettings {
    binary_data_size: Option<usize>,
    content_type: Option<String>,
}

/// An output that is wanted.
#[derive(Deserialize)]
pub(super) struct Output {
    pub(super) name: String,
    #[serde(default)]
    parameters: Option<OutputSettings>,
}

#[derive(Default, Deserialize)]
struct OutputSettings {
    binary_data: Option<bool>,
}

impl Output {
    /// Returns whether it is to be sent as bytes, where the request says so.
    pub(super) fn binary(&self) -> Option<bool> {
        self.parameters.as_ref()?.binary_data
    }
}

/// A tensor whose elements have been found, but not read.
struct Given<'a> {
    name: String,
    shape: Vec<usize>,
    kind: Kind,
    base64: bool,
    data: Data<'a>,
    /// Where the elements stand in the body.
    place: String,
}

enum Data<'a> {
    Json(&'a str),
    Binary(Bytes),
}

pub(super) fn malformed(message: String) -> Failure {
    Failure::new(Code::MalformedBody, message)
}

fn invalid(pointer: &str, message: &str) -> Failure {
    Failure::invalid(vec![Detail { pointer: pointer.to_owned(), message: message.to_owned() }])
}

/// Reads a body whose first `json_length` bytes are JSON; all are where that is not said.
pub(super) fn read(app: &App, number: usize, body: Bytes, json_length: Option<usize>) -> Result<Call<Style>, Failure> {
    let length = json_length.unwrap_or(body.len());
    if length > body.len() {
        return Err(malformed(format!("`{}` is more than the body has", super::JSON_LENGTH)));
    }
    let endpoint = &app.endpoints[number];
    let text = validate::quote_non_finite(&body[..length]);
    let Infer { id, parameters, inputs, outputs } = validate::envelope(&text)?;
    let payloads = payloads(endpoint, given(inputs, body.slice(length..))?)?;
    let binary = parameters.unwrap_or_default().binary_data_output;
    let outputs = outputs.unwrap_or_default();
    super::response::check_outputs(endpoint, &outputs)?;
    Ok(Call { endpoint: number, payloads, style: Style { id, outputs, binary } })
}

/// Finds the elements of every tensor; those sent as bytes follow each other in `rest`.
fn given(inputs: Vec<Input<'_>>, mut rest: Bytes) -> Result<Vec<Given<'_>>, Failure> {
    let mut found = Vec::with_capacity(inputs.len());
    for (number, input) in inputs.into_iter().enumerate() {
        let place = format!("/inputs/{number}/data");
        let settings = input.parameters.unwrap_or_default();
        let kind = datatype::parse(&input.datatype)
            .ok_or_else(|| invalid(&format!("/inputs/{number}/datatype"), "is not a type that this model takes"))?;
        let data = match (settings.binary_data_size, input.data) {
            (Some(length), None) if length <= rest.len() => Data::Binary(rest.split_to(length)),
            (Some(_), None) => return Err(malformed("the body has fewer bytes than its tensors".to_owned())),
            (None, Some(data)) => Data::Json(data.get()),
            _ => return Err(invalid(&place, "must stand in the JSON or follow it, one of the two")),
        };
        let base64 = settings.content_type.as_deref() == Some("base64");
        found.push(Given { name: input.name, shape: input.shape, kind, base64, data, place });
    }
    if !rest.is_empty() {
        return Err(malformed("the body has more bytes than its tensors".to_owned()));
    }
    Ok(found)
}

fn payloads(endpoint: &Endpoint, mut inputs: Vec<Given<'_>>) -> Result<Vec<Payload>, Failure> {
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
    if input.shape.iter().try_fold(1_usize, |count, length| count.checked_mul(*length)) != Some(texts.len()) {
        return Err(invalid(&input.place, "must have as many elements as its shape says"));
    }
    let most = if matches!(endpoint.output, Form::Table(_) | Form::Tensor { .. }) { 1 } else { MAX_CALLS };
    if texts.is_empty() || texts.len() > most {
        return Err(invalid(&input.place, &format!("must have at least one element and at most {most}")));
    }
    let payload = |text| content(&endpoint.input, text, &input).map(Payload::Bytes);
    texts.into_iter().map(payload).collect()
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
        (Data::Binary(bytes), Kind::Bytes) => byte_strings(bytes, &input.place)?.iter().try_for_each(|bytes| {
            let text = std::str::from_utf8(bytes).map_err(|_| invalid(&input.place, "must be UTF-8"))?;
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

/// Cuts the elements of a BYTES tensor: each is its length in 32 bits, then its bytes.
fn byte_strings(bytes: &Bytes, place: &str) -> Result<Vec<Bytes>, Failure> {
    let mut rest = bytes.clone();
    let mut found = Vec::new();
    while let Some(length) = rest.first_chunk().map(|length| u32::from_le_bytes(*length) as usize) {
        if length > rest.len() - 4 {
            break;
        }
        let _length = rest.split_to(4);
        found.push(rest.split_to(length));
    }
    if rest.is_empty() { Ok(found) } else { Err(invalid(place, "must be byte strings, each after its length")) }
}

/// Returns the elements of a BYTES tensor.
fn texts(input: &Given<'_>) -> Result<Vec<Bytes>, Failure> {
    if input.kind != Kind::Bytes {
        return Err(invalid(&input.place, "must be of type BYTES"));
    }
    match &input.data {
        Data::Binary(bytes) => byte_strings(bytes, &input.place),
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
        self.0.push(String::deserialize(reader)?.into());
        Ok(())
    }
}

/// Makes an input without rows of one byte string.
fn content(form: &Form, bytes: Bytes, input: &Given<'_>) -> Result<Bytes, Failure> {
    match form {
        Form::Json => validate::json(&bytes).map(|()| bytes),
        Form::Binary { .. } if input.base64 && matches!(input.data, Data::Json(_)) => {
            let text = std::str::from_utf8(&bytes).ok().and_then(validate::base64);
            text.map(Bytes::from).ok_or_else(|| invalid(&input.place, "must be base64"))
        }
        Form::Text if std::str::from_utf8(&bytes).is_err() => Err(invalid(&input.place, "must be UTF-8")),
        _ => Ok(bytes),
    }
}
