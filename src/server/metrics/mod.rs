//! What the server counts, most of it for each version of the model. Everything counts since the start.
//!
//! Who counts never waits: all of it is atomic numbers whose places are known from the contract. How it is written is [`page`]'s
//! part.

mod histogram;
mod memory;
mod page;

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use self::histogram::Histogram;
pub use self::memory::Memory;
pub use self::page::page;
use super::call::Stages;
use super::failure::Code;
use crate::service::Protocol;

/// Upper bounds in microseconds.
const TIMES: &[u64] = &[
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];
const MICROS: f64 = 1e6;
/// Upper bounds in rows.
const ROWS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096];

/// The functions of an endpoint as labels, in order.
const STAGES: [&str; 3] = ["preprocess", "model", "postprocess"];

/// The protocols as labels; `None` is the server's own.
const PROTOCOLS: [(Option<Protocol>, &str); 9] = [
    (None, "own"),
    (Some(Protocol::V2), "v2"),
    (Some(Protocol::Grpc), "grpc"),
    (Some(Protocol::Kserve), "kserve"),
    (Some(Protocol::Tensorflow), "tensorflow"),
    (Some(Protocol::Mlflow), "mlflow"),
    (Some(Protocol::Vertex), "vertex"),
    (Some(Protocol::Seldon), "seldon"),
    (Some(Protocol::Vetiver), "vetiver"),
];

/// Returns a protocol's name in metrics and logs.
pub fn protocol_name(protocol: Option<Protocol>) -> &'static str {
    PROTOCOLS[place(protocol)].1
}

fn place(protocol: Option<Protocol>) -> usize {
    protocol.map_or(0, |protocol| protocol as usize + 1)
}

/// What is counted of no version in particular.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests that named no endpoint or version, or one that is not there.
    unknown: Answers,
    feedback: AtomicU64,
}

impl Metrics {
    /// Counts an answered request that called no endpoint; `None` for the code is success.
    pub fn answered(&self, protocol: Option<Protocol>, code: Option<Code>) {
        self.unknown.count(protocol, code);
    }

    /// Counts a feedback message.
    pub fn feedback(&self) {
        self.feedback.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is counted of one version's workers.
#[derive(Debug)]
pub struct PoolMetrics {
    endpoints: Vec<EndpointMetrics>,
    worker_starts: AtomicU64,
    /// The process of each worker; 0 where it is away.
    worker_processes: Vec<AtomicI32>,
}

#[derive(Debug)]
struct EndpointMetrics {
    answers: Answers,
    in_flight: AtomicU64,
    duration: Histogram,
    queue: Histogram,
    model: Histogram,
    rows: Histogram,
    /// In the order of [`STAGES`].
    stages: [Histogram; 3],
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
    /// By the code that each stood in for.
    fallbacks: [AtomicU64; Code::ALL.len()],
}

/// Answers by protocol and code; the first code is success.
#[derive(Debug, Default)]
struct Answers([[AtomicU64; Code::ALL.len() + 1]; PROTOCOLS.len()]);

impl Answers {
    fn count(&self, protocol: Option<Protocol>, code: Option<Code>) {
        self.0[place(protocol)][code.map_or(0, |code| code as usize + 1)].fetch_add(1, Ordering::Relaxed);
    }
}

impl PoolMetrics {
    /// Returns counters at zero for this many endpoints and workers.
    pub fn new(endpoints: usize, workers: usize) -> Self {
        let endpoint = || EndpointMetrics {
            answers: Answers::default(),
            in_flight: AtomicU64::new(0),
            duration: Histogram::new(TIMES, MICROS),
            queue: Histogram::new(TIMES, MICROS),
            model: Histogram::new(TIMES, MICROS),
            rows: Histogram::new(ROWS, 1.0),
            stages: std::array::from_fn(|_| Histogram::new(TIMES, MICROS)),
            cache_hits: AtomicU64::new(0),
            cache_misses: AtomicU64::new(0),
            fallbacks: Default::default(),
        };
        Self {
            endpoints: (0..endpoints).map(|_| endpoint()).collect(),
            worker_starts: AtomicU64::new(0),
            worker_processes: (0..workers).map(|_| AtomicI32::new(0)).collect(),
        }
    }

    /// Counts a request that calls an endpoint, until it has [`left`](Self::left).
    pub fn entered(&self, endpoint: usize) {
        self.endpoints[endpoint].in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request as answered, or as calling something else.
    pub fn left(&self, endpoint: usize) {
        self.endpoints[endpoint].in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts an answered request; `None` for the code is success.
    pub fn answered(&self, endpoint: usize, protocol: Option<Protocol>, code: Option<Code>, took: Duration) {
        let endpoint = &self.endpoints[endpoint];
        endpoint.answers.count(protocol, code);
        endpoint.duration.observe(micros(took));
    }

    /// Counts how long a request waited for a worker.
    pub fn waited(&self, endpoint: usize, time: Duration) {
        self.endpoints[endpoint].queue.observe(micros(time));
    }

    /// Counts a call of the model, with all the rows that were merged for it.
    pub fn called(&self, endpoint: usize, rows: usize, took: Duration) {
        self.endpoints[endpoint].model.observe(micros(took));
        self.endpoints[endpoint].rows.observe(rows as u64);
    }

    /// Counts how long the functions of an endpoint took.
    pub fn staged(&self, endpoint: usize, stages: Stages) {
        let times = [stages.preprocess, stages.model, stages.postprocess];
        for (histogram, time) in self.endpoints[endpoint].stages.iter().zip(times) {
            histogram.observe(micros(time));
        }
    }

    /// Counts a look into the cache.
    pub fn looked_up(&self, endpoint: usize, found: bool) {
        let endpoint = &self.endpoints[endpoint];
        let count = if found { &endpoint.cache_hits } else { &endpoint.cache_misses };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a fallback that stood in for a failure.
    pub fn fell_back(&self, endpoint: usize, code: Code) {
        self.endpoints[endpoint].fallbacks[code as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a worker that was started.
    pub fn worker_started(&self) {
        self.worker_starts.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes which process a worker is, by its number from 1; 0 is none.
    pub fn worker_is(&self, number: usize, process: i32) {
        self.worker_processes[number - 1].store(process, Ordering::Relaxed);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_has_its_own_place() {
        for (position, (protocol, _)) in PROTOCOLS.into_iter().enumerate() {
            assert_eq!(place(protocol), position);
        }
        assert_eq!(Protocol::all().len() + 1, PROTOCOLS.len());
    }
}
