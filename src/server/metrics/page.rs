//! `/metrics`: Prometheus' text format 0.0.4. What belongs to a version of the model has a label for it.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::memory::Memory;
use super::{Answers, EndpointMetrics, Histogram, PROTOCOLS, STAGES};
use crate::server::app::App;
use crate::server::cache::Cache;
use crate::server::contract::Endpoint;
use crate::server::failure::Code;
use crate::server::pool::Pool;

/// A page in Prometheus' text format.
#[derive(Default)]
pub(super) struct Page(pub(super) String);

impl Page {
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("writing to a String cannot fail");
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
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

/// A label with its value.
type Label<'a> = (&'static str, &'a str);

/// What is known of an endpoint of a version.
struct Counted<'a> {
    endpoint: &'a Endpoint,
    counts: &'a EndpointMetrics,
    cache: Option<&'a Cache>,
    labels: [Label<'a>; 2],
}

impl<'a> Counted<'a> {
    /// Returns every endpoint of every version.
    fn all(app: &'a App) -> impl Iterator<Item = Self> {
        app.pools.iter().flat_map(|pool| {
            let parts = app.endpoints.iter().zip(&pool.metrics.endpoints).zip(&pool.caches);
            parts.map(|((endpoint, counts), cache)| Self {
                endpoint,
                counts,
                cache: cache.as_ref(),
                labels: [("endpoint", &endpoint.name), ("version", pool.name())],
            })
        })
    }

    /// Returns the labels with one more.
    fn with(&self, more: Label<'a>) -> [Label<'a>; 3] {
        let [endpoint, version] = self.labels;
        [endpoint, version, more]
    }
}

/// Chooses one of an endpoint's histograms.
type Choose = fn(&EndpointMetrics) -> &Histogram;

/// Returns the page of all metrics.
pub fn page(app: &App, memory: &Memory) -> String {
    let mut page = Page::default();
    page.family("mlpack_model_info", "gauge", "The versions of the model that are served.");
    for pool in &app.pools {
        page.sample("mlpack_model_info", &[("name", app.service.name.as_str()), ("version", pool.name())], 1.0);
    }
    write_requests(&mut page, app);
    write_in_flight(&mut page, app);
    let histograms: [(&str, &str, Choose); 4] = [
        ("mlpack_request_duration_seconds", "From a request's head to its answer.", |endpoint| &endpoint.duration),
        ("mlpack_queue_duration_seconds", "How long requests waited for a worker.", |endpoint| &endpoint.queue),
        ("mlpack_model_duration_seconds", "How long calls of the model took.", |endpoint| &endpoint.model),
        ("mlpack_batch_rows", "Rows in one call of the model.", |endpoint| &endpoint.rows),
    ];
    for (name, help, histogram) in histograms {
        page.family(name, "histogram", help);
        for counted in Counted::all(app) {
            histogram(counted.counts).write(&mut page, name, &counted.labels);
        }
    }
    write_stages(&mut page, app);
    write_caches(&mut page, app);
    write_fallbacks(&mut page, app);
    write_pools(&mut page, app);
    write_workers(&mut page, app, memory);
    write_server(&mut page, app, memory);
    page.0
}

fn write_requests(page: &mut Page, app: &App) {
    const NAME: &str = "mlpack_requests_total";
    page.family(NAME, "counter", "Answered requests by endpoint, version, protocol and code; `ok` is success.");
    for counted in Counted::all(app) {
        write_answers(page, NAME, counted.labels, &counted.counts.answers);
    }
    write_answers(page, NAME, [("endpoint", ""), ("version", "")], &app.metrics.unknown);
}

fn write_in_flight(page: &mut Page, app: &App) {
    const NAME: &str = "mlpack_requests_in_flight";
    page.family(NAME, "gauge", "Requests that are being answered; without an endpoint until it is read from the body.");
    let mut known = 0;
    for counted in Counted::all(app) {
        let count = counted.counts.in_flight.load(Ordering::Relaxed);
        known += count;
        page.sample(NAME, &counted.labels, count as f64);
    }
    let unknown = (app.running() as u64).saturating_sub(known);
    page.sample(NAME, &[("endpoint", ""), ("version", "")], unknown as f64);
}

fn write_answers(page: &mut Page, name: &str, [endpoint, version]: [Label<'_>; 2], answers: &Answers) {
    for (counts, (_, protocol)) in answers.0.iter().zip(PROTOCOLS) {
        let codes = std::iter::once("ok").chain(Code::ALL.map(Code::text));
        for (count, code) in counts.iter().zip(codes) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                page.sample(name, &[endpoint, version, ("protocol", protocol), ("code", code)], count as f64);
            }
        }
    }
}

