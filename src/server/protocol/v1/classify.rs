//! TensorFlow Serving's `:classify` and `:regress`, for endpoints that take tables.
//!
//! A class with its score is a text column beside a number column, or the name of each number column where there are several. A
//! regression's result is the first number.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::path::Verb;
use super::predict::signature;
use crate::server::app::App;
use crate::server::contract::{Endpoint, Form, Rule, Schema};
use crate::server::data::{Payload, Table};
use crate::server::exchange::{Call, Reply};
use crate::server::failure::{Code, Failure};
use crate::server::protocol::instances::{DIALECT, invalid};
use crate::server::render::{self, Cells};
use crate::server::validate::{self, TableReader};
use crate::service::ColumnType;

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
pub(super) fn read(app: &App, endpoint: usize, verb: Verb, body: Bytes) -> Result<Call<Verb>, Failure> {
    let body = validate::quote_non_finite(&body);
    let request: Classify<'_> = validate::envelope(&body)?;
    let endpoint = signature(app, endpoint, request.signature_name.as_deref())?;
    let (Form::Table(schema), true) = (&app.endpoints[endpoint].input, gives(&app.endpoints[endpoint], verb)) else {
        return Err(Failure::new(Code::InvalidInput, "the model does not give results of this form"));
    };
    let reader = TableReader::new(schema, DIALECT);
    let table = if request.context.is_empty() {
        reader.rows("/examples", request.examples.get(), None)?
    } else {
        reader.rows("/examples", &merge(&request)?, None)?
    };
    Ok(Call { endpoint, payloads: vec![Payload::Table(table)], style: verb })
}

/// Bytes that examples may have once the common features stand in each: a short body must not become a long one.
const MAX_MERGED: usize = 64 << 20;
/// Bytes that an example takes besides its features.
const EXAMPLE_SIZE: usize = 512;

/// Puts the common features into every example that does not have its own.
fn merge(request: &Classify<'_>) -> Result<String, Failure> {
    let mut examples: Vec<BTreeMap<String, &RawValue>> = validate::envelope(request.examples.get().as_bytes())?;
    let context: usize = request.context.iter().map(|(name, value)| name.len() + value.get().len()).sum();
    if (context + EXAMPLE_SIZE).saturating_mul(examples.len()) > MAX_MERGED {
        return Err(invalid("/examples", "must be fewer, or have less `context`"));
    }
    for example in &mut examples {
        for (name, value) in &request.context {
            example.entry(name.clone()).or_insert(value);
        }
    }
    Ok(serde_json::to_string(&examples).expect("values that have been read can be written"))
}

/// Returns whether an endpoint's answers have what the verb wants.
fn gives(endpoint: &Endpoint, verb: Verb) -> bool {
    let Form::Table(schema) = &endpoint.output else { return false };
    match verb {
        Verb::Regress => number(schema).is_some(),
        _ => label(schema).is_some() || number(schema).is_some(),
    }
}

fn is_number(rule: &Rule) -> bool {
    matches!(rule.kind, ColumnType::Number | ColumnType::Integer)
}

fn number(schema: &Schema) -> Option<usize> {
    schema.rules.iter().position(is_number)
}

fn label(schema: &Schema) -> Option<usize> {
    schema.rules.iter().position(|rule| matches!(rule.kind, ColumnType::Category | ColumnType::String))
}

pub(super) fn write(endpoint: &Endpoint, results: Vec<Payload>, verb: Verb) -> Reply {
    let (Form::Table(schema), [Payload::Table(table)]) = (&endpoint.output, results.as_slice()) else {
        unreachable!("the output has been checked to be a table");
    };
    let mut out = b"{\"results\":".to_vec();
    match (verb, number(schema)) {
        (Verb::Regress, Some(number)) => render::column(&mut out, &schema.rules[number], &table.columns[number]),
        _ => write_classes(&mut out, schema, table),
    }
    out.push(b'}');
    Reply::json(out)
}

/// Writes `[[[label, score], …], …]`.
fn write_classes(out: &mut Vec<u8>, schema: &Schema, table: &Table) {
    let cells = |position: usize| Cells::new(&schema.rules[position].levels, &table.columns[position]);
    let scores: Vec<usize> = (0..schema.rules.len()).filter(|&position| is_number(&schema.rules[position])).collect();
    let mut label = label(schema).filter(|_| scores.len() < 2).map(cells);
    let names: Vec<&str> = scores.iter().map(|&position| schema.rules[position].name.as_str()).collect();
    let mut scores: Vec<Cells<'_>> = scores.into_iter().map(cells).collect();
    render::list(out, *b"[]", 0..table.rows, |out, _| {
        let Some(label) = &mut label else {
            return render::list(out, *b"[]", names.iter().zip(&mut scores), |out, (name, score)| {
                out.push(b'[');
                render::scalar(out, name);
                out.push(b',');
                score.write_next(out);
                out.push(b']');
            });
        };
        out.extend_from_slice(b"[[");
        label.write_next(out);
        out.push(b',');
        match scores.first_mut() {
            Some(score) => score.write_next(out),
            None => out.extend_from_slice(b"1.0"),
        }
        out.extend_from_slice(b"]]");
    });
}
