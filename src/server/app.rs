//! What all parts of the running server share: the contract, the versions with their workers, and who is connected.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::auth::Auth;
use super::bodies::Bodies;
use super::contract::{ContractError, Endpoint};
use super::cors::Origins;
use super::failure::{Code, Failure};
use super::init::Reaper;
use super::listen::connections::Connections;
use super::listen::limits::Limits;
use super::metrics::Metrics;
use super::options::{Options, VertexRoutes};
use super::pool::{self, Pool};
use super::trace::Tracer;
use crate::service::{Service, openapi};

/// No body may be longer, whatever the contract says: frames have lengths of 32 bits, and values may grow on the way.
const MAX_BODY: u64 = 256 << 20;

/// The running server.
pub struct App {
    /// The contract as it was read.
    pub service: Service,
    /// The endpoints; requests name them by position.
    pub endpoints: Vec<Endpoint>,
    /// The OpenAPI document as it is served.
    pub openapi: Bytes,
    /// The versions of the model, the latest last; requests name them by position.
    pub pools: Vec<Pool>,
    /// Starts and reaps workers.
    pub reaper: Reaper,
    /// What has been counted since the start that belongs to no version.
    pub metrics: Metrics,
    /// Who is connected.
    pub connections: Arc<Connections>,
    /// What one client may take.
    pub limits: Limits,
    /// What all bodies may take.
    pub bodies: Arc<Bodies>,
    /// Who may call; `None` lets everybody.
    pub auth: Option<Arc<Auth>>,
    /// Which web pages may call from a browser.
    pub origins: Option<Origins>,
    /// Records traces, where they are wanted.
    pub tracer: Option<Arc<Tracer>>,
    /// The paths that Vertex AI calls.
    pub vertex: VertexRoutes,
    /// How many threads each worker's numeric libraries should use.
    pub threads: usize,
    draining: AtomicBool,
    stopping: AtomicBool,
    running: AtomicUsize,
    idle: Notify,
}

/// What a request calls: an endpoint of a version, both by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callee {
    /// The version's.
    pub pool: usize,
    /// The endpoint's.
    pub endpoint: usize,
}

/// Counts a request as running until it is dropped, and, once that is known, as running at what it calls.
pub struct Running {
    app: Arc<App>,
    callee: Option<Callee>,
}

impl App {
    /// Checks the contract; what the options say of workers overrides it.
    pub fn new(service: Service, options: &Options, auth: Option<Auth>) -> Result<Self, ContractError> {
        let endpoints: Vec<Endpoint> =
            service.endpoints.iter().map(|(name, endpoint)| Endpoint::new(name, endpoint)).collect::<Result<_, _>>()?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers =
            options.workers.or(service.server.workers.map(|count| count as usize)).unwrap_or(processors).max(1);
        let mut limits = options.limits.clone();
        // Of each version, the workers and the process that they are forked from.
        let versions = service.versions().count();
        limits.fit_to_open_files(versions * (workers + 1));
        check_versions(&service)?;
        let traces = options.traces.clone().ok().flatten();
        let mut document = openapi::document(&service);
        if let Some(auth) = &auth {
            auth.describe(&mut document);
        }
        Ok(Self {
            openapi: document.to_string().into(),
            metrics: Metrics::default(),
            endpoints,
            pools: service.versions().map(|version| Pool::new(version, &service, workers)).collect(),
            reaper: Reaper::default(),
            connections: Arc::new(Connections::new(limits.clone())),
            limits,
            // One body alone always has room.
            bodies: Bodies::new(options.pending_bytes.max(max_body(&service))),
            auth: auth.map(Arc::new),
            origins: options.origins.clone(),
            tracer: traces.map(|settings| Arc::new(Tracer::new(settings, &service))),
            vertex: options.vertex.clone(),
            threads: threads(processors, versions * workers),
            service,
            draining: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            idle: Notify::new(),
        })
    }