fn write_stages(page: &mut Page, app: &App) {
    const NAME: &str = "mlpack_stage_duration_seconds";
    page.family(NAME, "histogram", "How long each of the service's functions took in a call, where there are several.");
    for counted in Counted::all(app).filter(|counted| counted.endpoint.staged) {
        for (stage, histogram) in STAGES.into_iter().zip(&counted.counts.stages) {
            histogram.write(page, NAME, &counted.with(("stage", stage)));
        }
    }
}

fn write_caches(page: &mut Page, app: &App) {
    const REQUESTS: &str = "mlpack_cache_requests_total";
    const BYTES: &str = "mlpack_cache_bytes";
    page.family(REQUESTS, "counter", "Calls that were looked up in the cache, by what came of it.");
    for counted in Counted::all(app).filter(|counted| counted.cache.is_some()) {
        for (result, count) in [("hit", &counted.counts.cache_hits), ("miss", &counted.counts.cache_misses)] {
            page.sample(REQUESTS, &counted.with(("result", result)), count.load(Ordering::Relaxed) as f64);
        }
    }
    page.family(BYTES, "gauge", "Memory of the results that are remembered.");
    for (cache, counted) in Counted::all(app).filter_map(|counted| Some((counted.cache?, counted))) {
        page.sample(BYTES, &counted.labels, cache.bytes() as f64);
    }
}

fn write_fallbacks(page: &mut Page, app: &App) {
    const NAME: &str = "mlpack_fallbacks_total";
    page.family(NAME, "counter", "Calls answered with the endpoint's fallback, by the code that it stood in for.");
    for counted in Counted::all(app) {
        for (code, count) in Code::ALL.iter().zip(&counted.counts.fallbacks) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                page.sample(NAME, &counted.with(("code", code.text())), count as f64);
            }
        }
    }
}

/// Gives a number of a version.
type Number = fn(&Pool) -> f64;

fn write_pools(page: &mut Page, app: &App) {
    let families: [(&str, &str, &str, Number); 4] = [
        ("mlpack_queue_requests", "gauge", "Requests that wait for a worker.", |pool| pool.queue.waiting() as f64),
        ("mlpack_workers", "gauge", "Workers that there should be.", |pool| pool.workers as f64),
        ("mlpack_workers_ready", "gauge", "Workers that are ready.", |pool| pool.ready_workers() as f64),
        ("mlpack_worker_restarts_total", "counter", "Workers started again.", |pool| {
            let starts = pool.metrics.worker_starts.load(Ordering::Relaxed);
            starts.saturating_sub(pool.workers as u64) as f64
        }),
    ];
    for (name, kind, help, number) in families {
        page.family(name, kind, help);
        for pool in &app.pools {
            page.sample(name, &[("version", pool.name())], number(pool));
        }
    }
}

fn write_workers(page: &mut Page, app: &App, memory: &Memory) {
    const NAME: &str = "mlpack_worker_resident_memory_bytes";
    page.family(NAME, "gauge", "Memory of each worker, with what it shares with others.");
    for (pool, workers) in app.pools.iter().zip(&memory.workers) {
        for (place, bytes) in workers.iter().enumerate() {
            let labels = [("version", pool.name()), ("worker", &(place + 1).to_string())];
            page.sample(NAME, &labels, *bytes as f64);
        }
    }
}

fn write_server(page: &mut Page, app: &App, memory: &Memory) {
    let feedback = app.metrics.feedback.load(Ordering::Relaxed);
    page.single("mlpack_connections", "gauge", "Connections that are open.", app.connections.count() as f64);
    if let Some(tracer) = &app.tracer {
        let (sent, dropped) = tracer.counts();
        page.single("mlpack_spans_sent_total", "counter", "Spans that the collector took.", sent as f64);
        page.single("mlpack_spans_dropped_total", "counter", "Spans that could not be sent.", dropped as f64);
    }
    page.single("mlpack_feedback_total", "counter", "Feedback messages received.", feedback as f64);
    let help = "Memory of the server's own process.";
    page.single("process_resident_memory_bytes", "gauge", help, memory.own as f64);
    let help = "Memory of all children; what they share counts once where the system tells it apart.";
    page.single("mlpack_workers_resident_memory_bytes", "gauge", help, memory.children as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut page = Page::default();
        page.sample("m", &[("a", "\"\\\n")], 1.0);
        assert_eq!(page.0, "m{a=\"\\\"\\\\\\n\"} 1\n");
    }
}
