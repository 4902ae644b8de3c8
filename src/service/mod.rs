//! What an image serves: the contract between the build, which writes it as `/opt/mlpack/service.json`, and the server
//! in the image, which reads it. It holds data alone; nothing of it depends on a language or a wire protocol.

pub mod example;
pub mod json_schema;
pub mod openapi;
pub mod pattern;
pub mod task;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The folder in the image that holds everything of the service.
pub const ROOT: &str = "opt/mlpack";
/// This contract as a file, below [`ROOT`].
pub const SERVICE_FILE: &str = "service.json";
/// The OpenAPI document, below [`ROOT`].
pub const OPENAPI_FILE: &str = "openapi.json";
/// The model manifest as written by the user, below [`ROOT`].
pub const MANIFEST_FILE: &str = "manifest.yaml";
/// How many problems of one request are named.
pub const MAX_PROBLEMS: usize = 100;
/// The server program in the image.
pub const SERVER_PROGRAM: &str = "usr/bin/mlpack-server";

/// First segments of paths that the server answers itself: no endpoint may have such a name. The manifest is refused for
/// it, and so is a contract that somebody wrote by hand.
pub const RESERVED_ROUTES: [&str; 14] = [
    "api",
    "docs",
    "health",
    "healthcheck",
    "healthz",
    "invocations",
    "livez",
    "metrics",
    "openapi",
    "ping",
    "readyz",
    "v1",
    "v2",
    "version",
];

/// One deployable service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The model's name: lower-case letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The model's version, as the manifest writes it.
    pub version: String,
    /// What the model does, in the user's words; may be empty.
    pub description: String,
    /// An SPDX licence expression.
    pub license: Option<String>,
    /// How a worker is started and what it loads.
    pub worker: Worker,
    /// Files that the model is made of, by name.
    pub artifacts: BTreeMap<String, Asset>,
    /// Files that the model looks things up in, by name.
    pub datasets: BTreeMap<String, Asset>,
    /// What can be called, by name; `POST /<name>` calls it.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// How the server behaves.
    pub server: Server,
}

/// How a worker is started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// `python` or `r`.
    pub language: String,
    /// The program and its arguments, with absolute paths in the image. The worker protocol comes on top by itself.
    pub command: Vec<String>,
    /// Environment that the runtime needs, set for workers alone.
    pub environment: BTreeMap<String, String>,
    /// The service file's absolute path in the image.
    pub file: String,
    /// What to take from the service file: a class in Python; empty in R, where functions have fixed names.
    pub entry: String,
}

/// A file or folder that ships with the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asset {
    /// The absolute path in the image.
    pub path: String,
    /// The number of bytes in all.
    pub size: u64,
    /// The digest of the file, or of the sorted list of a folder's files.
    pub digest: Digest,
    /// An SPDX licence expression.
    pub license: Option<String>,
    /// What it is, in the user's words.
    pub description: Option<String>,
}

/// How the server behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// How many workers run; `None` is one for each processor that the container may use.
    pub workers: Option<u32>,
    /// Milliseconds that one call of the model may take, before its worker is killed.
    pub timeout_ms: u64,
    /// How many rows one call of the model may have at the most when requests are merged.
    pub max_batch_rows: u32,
    /// How many bytes of input one call of the model may have at the most when requests are merged.
    #[serde(default = "max_batch_bytes")]
    pub max_batch_bytes: u64,
    /// Bytes that a request's body may have.
    pub max_body_bytes: u64,
    /// Requests that may wait for a worker; more are refused with 429.
    pub max_queue: u32,
    /// Milliseconds that requests may go on after SIGTERM.
    pub grace_ms: u64,
    /// Milliseconds that a worker may take to load the model.
    pub startup_timeout_ms: u64,
    /// Whether the model is loaded once and workers are forked from it; `None` where there are several and it can be.
    #[serde(default)]
    pub preload: Option<bool>,
    /// The protocols spoken besides the server's own; a contract that does not say takes all.
    #[serde(default = "Protocol::all")]
    pub protocols: BTreeSet<Protocol>,
}

/// A wire protocol of another model server, spoken on the same port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The Open Inference Protocol over REST: KServe V2, Triton, MLServer.
    V2,
    /// The Open Inference Protocol over gRPC, and gRPC's health service.
    Grpc,
    /// KServe V1.
    Kserve,
    /// TensorFlow Serving's REST interface.
    Tensorflow,
    /// MLflow's scoring server, which SageMaker calls as well.
    Mlflow,
    /// Vertex AI's custom containers, on the routes that their environment names.
    Vertex,
    /// Seldon Core V1.
    Seldon,
    /// vetiver's model APIs.
    Vetiver,
}

impl Protocol {
    /// Returns every protocol.
    pub fn all() -> BTreeSet<Self> {
        [Self::V2, Self::Grpc, Self::Kserve, Self::Tensorflow, Self::Mlflow, Self::Vertex, Self::Seldon, Self::Vetiver]
            .into()
    }
}

