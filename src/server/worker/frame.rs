//! The worker protocol's frames, as `runtimes/PROTOCOL.md` describes them: encoding calls, decoding replies.
//! Replies are untrusted: every length is checked, none is believed.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::link::WorkerEnds;
use crate::server::call::Stages;
use crate::server::contract::{Form, Schema};
use crate::server::data::{Column, Payload, Table, Tensor, size, width};
use crate::service::{ColumnType, Data, Endpoint, Service, Version};

/// Bytes of the two lengths that open a frame.
pub const PREFIX: usize = 8;
/// The values and texts that a call may have, in bytes: its length, with all that goes along with them, stands in 32 bits.
const MAX_CALL: usize = 1 << 30;
/// The longest reply that is read.
const MAX_REPLY: usize = 512 << 20;
/// Every buffer and the header end at a multiple of this, so that workers can use them in place.
const ALIGN: usize = 8;

/// The first frame that a worker gets: what to load.
#[derive(Serialize)]
struct Load<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    version: &'a str,
    file: &'a str,
    entry: &'a str,
    artifacts: BTreeMap<&'a str, &'a str>,
    datasets: BTreeMap<&'a str, &'a str>,
    endpoints: BTreeMap<&'a str, LoadEndpoint<'a>>,
}

#[derive(Serialize)]
struct LoadEndpoint<'a> {
    input: &'a Data,
    output: &'a Data,
    #[serde(skip_serializing_if = "Option::is_none")]
    preprocess: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postprocess: Option<&'a str>,
}

impl<'a> LoadEndpoint<'a> {
    fn new(endpoint: &'a Endpoint) -> Self {
        let Endpoint { input, output, preprocess, postprocess, .. } = endpoint;
        Self { input, output, preprocess: preprocess.as_deref(), postprocess: postprocess.as_deref() }
    }
}

#[derive(Serialize)]
struct Call<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    endpoint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shape: Option<Vec<usize>>,
}

/// The frame that asks a worker to fork: where the new worker finds its pipes.
#[derive(Serialize)]
struct Fork {
    #[serde(rename = "type")]
    kind: &'static str,
    requests: String,
    replies: String,
    stdout: String,
    stderr: String,
}

/// What a reply's header says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Header {
    /// The model is loaded.
    Ready {
        /// The process's number, from a worker that was forked.
        pid: Option<i32>,
    },
    /// A worker was forked, which speaks for itself from now on.
    Forked {
        /// What the fork lacks of its parent or shares with it: threads, sockets, open files.
        left: Vec<String>,
    },
    /// The model cannot be loaded, or the worker cannot be forked.
    Failed {
        /// Why, in one line; the stack trace went to stderr.
        message: String,
    },
    /// The call's result follows in the body.
    Result {
        /// How many rows a table has.
        rows: Option<usize>,
        /// The length of each of a tensor's dimensions.
        shape: Option<Vec<usize>>,
        /// How long each of the service's functions took, where the endpoint has several.
        stages: Option<StageTimes>,
    },
    /// The call failed.
    Error {
        /// Whose fault it is.
        kind: ErrorKind,
        /// For `input` a message for the client, else one for the log.
        message: String,
    },
}

/// How long the functions of an endpoint took, in microseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct StageTimes {
    #[serde(default)]
    preprocess: u64,
    model: u64,
    #[serde(default)]
    postprocess: u64,
}

impl From<StageTimes> for Stages {
    fn from(times: StageTimes) -> Self {
        Self {
            preprocess: Duration::from_micros(times.preprocess),
            model: Duration::from_micros(times.model),
            postprocess: Duration::from_micros(times.postprocess),
        }
    }
}

/// Whose fault a failed call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorKind {
    /// The service refused the input, and says why.
    Input,
    /// The service failed.
    Model,
    /// What the service gave does not fit its contract.
    Output,
}

/// The bytes are not a frame of the protocol.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// More than is allowed.
    #[error("the worker announced a reply of {0} bytes")]
    TooLarge(usize),
    /// The header is not one that the protocol knows.
    #[error("the worker sent a header that the protocol does not know")]
    Header(#[source] serde_json::Error),
    /// The body has another size than its header says.
    #[error("the worker sent a body that does not have the size its header says")]
    Body,
}

/// Returns the frame that tells a worker which version of the service to load.
pub fn load(service: &Service, version: &Version) -> Vec<u8> {
    let load = Load {
        kind: "load",
        name: &service.name,
        version: &version.version,
        file: &service.worker.file,
        entry: &service.worker.entry,
        artifacts: version.artifacts.iter().map(|(name, asset)| (name.as_str(), asset.path.as_str())).collect(),
        datasets: service.datasets.iter().map(|(name, asset)| (name.as_str(), asset.path.as_str())).collect(),
        endpoints: service
            .endpoints
            .iter()
            .map(|(name, endpoint)| (name.as_str(), LoadEndpoint::new(endpoint)))
            .collect(),
    };
    close(open(&load))
}

