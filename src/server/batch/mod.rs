//! Requests that wait for a worker, how they are merged, and which are refused. There is no timer: an idle worker takes what
//! waits at once, and with a request what else waits for the same endpoint and fits.
//!
//! The endpoints share the workers' time evenly: next is the one that workers were busy for the least. Workers pull; nothing
//! here knows what they do.

mod lane;
mod pace;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use self::lane::Lane;
use super::bodies::Room;
use super::call::Times;
use super::data::Payload;
use super::failure::{Code, Failure};
use super::trace::Origin;
use crate::service::{Endpoint, Server};

pub use pace::Pace;

/// What a request comes to: a result and how long its parts took, or a failure.
pub type Answer = Result<(Payload, Times), Failure>;

/// A request that waits for a worker.
#[derive(Debug)]
pub struct Request {
    /// The endpoint's number.
    pub endpoint: usize,
    /// What to call it with.
    pub payload: Payload,
    /// Where the answer goes; closed once nobody waits for it any more.
    pub answer: oneshot::Sender<Answer>,
    /// Set once a worker died with it: it is not merged again, so that it cannot take others along.
    pub suspect: bool,
    /// When it came.
    pub arrived: Instant,
    /// Which request of a client it is, for the log.
    pub origin: Origin,
    /// What the payload's body has of the room that all share.
    pub room: Option<Arc<Room>>,
}

impl Request {
    /// Answers with a failure.
    pub fn refuse(self, failure: Failure) {
        // Nobody may be waiting any more.
        let _ = self.answer.send(Err(failure));
    }
}

/// How the requests of one endpoint may be merged.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Whether they may be at all.
    pub merge: bool,
    /// Rows that a merged call may have.
    pub max_rows: usize,
    /// Bytes that a merged call may have.
    pub max_bytes: usize,
    /// The time from a request to its answer that is aimed at.
    pub latency: Option<Duration>,
}

impl Limits {
    /// Returns the limits of an endpoint, the server's own where it names none.
    pub fn new(endpoint: &Endpoint, server: &Server) -> Self {
        Self {
            merge: endpoint.batch,
            max_rows: endpoint.max_batch_rows.unwrap_or(server.max_batch_rows).max(1) as usize,
            max_bytes: endpoint.max_batch_bytes.unwrap_or(server.max_batch_bytes) as usize,
            latency: endpoint.latency_ms.map(Duration::from_millis),
        }
    }
}

/// The requests that wait, by endpoint.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug)]
struct Waiting {
    lanes: Vec<Lane>,
    capacity: usize,
    workers: usize,
    /// When each busy worker should have answered.
    busy: HashMap<usize, Instant>,
    /// How long the lane that was last taken from had been served.
    served: Duration,
}

impl Queue {
    /// Returns an empty queue with one lane for each endpoint, for as many requests and workers.
    pub fn new(limits: impl IntoIterator<Item = Limits>, capacity: usize, workers: usize) -> Self {
        let lanes = limits.into_iter().map(Lane::new).collect();
        let waiting = Waiting { lanes, capacity, workers, busy: HashMap::new(), served: Duration::ZERO };
        Self { waiting: Mutex::new(waiting), arrived: Notify::new() }
    }

    /// Adds a request, or refuses it where too many wait, or it would be answered too late.
    pub fn push(&self, request: Request) -> Result<(), Failure> {
        self.lock().push(request)?;
        self.arrived.notify_one();
        Ok(())
    }

    /// Puts requests back in front, each to be called alone.
    pub fn retry(&self, requests: Vec<Request>) {
        let mut waiting = self.lock();
        for mut request in requests.into_iter().rev() {
            request.suspect = true;
            let endpoint = request.endpoint;
            waiting.lanes[endpoint].push_first(request);
            self.arrived.notify_one();
        }
    }

    /// Returns how many requests wait.
    pub fn waiting(&self) -> usize {
        self.lock().count()
    }

