//! `instances`, `inputs` and `predictions`: the JSON that TensorFlow Serving began and KServe V1, MLflow and Vertex share.
//!
//! `instances` is a list of rows: objects, lists of values in the contract's order, or lone values where there is one column. Of
//! data without rows it is a list of values, each of which is a call of its own. `inputs` is an object of columns, or one value.
//! Bytes are `{"b64": …}`.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::server::contract::{Endpoint, Form};
use crate::server::data::Payload;
use crate::server::failure::{Detail, Failure};
use crate::server::render;
use crate::server::validate::{self, Dialect, TableReader, TensorReader};

/// How all of them write values, Python's `NaN` among them.
pub(super) const DIALECT: Dialect = Dialect { lists: true, drop_unknown: false, non_finite: true };

/// How many instances a request may have where each is a call of its own.
pub(super) const MAX_CALLS: usize = 4096;

/// What a request asks for.
pub(super) struct Asked {
    /// What to call the endpoint with.
    pub(super) payloads: Vec<Payload>,
    /// Whether each payload is an instance of its own; else the one there is holds all.
    pub(super) each: bool,
}

impl Asked {
    /// Returns a request with one payload.
    pub(super) fn whole(payload: Payload) -> Self {
        Self { payloads: vec![payload], each: false }
    }
}

/// Reads a list of instances that stands at `place` of a body.
pub(super) fn instances(form: &Form, dialect: Dialect, place: &str, text: &str) -> Result<Asked, Failure> {
    if let Form::Table(schema) = form {
        let table = TableReader::new(schema, dialect).rows(place, text, None)?;
        return Ok(Asked::whole(Payload::Table(table)));
    }
    if form.has_rows() {
        return lone(form, dialect, place, text).map(Asked::whole);
    }
    let items: Vec<&RawValue> = validate::envelope(text.as_bytes())?;
    if items.is_empty() {
        return Err(invalid(place, "must have at least one instance"));
    }
    if items.len() > MAX_CALLS {
        return Err(invalid(place, &format!("must have at most {MAX_CALLS} instances")));
    }
    let items = items.into_iter().enumerate();
    let payloads = items.map(|(number, item)| lone(form, dialect, &format!("{place}/{number}"), item.get()));
    Ok(Asked { payloads: payloads.collect::<Result<_, _>>()?, each: true })
}

/// Reads inputs by column, or the one input there is.
pub(super) fn inputs(form: &Form, dialect: Dialect, place: &str, text: &str) -> Result<Asked, Failure> {
    let Form::Table(schema) = form else { return lone(form, dialect, place, text).map(Asked::whole) };
    let reader = TableReader::new(schema, dialect);
    let rows = text.trim_start().starts_with('[');
    let table = if rows { reader.rows(place, text, None)? } else { reader.columns(place, text)? };
    Ok(Asked::whole(Payload::Table(table)))
}

/// Reads one value that is a whole input.
fn lone(form: &Form, dialect: Dialect, place: &str, text: &str) -> Result<Payload, Failure> {
    let bytes = match form {
        Form::Tensor { dtype, shape } => {
            return TensorReader::new(*dtype, shape, dialect, place).nested(text).map(Payload::Tensor);
        }
        Form::Json { .. } => text.to_owned().into(),
        Form::Text => match serde_json::from_str(text) {
            Ok(Value::Text(text)) => text.into(),
            _ => return Err(invalid(place, "must be a string")),
        },
        Form::Binary { .. } => match serde_json::from_str(text) {
            Ok(Value::Text(b64) | Value::Bytes { b64 }) => match validate::base64(&b64) {
                Some(bytes) => bytes.into(),
                None => return Err(invalid(place, "must be base64")),
            },
            Err(_) => return Err(invalid(place, "must be `{\"b64\": …}`")),
        },
        Form::Table(_) => unreachable!("tables are read by row or column"),
    };
    validate::content(form, bytes, place)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Bytes { b64: String },
}

pub(super) fn invalid(pointer: &str, message: &str) -> Failure {
    Failure::invalid(vec![Detail { pointer: pointer.to_owned(), message: message.to_owned() }])
}

/// How a table's rows are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rows {
    /// Always as objects.
    Objects,
    /// As objects, or as bare values where there is one column alone.
    Bare,
}

/// Writes what the calls gave; `each` is as it was asked.
pub(super) fn write_predictions(out: &mut Vec<u8>, form: &Form, results: &[Payload], each: bool, rows: Rows) {
    if each {
        render::list(out, *b"[]", results.iter(), |out, result| write_value(out, form, result, rows));
    } else {
        for result in results {
            write_value(out, form, result, rows);
        }
    }
}

/// Writes what the call for `inputs` gave: a table by column.
pub(super) fn write_outputs(out: &mut Vec<u8>, endpoint: &Endpoint, result: &Payload) {
    match (&endpoint.output, result) {
        (Form::Table(schema), Payload::Table(table)) if table.columns.len() > 1 => render::columns(out, schema, table),
        (form, result) => write_value(out, form, result, Rows::Bare),
    }
}

/// Writes one result.
pub(super) fn write_value(out: &mut Vec<u8>, form: &Form, result: &Payload, rows: Rows) {
    match (form, result) {
        (Form::Table(schema), Payload::Table(table)) => match (schema.rules.as_slice(), rows) {
            ([rule], Rows::Bare) => render::column(out, rule, &table.columns[0]),
            _ => render::records(out, schema, table),
        },
        (_, Payload::Tensor(tensor)) => render::nested_tensor(out, tensor),
        (Form::Binary { .. }, Payload::Bytes(bytes)) => render::scalar(out, json!({"b64": validate::to_base64(bytes)})),
        (Form::Json { .. }, Payload::Bytes(bytes)) => out.extend_from_slice(bytes),
        (_, Payload::Bytes(bytes)) => {
            render::scalar(out, std::str::from_utf8(bytes).expect("results have been checked"));
        }
        (_, Payload::Table(_)) => unreachable!("results have been read by the output's own form"),
    }
}
