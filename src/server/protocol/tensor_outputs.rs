//! The tensors that a result consists of, and their elements as JSON or bytes.

use std::collections::HashSet;

use super::classes;
use super::tensor_inputs::push_bytes;
use super::tensors::{self, Described, Kind};
use crate::server::contract::{Endpoint, Form, Rule};
use crate::server::data::{Column, Payload, Tensor};
use crate::server::failure::{Code, Failure};
use crate::server::render::{self, Cell, Cells};
use crate::server::validate;
use crate::service::ColumnType;

/// An output that a request wants.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// Whether it is to be sent as bytes, where the request says so.
    pub(super) binary: Option<bool>,
    /// How many of the best classes are wanted in its place (Triton's classification extension).
    pub(super) classes: Option<usize>,
}

/// A tensor of a result.
pub(super) struct Produced<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    pub(super) shape: Vec<usize>,
    /// Whether it is to be sent as bytes, where the request says so.
    pub(super) binary: Option<bool>,
    elements: Elements<'a>,
}

/// Where a tensor's elements are.
enum Elements<'a> {
    Column(&'a Rule, &'a Column),
    Tensor(&'a Tensor),
    /// One text, JSON value or file of each call.
    Contents(&'a Form, &'a [Payload]),
    /// Classes, as texts.
    Classes(Vec<String>),
}

/// Makes sure that the model gives all outputs that are wanted, and that none is wanted again: a small request could ask for
/// any amount of memory. One output may be wanted as it is and as classes.
pub(super) fn check_wanted(endpoint: &Endpoint, wanted: &[Wanted]) -> Result<(), Failure> {
    let described = tensors::describe(&endpoint.output, tensors::OUTPUT);
    let mut met = HashSet::new();
    for (number, output) in wanted.iter().enumerate() {
        let message = if described.iter().all(|known| known.name != output.name) {
            format!("the model has no output of the name that `outputs` has at position {number}")
        } else if output.classes.is_some() && !classes::has(endpoint) {
            "the model does not give classes".to_owned()
        } else if !met.insert((&output.name, output.classes.is_some())) {
            format!("`outputs` names an output again at position {number}")
        } else {
            continue;
        };
        return Err(Failure::new(Code::InvalidInput, message));
    }
    Ok(())
}

/// Returns the tensors that are wanted, which have been checked; all where none is named.
pub(super) fn produce<'a>(endpoint: &'a Endpoint, results: &'a [Payload], wanted: &[Wanted]) -> Vec<Produced<'a>> {
    let described = tensors::describe(&endpoint.output, tensors::OUTPUT);
    let find = |output: &Wanted| described.iter().position(|known| known.name == output.name);
    let produced = |position: usize| produced(endpoint, results, position, &described[position]);
    if wanted.is_empty() {
        return (0..described.len()).map(produced).collect();
    }
    let wanted = wanted.iter().filter_map(|output| Some((produced(find(output)?), output)));
    wanted
        .map(|(whole, output)| match output.classes {
            Some(most) => Produced { binary: output.binary, ..whole.classified(endpoint, &results[0], most) },
            None => Produced { binary: output.binary, ..whole },
        })
        .collect()
}

fn produced<'a>(
    endpoint: &'a Endpoint,
    results: &'a [Payload],
    position: usize,
    output: &Described<'a>,
) -> Produced<'a> {
    let (shape, elements) = match (&endpoint.output, &results[0]) {
        (Form::Table(schema), Payload::Table(table)) => {
            (vec![table.rows], Elements::Column(&schema.rules[position], &table.columns[position]))
        }
        (_, Payload::Tensor(tensor)) => (tensor.shape.clone(), Elements::Tensor(tensor)),
        (form, _) => (vec![results.len()], Elements::Contents(form, results)),
    };
    Produced { name: output.name, kind: output.kind, shape, binary: None, elements }
}

impl Produced<'_> {
    /// Puts the best classes in the place of the elements.
    fn classified(self, endpoint: &Endpoint, result: &Payload, most: usize) -> Self {
        let (rows, texts) = classes::best(endpoint, result, most);
        let each = texts.len().checked_div(rows).unwrap_or_default();
        Self { kind: Kind::Bytes, shape: vec![rows, each], elements: Elements::Classes(texts), ..self }
    }

    /// Returns the elements as little-endian bytes, byte strings each after its length in 32 bits; `None` where values are
    /// missing that no byte can stand for.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        match &self.elements {
            Elements::Column(rule, column) => column_bytes(rule, column),
            Elements::Tensor(tensor) => Some(tensor.data.clone()),
            Elements::Classes(texts) => {
                let mut bytes = Vec::new();
                for text in texts {
                    push_bytes(&mut bytes, text.as_bytes());
                }
                Some(bytes)
            }
            Elements::Contents(_, results) => {
                let mut bytes = Vec::new();
                contents(results).for_each(|content| push_bytes(&mut bytes, content));
                Some(bytes)
            }
        }
    }

    /// Writes the elements as a list; files are base64.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        match &self.elements {
            Elements::Column(rule, column) => render::column(out, rule, column),
            Elements::Tensor(tensor) => render::flat_tensor(out, tensor),
            Elements::Classes(texts) => render::list(out, *b"[]", texts.iter(), render::scalar),
            Elements::Contents(form, results) => {
                render::list(out, *b"[]", contents(results), |out, content| match form {
                    Form::Binary { .. } => render::scalar(out, validate::to_base64(content)),
                    _ => render::scalar(out, std::str::from_utf8(content).expect("results have been checked")),
                });
            }
        }
    }

    /// Returns whether JSON has a form for every element.
    pub(super) fn is_finite(&self) -> bool {
        !matches!(self.elements, Elements::Tensor(tensor) if !tensor.is_finite())
    }

    /// Returns whether elements are base64 in JSON.
    pub(super) fn is_base64(&self) -> bool {
        matches!(self.elements, Elements::Contents(Form::Binary { .. }, _))
    }
}

fn contents(results: &[Payload]) -> impl Iterator<Item = &[u8]> {
    results.iter().map(|result| {
        let Payload::Bytes(bytes) = result else { unreachable!("inputs without rows give one result each") };
        bytes.as_ref()
    })
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
