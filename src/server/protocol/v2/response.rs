//! Writes an inference response: JSON, and after it the tensors that were asked for as bytes.

use axum::http::{HeaderName, HeaderValue};
use serde_json::json;

use super::datatype;
use super::request::{Output, Style};
use crate::server::contract::{Endpoint, Form, Rule};
use crate::server::data::{Column, Payload};
use crate::server::exchange::Reply;
use crate::server::failure::{Code, Failure};
use crate::server::protocol::tensors::{self, Described, Kind};
use crate::server::render::{self, Cell, Cells};
use crate::server::validate;
use crate::service::ColumnType;

/// The model that answers, as the request named it.
pub(super) struct Model {
    pub(super) name: String,
    pub(super) version: String,
}

/// Makes sure that the model gives all outputs that are wanted.
pub(super) fn check_outputs(endpoint: &Endpoint, wanted: &[Output]) -> Result<(), Failure> {
    let described = tensors::describe(&endpoint.output, tensors::OUTPUT);
    match wanted.iter().position(|output| described.iter().all(|known| known.name != output.name)) {
        None => Ok(()),
        Some(number) => {
            let message = format!("the model has no output of the name that `outputs` has at position {number}");
            Err(Failure::new(Code::InvalidInput, message))
        }
    }
}

/// Writes the results of all calls that the request took.
pub(super) fn write(endpoint: &Endpoint, results: &[Payload], style: &Style, model: &Model) -> Reply {
    let described = tensors::describe(&endpoint.output, tensors::OUTPUT);
    let wanted: Vec<(usize, bool)> = if style.outputs.is_empty() {
        (0..described.len()).map(|position| (position, style.binary)).collect()
    } else {
        let find = |output: &Output| described.iter().position(|known| known.name == output.name);
        let wanted = style.outputs.iter();
        wanted.filter_map(|output| Some((find(output)?, output.binary().unwrap_or(style.binary)))).collect()
    };
    let mut head = json!({"model_name": model.name, "model_version": model.version});
    if let Some(id) = &style.id {
        head["id"] = json!(id);
    }
    let mut text = head.to_string().into_bytes();
    text.pop();
    text.extend_from_slice(b",\"outputs\":");
    let mut blobs = Vec::new();
    render::list(&mut text, *b"[]", wanted.into_iter(), |text, (position, binary)| {
        write_output(text, &mut blobs, &described[position], binary, &Source { endpoint, results, position });
    });
    text.push(b'}');
    if blobs.is_empty() {
        return Reply::json(text);
    }
    let length = HeaderValue::from(text.len());
    text.append(&mut blobs);
    Reply {
        content: text.into(),
        media_type: HeaderValue::from_static("application/octet-stream"),
        header: Some((HeaderName::from_static(super::JSON_LENGTH), length)),
    }
}

/// Where an output's elements are.
struct Source<'a> {
    endpoint: &'a Endpoint,
    results: &'a [Payload],
    /// Which of the endpoint's outputs it is.
    position: usize,
}

fn write_output(text: &mut Vec<u8>, blobs: &mut Vec<u8>, output: &Described<'_>, binary: bool, source: &Source<'_>) {
    let mut head = json!({"name": output.name, "datatype": datatype::name(output.kind), "shape": source.shape()});
    let blob = if binary { source.bytes() } else { None };
    if let Some(blob) = &blob {
        head["parameters"] = json!({"binary_data_size": blob.len()});
    } else if matches!(source.endpoint.output, Form::Binary { .. }) {
        head["parameters"] = json!({"content_type": "base64"});
    }
    text.extend_from_slice(head.to_string().as_bytes());
    if let Some(mut blob) = blob {
        blobs.append(&mut blob);
        return;
    }
    text.pop();
    text.extend_from_slice(b",\"data\":");
    source.write(text);
    text.push(b'}');
}

impl Source<'_> {
    fn shape(&self) -> Vec<usize> {
        match &self.results[0] {
            Payload::Table(table) => vec![table.rows],
            Payload::Tensor(tensor) => tensor.shape.clone(),
            Payload::Bytes(_) => vec![self.results.len()],
        }
    }

    fn column(&self) -> Option<(&Rule, &Column)> {
        match (&self.endpoint.output, &self.results[0]) {
            (Form::Table(schema), Payload::Table(table)) => {
                Some((&schema.rules[self.position], &table.columns[self.position]))
            }
            _ => None,
        }
    }

    /// Returns the elements as bytes; `None` where values are missing that no byte can stand for.
    fn bytes(&self) -> Option<Vec<u8>> {
        if let Some((rule, column)) = self.column() {
            return column_bytes(rule, column);
        }
        let mut bytes = Vec::new();
        for result in self.results {
            match result {
                Payload::Tensor(tensor) => bytes.extend_from_slice(&tensor.data),
                Payload::Bytes(text) => push_bytes(&mut bytes, text),
                Payload::Table(_) => unreachable!("a table's columns have been written"),
            }
        }
        Some(bytes)
    }

    fn write(&self, text: &mut Vec<u8>) {
        if let Some((rule, column)) = self.column() {
            return render::column(text, rule, column);
        }
        if let [Payload::Tensor(tensor)] = self.results {
            return render::flat_tensor(text, tensor);
        }
        render::list(text, *b"[]", self.results.iter(), |text, result| {
            let Payload::Bytes(bytes) = result else { unreachable!("inputs without rows give one result each") };
            match &self.endpoint.output {
                Form::Binary { .. } => render::scalar(text, validate::to_base64(bytes)),
                _ => render::scalar(text, std::str::from_utf8(bytes).expect("results have been checked")),
            }
        });
    }
}

fn column_bytes(rule: &Rule, column: &Column) -> Option<Vec<u8>> {
    let missing = (0..column.len()).any(|row| !column.is_valid(row));
    // A missing number is NaN already.
    if missing && column.kind != ColumnType::Number {
        return None;
    }
    if let Kind::Element(_) = tensors::kind(column.kind) {
        return Some(column.values.clone());
    }
    let mut bytes = Vec::with_capacity(column.values.len() + column.text.len());
    for cell in Cells::new(&rule.levels, column) {
        match cell {
            Cell::Text(text) => push_bytes(&mut bytes, text.as_bytes()),
            Cell::Time(text) => push_bytes(&mut bytes, text.as_bytes()),
            _ => return None,
        }
    }
    Some(bytes)
}

fn push_bytes(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(text);
}
