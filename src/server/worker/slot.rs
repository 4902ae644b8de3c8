//! One place for a worker: keeps one running there for ever, and hands it the batches that wait.
//!
//! A worker that hangs, dies or breaks the protocol is killed and started again, ever more slowly while that does not
//! help. A merged call that fails is split until the requests at fault are alone.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};

use super::Name;
use super::frame::{self, CallTooLarge, ErrorKind, Header};
use super::link::Broken;
use super::process::Process;
use super::template;
use crate::server::app::{App, Callee};
use crate::server::batch::Request;
use crate::server::call::{Stages, Times};
use crate::server::contract::Endpoint;
use crate::server::data::Payload;
use crate::server::failure::{Code, Failure};
use crate::server::http;
use crate::server::log::{self, Level};
use crate::server::pool::Pool;
use crate::server::validate::{check_form, check_values};
use crate::service::ValidateOutput;

/// The delays between starts of a worker that answers nothing in between; one that has answered comes back at once.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// How long to wait for a killed worker's exit status, which only the log wants.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);

/// A call that the worker answered with a result.
struct Served {
    result: Payload,
    /// When the worker was asked.
    start: Instant,
    /// How long it took.
    took: Duration,
    stages: Option<Stages>,
}

/// A call that the worker answered, but not with a result.
struct Fault {
    failure: Failure,
    /// What the log says about it; clients do not see it.
    reason: String,
}

/// Where a worker is kept: its version's position, and its number there.
struct Place {
    app: Arc<App>,
    pool: usize,
    number: usize,
}

/// Keeps a worker running until the server stops.
pub async fn supervise(app: Arc<App>, pool: usize, number: usize) {
    let place = Place { app, pool, number };
    let (app, pool) = (&place.app, place.pool());
    let name = Name { version: pool.name().into(), number };
    let mut delay = Duration::ZERO;
    while !app.is_stopping() {
        match template::start(app, pool, &name).await {
            Ok(mut process) => {
                name.log(Level::Info, "worker ready", json!({}));
                pool.worker_ready();
                pool.metrics.worker_is(number, process.id());
                let broken = place.serve(&mut process, &mut delay).await;
                pool.worker_gone();
                pool.metrics.worker_is(number, 0);
                report_end(app, &name, process, &broken).await;
            }
            Err(error) => {
                name.log(Level::Error, "worker failed to start", json!({"reason": error.to_string()}));
                pool.worker_failed();
            }
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).clamp(FIRST_DELAY, LONGEST_DELAY);
    }
}

impl Place {
    fn pool(&self) -> &Pool {
        &self.app.pools[self.pool]
    }

    /// Answers batches until the worker is lost.
    async fn serve(&self, process: &mut Process, delay: &mut Duration) -> Broken {
        loop {
            let batch = tokio::select! {
                biased;
                status = process.exited() => return status.map_or(Broken::Closed, Broken::Exited),
                batch = self.pool().queue.next(self.number) => batch,
            };
            if let Err(broken) = self.answer(process, batch).await {
                return broken;
            }
            *delay = Duration::ZERO;
        }
    }

    /// Calls the model with a batch, and with parts of it where the whole fails.
    async fn answer(&self, process: &mut Process, batch: Vec<Request>) -> Result<(), Broken> {
        let (pool, now) = (self.pool(), Instant::now());
        for request in &batch {
            pool.metrics.waited(request.endpoint, now - request.arrived);
        }
        let mut pending = vec![batch];
        while let Some(mut batch) = pending.pop() {
            batch.retain(|request| !request.answer.is_closed());
            if batch.is_empty() {
                continue;
            }
            let (mut batch, frame) = self.write(batch).await;
            let outcome = match frame {
                Ok(frame) => self.call(process, &batch, &frame).await,
                Err(error) => Ok(Err(Fault::too_large(&error))),
            };
            match outcome {
                Ok(Ok(served)) => deliver(batch, served),
                Ok(Err(_)) if batch.len() > 1 => {
                    pending.push(batch.split_off(batch.len() / 2));
                    pending.push(batch);
                }
                Ok(Err(fault)) => refuse(&self.app, pool, batch, &fault),
                Err(broken) => {
                    give_back(pool, batch, &broken);
                    for batch in pending {
                        pool.queue.retry(batch);
                    }
                    return Err(broken);
                }
            }
        }
        Ok(())
    }

    /// Writes the frame of a call, elsewhere where it is large.
    async fn write(&self, batch: Vec<Request>) -> (Vec<Request>, Result<Vec<u8>, CallTooLarge>) {
        let size = batch.iter().map(|request| request.payload.size()).sum();
        let app = Arc::clone(&self.app);
        http::work(size, move || {
            let parts: Vec<&Payload> = batch.iter().map(|request| &request.payload).collect();
            let frame = frame::call(&app.endpoints[batch[0].endpoint].name, &parts);
            (batch, frame)
        })
        .await
    }

