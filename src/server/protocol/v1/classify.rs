//! TensorFlow Serving's `:classify` and `:regress`, for endpoints that take tables.
//!
//! Which columns hold the classes and the value, [`crate::service::task`] says; the endpoint need not have the task.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::path::Verb;
use super::predict::{input, signature};
use crate::server::app::{App, Callee};
use crate::server::contract::{Endpoint, Form, Schema};
use crate::server::data::{Payload, Table};
use crate::server::exchange::{Call, Reply};
use crate::server::failure::{Code, Failure};
use crate::server::protocol::instances::{DIALECT, invalid};
use crate::server::render::{self, Cells};
use crate::server::validate::{self, TableReader};
use crate::service::task::Classes;

#[derive(Deserialize)]
struct Classify<'a> {
    signature_name: Option<String>,
    /// Features that all examples have in common.
    #[serde(borrow, default)]
    context: BTreeMap<String, &'a RawValue>,
    #[serde(borrow)]
    examples: &'a RawValue,
}

/// Reads a request.
pub(super) fn read(app: &App, callee: Callee, verb: Verb, body: Bytes) -> Result<Call<Verb>, Failure> {
    let body = validate::without_words(&body, |body| input(app, callee, body))?;
    let request: Classify<'_> = validate::envelope(&body)?;
    let callee = signature(app, callee, request.signature_name.as_deref())?;
    let (_, endpoint) = app.called(callee);
    let (Form::Table(schema), true) = (&endpoint.input, gives(endpoint, verb)) else {
        return Err(Failure::new(Code::InvalidInput, "the model does not give results of this form"));
    };
    let reader = TableReader::new(schema, DIALECT);
    let table = if request.context.is_empty() {
        reader.rows("/examples", request.examples.get(), None)?
    } else {
        reader.rows("/examples", &merge(&request)?, None)?
    };
    Ok(Call { callee, payloads: vec![Payload::Table(table)], style: verb })
}

/// Bytes that examples may have once the common features stand in each: a short body must not become a long one.
const MAX_MERGED: usize = 64 << 20;

/// Puts the common features into every example that does not have its own.
fn merge(request: &Classify<'_>) -> Result<String, Failure> {
    let examples: Vec<&RawValue> = validate::envelope(request.examples.get().as_bytes())?;
    let mut merged = b"[".to_vec();
    for example in examples {
        // One at a time: as maps they take far more than their text.
        let mut example: BTreeMap<Cow<'_, str>, &RawValue> = validate::envelope(example.get().as_bytes())?;
        for (name, value) in &request.context {
            example.entry(Cow::Borrowed(name)).or_insert(value);
        }
        if merged.len() > 1 {
            merged.push(b',');
        }
        render::scalar(&mut merged, &example);
        if merged.len() > MAX_MERGED {
            return Err(invalid("/examples", "must be fewer, or have less `context`"));
        }
    }
    merged.push(b']');
    Ok(String::from_utf8(merged).expect("JSON is UTF-8"))
}

/// Returns whether an endpoint's answers have what the verb wants.
fn gives(endpoint: &Endpoint, verb: Verb) -> bool {
    match verb {
        Verb::Regress => endpoint.roles.value.is_some(),
        _ => endpoint.roles.classes.is_some(),
    }
}

/// Writes an answer that has what the verb wants.
pub(super) fn write(endpoint: &Endpoint, results: Vec<Payload>, verb: Verb) -> Reply {
    let (Form::Table(schema), [Payload::Table(table)]) = (&endpoint.output, results.as_slice()) else {
        unreachable!("the output has been checked to be a table");
    };
    let mut out = b"{\"results\":".to_vec();
    match (verb, endpoint.roles.value, &endpoint.roles.classes) {
        (Verb::Regress, Some(value), _) => render::column(&mut out, &schema.rules[value], &table.columns[value]),
        (_, _, Some(classes)) => write_classes(&mut out, schema, table, classes),
        _ => unreachable!("the output has been checked to have them"),
    }
    out.push(b'}');
    Reply::json(out)
}

/// Writes `[[[label, score], …], …]`.
fn write_classes(out: &mut Vec<u8>, schema: &Schema, table: &Table, classes: &Classes) {
    let cells = |position: usize| Cells::new(&schema.rules[position].levels, &table.columns[position]);
    match classes {
        Classes::Columns(columns) => {
            let names: Vec<&str> = columns.iter().map(|&position| schema.rules[position].name.as_str()).collect();
            let mut scores: Vec<Cells<'_>> = columns.iter().map(|&position| cells(position)).collect();
            render::list(out, *b"[]", 0..table.rows, |out, _| {
                render::list(out, *b"[]", names.iter().zip(&mut scores), |out, (name, score)| {
                    out.push(b'[');
                    render::scalar(out, name);
                    out.push(b',');
                    score.write_next(out);
                    out.push(b']');
                });
            });
        }
        Classes::Label { label, score } => {
            let (mut label, mut score) = (cells(*label), score.map(cells));
            render::list(out, *b"[]", 0..table.rows, |out, _| {
                out.extend_from_slice(b"[[");
                label.write_next(out);
                out.push(b',');
                match &mut score {
                    Some(score) => score.write_next(out),
                    None => out.extend_from_slice(b"1.0"),
                }
                out.extend_from_slice(b"]]");
            });
        }
    }
}
