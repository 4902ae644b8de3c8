//! One request on its way through the server, the same for every protocol: its body is read, the model called, the answer
//! written, counted and logged. What the body and the answer look like is the protocol's own matter; what the log and traces say
//! of it stands in [`record`].

mod record;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::time::Instant;

use super::app::{App, Callee, Running};
use super::bodies::Room;
use super::call::{self, Source, Sources};
use super::contract::Endpoint;
use super::data::Payload;
use super::failure::{Code, Failure};
use super::http;
use super::log::{self, Level};
use super::trace::Origin;
use super::trace::context::Context;
use crate::service::Protocol;

/// What the cache did (RFC 9211).
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// The failure that the fallback stands in for.
pub const FALLBACK: HeaderName = HeaderName::from_static("x-mlpack-fallback");
/// The version of the model that answered, where there are several.
pub const VERSION: HeaderName = HeaderName::from_static("x-mlpack-version");

/// Who speaks: how requests are counted, and how failures are written.
pub struct Speaker {
    /// The protocol; `None` is the server's own.
    pub protocol: Option<Protocol>,
    /// Writes a failure, with the request's ID.
    pub failure: fn(&Failure, &HeaderValue) -> Response,
}

/// What a request asks for.
pub struct Call<S> {
    /// Which endpoint to call, of which version.
    pub callee: Callee,
    /// What to call it with, one after the other; at least one.
    pub payloads: Vec<Payload>,
    /// What the protocol needs to know for the answer.
    pub style: S,
}

/// A written result.
pub struct Reply {
    /// The body.
    pub content: Bytes,
    /// Its media type.
    pub media_type: HeaderValue,
    /// A header of the protocol's own.
    pub header: Option<(HeaderName, HeaderValue)>,
}

impl Reply {
    /// Returns an answer in JSON.
    pub fn json(content: impl Into<Bytes>) -> Self {
        Self { content: content.into(), media_type: http::JSON, header: None }
    }
}

/// Most protocols have a form for every result, and so write none but replies.
impl From<Reply> for Result<Reply, Failure> {
    fn from(reply: Reply) -> Self {
        Ok(reply)
    }
}

/// A request that is being answered.
pub struct Exchange {
    app: Arc<App>,
    speaker: &'static Speaker,
    /// The endpoint and version, once they are known.
    pub callee: Option<Callee>,
    parts: Parts,
    body: Option<Body>,
    /// What the body has of the room that all share, once it has been read.
    room: Option<Arc<Room>>,
    id: HeaderValue,
    rows: usize,
    start: Instant,
    /// The start as others know it: all times of a trace are reckoned from it.
    begun: SystemTime,
    trace: Option<Context>,
    deadline: Instant,
    running: Option<Running>,
    /// How its calls were answered.
    source: Sources,
    finished: bool,
}

impl Exchange {
    /// Begins to answer a request.
    pub fn new(app: &Arc<App>, speaker: &'static Speaker, request: Request) -> Self {
        let start = Instant::now();
        let (parts, body) = request.into_parts();
        let id = http::request_id(&parts.headers);
        let trace = match &app.tracer {
            Some(tracer) => Some(tracer.begin(&parts.headers)),
            None => Context::of(&parts.headers),
        };
        Self {
            app: Arc::clone(app),
            speaker,
            callee: None,
            parts,
            body: Some(body),
            room: None,
            id,
            rows: 0,
            start,
            begun: SystemTime::now(),
            trace,
            deadline: start + app.timeout(),
            running: None,
            source: Sources::default(),
            finished: false,
        }
    }

    /// Answers within `patience` at the latest, since the client does not wait any longer.
    pub fn within(&mut self, patience: Duration) {
        self.deadline = self.deadline.min(self.start + patience);
    }

    /// Returns the request's headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Returns the request's ID, as it stands in the answer.
    pub fn id(&self) -> &HeaderValue {
        &self.id
    }

    /// Reads the body, which is there but once.
    pub async fn body(&mut self) -> Result<Bytes, Failure> {
        self.body_within(self.app.max_body()).await
    }

    /// Reads a body that has at most so many bytes.
    pub async fn body_within(&mut self, limit: usize) -> Result<Bytes, Failure> {
        let body = self.body.take().unwrap_or_default();
        let (body, room) = http::read_body(&self.app, &self.parts.headers, body, limit, self.deadline).await?;
        self.room = Some(room);
        Ok(body)
    }

    /// Reads the body, calls the model and writes the result.
    pub async fn run<S: Send + 'static, W: Into<Result<Reply, Failure>> + Send + 'static>(
        &mut self,
        read: impl FnOnce(&App, Bytes) -> Result<Call<S>, Failure> + Send + 'static,
        write: impl FnOnce(&Endpoint, Vec<Payload>, S) -> W + Send + 'static,
    ) -> Result<Response, Failure> {
        let (results, style) = self.call(read).await?;
        self.reply(results, move |endpoint, results| write(endpoint, results, style)).await
    }

