//! One call of an endpoint: answered from what is remembered, else by a worker, else with the answer that the manifest declares
//! for when no worker can answer in time.

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::app::{App, Callee};
use super::batch::{Answer, Request};
use super::bodies::Room;
use super::cache::Key;
use super::data::Payload;
use super::failure::{Code, Failure};
use super::http;
use super::trace::Origin;

/// Bytes that the fallback may have for all rows of a request: it may be much longer than a row that is asked with.
const MAX_FALLBACK: usize = 256 << 20;

/// A result, and where it came from.
#[derive(Debug)]
pub struct Outcome {
    /// The result.
    pub payload: Payload,
    /// Where it came from.
    pub source: Source,
}

/// Where a result came from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// A worker gave it.
    Worker(Times),
    /// It was remembered.
    Cache,
    /// It is the endpoint's fallback, in place of this failure.
    Fallback(Code),
}

/// How long the parts of a call took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Until a worker took the request.
    pub queue: Duration,
    /// Until the worker answered, with all that was merged.
    pub call: Duration,
    /// The service's own functions, where there are several.
    pub stages: Option<Stages>,
}

/// How long the functions of an endpoint took that has more than one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// Before the model.
    pub preprocess: Duration,
    /// The endpoint's own function.
    pub model: Duration,
    /// After the model.
    pub postprocess: Duration,
}

impl AddAssign for Times {
    fn add_assign(&mut self, other: Self) {
        self.queue += other.queue;
        self.call += other.call;
        if let Some(more) = other.stages {
            let stages = self.stages.get_or_insert_default();
            stages.preprocess += more.preprocess;
            stages.model += more.model;
            stages.postprocess += more.postprocess;
        }
    }
}

/// Where the results of a request came from, together.
#[derive(Debug, Default)]
pub struct Sources {
    /// The times of all calls of workers.
    pub workers: Option<Times>,
    /// Whether one came from the cache.
    remembered: bool,
    /// What the fallback stood in for, where it did.
    pub fallback: Option<Code>,
}

impl Sources {
    /// Takes note of one result more.
    pub fn add(&mut self, source: Source) {
        match source {
            Source::Worker(times) => *self.workers.get_or_insert_default() += times,
            Source::Cache => self.remembered = true,
            Source::Fallback(code) => self.fallback = Some(code),
        }
    }

    /// Says what the cache did (RFC 9211).
    pub fn cache_status(&self) -> &'static str {
        match (self.remembered, self.workers.is_some() || self.fallback.is_some()) {
            (true, false) => "mlpack; hit",
            (true, true) => "mlpack; fwd=partial",
            (false, _) => "mlpack; fwd=miss",
        }
    }
}

/// Calls the endpoint of a version; `deadline` covers the time in the queue. The input keeps its room for as long as it waits.
pub async fn call(
    app: &App,
    callee: Callee,
    input: Payload,
    deadline: Instant,
    origin: Origin,
    room: Option<Arc<Room>>,
) -> Result<Outcome, Failure> {
    let rows = input.rows();
    let (pool, _) = app.called(callee);
    let (input, memory) = match &pool.caches[callee.endpoint] {
        Some(cache) => {
            let (key, input) = http::work(input.size(), move || (Key::new(&input), input)).await;
            (input, Some((cache, key)))
        }
        None => (input, None),
    };
    if let Some((cache, key)) = &memory {
        let found = cache.get(key);
        pool.metrics.looked_up(callee.endpoint, found.is_some());
        if let Some(payload) = found {
            return Ok(Outcome { payload, source: Source::Cache });
        }
    }
    match ask(app, callee, input, deadline, origin, room).await {
        Ok((payload, times)) => {
            if let Some((cache, key)) = memory {
                cache.insert(key, payload.clone());
            }
            Ok(Outcome { payload, source: Source::Worker(times) })
        }
        Err(failure) => fall_back(app, callee, rows, failure),
    }
}

/// Has a worker answer. An endpoint with a fallback need not be waited for longer than its objective.
async fn ask(
    app: &App,
    callee: Callee,
    payload: Payload,
    deadline: Instant,
    origin: Origin,
    room: Option<Arc<Room>>,
) -> Answer {
    let (pool, contract) = app.called(callee);
    if pool.ready_workers() == 0 {
        return Err(Failure::new(Code::NotReady, "no worker is ready"));
    }
    let arrived = Instant::now();
    let deadline = match (contract.latency, &contract.fallback) {
        (Some(objective), Some(_)) => deadline.min(arrived + objective),
        _ => deadline,
    };
    let (answer, answered) = oneshot::channel();
    pool.queue.push(Request { endpoint: callee.endpoint, payload, answer, suspect: false, arrived, origin, room })?;
    match timeout_at(deadline, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Failure::new(Code::WorkerDied, "the model's process ended during the call")),
        Err(_) => Err(Failure::new(Code::Timeout, "the model did not answer in time")),
    }
}

/// Returns the endpoint's fallback where it has one and the failure is none of the request or of the model itself.
fn fall_back(app: &App, callee: Callee, rows: usize, failure: Failure) -> Result<Outcome, Failure> {
    let (pool, contract) = app.called(callee);
    let stands_in =
        matches!(failure.code, Code::QueueFull | Code::Overloaded | Code::NotReady | Code::Timeout | Code::WorkerDied);
    let Some(fallback) = contract.fallback.as_ref().filter(|_| stands_in) else { return Err(failure) };
    let rows = if contract.input.has_rows() { rows } else { 1 };
    if fallback.size().saturating_mul(rows) > MAX_FALLBACK {
        return Err(failure);
    }
    pool.metrics.fell_back(callee.endpoint, failure.code);
    let payload = if contract.output.has_rows() { fallback.repeat(rows) } else { fallback.clone() };
    Ok(Outcome { payload, source: Source::Fallback(failure.code) })
}
