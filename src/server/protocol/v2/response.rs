//! Writes an inference response: JSON, and after it the tensors that were asked for as bytes.

use axum::http::{HeaderName, HeaderValue};
use serde_json::json;

use super::request::Style;
use crate::server::contract::Endpoint;
use crate::server::data::Payload;
use crate::server::exchange::Reply;
use crate::server::failure::Failure;
use crate::server::protocol::tensor_outputs::{self, Produced};
use crate::server::protocol::tensors;
use crate::server::render;

/// The model that answers, as the request named it.
pub(super) struct Model {
    pub(super) name: String,
    pub(super) version: String,
}

/// Writes the results of all calls that the request took.
pub(super) fn write(endpoint: &Endpoint, results: &[Payload], style: &Style, model: &Model) -> Result<Reply, Failure> {
    let outputs = tensor_outputs::produce(endpoint, results, &style.outputs);
    let is_binary = |output: &Produced<'_>| output.binary.unwrap_or(style.binary);
    if outputs.iter().any(|output| !is_binary(output) && !output.is_finite()) {
        return Err(tensors::not_finite());
    }
    let mut head = json!({"model_name": model.name, "model_version": model.version});
    if let Some(id) = &style.id {
        head["id"] = json!(id);
    }
    let mut text = head.to_string().into_bytes();
    text.pop();
    text.extend_from_slice(b",\"outputs\":");
    let mut blobs = Vec::new();
    render::list(&mut text, *b"[]", outputs.iter(), |text, output| {
        write_output(text, &mut blobs, output, is_binary(output));
    });
    text.push(b'}');
    if blobs.is_empty() {
        return Ok(Reply::json(text));
    }
    let length = HeaderValue::from(text.len());
    text.append(&mut blobs);
    Ok(Reply {
        content: text.into(),
        media_type: HeaderValue::from_static("application/octet-stream"),
        header: Some((HeaderName::from_static(super::JSON_LENGTH), length)),
    })
}

fn write_output(text: &mut Vec<u8>, blobs: &mut Vec<u8>, output: &Produced<'_>, binary: bool) {
    let mut head = json!({"name": output.name, "datatype": tensors::datatype(output.kind), "shape": output.shape});
    let blob = if binary { output.bytes() } else { None };
    if let Some(blob) = &blob {
        head["parameters"] = json!({"binary_data_size": blob.len()});
    } else if output.is_base64() {
        head["parameters"] = json!({"content_type": "base64"});
    }
    text.extend_from_slice(head.to_string().as_bytes());
    if let Some(mut blob) = blob {
        blobs.append(&mut blob);
        return;
    }
    text.pop();
    text.extend_from_slice(b",\"data\":");
    output.write_json(text);
    text.push(b'}');
}
