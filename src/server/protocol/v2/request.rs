//! Reads an inference request: JSON, and after it the tensors that are sent as bytes.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::server::app::{App, Callee};
use crate::server::exchange::Call;
use crate::server::failure::{Code, Failure};
use crate::server::protocol::instances::invalid;
use crate::server::protocol::tensor_inputs::{self, Data, Given};
use crate::server::protocol::tensor_outputs::{self, Wanted};
use crate::server::protocol::tensors;
use crate::server::validate;

/// What the answer needs to know of the request.
pub(super) struct Style {
    pub(super) id: Option<String>,
    /// The outputs wanted; all where there are none.
    pub(super) outputs: Vec<Wanted>,
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

#[derive(Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Option<OutputSettings>,
}

#[derive(Default, Deserialize)]
struct OutputSettings {
    binary_data: Option<bool>,
    classification: Option<usize>,
}

impl From<Output> for Wanted {
    fn from(output: Output) -> Self {
        let settings = output.parameters.unwrap_or_default();
        Self { name: output.name, binary: settings.binary_data, classes: settings.classification }
    }
}

pub(super) fn malformed(message: String) -> Failure {
    Failure::new(Code::MalformedBody, message)
}

/// Reads a body whose first `json_length` bytes are JSON; all are where that is not said.
pub(super) fn read(app: &App, callee: Callee, body: Bytes, json_length: Option<usize>) -> Result<Call<Style>, Failure> {
    let length = json_length.unwrap_or(body.len());
    if length > body.len() {
        return Err(malformed(format!("`{}` is more than the body has", super::JSON_LENGTH)));
    }
    let (_, endpoint) = app.called(callee);
    let text = validate::without_words(&body[..length], |_| Ok(&endpoint.input))?;
    let Infer { id, parameters, inputs, outputs } = validate::envelope(&text)?;
    let payloads = tensor_inputs::payloads(endpoint, given(inputs, body.slice(length..))?)?;
    let binary = parameters.unwrap_or_default().binary_data_output;
    let outputs: Vec<Wanted> = outputs.unwrap_or_default().into_iter().map(Wanted::from).collect();
    tensor_outputs::check_wanted(endpoint, &outputs)?;
    Ok(Call { callee, payloads, style: Style { id, outputs, binary } })
}

/// Finds the elements of every tensor; those sent as bytes follow each other in `rest`.
fn given(inputs: Vec<Input<'_>>, mut rest: Bytes) -> Result<Vec<Given<'_>>, Failure> {
    let mut found = Vec::with_capacity(inputs.len());
    for (number, input) in inputs.into_iter().enumerate() {
        let place = format!("/inputs/{number}/data");
        let settings = input.parameters.unwrap_or_default();
        let kind = tensors::parse_datatype(&input.datatype)
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