/// Returns the frame that asks a worker to fork one that takes these ends.
pub fn fork(ends: &WorkerEnds) -> Vec<u8> {
    // Any language can open a path, few can receive a descriptor.
    let path = |end: &OwnedFd| format!("/proc/{}/fd/{}", std::process::id(), end.as_raw_fd());
    close(open(&Fork {
        kind: "fork",
        requests: path(&ends.requests),
        replies: path(&ends.replies),
        stdout: path(&ends.stdout),
        stderr: path(&ends.stderr),
    }))
}

/// The values of a call are more than a frame may have.
#[derive(Debug, thiserror::Error)]
#[error("the values are more than {MAX_CALL} bytes")]
pub struct CallTooLarge;

/// Returns the frame of one call with the rows of all `parts`, which fit each other.
pub fn call(endpoint: &str, parts: &[&Payload]) -> Result<Vec<u8>, CallTooLarge> {
    if parts.iter().map(|part| part.size()).sum::<usize>() > MAX_CALL {
        return Err(CallTooLarge);
    }
    let rows = parts.iter().map(|part| part.rows()).sum();
    let (table_rows, shape) = match parts[0] {
        Payload::Table(_) => (Some(rows), None),
        Payload::Tensor(tensor) if tensor.shape.is_empty() => (None, Some(Vec::new())),
        Payload::Tensor(tensor) => (None, Some([&[rows], &tensor.shape[1..]].concat())),
        Payload::Bytes(_) => (None, None),
    };
    let mut frame = open(&Call { kind: "call", endpoint, rows: table_rows, shape });
    match parts[0] {
        Payload::Table(first) => {
            for position in 0..first.columns.len() {
                push_column(&mut frame, &columns(parts, position));
            }
        }
        Payload::Tensor(_) | Payload::Bytes(_) => {
            for part in parts {
                match part {
                    Payload::Tensor(tensor) => frame.extend_from_slice(&tensor.data),
                    Payload::Bytes(bytes) => frame.extend_from_slice(bytes),
                    Payload::Table(_) => {}
                }
            }
        }
    }
    Ok(close(frame))
}

fn columns<'a>(parts: &[&'a Payload], position: usize) -> Vec<&'a Column> {
    let column = |part: &&'a Payload| match part {
        Payload::Table(table) => Some(&table.columns[position]),
        _ => None,
    };
    parts.iter().filter_map(column).collect()
}

fn push_column(frame: &mut Vec<u8>, columns: &[&Column]) {
    if columns[0].valid.is_some() {
        for valid in columns.iter().filter_map(|column| column.valid.as_ref()) {
            frame.extend_from_slice(valid);
        }
        pad(frame, 0);
    }
    for column in columns {
        frame.extend_from_slice(&column.values);
    }
    pad(frame, 0);
    if columns[0].kind == ColumnType::String {
        for column in columns {
            frame.extend_from_slice(&column.text);
        }
        pad(frame, 0);
    }
}

fn open(header: &impl Serialize) -> Vec<u8> {
    let mut frame = vec![0; PREFIX];
    serde_json::to_writer(&mut frame, header).expect("headers can be written to memory");
    pad(&mut frame, b' ');
    let length = (frame.len() - PREFIX) as u32;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame
}

fn close(mut frame: Vec<u8>) -> Vec<u8> {
    let header = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
    let body = u32::try_from(frame.len() - PREFIX - header).expect("calls are limited to far below 4 GiB");
    frame[4..PREFIX].copy_from_slice(&body.to_le_bytes());
    frame
}

fn pad(frame: &mut Vec<u8>, byte: u8) {
    frame.resize(frame.len().next_multiple_of(ALIGN), byte);
}

/// Returns the length of the whole frame that `start` begins, once enough of it is there to know.
pub fn length(start: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some((prefix, _)) = start.split_first_chunk::<PREFIX>() else { return Ok(None) };
    let [h0, h1, h2, h3, b0, b1, b2, b3] = *prefix;
    let header = u32::from_le_bytes([h0, h1, h2, h3]) as usize;
    let body = u32::from_le_bytes([b0, b1, b2, b3]) as usize;
    let length = PREFIX + header + body;
    if length > MAX_REPLY { Err(FrameError::TooLarge(length)) } else { Ok(Some(length)) }
}

/// Splits a whole frame into its header and body.
pub fn header(frame: &[u8]) -> Result<(Header, &[u8]), FrameError> {
    let end = PREFIX + u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
    let header = serde_json::from_slice(&frame[PREFIX..end]).map_err(FrameError::Header)?;
    Ok((header, &frame[end..]))
}

/// Reads a result's body.
pub fn result(form: &Form, rows: Option<usize>, shape: Option<Vec<usize>>, body: &[u8]) -> Result<Payload, FrameError> {
    match form {
        Form::Table(schema) => table(schema, rows.ok_or(FrameError::Body)?, body).map(Payload::Table),
        Form::Tensor { dtype, .. } => {
            let shape = shape.ok_or(FrameError::Body)?;
            let length = shape.iter().try_fold(size(*dtype), |length, dimension| length.checked_mul(*dimension));
            if length != Some(body.len()) {
                return Err(FrameError::Body);
            }
            Ok(Payload::Tensor(Tensor { dtype: *dtype, shape, data: body.to_vec() }))
        }
        Form::Json { .. } | Form::Text | Form::Binary { .. } => Ok(Payload::Bytes(Bytes::copy_from_slice(body))),
    }
}

