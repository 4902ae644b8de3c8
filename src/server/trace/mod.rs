//! Traces: where a request stands in one, and what it took, sent to an OpenTelemetry collector.
//!
//! Whoever records a span never waits: spans gather in a queue of limited length, and a task sends them. When the collector
//! cannot keep up or is away, spans are dropped and counted.

mod collector;
pub mod context;
pub mod otlp;
pub mod settings;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::timeout;

use self::context::Context;
use self::otlp::{Kind, Span};
use self::settings::Settings;
use super::call::Times;
use super::log::{self, Level};
use crate::service::Service;

/// Spans in one message to the collector.
const MAX_SENT: usize = 512;
/// How often the same spans are sent before they are given up.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Which request of a client something is for, as the log names it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The request's ID.
    pub request_id: HeaderValue,
    /// Its place in a trace.
    pub trace: Option<Context>,
}

impl Origin {
    /// Returns the request's ID.
    pub fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// Returns the trace's number.
    pub fn trace_id(&self) -> Option<String> {
        self.trace.map(|context| context.trace.to_string())
    }
}

impl Default for Origin {
    fn default() -> Self {
        Self { request_id: HeaderValue::from_static("-"), trace: None }
    }
}

/// Gathers spans and sends them.
#[derive(Debug)]
pub struct Tracer {
    settings: Settings,
    /// What describes this service to the collector.
    resource: Vec<(String, String)>,
    waiting: Mutex<Vec<Span>>,
    /// Told when there is enough for a message, or when all that is left must go.
    enough: Notify,
    /// How many spans are on their way, tried again where need be.
    leaving: AtomicU64,
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Tracer {
    /// Returns a tracer that has nothing to send yet.
    pub fn new(settings: Settings, service: &Service) -> Self {
        let resource = settings.describe(&service.name, &service.latest.version);
        Self {
            settings,
            resource,
            waiting: Mutex::default(),
            enough: Notify::new(),
            leaving: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Continues the caller's trace, or begins one.
    pub fn begin(&self, headers: &HeaderMap) -> Context {
        let sampler = self.settings.sampler;
        match Context::of(headers) {
            Some(context) if sampler.by_parent => context,
            Some(context) => Context { sampled: is_in(context, sampler.share), ..context },
            None => {
                let context = Context::root(false);
                Context { sampled: is_in(context, sampler.share), ..context }
            }
        }
    }

    /// Records the parts of a call that a worker answered at `end`.
    pub fn call(&self, request: Context, times: Times, end: SystemTime) {
        let part = |name: &str, start: SystemTime, took: Duration| Span {
            context: request.child(),
            name: name.to_owned(),
            kind: Kind::Internal,
            start,
            took,
            failed: false,
            attributes: Vec::new(),
        };
        let called = end - times.call;
        self.record(part("queue", called - times.queue, times.queue));
        self.record(part("model", called, times.call));
    }

    /// Records what has ended, unless its trace is not recorded.
    pub fn record(&self, span: Span) {
        if !span.context.sampled {
            return;
        }
        let mut waiting = self.lock();
        if waiting.len() >= self.settings.max_waiting {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.push(span);
        if waiting.len() == MAX_SENT {
            self.enough.notify_one();
        }
    }

    /// Returns how many spans were sent, and how many were dropped.
    pub fn counts(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }

    /// Sends spans for ever.
    pub async fn run(&self) {
        loop {
            // Whether there are enough or the time has passed makes no difference.
            let _ = timeout(self.settings.delay, self.enough.notified()).await;
            self.flush(ATTEMPTS).await;
        }
    }

    /// Sends what is left, once. What another attempt still waits for is lost with the server, which is said.
    pub async fn finish(&self) {
        self.flush(1).await;
        let lost = self.leaving.load(Ordering::Relaxed);
        if lost > 0 {
            log::line(Level::Warn, "spans were not sent", json!({"reason": "the server stops", "spans": lost}));
        }
    }

    async fn flush(&self, attempts: u32) {
        loop {
            let spans: Vec<Span> = {
                let mut waiting = self.lock();
                let count = waiting.len().min(MAX_SENT);
                waiting.drain(..count).collect()
            };
            if spans.is_empty() {
                return;
            }
            let count = spans.len() as u64;
            let body = Bytes::from(otlp::request(&self.resource, &spans));
            self.leaving.fetch_add(count, Ordering::Relaxed);
            let counter = if self.send(body, attempts).await { &self.sent } else { &self.dropped };
            counter.fetch_add(count, Ordering::Relaxed);
            self.leaving.fetch_sub(count, Ordering::Relaxed);
        }
    }

    async fn send(&self, body: Bytes, attempts: u32) -> bool {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=attempts {
            let Err(error) = collector::send(&self.settings, body.clone()).await else { return true };
            if attempt == attempts || !error.may_pass() {
                log::line(Level::Warn, "spans were not sent", json!({"reason": error.to_string()}));
                return false;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Span>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a trace is in the share that is recorded: the same everywhere, for it depends on the trace's number alone.
fn is_in(context: Context, share: f64) -> bool {
    const ALL: u64 = 1 << 53;
    ((context.trace.0 as u64 & (ALL - 1)) as f64) < share * ALL as f64
}