    /// Answers everything that waits with `failure`.
    pub fn fail_all(&self, failure: &Failure) {
        let mut waiting = self.lock();
        for request in waiting.lanes.iter_mut().flat_map(Lane::clear) {
            request.refuse(failure.clone());
        }
    }

    /// Waits for the next requests that are to be one call of this worker. Nothing is lost where the future is dropped.
    pub async fn next(&self, worker: usize) -> Vec<Request> {
        loop {
            let batch = self.take(worker, Instant::now());
            if !batch.is_empty() {
                return batch;
            }
            self.arrived.notified().await;
        }
    }

    /// Takes what is to be the next call of this worker, which is idle; nothing where nothing waits.
    pub fn take(&self, worker: usize, now: Instant) -> Vec<Request> {
        self.lock().take(worker, now)
    }

    /// Notes that a worker was busy for an endpoint; where it gave a result, how long that took is learnt from.
    pub fn called(&self, endpoint: usize, rows: usize, took: Duration, succeeded: bool) {
        let lane = &mut self.lock().lanes[endpoint];
        lane.served += took;
        if succeeded {
            lane.pace.observe(rows, took);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, request: Request) -> Result<(), Failure> {
        let (endpoint, rows) = (request.endpoint, request.payload.rows());
        if self.lanes[endpoint].has_objective() {
            let (wait, call) = self.foresee(&request);
            if self.lanes[endpoint].is_late(rows, wait, call) {
                return Err(lane::late());
            }
        }
        if self.count() >= self.capacity && !self.make_room(endpoint) {
            return Err(crowded());
        }
        let served = self.served;
        let lane = &mut self.lanes[endpoint];
        if lane.is_empty() {
            lane.served = lane.served.max(served);
        }
        lane.push_last(request);
        Ok(())
    }

    /// Foresees how long a request will wait, until a worker is free and for the calls before its own, and how long that one takes.
    /// The other endpoints that have requests waiting get as much of the workers' time as this one.
    fn foresee(&self, request: &Request) -> (Duration, Duration) {
        let free = match self.busy.values().min() {
            Some(free) if self.busy.len() >= self.workers => free.saturating_duration_since(request.arrived),
            _ => Duration::ZERO,
        };
        let other = |(number, lane): &(usize, &Lane)| *number != request.endpoint && !lane.is_empty();
        let others = self.lanes.iter().enumerate().filter(other).count() as u32;
        let (before, own) = self.lanes[request.endpoint].backlog(request.payload.rows());
        (free + (before * (others + 1) + own * others) / self.workers as u32, own)
    }

    fn take(&mut self, worker: usize, now: Instant) -> Vec<Request> {
        self.busy.remove(&worker);
        loop {
            let waiting = self.lanes.iter_mut().filter(|lane| !lane.is_empty());
            let Some(lane) = waiting.min_by_key(|lane| (lane.served, lane.first().map(|request| request.arrived)))
            else {
                return Vec::new();
            };
            self.served = self.served.max(lane.served);
            let batch = lane.take(now);
            if !batch.is_empty() {
                let rows = batch.iter().map(|request| request.payload.rows()).sum();
                self.busy.insert(worker, now + lane.pace.expect(rows));
                return batch;
            }
        }
    }

    /// Makes room for a request of this endpoint: of those that nobody waits for, else of the endpoint that has the most waiting.
    fn make_room(&mut self, endpoint: usize) -> bool {
        self.lanes.iter_mut().for_each(Lane::drop_abandoned);
        if self.count() < self.capacity {
            return true;
        }
        let own = self.lanes[endpoint].len();
        let longest = self.lanes.iter_mut().max_by_key(|lane| lane.len());
        let longest = longest.filter(|lane| lane.len() > own + 1);
        let Some(last) = longest.and_then(Lane::pop_last) else { return false };
        last.refuse(crowded());
        true
    }

    fn count(&self) -> usize {
        self.lanes.iter().map(Lane::len).sum()
    }
}

fn crowded() -> Failure {
    Failure::new(Code::QueueFull, "too many requests are waiting")
}

#[cfg(test)]
mod tests;
