//! Sends batches: with retries where the service is busy, and refusals told by the rows of the input.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::blocking::{Client, Response};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use super::Batch;
use super::error::CallError;
use super::operation::{Form, Operation};

/// No service is waited for longer, whatever it says.
const MAX_WAIT: Duration = Duration::from_mins(1);
/// What the service marks a fallback with: an answer that stands in for one by the model, for want of time or workers.
const FALLBACK: &str = "x-mlpack-fallback";
/// The longest step of sleep, so that giving up is quick.
const STEP: Duration = Duration::from_millis(100);

/// What is sent.
#[derive(Debug)]
pub enum Body {
    /// Rows of a table or tensor.
    Rows {
        /// The member that holds them.
        key: &'static str,
        /// The rows.
        rows: Vec<Value>,
    },
    /// A JSON value.
    Value(Value),
    /// A file.
    Bytes(Vec<u8>),
}

/// What came back.
#[derive(Debug)]
pub enum Answer {
    /// One answer for each row.
    Rows(Vec<Value>),
    /// One value.
    Value(Value),
    /// A file.
    Bytes(Vec<u8>),
}

/// An answer, and whose it is.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) answer: Answer,
    /// How many rows got the endpoint's fallback in place of the model's answer.
    pub(super) fallbacks: u64,
}

/// How calls are made.
#[derive(Debug)]
pub struct Settings {
    /// Headers of each request.
    pub headers: HeaderMap,
    /// How long one request may take.
    pub timeout: Duration,
    /// How often a request is tried again where the service is busy or does not answer.
    pub retries: u32,
}

/// Calls one endpoint. Used from many threads at once.
#[derive(Debug)]
pub struct Caller {
    client: Client,
    operation: Operation,
    settings: Settings,
    given_up: AtomicBool,
}

impl Body {
    /// Returns how many rows it has; what has no rows counts as one.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Rows { rows, .. } => rows.len() as u64,
            _ => 1,
        }
    }

    /// Returns it as JSON, unless it is a file.
    pub(super) fn json(&self) -> Option<Value> {
        match self {
            Self::Rows { key, rows } => Some(json!({ *key: rows })),
            Self::Value(value) => Some(value.clone()),
            Self::Bytes(_) => None,
        }
    }

    /// Returns it as it is sent, with its media type. The service takes files by the general one.
    fn encode(&self) -> (Vec<u8>, &'static str) {
        match self {
            Self::Bytes(content) => (content.clone(), "application/octet-stream"),
            other => (other.json().map(|value| value.to_string()).unwrap_or_default().into_bytes(), "application/json"),
        }
    }
}

impl Caller {
    /// Returns a caller of the endpoint.
    pub fn new(client: Client, operation: Operation, settings: Settings) -> Self {
        Self { client, operation, settings, given_up: AtomicBool::new(false) }
    }

    /// The endpoint.
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// Ends all waiting.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Sends a batch, and again while the service is busy.
    pub(super) fn call(&self, batch: &Batch) -> Result<Answered, CallError> {
        let rows = rows(batch);
        let (content, media_type) = batch.body.encode();
        let mut wait = Duration::from_millis(200);
        for left in (0..=self.settings.retries).rev() {
            let answer = self.send(content.clone(), media_type);
            let asked = match &answer {
                Ok(response) if is_busy(response) => retry_after(response),
                Err(error) if !error.is_timeout() => None,
                _ => return self.read(answer, rows, batch),
            };
            if left == 0 {
                return self.read(answer, rows, batch);
            }
            self.sleep(scattered(asked.unwrap_or(wait).min(MAX_WAIT)))?;
            wait *= 2;
        }
        Err(CallError::GivenUp)
    }

    fn send(&self, content: Vec<u8>, media_type: &'static str) -> reqwest::Result<Response> {
        self.client
            .post(self.operation.url.clone())
            .headers(self.settings.headers.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static(media_type))
            .timeout(self.settings.timeout)
            .body(content)
            .send()
    }

