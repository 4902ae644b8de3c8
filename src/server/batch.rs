//! Requests that wait for a worker, and how they are merged. There is no timer: an idle worker takes the oldest request
//! at once, and with it what else waits for the same endpoint and fits.
//!
//! Workers pull; nothing here knows how many there are or what they do.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::data::Payload;
use super::failure::{Code, Failure};

/// Bytes that one merged call may have.
const MAX_BATCH_BYTES: usize = 64 << 20;

/// What a request comes to.
pub type Answer = Result<Payload, Failure>;

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
}

/// The requests that wait, by endpoint.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    max_waiting: usize,
    max_rows: usize,
}

#[derive(Debug)]
struct Waiting {
    lanes: Vec<Lane>,
    count: usize,
    next_ticket: u64,
}

#[derive(Debug)]
struct Lane {
    batch: bool,
    requests: VecDeque<(u64, Request)>,
}

impl Queue {
    /// Returns an empty queue with one lane for each endpoint; `batch` says which may be merged.
    pub fn new(batch: impl IntoIterator<Item = bool>, max_waiting: usize, max_rows: usize) -> Self {
        let lanes = batch.into_iter().map(|batch| Lane { batch, requests: VecDeque::new() }).collect();
        let waiting = Mutex::new(Waiting { lanes, count: 0, next_ticket: 0 });
        Self { waiting, arrived: Notify::new(), max_waiting, max_rows }
    }

