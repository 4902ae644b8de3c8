//! Accepts connections and serves HTTP/1.1 and HTTP/2 on them, within limits. What is served is the router's matter.
//!
//! HTTP/2 is spoken with clients that begin with it (RFC 9113, section 3.3), or that agree on it in a TLS handshake.

mod awaited;
pub mod connections;
mod counted;
pub mod limits;
mod stream;
pub mod tls;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper::{Request, Version, service};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use self::awaited::Awaited;
use self::connections::{Connection, Connections, Entry, Order, SWEEP};
use self::counted::Counted;
use self::limits::Limits;
use self::stream::Watched;
use self::tls::Files;
use super::log::{self, Level};
use super::reload::Reloaded;

/// How long to wait after the system refused a connection.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Requests that one HTTP/2 connection may have open at a time.
const MAX_STREAMS: u32 = 256;
/// Headers that one request may have.
const MAX_HEADERS: usize = 128;

/// What every connection is served with.
pub struct Listener {
    /// Accepts connections.
    pub listener: TcpListener,
    /// Who is connected.
    pub connections: Arc<Connections>,
    /// Answers requests.
    pub router: Router,
    /// What one client may take.
    pub limits: Limits,
    /// Certificate and key; `None` serves without TLS.
    pub tls: Option<Arc<Reloaded<Files>>>,
}

impl Listener {
    /// Accepts connections for ever.
    pub async fn accept(self) {
        let Self { listener, connections, router, limits, tls } = self;
        let serving = Arc::new(Serving { http: http(&limits), router: TowerToHyperService::new(router), tls });
        let mut pause = FIRST_PAUSE;
        loop {
            connections.room().await;
            match listener.accept().await {
                Ok((stream, _)) => {
                    pause = FIRST_PAUSE;
                    let entry = connections.add();
                    tokio::spawn(Arc::clone(&serving).connection(stream, entry));
                }
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    log::line(Level::Error, "cannot accept connections", json!({"reason": error.to_string()}));
                    // Most likely there are no descriptors left: an idle connection has one.
                    connections.give_way();
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// Whether a connection was lost before it was accepted, which says nothing of the server.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn http(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(limits.head_bytes).max_headers(MAX_HEADERS);
    let head_bytes = u32::try_from(limits.head_bytes).unwrap_or(u32::MAX);
    builder
        .http2()
        .max_header_list_size(head_bytes)
        .max_concurrent_streams(MAX_STREAMS)
        .timer(TokioTimer::new())
        // Finds clients that are gone while they watch. Idle connections have ended before: an answered ping would keep them.
        .keep_alive_interval(limits.idle + 2 * SWEEP)
        .keep_alive_timeout(limits.stall);
    builder
}

struct Serving {
    http: Builder<TokioExecutor>,
    router: TowerToHyperService<Router>,
    tls: Option<Arc<Reloaded<Files>>>,
}

impl Serving {
    async fn connection(self: Arc<Self>, stream: TcpStream, entry: Entry) {
        // Answers are written whole; waiting for more would only delay them. Where it is refused they still arrive.
        let _ = stream.set_nodelay(true);
        let connection = entry.connection();
        let Some(files) = &self.tls else { return self.serve(stream, connection).await };
        connection.shakes_hands();
        let handshake = TlsAcceptor::from(files.current()).accept(stream);
        tokio::select! {
            encrypted = handshake => if let Ok(encrypted) = encrypted {
                connection.is_open();
                // Apart, so that connections without TLS do not take the room of one with it.
                Box::pin(self.serve(encrypted, connection)).await;
            },
            _ = connection.order() => {}
        }
    }

    /// Serves requests until either side ends the connection. How it ended is the client's own matter.
    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, connection: &Arc<Connection>) {
        let io = TokioIo::new(Watched::new(stream, Arc::clone(connection)));
        let answer = service::service_fn(|request: Request<Incoming>| {
            let answering = connection.answers(request.version() == Version::HTTP_2);
            let answer = self.router.call(request.map(|body| Awaited::new(body, Arc::clone(connection))));
            async move {
                let response = answer.await;
                response.map(|response| response.map(|body| Counted::new(body, answering)))
            }
        });
        let mut serving = std::pin::pin!(self.http.serve_connection(io, answer));
        loop {
            tokio::select! {
                biased;
                _ = serving.as_mut() => return,
                order = connection.order() => match order {
                    Order::Finish => serving.as_mut().graceful_shutdown(),
                    Order::Abort => return,
                },
            }
        }
    }
}
