//! One place for a worker: keeps one running there for ever, and hands it the batches that wait.
//!
//! A worker that hangs, dies or breaks the protocol is killed and started again, ever more slowly while that does not
//! help. A merged call that fails is split until the requests at fault are alone.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};

use super::frame::{self, ErrorKind, Header};
use super::process::{Broken, Process};
use crate::server::app::App;
use crate::server::batch::Request;
use crate::server::data::Payload;
use crate::server::failure::{Code, Failure};
use crate::server::log::{self, Level};
use crate::server::validate::check_output;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// How long to wait for a killed worker's exit status, which only the log wants.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);

/// Why a worker did not become ready.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("the worker's program cannot be started: {0}")]
    Spawn(#[source] std::io::Error),
    #[error("{0}")]
    Broken(#[from] Broken),
    #[error("the model cannot be loaded: {0}")]
    Failed(String),
}

/// A call that the worker answered, but not with a result.
struct Fault {
    failure: Failure,
    /// What the log says about it; clients do not see it.
    reason: String,
}

/// Keeps a worker running until the server stops.
pub async fn supervise(app: Arc<App>, number: usize) {
    let mut delay = FIRST_DELAY;
    while !app.is_stopping() {
        match start(&app, number).await {
            Ok(mut process) => {
                log::line(Level::Info, "worker ready", json!({"worker": number}));
                app.worker_ready();
                let broken = serve(&app, number, &mut process, &mut delay).await;
                app.worker_gone();
                report_end(&app, number, process, &broken).await;
            }
            Err(error) => {
                log::line(
                    Level::Error,
                    "worker failed to start",
                    json!({"worker": number, "reason": error.to_string()}),
                );
                app.worker_failed();
            }
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(LONGEST_DELAY);
    }
}

async fn start(app: &App, number: usize) -> Result<Process, StartError> {
    app.metrics.worker_started();
    let mut process =
        Process::start(number, &app.service.worker, app.threads, &app.reaper).map_err(StartError::Spawn)?;
    let load = frame::load(&app.service);
    let patience = Duration::from_millis(app.service.server.startup_timeout_ms);
    let reply = timeout(patience, process.exchange(&load)).await.map_err(|_| Broken::TimedOut)??;
    match frame::header(reply).map_err(Broken::from)? {
        (Header::Ready, _) => Ok(process),
        (Header::Failed { message }, _) => Err(StartError::Failed(message)),
        _ => Err(Broken::Unexpected.into()),
    }
}

/// Answers batches until the worker is lost.
async fn serve(app: &App, number: usize, process: &mut Process, delay: &mut Duration) -> Broken {
    loop {
        let batch = tokio::select! {
            biased;
            status = process.exited() => return status.map_or(Broken::Closed, Broken::Exited),
            batch = app.queue.next(number) => batch,
        };
        if let Err(broken) = answer(app, process, batch).await {
            return broken;
        }
        *delay = FIRST_DELAY;
    }
}

async fn report_end(app: &App, number: usize, mut process: Process, broken: &Broken) {
    process.kill();
    let status = match broken {
        Broken::Exited(status) => Some(*status),
        _ => timeout(EXIT_PATIENCE, process.exited()).await.ok().flatten(),
    };
    if !app.is_stopping() {
        let status = status.map(|status| status.to_string());
        let reason = broken.to_string();
        log::line(Level::Error, "worker lost", json!({"worker": number, "reason": reason, "exit": status}));
    }
}

/// Calls the model with a batch, and with parts of it where the whole fails.
async fn answer(app: &App, process: &mut Process, batch: Vec<Request>) -> Result<(), Broken> {
    let now = Instant::now();
    for request in &batch {
        app.metrics.waited(request.endpoint, now - request.arrived);
    }
    let mut pending = vec![batch];
    while let Some(mut batch) = pending.pop() {
        batch.retain(|request| !request.answer.is_closed());
        if batch.is_empty() {
            continue;
        }
        match call(app, process, &batch).await {
            Ok(Ok(result)) => deliver(batch, result),
            Ok(Err(_)) if batch.len() > 1 => {
                pending.push(batch.split_off(batch.len() / 2));
                pending.push(batch);
            }
            Ok(Err(fault)) => refuse(app, batch, &fault),
            Err(broken) => {
                give_back(app, batch, &broken);
                for batch in pending {
                    app.queue.retry(batch);
                }
                return Err(broken);
            }
        }
    }
    Ok(())
}

async fn call(app: &App, process: &mut Process, batch: &[Request]) -> Result<Result<Payload, Fault>, Broken> {
    let number = batch[0].endpoint;
    let endpoint = &app.endpoints[number];
    let start = Instant::now();
    let parts: Vec<&Payload> = batch.iter().map(|request| &request.payload).collect();
    let frame = frame::call(&endpoint.name, &parts);
    let reply = timeout(app.timeout(), process.exchange(&frame)).await.map_err(|_| Broken::TimedOut);
    let (count, took) = (parts.iter().map(|part| part.rows()).sum(), start.elapsed());
    let reply = reply.flatten().map(frame::header);
    let succeeded = matches!(reply, Ok(Ok((Header::Result { .. }, _))));
    app.queue.called(number, count, took, succeeded);
    let reply = reply??;
    app.metrics.called(number, count, took);
    let (rows, shape, body) = match reply {
        (Header::Result { rows, shape }, body) => (rows, shape, body),
        (Header::Error { kind, message }, _) => return Ok(Err(Fault::new(kind, message))),
        _ => return Err(Broken::Unexpected),
    };
    let result = frame::result(&endpoint.output, rows, shape, body)?;
    let expected = endpoint.batch.then_some(count);
    Ok(match check_output(&endpoint.output, &result, expected) {
        Ok(()) => Ok(result),
        Err(message) => Err(Fault::new(ErrorKind::Output, message)),
    })
}

impl Fault {
    fn new(kind: ErrorKind, reason: String) -> Self {
        let failure = match kind {
            ErrorKind::Input => Failure::new(Code::InvalidInput, reason.clone()),
            ErrorKind::Model => Failure::new(Code::ModelFailed, "the model failed"),
            ErrorKind::Output => {
                Failure::new(Code::InvalidOutput, "the model gave an answer that does not fit its contract")
            }
        };
        Self { failure, reason }
    }
}

fn deliver(batch: Vec<Request>, result: Payload) {
    let counts: Vec<usize> = batch.iter().map(|request| request.payload.rows()).collect();
    for (request, part) in batch.into_iter().zip(result.split(&counts)) {
        // The client may have gone in the meantime.
        let _ = request.answer.send(Ok(part));
    }
}

fn refuse(app: &App, batch: Vec<Request>, fault: &Fault) {
    for request in batch {
        let level = if fault.failure.code == Code::InvalidInput { Level::Debug } else { Level::Error };
        let endpoint = &app.endpoints[request.endpoint].name;
        let code = fault.failure.code.text();
        log::line(level, "call failed", json!({"endpoint": endpoint, "code": code, "reason": fault.reason}));
        let _ = request.answer.send(Err(fault.failure.clone()));
    }
}

/// Decides what becomes of the requests that a worker was lost with. Of several, most are innocent: each gets another
/// chance alone. One that was alone is to blame.
fn give_back(app: &App, batch: Vec<Request>, broken: &Broken) {
    let failure = match broken {
        Broken::TimedOut => Failure::new(Code::Timeout, "the model did not answer in time"),
        _ if batch.len() > 1 => return app.queue.retry(batch),
        _ => Failure::new(Code::WorkerDied, "the model's process ended during the call"),
    };
    for request in batch {
        let _ = request.answer.send(Err(failure.clone()));
    }
}