    /// Adds a request, or refuses it where too many wait.
    pub fn push(&self, request: Request) -> Result<(), Failure> {
        let mut waiting = self.lock();
        if waiting.count >= self.max_waiting {
            waiting.drop_abandoned();
        }
        if waiting.count >= self.max_waiting {
            return Err(Failure::new(Code::QueueFull, "too many requests are waiting"));
        }
        waiting.next_ticket += 1;
        let (ticket, endpoint) = (waiting.next_ticket, request.endpoint);
        waiting.lanes[endpoint].requests.push_back((ticket, request));
        waiting.count += 1;
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Puts requests back in front, each to be called alone.
    pub fn retry(&self, requests: Vec<Request>) {
        let mut waiting = self.lock();
        for mut request in requests.into_iter().rev() {
            request.suspect = true;
            let endpoint = request.endpoint;
            waiting.lanes[endpoint].requests.push_front((0, request));
            waiting.count += 1;
            self.arrived.notify_one();
        }
    }

    /// Returns how many requests wait.
    pub fn waiting(&self) -> usize {
        self.lock().count
    }

    /// Answers everything that waits with `failure`.
    pub fn fail_all(&self, failure: &Failure) {
        let mut waiting = self.lock();
        waiting.count = 0;
        for (_, request) in waiting.lanes.iter_mut().flat_map(|lane| lane.requests.drain(..)) {
            // Nobody may be waiting any more.
            let _ = request.answer.send(Err(failure.clone()));
        }
    }

    /// Waits for the next requests that are to be one call. Nothing is lost where the future is dropped.
    pub async fn next(&self) -> Vec<Request> {
        loop {
            let batch = self.lock().take(self.max_rows);
            if !batch.is_empty() {
                return batch;
            }
            self.arrived.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take(&mut self, max_rows: usize) -> Vec<Request> {
        loop {
            let oldest = |lane: &&mut Lane| lane.requests.front().map_or(u64::MAX, |(ticket, _)| *ticket);
            let Some(lane) = self.lanes.iter_mut().filter(|lane| !lane.requests.is_empty()).min_by_key(oldest) else {
                return Vec::new();
            };
            let before = lane.requests.len();
            let batch = lane.take(max_rows);
            self.count -= before - lane.requests.len();
            if !batch.is_empty() {
                return batch;
            }
        }
    }

    fn drop_abandoned(&mut self) {
        for lane in &mut self.lanes {
            lane.requests.retain(|(_, request)| !request.answer.is_closed());
        }
        self.count = self.lanes.iter().map(|lane| lane.requests.len()).sum();
    }
}

impl Lane {
    /// Takes the first request and those after it that can be merged with it, in order, until one does not fit.
    fn take(&mut self, max_rows: usize) -> Vec<Request> {
        let mut batch: Vec<Request> = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        while let Some((_, next)) = self.requests.front() {
            if !next.answer.is_closed() {
                rows += next.payload.rows();
                bytes += next.payload.size();
                let first = batch.first().unwrap_or(next);
                let merges = self.batch && !first.suspect && !next.suspect && first.payload.fits(&next.payload);
                let goes_along = merges && rows <= max_rows && bytes <= MAX_BATCH_BYTES;
                if !batch.is_empty() && !goes_along {
                    break;
                }
            }
            let (_, next) = self.requests.pop_front().expect("there is a front");
            if !next.answer.is_closed() {
                batch.push(next);
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::data::Table;

    fn request(endpoint: usize, rows: usize) -> (Request, oneshot::Receiver<Answer>) {
        let (answer, receiver) = oneshot::channel();
        let payload = Payload::Table(Table { rows, columns: Vec::new() });
        (Request { endpoint, payload, answer, suspect: false, arrived: Instant::now() }, receiver)
    }

    fn rows(batch: &[Request]) -> Vec<usize> {
        batch.iter().map(|request| request.payload.rows()).collect()
    }

    fn take(queue: &Queue) -> Vec<Request> {
        queue.lock().take(queue.max_rows)
    }

    #[test]
    fn what_waits_is_merged_up_to_the_row_limit_in_order() {
        let queue = Queue::new([true], 100, 4);
        let _waiting: Vec<_> = [1, 2, 2, 9, 1]
            .map(|rows| {
                let (request, receiver) = request(0, rows);
                queue.push(request).unwrap();
                receiver
            })
            .into();
        assert_eq!(rows(&take(&queue)), [1, 2]);
        assert_eq!(rows(&take(&queue)), [2]);
        assert_eq!(rows(&take(&queue)), [9], "a large request goes alone");
        assert_eq!(rows(&take(&queue)), [1]);
        assert!(take(&queue).is_empty());
    }

    #[test]
    fn endpoints_take_turns_by_age_and_keep_apart() {
        let queue = Queue::new([true, false], 100, 10);
        let mut waiting = Vec::new();
        for (endpoint, rows) in [(1, 1), (0, 2), (1, 3), (0, 4)] {
            let (request, receiver) = request(endpoint, rows);
            queue.push(request).unwrap();
            waiting.push(receiver);
        }
        assert_eq!(rows(&take(&queue)), [1], "not batched");
        assert_eq!(rows(&take(&queue)), [2, 4]);
        assert_eq!(rows(&take(&queue)), [3]);
    }

    #[test]
    fn a_full_queue_refuses_and_abandoned_requests_make_room() {
        let queue = Queue::new([true], 2, 10);
        let (one, gone) = request(0, 1);
        let (two, _kept) = request(0, 2);
        queue.push(one).unwrap();
        queue.push(two).unwrap();
        let (three, _refused) = request(0, 3);
        assert_eq!(queue.push(three).unwrap_err().code, Code::QueueFull);
        drop(gone);
        let (four, _kept_too) = request(0, 4);
        queue.push(four).unwrap();
        assert_eq!(rows(&take(&queue)), [2, 4]);
    }

    #[test]
    fn suspects_go_first_and_alone() {
        let queue = Queue::new([true], 10, 10);
        let (one, _one) = request(0, 1);
        let (two, _two) = request(0, 2);
        let (three, _three) = request(0, 3);
        queue.push(one).unwrap();
        queue.retry(vec![two, three]);
        assert_eq!(rows(&take(&queue)), [2]);
        assert_eq!(rows(&take(&queue)), [3]);
        assert_eq!(rows(&take(&queue)), [1]);
    }
}
