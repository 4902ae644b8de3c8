//! What the server counts, and `/metrics`: Prometheus' text format 0.0.4. Everything counts since the start.
//!
//! Who counts never waits: all of it is atomic numbers whose places are known from the contract.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use super::app::App;
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

/// All counters of the server.
#[derive(Debug)]
pub struct Metrics {
    endpoints: Vec<EndpointMetrics>,
    /// Requests that named no endpoint, or one that is not there.
    unknown: Answers,
    worker_starts: AtomicU64,
    /// The process of each worker; 0 where it is away.
    worker_processes: Vec<AtomicI32>,
    feedback: AtomicU64,
}

#[derive(Debug)]
struct EndpointMetrics {
    answers: Answers,
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

impl Metrics {
    /// Returns counters at zero for this many endpoints and workers.
    pub fn new(endpoints: usize, workers: usize) -> Self {
        let endpoint = || EndpointMetrics {
            answers: Answers::default(),
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
            unknown: Answers::default(),
            worker_starts: AtomicU64::new(0),
            worker_processes: (0..workers).map(|_| AtomicI32::new(0)).collect(),
            feedback: AtomicU64::new(0),
        }
    }

    /// Counts an answered request; `None` for the code is success.
    pub fn answered(&self, endpoint: Option<usize>, protocol: Option<Protocol>, code: Option<Code>, took: Duration) {
        match endpoint.map(|endpoint| &self.endpoints[endpoint]) {
            Some(endpoint) => {
                endpoint.answers.count(protocol, code);
                endpoint.duration.observe(micros(took));
            }
            None => self.unknown.count(protocol, code),
        }
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

    /// Counts a feedback message.
    pub fn feedback(&self) {
        self.feedback.fetch_add(1, Ordering::Relaxed);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Counts of values by size.
#[derive(Debug)]
struct Histogram {
    bounds: &'static [u64],
    /// One more than bounds: the last counts what is larger than all.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
    /// What a written unit is in counted ones.
    scale: f64,
}

impl Histogram {
    fn new(bounds: &'static [u64], scale: f64) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0), scale }
    }

    fn observe(&self, value: u64) {
        self.counts[self.bounds.partition_point(|&bound| bound < value)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn write(&self, page: &mut Page, name: &str, labels: &[(&str, &str)]) {
        let mut total = 0;
        let bounds = self.bounds.iter().map(|&bound| (bound as f64 / self.scale).to_string());
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(&self.counts) {
            total += count.load(Ordering::Relaxed);
            page.sample(&format!("{name}_bucket"), &[labels, &[("le", &bound)]].concat(), total as f64);
        }
        page.sample(&format!("{name}_sum"), labels, self.sum.load(Ordering::Relaxed) as f64 / self.scale);
        page.sample(&format!("{name}_count"), labels, total as f64);
    }
}

/// A page in Prometheus' text format.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("writing to a String cannot fail");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let open = if position == 0 { '{' } else { ',' };
            write!(self.0, "{open}{label}=\"{text}\"").expect("writing to a String cannot fail");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        writeln!(self.0, "{close} {value}").expect("writing to a String cannot fail");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// Chooses one of an endpoint's histograms.
type Choose = fn(&EndpointMetrics) -> &Histogram;

/// Returns the page of all metrics.
pub fn page(app: &App) -> String {
    let mut page = Page::default();
    let metrics = &app.metrics;
    let info = [("name", app.service.name.as_str()), ("version", app.service.version.as_str())];
    page.family("mlpack_model_info", "gauge", "The model that is served.");
    page.sample("mlpack_model_info", &info, 1.0);
    write_requests(&mut page, app);
    let histograms: [(&str, &str, Choose); 4] = [
        ("mlpack_request_duration_seconds", "From a request's head to its answer.", |endpoint| &endpoint.duration),
        ("mlpack_queue_duration_seconds", "How long requests waited for a worker.", |endpoint| &endpoint.queue),
        ("mlpack_model_duration_seconds", "How long calls of the model took.", |endpoint| &endpoint.model),
        ("mlpack_batch_rows", "Rows in one call of the model.", |endpoint| &endpoint.rows),
    ];
    for (name, help, histogram) in histograms {
        page.family(name, "histogram", help);
        for (endpoint, counts) in app.endpoints.iter().zip(&metrics.endpoints) {
            histogram(counts).write(&mut page, name, &[("endpoint", &endpoint.name)]);
        }
    }
    write_stages(&mut page, app);
    write_caches(&mut page, app);
    write_fallbacks(&mut page, app);
    write_server(&mut page, app);
    page.0
}

fn write_requests(page: &mut Page, app: &App) {
    const NAME: &str = "mlpack_requests_total";
    page.family(NAME, "counter", "Answered requests by endpoint, protocol and code; `ok` is success.");
    let endpoints = app.endpoints.iter().map(|endpoint| endpoint.name.as_str()).zip(&app.metrics.endpoints);
    let answers = endpoints.map(|(name, counts)| (name, &counts.answers)).chain([("", &app.metrics.unknown)]);
    for (endpoint, answers) in answers {
        for (counts, (_, protocol)) in answers.0.iter().zip(PROTOCOLS) {
            let codes = std::iter::once("ok").chain(Code::ALL.map(Code::text));
            for (count, code) in counts.iter().zip(codes) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let labels = [("endpoint", endpoint), ("protocol", protocol), ("code", code)];
                    page.sample(NAME, &labels, count as f64);
                }
            }
        }
    }
}

fn write_stages(page: &mut Page, app: &App) {
    const NAME: &str = "mlpack_stage_duration_seconds";
    page.family(NAME, "histogram", "How long each of the service's functions took in a call, where there are several.");
    for (endpoint, counts) in app.endpoints.iter().zip(&app.metrics.endpoints).filter(|(endpoint, _)| endpoint.staged) {
        for (stage, histogram) in STAGES.into_iter().zip(&counts.stages) {
            histogram.write(page, NAME, &[("endpoint", &endpoint.name), ("stage", stage)]);
        }
    }
}

fn write_caches(page: &mut Page, app: &App) {
    let endpoints = || app.endpoints.iter().zip(&app.metrics.endpoints).zip(&app.caches);
    let cached =
        || endpoints().filter_map(|((endpoint, counts), cache)| Some((&endpoint.name, counts, cache.as_ref()?)));
    page.family(
        "mlpack_cache_requests_total",
        "counter",
        "Calls that were looked up in the cache, by what came of it.",
    );
    for (name, counts, _) in cached() {
        for (result, count) in [("hit", &counts.cache_hits), ("miss", &counts.cache_misses)] {
            let labels = [("endpoint", name.as_str()), ("result", result)];
            page.sample("mlpack_cache_requests_total", &labels, count.load(Ordering::Relaxed) as f64);
        }
    }
    page.family("mlpack_cache_bytes", "gauge", "Memory of the results that are remembered.");
    for (name, _, cache) in cached() {
        page.sample("mlpack_cache_bytes", &[("endpoint", name)], cache.bytes() as f64);
    }
}

fn write_fallbacks(page: &mut Page, app: &App) {
    const NAME: &str = "mlpack_fallbacks_total";
    page.family(NAME, "counter", "Calls answered with the endpoint's fallback, by the code that it stood in for.");
    for (endpoint, counts) in app.endpoints.iter().zip(&app.metrics.endpoints) {
        for (code, count) in Code::ALL.iter().zip(&counts.fallbacks) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                page.sample(NAME, &[("endpoint", &endpoint.name), ("code", code.text())], count as f64);
            }
        }
    }
}

fn write_server(page: &mut Page, app: &App) {
    let metrics = &app.metrics;
    let starts = metrics.worker_starts.load(Ordering::Relaxed);
    let restarts = starts.saturating_sub(app.workers as u64);
    let feedback = metrics.feedback.load(Ordering::Relaxed);
    page.single("mlpack_requests_in_flight", "gauge", "Requests that are being answered.", app.running() as f64);
    page.single("mlpack_connections", "gauge", "Connections that are open.", app.connections.count() as f64);
    page.single("mlpack_queue_requests", "gauge", "Requests that wait for a worker.", app.queue.waiting() as f64);
    page.single("mlpack_workers", "gauge", "Workers that there should be.", app.workers as f64);
    page.single("mlpack_workers_ready", "gauge", "Workers that are ready.", app.ready_workers() as f64);
    page.single("mlpack_worker_restarts_total", "counter", "Workers started again.", restarts as f64);
    if let Some(tracer) = &app.tracer {
        let (sent, dropped) = tracer.counts();
        page.single("mlpack_spans_sent_total", "counter", "Spans that the collector took.", sent as f64);
        page.single("mlpack_spans_dropped_total", "counter", "Spans that could not be sent.", dropped as f64);
    }
    page.single("mlpack_feedback_total", "counter", "Feedback messages received.", feedback as f64);
    let own = resident("self");
    page.single("process_resident_memory_bytes", "gauge", "Memory of the server's own process.", own as f64);
    let workers: u64 = app.reaper.children().iter().map(|pid| proportional(&pid.to_string())).sum();
    let help = "Memory of all children; what they share counts once where the system tells it apart.";
    page.single("mlpack_workers_resident_memory_bytes", "gauge", help, workers as f64);
    write_workers(page, metrics);
}

fn write_workers(page: &mut Page, metrics: &Metrics) {
    const NAME: &str = "mlpack_worker_resident_memory_bytes";
    page.family(NAME, "gauge", "Memory of each worker, with what it shares with others.");
    for (place, process) in metrics.worker_processes.iter().enumerate() {
        let memory = resident(&process.load(Ordering::Relaxed).to_string());
        page.sample(NAME, &[("worker", &(place + 1).to_string())], memory as f64);
    }
}

/// Returns the resident memory of a process in bytes; 0 where it has gone.
fn resident(process: &str) -> u64 {
    memory(&format!("/proc/{process}/status"), "VmRSS:").unwrap_or_default()
}

/// Returns a process's part of the memory that it shares with others, and all that it does not share, in bytes. Not every system
/// tells it; then it is the resident memory.
fn proportional(process: &str) -> u64 {
    memory(&format!("/proc/{process}/smaps_rollup"), "Pss:").unwrap_or_else(|| resident(process))
}

/// Reads a line of one of the system's files on memory.
fn memory(file: &str, key: &str) -> Option<u64> {
    let content = std::fs::read_to_string(file).ok()?;
    let line = content.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes << 10)
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

