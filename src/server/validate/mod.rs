//! Checks request bodies against the contract, straight from JSON text into wire form, and says what is wrong with them
//! by JSON pointer. No tree of values is built for tables and tensors.
//!
//! Syntax errors are 400; everything else that does not fit is 422 with details of up to [`MAX_PROBLEMS`]. Pointers may name what
//! the client sent; messages never repeat its values.
//!
//! The server's own protocol is the strict one. Others take a body apart by its envelope, and hand the text of a table or tensor
//! in it to a [`TableReader`] or [`TensorReader`], with the [`Dialect`] in which they write values.

mod cell;
mod content;
mod flat;
mod lenient;
mod output;
mod rows;
mod sound;
mod table;
mod tensor;
pub(crate) mod time;

use std::fmt::Display;

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeSeed;
use serde_json::error::Category;

use super::contract::{Rule, Schema};
use super::data::{Column, Payload};
use super::failure::{Code, Detail, Failure};
use crate::service::{Dtype, MAX_PROBLEMS};

pub use content::content;
pub use flat::{Elements, Grid, flatten};
pub use lenient::without_words;
pub use output::{check_form, check_values};
pub use table::{Orientation, TableReader};
pub use tensor::TensorReader;

/// What a protocol allows beyond the server's own strict form.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dialect {
    /// Rows may be lists of values or lone values, values may be lists of one or `{"b64": …}`, and a tensor's lists may stand in
    /// an object each.
    pub lists: bool,
    /// Columns that the contract does not know are left out.
    pub drop_unknown: bool,
    /// The texts `NaN`, `Infinity` and `-Infinity` are numbers, which bare words become; in a table `NaN` is a missing number.
    pub non_finite: bool,
}

/// What is wrong with a request so far.
#[derive(Default)]
struct Problems {
    details: Vec<Detail>,
    /// Where the reader is and what must stand there, in case the wrong kind of value stands there.
    expected: (String, &'static str),
}

impl Problems {
    fn add(&mut self, pointer: impl FnOnce() -> String, message: impl Into<String>) {
        if self.details.len() < MAX_PROBLEMS {
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
    let mut reader = TableReader::new(schema, Dialect::default());
    if body.trim_ascii_start().starts_with(b"[") {
        let text = std::str::from_utf8(body).map_err(|_| Failure::new(Code::MalformedBody, "the body is not UTF-8"))?;
        return reader.rows("", text, None).map(|table| (Payload::Table(table), Orientation::List));
    }
    match read(body, table::Body(&mut reader)) {
        Ok(Some(orientation)) => reader.finish().map(|table| (Payload::Table(table), orientation)),
        Ok(None) => Err(Failure::invalid(reader.problems.details)),
        Err(error) => Err(reader.problems.fail(&error)),
    }
}

/// Reads `{"tensor": …}`.
pub fn tensor(dtype: Dtype, shape: &[Option<usize>], body: &[u8]) -> Result<Payload, Failure> {
    let mut reader = TensorReader::new(dtype, shape, Dialect::default(), "/tensor");
    match read(body, tensor::Body(&mut reader)) {
        Ok(()) => reader.finish().map(Payload::Tensor),
        Err(error) => Err(reader.problems.fail(&error)),
    }
}

/// Reads the outer form of a protocol's body.
pub fn envelope<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        if error.classify() != Category::Data {
            return malformed(&error);
        }
        // What was expected is for the client; what was found in its place is its own value.
        let text = error.to_string();
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
        let message = match text.rsplit_once(", expected ") {
            Some((_, expected)) => format!("the body does not have the protocol's form: expected {expected}"),
            None => format!("the body does not have the protocol's form: {text}"),
        };
        Failure::new(Code::InvalidInput, message)
    })
}

