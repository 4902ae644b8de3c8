//! What all parts of the running server share: the contract, the queue, and how the workers are.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::auth::Auth;
use super::batch::{self, Queue};
use super::cache::Cache;
use super::contract::{ContractError, Endpoint};
use super::cors::Origins;
use super::failure::{Code, Failure};
use super::init::Reaper;
use super::listen::connections::Connections;
use super::listen::limits::Limits;
use super::metrics::Metrics;
use super::options::{Options, VertexRoutes};
use super::trace::Tracer;
use super::worker::template::Template;
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
    /// What waits for workers.
    pub queue: Queue,
    /// What is remembered of the endpoints that want it.
    pub caches: Vec<Option<Cache>>,
    /// Starts and reaps workers.
    pub reaper: Reaper,
    /// What workers are forked from.
    pub template: Template,
    /// What has been counted since the start.
    pub metrics: Metrics,
    /// Who is connected.
    pub connections: Arc<Connections>,
    /// What one client may take.
    pub limits: Limits,
    /// Who may call; `None` lets everybody.
    pub auth: Option<Arc<Auth>>,
    /// Which web pages may call from a browser.
    pub origins: Option<Origins>,
    /// Records traces, where they are wanted.
    pub tracer: Option<Arc<Tracer>>,
    /// How many workers there should be.
    pub workers: usize,
    /// The paths that Vertex AI calls.
    pub vertex: VertexRoutes,
    /// How many threads each worker's numeric libraries should use.
    pub threads: usize,
    ready: AtomicUsize,
    draining: AtomicBool,
    stopping: AtomicBool,
    running: AtomicUsize,
    idle: Notify,
}

/// Counts a request as running until it is dropped.
pub struct Running(Arc<App>);

impl App {
    /// Checks the contract; what the options say of workers overrides it.
    pub fn new(service: Service, options: &Options, auth: Option<Auth>) -> Result<Self, ContractError> {
        let endpoints: Vec<Endpoint> =
            service.endpoints.iter().map(|(name, endpoint)| Endpoint::new(name, endpoint)).collect::<Result<_, _>>()?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers =
            options.workers.or(service.server.workers.map(|count| count as usize)).unwrap_or(processors).max(1);
        let mut limits = options.limits.clone();
        limits.fit_to_open_files();
        let server = &service.server;
        let lanes = service.endpoints.values().map(|endpoint| batch::Limits::new(endpoint, server));
        let queue = Queue::new(lanes, server.max_queue as usize, workers);
        let mut document = openapi::document(&service);
        if let Some(auth) = &auth {
            auth.describe(&mut document);
        }
        Ok(Self {
            openapi: document.to_string().into(),
            metrics: Metrics::new(endpoints.len(), workers),
            endpoints,
            queue,
            caches: service
                .endpoints
                .values()
                .map(|endpoint| endpoint.cache_bytes.map(|bytes| Cache::new(bytes as usize)))
                .collect(),
            reaper: Reaper::default(),
            template: Template::new(server.preload, workers),
            connections: Arc::new(Connections::new(limits.clone())),
            limits,
            auth: auth.map(Arc::new),
            origins: options.origins.clone(),
            tracer: options.traces.clone().map(|settings| Arc::new(Tracer::new(settings, &service))),
            workers,
            vertex: options.vertex.clone(),
            threads: (processors / workers).max(1),
            service,
            ready: AtomicUsize::new(0),
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
        self.service.server.max_body_bytes.min(MAX_BODY) as usize
    }

    /// Returns how many workers are ready.
    pub fn ready_workers(&self) -> usize {
        self.ready.load(Ordering::Relaxed)
    }

    /// Returns whether the model can be called.
    pub fn is_ready(&self) -> bool {
        self.ready_workers() > 0 && !self.is_draining()
    }

    /// Notes that one worker more is ready.
    pub fn worker_ready(&self) {
        self.ready.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that one worker less is ready.
    pub fn worker_gone(&self) {
        self.ready.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes that a worker could not be started: where it was the last hope, nothing needs to wait any longer.
    pub fn worker_failed(&self) {
        if self.ready_workers() == 0 {
            self.queue.fail_all(&Failure::new(Code::NotReady, "no worker is ready"));
        }
    }

    /// Counts a request as running, unless the server is about to stop.
    pub fn enter(self: &Arc<Self>) -> Result<Running, Failure> {
        if self.is_draining() {
            return Err(Failure::new(Code::Draining, "the server is stopping"));
        }
        self.running.fetch_add(1, Ordering::Relaxed);
        Ok(Running(Arc::clone(self)))
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

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.idle.notify_one();
        }
    }
}
