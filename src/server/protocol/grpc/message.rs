//! The messages of the Open Inference Protocol over gRPC (`inference.proto` beside this file) and of the health service, as far
//! as the server reads or writes them: fields that it has no use for are left out, and so skipped.

use std::collections::HashMap;

use bytes::Bytes;

/// A message without fields, whatever it is called.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Nothing {}

/// Whether a server lives, or a server or model is ready.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Answer {
    #[prost(bool, tag = "1")]
    pub(super) yes: bool,
}

/// A model, by its name and version.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Model {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    /// Empty where any will do.
    #[prost(string, tag = "2")]
    pub(super) version: String,
}

impl Model {
    /// Returns the version that is asked for.
    pub(super) fn asked_version(&self) -> Option<&str> {
        asked(&self.version)
    }
}

/// Returns a version unless any will do.
pub(super) fn asked(version: &str) -> Option<&str> {
    Some(version).filter(|version| !version.is_empty())
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ServerMetadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) extensions: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ModelMetadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) versions: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) platform: String,
    #[prost(message, repeated, tag = "4")]
    pub(super) inputs: Vec<TensorMetadata>,
    #[prost(message, repeated, tag = "5")]
    pub(super) outputs: Vec<TensorMetadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorMetadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) datatype: String,
    /// -1 where a length may vary.
    #[prost(int64, repeated, tag = "3")]
    pub(super) shape: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct InferRequest {
    #[prost(string, tag = "1")]
    pub(super) model_name: String,
    #[prost(string, tag = "2")]
    pub(super) model_version: String,
    #[prost(string, tag = "3")]
    pub(super) id: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) inputs: Vec<Tensor>,
    #[prost(message, repeated, tag = "6")]
    pub(super) outputs: Vec<RequestedOutput>,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub(super) raw_contents: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct InferResponse {
    #[prost(string, tag = "1")]
    pub(super) model_name: String,
    #[prost(string, tag = "2")]
    pub(super) model_version: String,
    #[prost(string, tag = "3")]
    pub(super) id: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) outputs: Vec<Tensor>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub(super) raw_contents: Vec<Bytes>,
}

/// A tensor that is given or produced.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Tensor {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) datatype: String,
    #[prost(int64, repeated, tag = "3")]
    pub(super) shape: Vec<i64>,
    /// [`Contents`], or the byte strings in [`BYTES`]; they are read apart, since a list of empty ones takes twenty times its message.
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(super) contents: Option<Bytes>,
}

/// The field of a tensor's contents that has byte strings.
pub(super) const BYTES: u32 = 8;

/// The numbers of a tensor: the field is the one of their type, those of less than 32 bits stand in those of 32.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Contents {
    #[prost(bool, repeated, tag = "1")]
    pub(super) bools: Vec<bool>,
    #[prost(int32, repeated, tag = "2")]
    pub(super) ints: Vec<i32>,
    #[prost(int64, repeated, tag = "3")]
    pub(super) longs: Vec<i64>,
    #[prost(uint32, repeated, tag = "4")]
    pub(super) uints: Vec<u32>,
    #[prost(uint64, repeated, tag = "5")]
    pub(super) ulongs: Vec<u64>,
    #[prost(float, repeated, tag = "6")]
    pub(super) floats: Vec<f32>,
    #[prost(double, repeated, tag = "7")]
    pub(super) doubles: Vec<f64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RequestedOutput {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(map = "string, message", tag = "2")]
    pub(super) parameters: HashMap<String, Parameter>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Parameter {
    #[prost(oneof = "ParameterValue", tags = "1, 2, 3, 4, 5")]
    pub(super) value: Option<ParameterValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum ParameterValue {
    #[prost(bool, tag = "1")]
    Bool(bool),
    #[prost(int64, tag = "2")]
    Int(i64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(uint64, tag = "5")]
    Uint(u64),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct IndexRequest {
    /// Whether ready models alone are wanted.
    #[prost(bool, tag = "2")]
    pub(super) ready: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Index {
    #[prost(message, repeated, tag = "1")]
    pub(super) models: Vec<IndexEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct IndexEntry {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(string, tag = "3")]
    pub(super) state: String,
    #[prost(string, tag = "4")]
    pub(super) reason: String,
}

/// What the health service is asked for.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthRequest {
    /// A service or model; empty for the whole server.
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Health {
    /// [`SERVING`], [`NOT_SERVING`] or [`SERVICE_UNKNOWN`].
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

pub(super) const SERVING: i32 = 1;
pub(super) const NOT_SERVING: i32 = 2;
pub(super) const SERVICE_UNKNOWN: i32 = 3;