    /// Returns how long a call may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.service.server.timeout_ms)
    }

    /// Returns how many bytes a request's body may have.
    pub fn max_body(&self) -> usize {
        max_body(&self.service)
    }

    /// Chooses the version that answers where a request asks for none.
    pub fn choose(&self) -> usize {
        self.pools.len() - 1
    }

    /// Finds the version that a request asks for.
    pub fn find_version(&self, asked: &str) -> Result<usize, Failure> {
        pool::find(&self.pools, asked).ok_or_else(|| self.no_version("version"))
    }

    /// Finds the version that has the label that a request asks for.
    pub fn find_label(&self, label: &str) -> Result<usize, Failure> {
        pool::labelled(&self.pools, label).ok_or_else(|| self.no_version("label"))
    }

    fn no_version(&self, what: &str) -> Failure {
        let one = |pool: &Pool| match pool.version.labels.as_slice() {
            [] => format!("`{}`", pool.name()),
            labels => format!("`{}` (`{}`)", pool.name(), labels.join("`, `")),
        };
        let versions: Vec<String> = self.pools.iter().map(one).collect();
        Failure::new(Code::NotFound, format!("the model does not have this {what}, it has {}", versions.join(", ")))
    }

    /// Returns what is called: the version's workers, and the endpoint.
    pub fn called(&self, callee: Callee) -> (&Pool, &Endpoint) {
        (&self.pools[callee.pool], &self.endpoints[callee.endpoint])
    }

    /// Returns how many workers are ready, and how many there should be.
    pub fn workers(&self) -> (usize, usize) {
        let sum = |count: fn(&Pool) -> usize| self.pools.iter().map(count).sum();
        (sum(Pool::ready_workers), sum(|pool| pool.workers))
    }

    /// Returns whether every version of the model can be called.
    pub fn is_ready(&self) -> bool {
        (0..self.pools.len()).all(|pool| self.serves(pool))
    }

    /// Returns whether one version of the model can be called.
    pub fn serves(&self, pool: usize) -> bool {
        self.pools[pool].ready_workers() > 0 && !self.is_draining()
    }

    /// Counts a request as running, unless the server is about to stop.
    pub fn enter(self: &Arc<Self>, callee: Option<Callee>) -> Result<Running, Failure> {
        if self.is_draining() {
            return Err(Failure::new(Code::Draining, "the server is stopping"));
        }
        self.running.fetch_add(1, Ordering::Relaxed);
        let mut running = Running { app: Arc::clone(self), callee: None };
        if let Some(callee) = callee {
            running.calls(callee);
        }
        Ok(running)
    }

    /// Returns how many requests are running.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Returns whether new requests are refused.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Returns whether workers are no longer started.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Refuses new requests, and waits until none is running.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        while self.running.load(Ordering::Relaxed) > 0 {
            self.idle.notified().await;
        }
    }

    /// Ends all workers within `patience`.
    pub async fn stop_workers(&self, patience: Duration) {
        self.stopping.store(true, Ordering::Relaxed);
        self.reaper.stop(patience).await;
    }

    /// Reaps for ever; fails at once where signals cannot be had.
    pub async fn reap(&self) -> io::Result<()> {
        self.reaper.run().await
    }
}

/// Shares the processors among the workers of all versions.
fn threads(processors: usize, workers: usize) -> usize {
    (processors / workers).max(1)
}

fn max_body(service: &Service) -> usize {
    service.server.max_body_bytes.min(MAX_BODY) as usize
}

/// No name may stand for two versions.
fn check_versions(service: &Service) -> Result<(), ContractError> {
    let mut names = HashSet::new();
    let mut all = service.versions().flat_map(|version| version.labels.iter().chain([&version.version]));
    match all.find(|name| !names.insert(name.as_str())) {
        Some(name) => Err(ContractError::Version(name.clone())),
        None => Ok(()),
    }
}

impl Running {
    /// Notes what the request calls; the last one counts.
    pub fn calls(&mut self, callee: Callee) {
        if let Some(before) = self.callee.replace(callee) {
            self.app.pools[before.pool].metrics.left(before.endpoint);
        }
        self.app.pools[callee.pool].metrics.entered(callee.endpoint);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(callee) = self.callee {
            self.app.pools[callee.pool].metrics.left(callee.endpoint);
        }
        if self.app.running.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.app.idle.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::threads;

    #[test]
    fn workers_of_all_versions_share_the_processors() {
        for (processors, versions, workers, expected) in [(8, 1, 2, 4), (8, 2, 2, 2), (8, 3, 2, 1), (2, 4, 2, 1)] {
            assert_eq!(threads(processors, versions * workers), expected, "{processors} {versions} {workers}");
        }
    }
}
