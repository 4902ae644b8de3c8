//! TensorFlow Serving's status and metadata. Every endpoint is a signature; the default one is `serving_default` as well.

use serde_json::{Map, Value, json};

use crate::server::app::{App, Callee};
use crate::server::contract::Endpoint;
use crate::server::protocol::models;
use crate::server::protocol::tensors::{self, Described, Kind};
use crate::service::Dtype;

/// Returns the state of the version asked for, or of all, latest first. Versions are whole numbers here, since
/// clients read them as such: each stands for the latest version that begins with it. One that only its name stands for is told by it,
/// and only to who asks for it.
pub(super) fn status(app: &App, asked: Option<usize>) -> Value {
    let versions = asked.map_or_else(|| models::numbers(app), |pool| vec![(models::number(app, pool), pool)]);
    let status = |(number, pool): (&str, usize)| {
        let state = if app.serves(pool) { "AVAILABLE" } else { "LOADING" };
        json!({"version": number, "state": state, "status": {"error_code": "OK", "error_message": ""}})
    };
    versions.into_iter().map(status).collect()
}

/// Returns a model's metadata.
pub(super) fn metadata(app: &App, model: &str, callee: Callee) -> Value {
    let mut signatures: Map<String, Value> =
        app.endpoints.iter().map(|endpoint| (endpoint.name.clone(), signature(endpoint))).collect();
    let endpoint = &app.endpoints[callee.endpoint];
    signatures.insert("serving_default".to_owned(), signature(endpoint));
    json!({
        "model_spec": {"name": model, "signature_name": "", "version": models::number(app, callee.pool)},
        "metadata": {"signature_def": {"signature_def": signatures}},
    })
}

fn signature(endpoint: &Endpoint) -> Value {
    json!({
        "inputs": tensors(&tensors::describe(&endpoint.input, tensors::INPUT)),
        "outputs": tensors(&tensors::describe(&endpoint.output, tensors::OUTPUT)),
        "method_name": "tensorflow/serving/predict",
    })
}

fn tensors(described: &[Described<'_>]) -> Map<String, Value> {
    let tensor = |tensor: &Described<'_>| {
        let size = |length: &Option<usize>| length.map_or_else(|| "-1".to_owned(), |length| length.to_string());
        let dimensions: Vec<Value> =
            tensor.shape.iter().map(|length| json!({"size": size(length), "name": ""})).collect();
        let shape = json!({"dim": dimensions, "unknown_rank": false});
        let value = json!({"dtype": name(tensor.kind), "tensor_shape": shape, "name": format!("{}:0", tensor.name)});
        (tensor.name.to_owned(), value)
    };
    described.iter().map(tensor).collect()
}

/// Returns TensorFlow's name of a type.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bytes => "DT_STRING",
        Kind::Element(Dtype::Bool) => "DT_BOOL",
        Kind::Element(Dtype::Int8) => "DT_INT8",
        Kind::Element(Dtype::Int16) => "DT_INT16",
        Kind::Element(Dtype::Int32) => "DT_INT32",
        Kind::Element(Dtype::Int64) => "DT_INT64",
        Kind::Element(Dtype::Uint8) => "DT_UINT8",
        Kind::Element(Dtype::Uint16) => "DT_UINT16",
        Kind::Element(Dtype::Uint32) => "DT_UINT32",
        Kind::Element(Dtype::Uint64) => "DT_UINT64",
        Kind::Element(Dtype::Float32) => "DT_FLOAT",
        Kind::Element(Dtype::Float64) => "DT_DOUBLE",
    }
}
