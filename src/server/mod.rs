//! The program inside the image: it serves a contract over HTTP with workers that hold the model.
//!
//! ```text
//! http → protocol → validate → batch → worker → validate → render
//! ```
//!
//! [`init`] is PID 1's duties, [`contract`] the endpoints made ready for use, [`data`] the values on their way. Nothing
//! here is shared with the build but [`crate::service`]. One thread does all of it: a request then costs no hand-over
//! between threads, and the processors are the workers' own. Only large bodies are read and written elsewhere.

pub mod app;
pub mod auth;
pub mod batch;
pub mod bodies;
pub mod cache;
pub mod call;
pub mod contract;
pub mod cors;
pub mod data;
pub mod exchange;
pub mod failure;
pub mod healthcheck;
pub mod http;
pub mod init;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod options;
pub mod pages;
pub mod pool;
pub mod protocol;
pub mod reload;
pub mod render;
pub mod trace;
pub mod validate;
pub mod worker;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;

use self::app::App;
use self::auth::Auth;
use self::init::Signals;
use self::listen::Listener;
use self::listen::tls::{Files, TlsError};
use self::log::Level;
use self::options::{Action, HELP, Options, OptionsError};
use self::reload::Reloaded;
use crate::service::Service;

/// How long answers may take to leave once every call is done, and workers to end once asked to.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// Why the server could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program was called wrongly.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The contract cannot be read.
    #[error("cannot read the contract `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The contract is not one.
    #[error("`{path}` is not a contract: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The contract contradicts itself.
    #[error(transparent)]
    Contract(#[from] contract::ContractError),
    /// The port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address and port.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The system refuses something basic.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
    /// Nobody can be let in.
    #[error(transparent)]
    Auth(#[from] auth::AuthError),
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server that was asked gave no answer.
    #[error("the server on port {port} does not answer: {source}")]
    NotAnswered {
        /// Its port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The server that was asked is not ready.
    #[error("the server on port {0} is not ready")]
    NotReady(u16),
}

/// Runs the program with the process's arguments and environment.
pub fn main() -> ExitCode {
    let result = Options::parse(std::env::args().skip(1), |name| std::env::var(name).ok())
        .map_err(ServerError::from)
        .and_then(|options| run(&options));
    if let Err(error) = &result {
        log::start(Level::Error);
        log::line(Level::Error, &error.to_string(), json!({}));
    }
    log::flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(ServerError::Options(_)) => ExitCode::from(2),
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(options: &Options) -> Result<(), ServerError> {
    match options.action {
        Action::Version => print(&format!("mlpack-server {}\n", env!("CARGO_PKG_VERSION"))),
        Action::Help => print(HELP),
        Action::Healthcheck => healthcheck::ask(options),
        Action::Serve => {
            log::start(options.level);
            if let Err(error) = &options.traces {
                let reason = error.to_string();
                log::line(Level::Warn, "no traces are sent: a setting is not supported", json!({"reason": reason}));
            }
            init::prepare()?;
            let tls = options.tls.clone().map(Reloaded::new).transpose()?.map(Arc::new);
            let app = Arc::new(App::new(read_service(options)?, options, Auth::new(&options.auth)?)?);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let served = runtime.block_on(serve(app, tls, SocketAddr::new(options.host, options.port)));
            // A large body that is still worked on must not keep the program from ending.
            runtime.shutdown_background();
            served
        }
    }
}

fn print(text: &str) -> Result<(), ServerError> {
    Ok(io::stdout().write_all(text.as_bytes())?)
}

fn read_service(options: &Options) -> Result<Service, ServerError> {
    let path = options.service.clone();
    let text = std::fs::read(&path).map_err(|source| ServerError::Read { path: path.clone(), source })?;
    serde_json::from_slice(&text).map_err(|source| ServerError::Parse { path, source })
}

async fn serve(app: Arc<App>, tls: Option<Arc<Reloaded<Files>>>, address: SocketAddr) -> Result<(), ServerError> {
    let mut signals = Signals::new()?;
    let listener = TcpListener::bind(address).await.map_err(|source| ServerError::Listen { address, source })?;
    let address = listener.local_addr()?;
    let connections = Arc::clone(&app.connections);
    let limits = app.limits.clone();
    let accepting = Listener { listener, connections, router: http::router(&app), limits, tls: tls.clone() };
    let accepting = tokio::spawn(accepting.accept());
    let sweeping = Arc::clone(&app);
    tokio::spawn(async move { sweeping.connections.sweep().await });
    if let Some(files) = tls {
        tokio::spawn(async move { files.follow().await });
    }
    if let Some(auth) = app.auth.clone() {
        tokio::spawn(async move { auth.follow().await });
    }
    if let Some(tracer) = app.tracer.clone() {
        tokio::spawn(async move { tracer.run().await });
    }
    let reaping = Arc::clone(&app);
    tokio::spawn(async move { reaping.reap().await });
    for (pool, version) in app.pools.iter().enumerate() {
        for number in 1..=version.workers {
            tokio::spawn(worker::slot::supervise(Arc::clone(&app), pool, number));
        }
    }
    log::line(Level::Info, "listening", json!({"address": address.to_string(), "workers": app.workers().1}));

    signals.next().await;
    log::line(Level::Info, "stopping", json!({}));
    let grace = Duration::from_millis(app.service.server.grace_ms);
    tokio::select! {
        // Requests that outlast their grace are cut off; that they were is all there is to say.
        drained = timeout(grace, app.drain()) => if drained.is_err() {
            log::line(Level::Warn, "requests were cut off", json!({}));
        },
        () = signals.next() => {}
    }
    accepting.abort();
    let _ = timeout(LAST_PATIENCE, app.connections.finish()).await;
    if let Some(tracer) = &app.tracer {
        let _ = timeout(LAST_PATIENCE, tracer.finish()).await;
    }
    app.stop_workers(LAST_PATIENCE).await;
    log::line(Level::Info, "stopped", json!({}));
    Ok(())
}
