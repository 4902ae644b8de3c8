//! What an image serves: the contract between the build, which writes it as `/opt/mlpack/service.json`, and the server
//! in the image, which reads it. It holds data alone; nothing of it depends on a language or a wire protocol.

mod data;
pub mod example;
pub mod json_schema;
pub mod openapi;
pub mod pattern;
mod server;
pub mod task;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::data::{Column, ColumnType, Data, Dtype, Extra, IMAGE_TYPES};
pub use self::server::{Protocol, Server};
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
    /// The latest version of the model, which answers where none is asked for.
    #[serde(flatten)]
    pub latest: Version,
    /// The other versions, in the manifest's order: they differ from it in their artifacts alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Version>,
    /// What the model does, in the user's words; may be empty.
    pub description: String,
    /// An SPDX licence expression.
    pub license: Option<String>,
    /// How a worker is started and what it loads.
    pub worker: Worker,
    /// Files that the model looks things up in, by name.
    pub datasets: BTreeMap<String, Asset>,
    /// What can be called, by name; `POST /<name>` calls it.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// How the server behaves.
    pub server: Server,
}

impl Service {
    /// Returns all versions of the model, in the manifest's order; the latest is the last.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &Version> {
        self.earlier.iter().chain([&self.latest])
    }
}

/// A version of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Its name, as the manifest writes it.
    pub version: String,
    /// Other names that it can be asked for by, such as `stable`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Files that the model is made of, by name.
    pub artifacts: BTreeMap<String, Asset>,
}

impl Version {
    /// Returns the whole number that the version begins with, if it does; a `v` may stand before it.
    pub fn number(&self) -> Option<&str> {
        let name = without_prefix(&self.version);
        let end = name.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(name.len());
        (end > 0).then(|| &name[..end])
    }
}

/// Returns a version without the `v` that many write before its number.
pub fn without_prefix(version: &str) -> &str {
    let number = version.strip_prefix('v').filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    number.unwrap_or(version)
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

/// Keeps a `null` that is written apart from a field that is left out.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}