fn table(schema: &Schema, rows: usize, mut body: &[u8]) -> Result<Table, FrameError> {
    let mut columns = Vec::with_capacity(schema.rules.len());
    for rule in &schema.rules {
        let valid = if rule.nullable { Some(take(&mut body, rows)?) } else { None };
        let values = take(&mut body, rows.checked_mul(width(rule.kind)).ok_or(FrameError::Body)?)?;
        let text = match rule.kind {
            ColumnType::String => {
                let lengths = values.as_chunks().0.iter().map(|length| u32::from_le_bytes(*length) as usize);
                take(&mut body, lengths.sum())?
            }
            _ => Vec::new(),
        };
        columns.push(Column { kind: rule.kind, values, text, valid });
    }
    if body.is_empty() { Ok(Table { rows, columns }) } else { Err(FrameError::Body) }
}

/// Takes `length` bytes and the padding after them.
fn take(body: &mut &[u8], length: usize) -> Result<Vec<u8>, FrameError> {
    let padded = length.checked_next_multiple_of(ALIGN).ok_or(FrameError::Body)?;
    let (taken, rest) = body.split_at_checked(padded).ok_or(FrameError::Body)?;
    *body = rest;
    Ok(taken[..length].to_vec())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::server::contract;
    use crate::server::validate;

    /// An endpoint whose input and output are the same table of every type.
    fn echo() -> contract::Endpoint {
        let column = |name: &str, kind: &str, nullable: bool, choices: serde_json::Value| {
            json!({"name": name, "type": kind, "nullable": nullable, "example": null,
                "description": "", "enum": choices, "minimum": null, "maximum": null, "max_length": null})
        };
        let table = json!({"type": "table", "columns": [
            column("s", "string", true, json!([])), column("n", "number", false, json!([])),
            column("b", "boolean", false, json!([])), column("c", "category", true, json!(["x", "y"])),
        ]});
        let text = json!({"description": "", "task": "custom", "batch": true, "input": table, "output": table});
        contract::Endpoint::new("echo", &serde_json::from_value(text).unwrap()).unwrap()
    }

    fn rows(endpoint: &contract::Endpoint, body: &str) -> Payload {
        let Form::Table(schema) = &endpoint.input else { panic!("echo takes a table") };
        validate::table(schema, body.as_bytes()).unwrap().0
    }

    #[test]
    fn what_is_encoded_in_parts_is_decoded_as_a_whole() {
        let endpoint = echo();
        let one =
            rows(&endpoint, r#"{"rows":[{"s":"ą","n":1.5,"b":true,"c":"y"},{"s":null,"n":2,"b":false,"c":null}]}"#);
        let two = rows(&endpoint, r#"{"columns":{"s":["zz"],"n":[3],"b":[true],"c":["x"]}}"#);
        let frame = call("echo", &[&one, &two]).unwrap();
        assert_eq!(length(&frame).unwrap(), Some(frame.len()));
        let end = PREFIX + u32::from_le_bytes(frame[..4].try_into().unwrap()) as usize;
        let whole = result(&endpoint.output, Some(3), None, &frame[end..]).unwrap();
        assert_eq!(whole.split(&[2, 1]), [one, two]);
    }

    #[test]
    fn lying_bodies_are_refused() {
        let endpoint = echo();
        let one = rows(&endpoint, r#"{"rows":[{"s":"a","n":1.5,"b":true,"c":"y"}]}"#);
        let frame = call("echo", &[&one]).unwrap();
        let end = PREFIX + u32::from_le_bytes(frame[..4].try_into().unwrap()) as usize;
        let body = &frame[end..];
        for (rows, body) in [(2, body), (0, body), (usize::MAX, body), (1, &body[..body.len() - 8]), (1, &[])] {
            assert!(matches!(result(&endpoint.output, Some(rows), None, body), Err(FrameError::Body)), "{rows}");
        }
        let mut long_text = body.to_vec();
        long_text[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(result(&endpoint.output, Some(1), None, &long_text), Err(FrameError::Body)));
    }

    #[test]
    fn a_call_of_gigabytes_is_refused_before_it_is_built() {
        let large = Payload::Bytes(vec![0; MAX_CALL / 4].into());
        assert!(call("echo", &[&large; 5]).is_err());
    }

    #[test]
    fn a_reply_of_gigabytes_is_refused_before_it_is_read() {
        assert!(matches!(length(&[255; 8]), Err(FrameError::TooLarge(_))));
        assert!(matches!(length(&[255; 7]), Ok(None)));
    }

    #[test]
    fn a_tensor_must_have_the_size_of_its_shape() {
        let form = Form::Tensor { dtype: crate::service::Dtype::Int16, shape: vec![None, Some(2)] };
        assert!(result(&form, None, Some(vec![1, 2]), &[0; 4]).is_ok());
        assert!(result(&form, None, Some(vec![usize::MAX, 2]), &[0; 4]).is_err());
        assert!(result(&form, None, None, &[0; 4]).is_err());
    }
}