    /// Reads the body and calls the model; returns the results and the protocol's style.
    pub async fn call<S: Send + 'static>(
        &mut self,
        read: impl FnOnce(&App, Bytes) -> Result<Call<S>, Failure> + Send + 'static,
    ) -> Result<(Vec<Payload>, S), Failure> {
        self.running = Some(self.app.enter(self.callee)?);
        let deadline = self.deadline;
        let body = self.body().await?;
        let (reader, size, room) = (Arc::clone(&self.app), body.len(), self.room.clone());
        let work = move || {
            let call = read(&reader, body);
            // Until here, even if the client has gone.
            drop(room);
            call
        };
        let Call { callee, payloads, style } = http::work(size, work).await?;
        self.callee = Some(callee);
        if let Some(running) = &mut self.running {
            running.calls(callee);
        }
        self.rows = payloads.iter().map(Payload::rows).sum();
        let mut results = Vec::with_capacity(payloads.len());
        for payload in payloads {
            let origin = Origin { request_id: self.id.clone(), trace: self.trace };
            let outcome = call::call(&self.app, callee, payload, deadline, origin, self.room.clone()).await?;
            if let (Some(tracer), Some(trace), Source::Worker(times)) = (&self.app.tracer, self.trace, outcome.source) {
                tracer.call(trace, times, self.begun + self.start.elapsed());
            }
            self.source.add(outcome.source);
            results.push(outcome.payload);
        }
        Ok((results, style))
    }

    /// Writes the results of the endpoint that was called, and says in headers where they came from.
    pub async fn reply<W: Into<Result<Reply, Failure>> + Send + 'static>(
        &mut self,
        results: Vec<Payload>,
        write: impl FnOnce(&Endpoint, Vec<Payload>) -> W + Send + 'static,
    ) -> Result<Response, Failure> {
        let callee = self.callee.expect("it was called");
        let size = results.iter().map(Payload::size).sum();
        let app = Arc::clone(&self.app);
        let reply = http::work(size, move || write(app.called(callee).1, results)).await.into()?;
        let mut response = http::typed(StatusCode::OK, reply.content, &reply.media_type, &self.id);
        response.headers_mut().extend(reply.header);
        let (pool, _) = self.app.called(callee);
        if self.app.pools.len() > 1 {
            let version = HeaderValue::from_str(pool.name()).ok();
            response.headers_mut().extend(version.map(|version| (VERSION, version)));
        }
        if pool.caches[callee.endpoint].is_some() {
            response.headers_mut().insert(CACHE_STATUS, HeaderValue::from_static(self.source.cache_status()));
        }
        if let Some(code) = self.source.fallback {
            response.headers_mut().insert(FALLBACK, HeaderValue::from_static(code.text()));
        }
        Ok(response)
    }

    /// Returns what the fallback stood in for, where it did.
    pub fn fallback(&self) -> Option<Code> {
        self.source.fallback
    }

    /// Writes a failure where there is one, and counts and logs the request.
    pub fn finish(mut self, answer: Result<Response, Failure>) -> Response {
        self.finished = true;
        let (response, code) = match answer {
            Ok(response) => (response, None),
            Err(failure) => (self.refuse(&failure), Some(failure.code)),
        };
        let took = self.start.elapsed();
        let (app, status) = (Arc::clone(&self.app), response.status());
        self.count(status, code, took);
        if log::wants(Level::Info) {
            // Once the answer has been sent: to wake whoever writes the log takes longer than most of what is done here.
            tokio::spawn(async move { log::line(Level::Info, "request", self.record(status, code, took)) });
        }
        http::finish(&app, response)
    }

    /// Counts the request, and records it where traces are wanted.
    fn count(&self, status: StatusCode, code: Option<Code>, took: Duration) {
        if let (Some(tracer), Some(trace)) = (&self.app.tracer, self.trace.filter(|trace| trace.sampled)) {
            tracer.record(self.span(trace, took, status));
        }
        let protocol = self.speaker.protocol;
        match self.callee {
            Some(Callee { pool, endpoint }) => {
                self.app.pools[pool].metrics.answered(endpoint, protocol, code, took);
            }
            None => self.app.metrics.answered(protocol, code),
        }
    }

    /// Returns whether some of the body is left unread, so that no other request can follow on the connection.
    fn is_unread(&self) -> bool {
        match &self.body {
            Some(body) => !body.is_end_stream(),
            None => self.room.is_none(),
        }
    }

    fn refuse(&self, failure: &Failure) -> Response {
        let mut response = (self.speaker.failure)(failure, &self.id);
        if matches!(
            failure.code,
            Code::QueueFull | Code::BodiesFull | Code::Overloaded | Code::NotReady | Code::Draining
        ) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(challenge) = challenge(failure.code) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.is_unread() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A request whose client leaves is dropped before it is finished: it counts as well.
impl Drop for Exchange {
    fn drop(&mut self) {
        // What is left when the server ends was cut off by it.
        if self.finished || self.app.is_stopping() {
            return;
        }
        let (code, took) = (Code::ClientGone, self.start.elapsed());
        let status = StatusCode::from_u16(code.status()).expect("codes have valid statuses");
        self.count(status, Some(code), took);
        log::line(Level::Info, "request", self.record(status, Some(code), took));
    }
}

/// Returns what a refused caller is told by header (RFC 6750, section 3).
fn challenge(code: Code) -> Option<HeaderValue> {
    let challenge = match code {
        Code::Unauthenticated => "Bearer",
        Code::InvalidCredentials => "Bearer error=\"invalid_token\"",
        Code::Forbidden => "Bearer error=\"insufficient_scope\"",
        _ => return None,
    };
    Some(HeaderValue::from_static(challenge))
}