fn max_batch_bytes() -> u64 {
    64 << 20
}

impl Default for Server {
    fn default() -> Self {
        Self {
            workers: None,
            timeout_ms: 30_000,
            max_batch_rows: 256,
            max_batch_bytes: max_batch_bytes(),
            max_body_bytes: 16 << 20,
            max_queue: 1024,
            grace_ms: 25_000,
            startup_timeout_ms: 300_000,
            preload: None,
            protocols: Protocol::all(),
        }
    }
}

/// One callable function of the service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// What it does, in the user's words; may be empty.
    pub description: String,
    /// What kind of answer it gives.
    pub task: Task,
    /// What it takes.
    pub input: Data,
    /// What it gives.
    pub output: Data,
    /// Whether waiting requests may be merged by row into one call.
    pub batch: bool,
    /// As the server's, for this endpoint alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_batch_rows: Option<u32>,
    /// As the server's, for this endpoint alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_batch_bytes: Option<u64>,
    /// Milliseconds from a request to its answer that are aimed at: calls are kept small enough for it, and requests that
    /// would have to wait too long are refused at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// What happens to an answer whose values the output does not allow.
    #[serde(default)]
    pub validate_output: ValidateOutput,
    /// Bytes of results that are remembered by their input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_bytes: Option<u64>,
    /// What is answered where no worker can answer in time: of a table a row as an object, of a tensor with rows a row, of all
    /// else the whole value.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub fallback: Option<serde_json::Value>,
    /// The service's function that the input goes through before the endpoint's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<String>,
    /// The service's function that the endpoint's result goes through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postprocess: Option<String>,
}

/// What happens to an answer whose values its contract does not allow. One of another form than the contract's always fails: there
/// would be no way to write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValidateOutput {
    /// The request fails.
    #[default]
    Fail,
    /// The log says so.
    Warn,
    /// Values are not looked at.
    Off,
}

/// What kind of answer an endpoint gives; protocols with a form of their own for it use that form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// A class for each row.
    Classification,
    /// A number for each row.
    Regression,
    /// An order of items.
    Ranking,
    /// How unusual each row is.
    Anomaly,
    /// A group for each row.
    Clustering,
    /// Values to come.
    Forecast,
    /// A vector for each row.
    Embedding,
    /// Anything else.
    #[default]
    Custom,
}

/// The form of an endpoint's input or output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Data {
    /// Rows with named, typed columns, in this order.
    Table {
        /// The columns; names are unique.
        columns: Vec<Column>,
        /// What happens to other columns of a request.
        #[serde(default, skip_serializing_if = "Extra::is_forbid")]
        extra: Extra,
    },
    /// A numeric array.
    Tensor {
        /// The elements' type.
        dtype: Dtype,
        /// The length of each dimension, or `None` where it may vary. The first one is the batch where batching is on.
        shape: Vec<Option<u64>>,
    },
    /// Any JSON value that fits the JSON Schema (2020-12); an empty schema takes all.
    Json {
        /// The schema.
        schema: serde_json::Value,
    },
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary {
        /// Their media type.
        media_type: String,
    },
    /// A picture.
    Image {
        /// The media types taken, of [`IMAGE_TYPES`]; an answer has the first.
        media_types: Vec<String>,
    },
}

/// The media types of pictures that are known by their first bytes.
pub const IMAGE_TYPES: &[&str] = &["image/png", "image/jpeg", "image/gif", "image/webp"];

/// What happens to columns of a request that the contract does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extra {
    /// The request is refused.
    #[default]
    Forbid,
    /// They are left out.
    Ignore,
}

impl Extra {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_forbid(&self) -> bool {
        *self == Self::Forbid
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// The name, unique in its table.
    pub name: String,
    /// The type of its values.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Whether a value may be missing (JSON `null`).
    pub nullable: bool,
    /// The value taken where a row leaves the column out, which may be `null`; without one the column is required.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub default: Option<serde_json::Value>,
    /// A value to show in documents and examples.
    pub example: Option<serde_json::Value>,
    /// What it means, in the user's words; may be empty.
    pub description: String,
    /// The values allowed; for a category, its levels in order.
    #[serde(rename = "enum")]
    pub choices: Vec<serde_json::Value>,
    /// The smallest number allowed.
    pub minimum: Option<f64>,
    /// The largest number allowed.
    pub maximum: Option<f64>,
    /// The longest text allowed, in characters.
    pub max_length: Option<u64>,
    /// A regular expression that texts must match somewhere, as in JSON Schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

/// Keeps a `null` that is written apart from a field that is left out.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnType {
    /// Text.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// A floating-point number of 64 bits.
    Number,
    /// True or false.
    Boolean,
    /// A day: `2026-11-23`.
    Date,
    /// A moment: RFC 3339, `2026-11-23T16:09:31Z`.
    Datetime,
    /// One of the levels given as `enum`.
    Category,
}

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it: kind and bits")]
pub enum Dtype {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Float32,
    Float64,
}