    async fn call(
        &self,
        process: &mut Process,
        batch: &[Request],
        frame: &[u8],
    ) -> Result<Result<Served, Fault>, Broken> {
        let (pool, number) = (self.pool(), batch[0].endpoint);
        let endpoint = &self.app.endpoints[number];
        let start = Instant::now();
        let reply = timeout(self.app.timeout(), process.exchange(frame)).await.map_err(|_| Broken::TimedOut);
        let (count, took) = (batch.iter().map(|request| request.payload.rows()).sum(), start.elapsed());
        let reply = reply.flatten().map(frame::header);
        let succeeded = matches!(reply, Ok(Ok((Header::Result { .. }, _))));
        pool.queue.called(number, count, took, succeeded);
        let reply = reply??;
        pool.metrics.called(number, count, took);
        let (rows, shape, stages, body) = match reply {
            (Header::Result { rows, shape, stages }, body) => (rows, shape, stages.map(Stages::from), body),
            (Header::Error { kind, message }, _) => return Ok(Err(Fault::new(kind, message))),
            _ => return Err(Broken::Unexpected),
        };
        let result = frame::result(&endpoint.output, rows, shape, body)?;
        if let Some(stages) = stages {
            pool.metrics.staged(number, stages);
        }
        let checked = self.check(number, endpoint.batch.then_some(count), result).await;
        Ok(checked.map(|result| Served { result, start, took, stages }))
    }

    /// Checks a result, elsewhere where it is large; `rows` is how many there must be, where that is known.
    async fn check(&self, endpoint: usize, rows: Option<usize>, result: Payload) -> Result<Payload, Fault> {
        let (app, pool, size) = (Arc::clone(&self.app), self.pool, result.size());
        let check = move || {
            let (pool, endpoint) = app.called(Callee { pool, endpoint });
            let checked = check_form(&endpoint.output, &result, rows).and_then(|()| judge(endpoint, pool, &result));
            checked.map(|()| result).map_err(|message| Fault::new(ErrorKind::Output, message))
        };
        http::work(size, check).await
    }
}

async fn report_end(app: &App, name: &Name, mut process: Process, broken: &Broken) {
    process.kill();
    let status = match broken {
        Broken::Exited(status) => Some(*status),
        _ => timeout(EXIT_PATIENCE, process.exited()).await.ok().flatten(),
    };
    if !app.is_stopping() {
        let status = status.map(|status| status.to_string());
        let reason = broken.to_string();
        name.log(Level::Error, "worker lost", json!({"reason": reason, "exit": status}));
    }
}

/// Does what the endpoint wants done about values that its output does not allow.
fn judge(endpoint: &Endpoint, pool: &Pool, result: &Payload) -> Result<(), String> {
    match endpoint.validate_output {
        ValidateOutput::Off => Ok(()),
        ValidateOutput::Fail => check_values(endpoint, result),
        ValidateOutput::Warn => {
            if let Err(reason) = check_values(endpoint, result) {
                let fields = json!({"endpoint": endpoint.name, "version": pool.name(), "reason": reason});
                log::line(Level::Warn, "the answer does not fit its contract", fields);
            }
            Ok(())
        }
    }
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

    fn too_large(error: &CallTooLarge) -> Self {
        let failure = Failure::new(Code::BodyTooLarge, "the values are too many for one call of the model");
        Self { failure, reason: error.to_string() }
    }
}

fn deliver(batch: Vec<Request>, served: Served) {
    let Served { result, start, took, stages } = served;
    let counts: Vec<usize> = batch.iter().map(|request| request.payload.rows()).collect();
    for (request, part) in batch.into_iter().zip(result.split(&counts)) {
        let times = Times { queue: start - request.arrived, call: took, stages };
        // The client may have gone in the meantime.
        let _ = request.answer.send(Ok((part, times)));
    }
}

fn refuse(app: &App, pool: &Pool, batch: Vec<Request>, fault: &Fault) {
    for request in batch {
        let clients = matches!(fault.failure.code, Code::InvalidInput | Code::BodyTooLarge);
        let level = if clients { Level::Debug } else { Level::Error };
        let endpoint = &app.endpoints[request.endpoint].name;
        let code = fault.failure.code.text();
        let line = json!({"endpoint": endpoint, "version": pool.name(), "code": code, "reason": fault.reason,
            "request_id": request.origin.request_id(), "trace_id": request.origin.trace_id()});
        log::line(level, "call failed", line);
        request.refuse(fault.failure.clone());
    }
}

/// Decides what becomes of the requests that a worker was lost with. Of several, most are innocent: each gets another
/// chance alone. One that was alone is to blame.
fn give_back(pool: &Pool, batch: Vec<Request>, broken: &Broken) {
    let failure = match broken {
        Broken::TimedOut => Failure::new(Code::Timeout, "the model did not answer in time"),
        _ if batch.len() > 1 => return pool.queue.retry(batch),
        _ => Failure::new(Code::WorkerDied, "the model's process ended during the call"),
    };
    for request in batch {
        request.refuse(failure.clone());
    }
}
