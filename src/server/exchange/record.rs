//! What the access log and traces say of a request.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Serialize;

use super::Exchange;
use crate::server::auth::Caller;
use crate::server::call::Stages;
use crate::server::contract::Endpoint;
use crate::server::failure::Code;
use crate::server::metrics;
use crate::server::pool::Pool;
use crate::server::trace::context::Context;
use crate::server::trace::otlp::{Attribute, Kind, Span};

/// The longest path that is logged whole, in bytes.
const MAX_PATH: usize = 512;

impl Exchange {
    /// Returns what a trace says of this request, by OpenTelemetry's names for HTTP servers.
    pub(super) fn span(&self, context: Context, took: Duration, status: StatusCode) -> Span {
        let method = self.parts.method.as_str();
        let path = self.path();
        // Paths that lead nowhere are anybody's invention, and no name for what happened.
        let name = self.callee.map_or_else(|| method.to_owned(), |_| format!("{method} {path}"));
        let text = |text: &str| Attribute::Text(text.to_owned());
        let mut attributes = vec![
            ("http.request.method", text(method)),
            ("url.path", text(path)),
            ("http.response.status_code", Attribute::Integer(i64::from(status.as_u16()))),
            ("mlpack.protocol", text(metrics::protocol_name(self.speaker.protocol))),
            ("mlpack.request_id", text(self.id.to_str().unwrap_or_default())),
            ("mlpack.rows", Attribute::Integer(self.rows as i64)),
        ];
        if let Some((pool, endpoint)) = self.called() {
            attributes.push(("mlpack.endpoint", text(&endpoint.name)));
            attributes.push(("mlpack.version", text(pool.name())));
        }
        Span {
            context,
            name,
            kind: Kind::Server,
            start: self.begun,
            took,
            failed: status.is_server_error(),
            attributes,
        }
    }

    fn called(&self) -> Option<(&Pool, &Endpoint)> {
        self.callee.map(|callee| self.app.called(callee))
    }

    /// Returns the path, cut where it is very long.
    fn path(&self) -> &str {
        let path = self.parts.uri.path();
        // Paths that reach this far are ASCII.
        path.get(..MAX_PATH).unwrap_or(path)
    }

    pub(super) fn record(&self, status: StatusCode, code: Option<Code>, took: Duration) -> Record<'_> {
        Record {
            method: self.parts.method.as_str(),
            path: self.path(),
            status: status.as_u16(),
            code: code.map(Code::text),
            protocol: metrics::protocol_name(self.speaker.protocol),
            endpoint: self.called().map(|(_, endpoint)| endpoint.name.as_str()),
            version: self.called().map(|(pool, _)| pool.name()),
            rows: self.rows,
            duration_ms: millis(took),
            queue_ms: self.source.workers.map(|times| millis(times.queue)),
            call_ms: self.source.workers.map(|times| millis(times.call)),
            stages_ms: self.source.workers.and_then(|times| times.stages).map(StagesRecord::new),
            fallback: self.source.fallback.map(Code::text),
            caller: self.parts.extensions.get::<Caller>().map(|caller| caller.0.as_str()),
            request_id: self.id.to_str().unwrap_or_default(),
            trace_id: self.trace.map(|trace| trace.trace.to_string()),
            parent_id: self.trace.and_then(|trace| trace.parent).map(|parent| parent.to_string()),
            span_id: self.app.tracer.as_ref().and(self.trace).map(|trace| trace.span.to_string()),
        }
    }
}

/// A line of the access log. Queries are left out: they may hold secrets.
#[derive(Serialize)]
pub(super) struct Record<'a> {
    method: &'a str,
    path: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    protocol: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    rows: usize,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stages_ms: Option<StagesRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<&'a str>,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<String>,
}

/// How long the functions of an endpoint took, in milliseconds.
#[derive(Serialize)]
struct StagesRecord {
    preprocess: f64,
    model: f64,
    postprocess: f64,
}

impl StagesRecord {
    fn new(stages: Stages) -> Self {
        let Stages { preprocess, model, postprocess } = stages;
        Self { preprocess: millis(preprocess), model: millis(model), postprocess: millis(postprocess) }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}
