//! The requests that wait for one endpoint, and how many of them make a call.
//!
//! Where the endpoint has a latency objective, a call may take half of it: a request that comes just after one began waits
//! for its end, and then takes as long itself. Requests that cannot make it any more are refused, to spare the time of those
//! that can.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::pace::Pace;
use super::{Limits, Request};
use crate::server::failure::{Code, Failure};

/// How much longer than that of one row a call may take, whatever the objective: merging costs little there.
const MERGED: f64 = 1.5;

/// The share of the objective that a request always may wait.
const HARDLY: f64 = 0.1;

/// The requests that wait for one endpoint, oldest first.
#[derive(Debug)]
pub(super) struct Lane {
    limits: Limits,
    requests: VecDeque<Request>,
    /// The rows of all of them.
    rows: usize,
    /// How long calls take.
    pub(super) pace: Pace,
    /// How long workers were busy for this endpoint; a lane that comes back after a pause begins where the others are.
    pub(super) served: Duration,
}

impl Lane {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, requests: VecDeque::new(), rows: 0, pace: Pace::default(), served: Duration::ZERO }
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn first(&self) -> Option<&Request> {
        self.requests.front()
    }

    pub(super) fn push_last(&mut self, request: Request) {
        self.rows += request.payload.rows();
        self.requests.push_back(request);
    }

    pub(super) fn push_first(&mut self, request: Request) {
        self.rows += request.payload.rows();
        self.requests.push_front(request);
    }

    fn pop_first(&mut self) -> Option<Request> {
        let request = self.requests.pop_front()?;
        self.rows -= request.payload.rows();
        Some(request)
    }

    pub(super) fn pop_last(&mut self) -> Option<Request> {
        let request = self.requests.pop_back()?;
        self.rows -= request.payload.rows();
        Some(request)
    }

    /// Removes all requests.
    pub(super) fn clear(&mut self) -> VecDeque<Request> {
        self.rows = 0;
        std::mem::take(&mut self.requests)
    }

    /// Removes the requests that nobody waits for any more.
    pub(super) fn drop_abandoned(&mut self) {
        self.requests.retain(|request| !request.answer.is_closed());
        self.rows = self.requests.iter().map(|request| request.payload.rows()).sum();
    }

    /// Returns how many rows the next merged call may have. An objective that not even one row meets limits nothing.
    fn max_rows(&self) -> usize {
        let Some(objective) = self.limits.latency else { return self.limits.max_rows };
        let alone = self.pace.expect(1);
        let merged = alone.mul_f64(MERGED);
        let longest = if alone > objective { merged } else { merged.clamp(objective / 2, objective) };
        self.pace.rows_within(longest).min(self.limits.max_rows)
    }

    /// Takes the first request and those after it that can be merged with it, in order, until one does not fit.
    pub(super) fn take(&mut self, now: Instant) -> Vec<Request> {
        let max_rows = self.max_rows();
        self.refuse_late(now, max_rows);
        let mut batch: Vec<Request> = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        while let Some(next) = self.requests.front() {
            let wanted = !next.answer.is_closed();
            if wanted {
                rows += next.payload.rows();
                bytes += next.payload.size();
                let first = batch.first().unwrap_or(next);
                let merges = self.limits.merge && !first.suspect && !next.suspect && first.payload.fits(&next.payload);
                let goes_along = merges && rows <= max_rows && bytes <= self.limits.max_bytes;
                if !batch.is_empty() && !goes_along {
                    break;
                }
            }
            let next = self.pop_first().expect("there is a front");
            if wanted {
                batch.push(next);
            }
        }
        batch
    }

    /// Refuses the oldest requests until the first is one that the call about to be made answers in time.
    fn refuse_late(&mut self, now: Instant, max_rows: usize) {
        while let Some(first) = self.requests.front() {
            let rows = first.payload.rows();
            let merged = if self.limits.merge { self.rows.min(max_rows).max(rows) } else { rows };
            if !self.is_late(rows, now - first.arrived, self.call(merged, self.rows > merged)) {
                return;
            }
            let first = self.pop_first().expect("there is a front");
            first.refuse(late());
        }
    }

    /// Returns how long the calls take that come before that of a request with as many rows, and how long its own one takes.
    /// Later requests join that one: it is as large as calls are of late, if not larger.
    pub(super) fn backlog(&self, rows: usize) -> (Duration, Duration) {
        if !self.limits.merge {
            let calls = self.requests.len();
            return (self.pace.expect(self.rows / calls.max(1)) * calls as u32, self.call(rows, calls > 0));
        }
        let max_rows = self.max_rows();
        let before = self.pace.expect(max_rows) * (self.rows / max_rows) as u32;
        let merged = (self.rows % max_rows + rows).max(self.pace.usual_rows()).min(max_rows);
        (before, self.call(merged.max(rows), self.rows >= max_rows))
    }

    /// Returns how long a call takes. A margin is kept where `others` wait who can have the place of whoever is late; where nobody
    /// does, refusing would help no one.
    fn call(&self, rows: usize, others: bool) -> Duration {
        if others { self.pace.expect_at_most(rows) } else { self.pace.expect(rows) }
    }

    /// Returns whether a request would be answered too late after such a wait and call. One whose rows take longer than the
    /// objective by themselves is not refused for it, as it could never be served; nor is one that hardly waits, as a model that
    /// is thought to be slow would otherwise not be called again, and nothing be learnt of it.
    pub(super) fn is_late(&self, rows: usize, wait: Duration, call: Duration) -> bool {
        self.limits.latency.is_some_and(|objective| {
            let waits = wait > objective.mul_f64(HARDLY);
            waits && wait + call > objective && self.pace.expect(rows) <= objective
        })
    }

    pub(super) fn has_objective(&self) -> bool {
        self.limits.latency.is_some()
    }
}

/// The failure of a request that would be answered too late.
pub(super) fn late() -> Failure {
    Failure::new(Code::Overloaded, "too many requests are waiting to answer this one in time")
}