    fn sleep(&self, duration: Duration) -> Result<(), CallError> {
        let mut left = duration;
        while !left.is_zero() {
            if self.given_up.load(Ordering::Relaxed) {
                return Err(CallError::GivenUp);
            }
            std::thread::sleep(left.min(STEP));
            left = left.saturating_sub(STEP);
        }
        Ok(())
    }

    fn read(&self, answer: reqwest::Result<Response>, rows: String, batch: &Batch) -> Result<Answered, CallError> {
        let fallbacks = answer.as_ref().map_or(0, |response| if is_fallback(response) { batch.body.rows() } else { 0 });
        let content = answer.and_then(|response| Ok((response.status().as_u16(), response.bytes()?)));
        match content {
            Ok((200, content)) => Ok(Answered { answer: self.parse(&content, rows)?, fallbacks }),
            Ok((status, content)) => Err(refused(status, &content, rows, batch.first)),
            Err(source) => Err(CallError::Transport { rows, source: source.without_url() }),
        }
    }

    fn parse(&self, content: &[u8], rows: String) -> Result<Answer, CallError> {
        if self.operation.output == Form::Binary {
            return Ok(Answer::Bytes(content.to_vec()));
        }
        let Ok(mut value) = serde_json::from_slice::<Value>(content) else { return Err(CallError::Answer { rows }) };
        let key = match self.operation.output {
            Form::Table(_) => "rows",
            Form::Tensor { rows: true } => "tensor",
            _ => return Ok(Answer::Value(value)),
        };
        match value[key].take() {
            Value::Array(answers) => Ok(Answer::Rows(answers)),
            _ => Err(CallError::Answer { rows }),
        }
    }
}

/// Makes a wait up to twice as long, so that those who were refused together do not come back together.
fn scattered(wait: Duration) -> Duration {
    let chance = RandomState::new().hash_one(wait) >> 32;
    wait + wait.mul_f64(chance as f64 / f64::from(u32::MAX))
}

/// Returns why a request failed, without its address.
pub(super) fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// The numbers of a batch's rows: `1`, or `1 to 256`.
fn rows(batch: &Batch) -> String {
    match batch.body.rows() {
        1 => batch.first.to_string(),
        count => format!("{} to {}", batch.first, batch.first + count - 1),
    }
}

/// Whether the service may answer when it is asked again.
fn is_busy(response: &Response) -> bool {
    matches!(response.status().as_u16(), 429 | 502 | 503) || is_fallback(response)
}

fn is_fallback(response: &Response) -> bool {
    response.headers().contains_key(FALLBACK)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Reads the service's error document; its pointers count rows from the batch's first.
fn refused(status: u16, content: &[u8], rows: String, first: u64) -> CallError {
    let document: Value = serde_json::from_slice(content).unwrap_or_default();
    let error = &document["error"];
    let detail = |detail: &Value| {
        let pointer = detail["pointer"].as_str().unwrap_or_default();
        let message = detail["message"].as_str().unwrap_or_default();
        match row(pointer) {
            Some(number) => format!("row {} ({pointer}) {message}", first + number),
            None => format!("{pointer} {message}"),
        }
    };
    let message = match error["message"].as_str() {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(content).chars().take(200).collect(),
    };
    let details = error["details"].as_array().into_iter().flatten().map(detail).collect();
    CallError::Refused { status, rows, message, details }
}

/// The row that a JSON pointer goes through, from 0.
fn row(pointer: &str) -> Option<u64> {
    let mut tokens = pointer.strip_prefix('/')?.split('/');
    matches!(tokens.next(), Some("rows" | "tensor")).then(|| tokens.next()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Diagnose as _;

    #[test]
    fn refusals_name_rows_of_the_whole_input() {
        let document = json!({"error": {"code": "invalid", "message": "the body does not fit", "details": [
            {"pointer": "/rows/3/age", "message": "must be at most 5"}, {"pointer": "", "message": "is odd"}]}});
        let error = refused(422, document.to_string().as_bytes(), "257 to 512".to_owned(), 257);
        assert_eq!(error.to_string(), "the service answered 422 to row 257 to 512: the body does not fit");
        assert_eq!(error.hints(), ["row 260 (/rows/3/age) must be at most 5", " is odd"]);
    }
}
