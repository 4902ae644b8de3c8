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
pub mod batch;
pub mod contract;
pub mod data;
pub mod exchange;
pub mod failure;
pub mod http;
pub mod init;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod options;
pub mod pages;
pub mod protocol;
pub mod render;
pub mod validate;
pub mod worker;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;

use self::app::App;
use self::init::Signals;
use self::listen::Listener;
use self::log::Level;
use self::options::{Action, HELP, Options, OptionsError};
use crate::service::Service;

/// How long answers may take to leave once every call is done, and workers to end once asked to.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
const HEALTHCHECK_PATIENCE: Duration = Duration::from_secs(3);

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
        Action::Healthcheck => healthcheck(options.port),
        Action::Serve => {
            log::start(options.level);
            init::prepare()?;
            let app = Arc::new(App::new(read_service(options)?, options)?);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let served = runtime.block_on(serve(app, SocketAddr::new(options.host, options.port)));
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

async fn serve(app: Arc<App>, address: SocketAddr) -> Result<(), ServerError> {
    let mut signals = Signals::new()?;
    let listener = TcpListener::bind(address).await.map_err(|source| ServerError::Listen { address, source })?;
    let address = listener.local_addr()?;
    let connections = Arc::clone(&app.connections);
    let limits = app.limits.clone();
    let accepting = Listener { listener, connections, router: http::router(&app), limits };
    let accepting = tokio::spawn(accepting.accept());
    let sweeping = Arc::clone(&app);
    tokio::spawn(async move { sweeping.connections.sweep().await });
    let reaping = Arc::clone(&app);
    tokio::spawn(async move { reaping.reap().await });
    for number in 1..=app.workers {
        tokio::spawn(worker::slot::supervise(Arc::clone(&app), number));
    }
    log::line(Level::Info, "listening", json!({"address": address.to_string(), "workers": app.workers}));

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
    app.stop_workers(LAST_PATIENCE).await;
    log::line(Level::Info, "stopped", json!({}));
    Ok(())
}

/// Asks the server on this machine for its readiness, in plain HTTP/1.0.
fn healthcheck(port: u16) -> Result<(), ServerError> {
    let ask = || -> io::Result<String> {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let mut connection = TcpStream::connect_timeout(&address, HEALTHCHECK_PATIENCE)?;
        connection.set_read_timeout(Some(HEALTHCHECK_PATIENCE))?;
        connection.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        connection.take(4096).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let ready = ask().is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"));
    if ready { Ok(()) } else { Err(ServerError::NotReady(port)) }
}
