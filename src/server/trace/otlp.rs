//! Spans as OpenTelemetry's protocol has them: OTLP/HTTP in its JSON form (opentelemetry-proto, `trace.proto` and `trace_service.proto`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::context::Context;

/// Something that took time.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Where it stands in its trace.
    pub context: Context,
    /// What it was.
    pub name: String,
    /// Whose work it was.
    pub kind: Kind,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Whether it failed.
    pub failed: bool,
    /// What else is known of it, by OpenTelemetry's names where it has some.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// Whose work a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This program's own.
    Internal = 1,
    /// A remote caller's request.
    Server = 2,
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
}

/// Writes one export request.
pub fn request(resource: &[(String, String)], spans: &[Span]) -> Vec<u8> {
    let attributes: Vec<Value> =
        resource.iter().map(|(key, text)| attribute(key, &json!({"stringValue": text}))).collect();
    let spans: Vec<Value> = spans.iter().map(span).collect();
    let scope = json!({"name": "mlpack-server", "version": env!("CARGO_PKG_VERSION")});
    let request = json!({"resourceSpans": [{
        "resource": {"attributes": attributes},
        "scopeSpans": [{"scope": scope, "spans": spans}],
    }]});
    request.to_string().into_bytes()
}

/// Numbers of 64 bits are texts, and IDs are hexadecimal, in OTLP's JSON.
fn span(span: &Span) -> Value {
    let attributes = span.attributes.iter().map(|(key, value)| {
        let value = match value {
            Attribute::Text(text) => json!({"stringValue": text}),
            Attribute::Integer(number) => json!({"intValue": number.to_string()}),
        };
        attribute(key, &value)
    });
    let nanoseconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string();
    let mut written = json!({
        "traceId": span.context.trace.to_string(),
        "spanId": span.context.span.to_string(),
        "flags": 1,
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": nanoseconds(span.start),
        "endTimeUnixNano": nanoseconds(span.start + span.took),
        "attributes": attributes.collect::<Vec<_>>(),
        "status": if span.failed { json!({"code": 2}) } else { json!({}) },
    });
    if let Some(parent) = span.context.parent {
        written["parentSpanId"] = json!(parent.to_string());
    }
    written
}

fn attribute(key: &str, value: &Value) -> Value {
    json!({"key": key, "value": value})
}
