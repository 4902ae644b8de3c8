//! How workers come to be: each loads the model by itself, or all are forked from a template, a process that has loaded the
//! model and does nothing else. What is loaded then lies in memory once, and a worker that was lost is back in milliseconds.
//!
//! A fork has no threads but one, and shares sockets and positions in files with its parent. Where the model has made any
//! while it was loaded, its workers are not forked, unless the contract insists.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Name;
use super::frame::{self, Header};
use super::link::{self, Broken};
use super::process::Process;
use crate::server::app::App;
use crate::server::log::Level;
use crate::server::pool::Pool;

/// The template's number in the log, where workers count from 1.
const NUMBER: usize = 0;

/// How long a fork may take, which is done in milliseconds. What forks may be killed meanwhile, where there is too little memory, and
/// then nothing comes at all.
const FORK_PATIENCE: Duration = Duration::from_secs(10);

/// Why a worker did not become ready.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system refuses it.
    #[error("the worker's program cannot be started: {0}")]
    Spawn(#[source] io::Error),
    /// It ended, or did not keep to the protocol.
    #[error("{0}")]
    Broken(#[from] Broken),
    /// The service's own code failed.
    #[error("the model cannot be loaded: {0}")]
    Failed(String),
    /// The loaded model cannot be forked.
    #[error("the loaded model cannot be forked: {0}")]
    Fork(String),
}

/// The process that workers are forked from, started when the first one is.
pub struct Template {
    process: Mutex<Option<Process>>,
    /// Whether workers are forked.
    wanted: AtomicBool,
    /// Whether they are forked whatever the model does.
    insists: bool,
}

impl Template {
    /// Returns the template of a service that says `preload`. One that does not say is preloaded for several workers.
    pub fn new(preload: Option<bool>, workers: usize) -> Self {
        let wanted = AtomicBool::new(preload.unwrap_or(workers > 1));
        Self { process: Mutex::default(), wanted, insists: preload == Some(true) }
    }

    fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Returns a forked worker; `None` where they are not to be forked.
    async fn fork(&self, app: &App, pool: &Pool, name: &Name) -> Result<Option<Process>, StartError> {
        let mut kept = self.process.lock().await;
        // What another worker met with counts for all.
        if !self.is_wanted() {
            return Ok(None);
        }
        let running = kept.take().filter(|template| !template.has_ended());
        let mut template = match running {
            Some(template) => template,
            None => load(app, pool, &Name { number: NUMBER, ..name.clone() }).await?,
        };
        // Where it fails, the template ends here.
        let forked = timeout(FORK_PATIENCE.min(patience(app)), self.ask(app, &mut template, name)).await;
        match forked.map_err(|_| Broken::TimedOut)? {
            Ok(worker) => {
                *kept = Some(template);
                Ok(Some(worker))
            }
            Err(StartError::Fork(reason)) if !self.insists => {
                name.log(Level::Warn, "every worker loads the model by itself", json!({ "reason": reason }));
                self.wanted.store(false, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn ask(&self, app: &App, template: &mut Process, name: &Name) -> Result<Process, StartError> {
        let (mut link, ends) = link::connect(name).map_err(StartError::Spawn)?;
        let reply = template.exchange(&frame::fork(&ends)).await?;
        match frame::header(reply).map_err(Broken::from)? {
            (Header::Forked { left }, _) if left.is_empty() || self.insists => {}
            (Header::Forked { left }, _) => {
                return Err(StartError::Fork(format!("it has {}, which forks do not", left.join(", "))));
            }
            (Header::Failed { message }, _) => return Err(StartError::Fork(message)),
            _ => return Err(Broken::Unexpected.into()),
        }
        // The worker's own copies are the only ones from now on, so that the pipes end with it.
        drop(ends);
        match frame::header(link.receive().await?).map_err(Broken::from)? {
            (Header::Ready { pid: Some(pid) }, _) => {
                Process::adopt(pid, link, &app.reaper).await.map_err(StartError::Spawn)
            }
            _ => Err(Broken::Unexpected.into()),
        }
    }
}

/// Returns a worker of the pool with the model loaded.
pub async fn start(app: &App, pool: &Pool, name: &Name) -> Result<Process, StartError> {
    pool.metrics.worker_started();
    if pool.template.is_wanted()
        && let Some(worker) = pool.template.fork(app, pool, name).await?
    {
        return Ok(worker);
    }
    load(app, pool, name).await
}

/// Starts a process and lets it load the model.
async fn load(app: &App, pool: &Pool, name: &Name) -> Result<Process, StartError> {
    let mut process = Process::start(name, &app.service.worker, app.threads, &app.reaper).map_err(StartError::Spawn)?;
    let load = frame::load(&app.service, &pool.version);
    let answered = timeout(patience(app), process.exchange(&load)).await.map_err(|_| Broken::TimedOut)?;
    let reply = match answered.map(<[u8]>::to_vec) {
        Ok(reply) => reply,
        // What it ended with says more.
        Err(Broken::Closed) => return Err(process.end().await.into()),
        Err(broken) => return Err(broken.into()),
    };
    match frame::header(&reply).map_err(Broken::from)? {
        (Header::Ready { .. }, _) => Ok(process),
        (Header::Failed { message }, _) => Err(StartError::Failed(message)),
        _ => Err(Broken::Unexpected.into()),
    }
}

fn patience(app: &App) -> Duration {
    Duration::from_millis(app.service.server.startup_timeout_ms)
}