    #[test]
    fn histograms_count_up_to_and_including_their_bounds() {
        let histogram = Histogram::new(&[1_000, 5_000], 1e6);
        for value in [1_000, 1_001, 9_000_000] {
            histogram.observe(value);
        }
        let mut page = Page::default();
        histogram.write(&mut page, "t", &[("endpoint", "e")]);
        assert_eq!(
            page.0,
            "t_bucket{endpoint=\"e\",le=\"0.001\"} 1\nt_bucket{endpoint=\"e\",le=\"0.005\"} 2\n\
             t_bucket{endpoint=\"e\",le=\"+Inf\"} 3\nt_sum{endpoint=\"e\"} 9.002001\nt_count{endpoint=\"e\"} 3\n"
        );
    }

    #[test]
    fn shared_memory_counts_in_parts() {
        let (own, whole) = (proportional("self"), resident("self"));
        assert!(own > 0 && own <= whole + (1 << 20), "{own} of {whole}");
        assert_eq!((proportional("none"), resident("none")), (0, 0));
    }

    #[test]
    fn labels_are_escaped() {
        let mut page = Page::default();
        page.sample("m", &[("a", "\"\\\n")], 1.0);
        assert_eq!(page.0, "m{a=\"\\\"\\\\\\n\"} 1\n");
    }
}
