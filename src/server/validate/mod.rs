//! Checks request bodies against the contract, straight from JSON text into wire form, and says what is wrong with them
//! by JSON pointer. No tree of values is built for tables and tensors.
//!
//! Syntax errors are 400; everything else that does not fit is 422 with up to twenty details. Pointers may name what
//! the client sent; messages never repeat its values.

mod cell;
mod output;
mod table;
mod tensor;
pub(crate) mod time;

use std::fmt::Display;

use serde::de::DeserializeSeed;
use serde_json::error::Category;

use super::contract::{Rule, Schema};
use super::data::{Column, Payload};
use super::failure::{Code, Detail, Failure};
use crate::service::Dtype;

pub use output::check as check_output;
pub use table::Orientation;

/// How many problems of one request are named.
const MAX_DETAILS: usize = 20;

/// What is wrong with a request so far.
#[derive(Default)]
struct Problems {
    details: Vec<Detail>,
    /// Where the reader is and what must stand there, in case the wrong kind of value stands there.
    expected: (String, &'static str),
}

impl Problems {
    fn add(&mut self, pointer: impl FnOnce() -> String, message: impl Into<String>) {
        if self.details.len() < MAX_DETAILS {
            self.details.push(Detail { pointer: pointer(), message: message.into() });
        }
    }

    fn expect(&mut self, pointer: String, what: &'static str) {
        self.expected = (pointer, what);
    }

    /// Turns the reader's own error into a failure: either no JSON at all, or a value of the wrong kind.
    fn fail(mut self, error: &serde_json::Error) -> Failure {
        if error.classify() == Category::Data {
            let (pointer, what) = std::mem::take(&mut self.expected);
            self.add(|| pointer, format!("must be {what}"));
            return Failure::invalid(self.details);
        }
        malformed(error)
    }

    fn finish<T>(self, value: T) -> Result<T, Failure> {
        if self.details.is_empty() { Ok(value) } else { Err(Failure::invalid(self.details)) }
    }
}

/// Reads a table in either orientation.
pub fn table(schema: &Schema, body: &[u8]) -> Result<(Payload, Orientation), Failure> {
    let mut problems = Problems::default();
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = table::Body { schema, problems: &mut problems }
        .deserialize(&mut reader)
        .and_then(|read| reader.end().map(|()| read));
    match read {
        Ok(Some((table, orientation))) => problems.finish((Payload::Table(table), orientation)),
        Ok(None) => Err(Failure::invalid(problems.details)),
        Err(error) => Err(problems.fail(&error)),
    }
}

/// Reads `{"tensor": …}`.
pub fn tensor(dtype: Dtype, shape: &[Option<usize>], body: &[u8]) -> Result<Payload, Failure> {
    let mut problems = Problems::default();
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = tensor::Body { dtype, shape, problems: &mut problems }
        .deserialize(&mut reader)
        .and_then(|read| reader.end().map(|()| read));
    match read {
        Ok(Some(tensor)) => problems.finish(Payload::Tensor(tensor)),
        Ok(None) => Err(Failure::invalid(problems.details)),
        Err(error) => Err(problems.fail(&error)),
    }
}

/// Makes sure that the body is one JSON value, no deeper than 128 levels.
pub fn json(body: &[u8]) -> Result<(), Failure> {
    serde_json::from_slice::<serde_json::Value>(body).map(drop).map_err(|error| malformed(&error))
}

/// Reads a JSON string.
pub fn json_string(body: &[u8]) -> Result<String, Failure> {
    let mut problems = Problems::default();
    problems.expect(String::new(), "a string");
    serde_json::from_slice(body).map_err(|error| problems.fail(&error))
}

/// Reads one value into a column; the inner error says what is wrong with it.
pub(crate) fn cell<'de, D>(rule: &Rule, column: &mut Column, reader: D) -> Result<Result<(), String>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    cell::Cell { rule, column }.deserialize(reader)
}

fn malformed(error: &serde_json::Error) -> Failure {
    let place = format!("line {} column {}", error.line(), error.column());
    Failure::new(Code::MalformedBody, format!("the body is not valid JSON at {place}"))
}

/// Returns a JSON pointer (RFC 6901) of the parts given.
fn pointer(parts: &[&dyn Display]) -> String {
    let mut text = String::new();
    for part in parts {
        let part = part.to_string();
        let short: String = part.chars().take(100).collect();
        text.push('/');
        text.push_str(&short.replace('~', "~0").replace('/', "~1"));
    }
    text
}