/// Decodes base64 (RFC 4648, section 4).
pub fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Encodes bytes as base64 (RFC 4648, section 4).
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads all of a text.
fn read<'de, S: DeserializeSeed<'de>>(text: &'de [u8], seed: S) -> serde_json::Result<S::Value> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = seed.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
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
    cell::Cell { rule, column, dialect: Dialect::default() }.deserialize(reader)
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::server::contract::{Endpoint, Form};

    fn endpoint(columns: &Value) -> Endpoint {
        let text = json!({"description": "", "task": "custom", "batch": false, "output": {"type": "text"},
            "input": {"type": "table", "columns": columns}});
        Endpoint::new("x", &serde_json::from_value(text).unwrap()).unwrap()
    }

    fn column(name: &str, kind: &str, default: &Value) -> Value {
        let mut column = json!({"name": name, "type": kind, "nullable": false, "example": null,
            "description": "", "enum": [], "minimum": null, "maximum": null, "max_length": null});
        if !default.is_null() {
            column["default"] = default.clone();
        }
        column
    }

    fn read(columns: &Value, body: &str) -> Result<Payload, Failure> {
        let Form::Table(schema) = endpoint(columns).input else { panic!("the input is a table") };
        table(&schema, body.as_bytes()).map(|(payload, _)| payload)
    }

    fn first_problem(columns: &Value, body: &str) -> Detail {
        read(columns, body).unwrap_err().details.swap_remove(0)
    }

    #[test]
    fn numbers_are_read_to_the_last_bit() {
        let columns = json!([column("x", "number", &Value::Null)]);
        for text in ["0.1", "1.7976931348623157e308", "5e-324", "2.2250738585072011e-308", "9007199254740993"] {
            let Ok(Payload::Table(table)) = read(&columns, &format!("{{\"rows\":[{{\"x\":{text}}}]}}")) else {
                panic!()
            };
            assert_eq!(table.columns[0].values, text.parse::<f64>().unwrap().to_le_bytes(), "{text}");
        }
    }

    #[test]
    fn whole_numbers_may_have_a_point_but_not_a_fraction_nor_65_bits() {
        let columns = json!([column("x", "integer", &Value::Null)]);
        assert!(read(&columns, r#"{"rows":[{"x":3.0},{"x":-9223372036854775808},{"x":9223372036854775807}]}"#).is_ok());
        for text in ["1.5", "9223372036854775808", "-9223372036854775809", "1e19", "\"1\"", "true"] {
            let problem = first_problem(&columns, &format!("{{\"rows\":[{{\"x\":{text}}}]}}"));
            assert_eq!(problem.message, "must be a whole number of 64 bits", "{text}");
        }
    }

    #[test]
    fn a_name_that_stands_twice_is_a_problem() {
        let columns = json!([column("x", "integer", &Value::Null)]);
        assert_eq!(first_problem(&columns, r#"{"rows":[{"x":1,"x":2}]}"#).message, "stands twice");
        assert_eq!(first_problem(&columns, r#"{"columns":{"x":[1],"x":[2]}}"#).message, "stands twice");
    }

    #[test]
    fn columns_must_be_equally_long() {
        let columns = json!([column("x", "integer", &Value::Null), column("y", "integer", &Value::Null)]);
        assert_eq!(first_problem(&columns, r#"{"columns":{"x":[1],"y":[1,2]}}"#).pointer, "/columns/y");
    }

    #[test]
    fn problems_are_named_up_to_a_limit() {
        let columns = json!([column("x", "integer", &Value::Null)]);
        let body = json!({"rows": vec![json!({"x": "no"}); 1000]}).to_string();
        assert_eq!(read(&columns, &body).unwrap_err().details.len(), MAX_PROBLEMS);
    }

    #[test]
    fn defaults_do_not_turn_a_short_body_into_gigabytes() {
        let columns: Vec<Value> = (0..500).map(|number| column(&number.to_string(), "integer", &json!(1))).collect();
        let body = format!("{{\"rows\":[{}{{}}]}}", "{},".repeat(100_000));
        assert_eq!(first_problem(&json!(columns), &body).message, "must have at most 16777216 values");
    }

    #[test]
    fn long_defaults_do_not_either() {
        let columns = json!([column("x", "integer", &json!(1)), column("y", "string", &json!("y".repeat(10_000)))]);
        let rows = format!("{{\"rows\":[{}{{}}]}}", "{},".repeat(30_000));
        let values = format!("{{\"columns\":{{\"x\":[{}1]}}}}", "1,".repeat(30_000));
        for body in [rows, values] {
            assert_eq!(first_problem(&columns, &body).message, "must have fewer rows that leave out texts");
        }
    }

    #[test]
    fn elements_of_tensors_must_fit_their_type() {
        let read = |dtype, text: &str| tensor(dtype, &[None], format!("{{\"tensor\":[{text}]}}").as_bytes());
        assert!(read(Dtype::Uint8, "255, 0.0").is_ok());
        assert!(read(Dtype::Uint64, "18446744073709551615").is_ok());
        assert!(read(Dtype::Bool, "true, false").is_ok());
        for (dtype, text) in [
            (Dtype::Uint8, "256"),
            (Dtype::Uint8, "-1"),
            (Dtype::Int64, "9223372036854775808"),
            (Dtype::Int32, "0.5"),
            (Dtype::Float32, "1e39"),
            (Dtype::Bool, "1"),
            (Dtype::Float64, "null"),
            (Dtype::Float64, "[1]"),
        ] {
            assert_eq!(read(dtype, text).unwrap_err().details[0].pointer, "/tensor/0", "{text}");
        }
    }
}
