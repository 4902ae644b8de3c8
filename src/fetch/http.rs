//! The HTTP client for mirrors and indexes: system roots, retries with backoff, size caps, hashes checked on the way.
//!
//! Registries have a protocol of their own on top of [`client`], see `registry`.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client, RequestBuilder, Response};
use url::Url;

use super::store::{Blob, BlobStore, StoreError};
use super::transfer::{self, Counted, Transient};
use crate::digest::Digest;
use crate::error::{Diagnose, Exit};
use crate::event::{Event, Report};

/// How long a server may send nothing, before its answer and between two parts of it.
const SILENCE: Duration = Duration::from_mins(1);

/// A transfer over HTTP failed.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No answer, or it broke off.
    #[error("failed to fetch {url}")]
    Transport {
        /// The address, without credentials.
        url: String,
        /// Why it failed.
        source: reqwest::Error,
    },
    /// An answer that is not success.
    #[error("failed to fetch {url}: the server answered {status}")]
    Status {
        /// The address, without credentials.
        url: String,
        /// The status code.
        status: StatusCode,
        /// Seconds that the server asks us to wait.
        retry_after: Option<u64>,
    },
    /// A body larger than it may be.
    #[error("{url} gives more than {limit} bytes")]
    TooLarge {
        /// The address, without credentials.
        url: String,
        /// The number of bytes allowed.
        limit: u64,
    },
    /// Network access was ruled out by `--offline`.
    #[error("{url} is not in the cache, and `--offline` rules out fetching it")]
    Offline {
        /// The address, without credentials.
        url: String,
    },
    /// The bytes are not the expected ones, or could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl HttpError {
    /// Whether the server said that there is no such file.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Whether the server answered, but does not have the bytes that were asked for: no such file, or another one.
    pub fn is_unavailable(&self) -> bool {
        self.is_not_found() || matches!(self, Self::Store(StoreError::Mismatch { .. }))
    }
}

impl Transient for HttpError {
    fn is_temporary(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Store(StoreError::Source { .. }) => true,
            Self::Status { status, .. } => transfer::is_temporary(*status),
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl Diagnose for HttpError {
    fn exit(&self) -> Exit {
        match self {
            Self::Store(StoreError::Source { .. }) => Exit::Network,
            Self::Store(error) => error.exit(),
            Self::TooLarge { .. } => Exit::Integrity,
            _ => Exit::Network,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Store(error) => error.hints(),
            Self::Transport { .. } => {
                vec!["check the network, the proxy (HTTPS_PROXY) and the certificates (SSL_CERT_FILE)".to_owned()]
            }
            Self::Status { status, .. } if matches!(status.as_u16(), 401 | 403) => {
                vec!["the server wants credentials: put them in its configured address, or for a Python index in ~/.netrc".to_owned()]
            }
            Self::Status { status, .. } if *status == StatusCode::NOT_FOUND => {
                vec![
                    "the file may have been replaced by a newer version: `mlpack lock --update` resolves again"
                        .to_owned(),
                ]
            }
            Self::Offline { .. } => vec!["run the command once without `--offline`".to_owned()],
            _ => Vec::new(),
        }
    }
}

/// Returns a client that trusts the system's certificate authorities and does not wait for a server that has gone silent.
///
/// Until the answer begins, the time counts in which a body is sent: a request with a large one needs a limit of its own.
pub fn client() -> reqwest::blocking::ClientBuilder {
    client_for(SILENCE)
}

fn client_for(silence: Duration) -> reqwest::blocking::ClientBuilder {
    // A second installation fails, and means that the provider is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("mlpack/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(20))
        // The blocking client counts it anew for each reading from the answer.
        .timeout(silence)
        .tcp_keepalive(Duration::from_secs(30))
}

/// Fetches from mirrors and indexes. Cheap to clone; used from many threads at once.
#[derive(Clone)]
pub struct Http {
    client: Client,
    report: Arc<dyn Report>,
    offline: bool,
}

impl Http {
    /// Returns a client that tells `report` what it does; with `offline` every fetch fails.
    ///
    /// # Panics
    /// Never in practice: building a client without a proxy or certificate file of its own cannot fail.
    pub fn new(report: Arc<dyn Report>, offline: bool) -> Self {
        let client = client().build().expect("the TLS provider is installed and no option can fail");
        Self { client, report, offline }
    }

    /// Whether fetching is ruled out.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// Receives events of this run.
    pub fn report(&self) -> &Arc<dyn Report> {
        &self.report
    }

    /// Fetches a small document of at most `limit` bytes; `accept` is the media types wanted.
    pub fn get(&self, url: &Url, accept: Option<&str>, limit: u64) -> Result<Vec<u8>, HttpError> {
        self.retry(url, |request| {
            let request = match accept {
                Some(accept) => request.header("Accept", accept),
                None => request,
            };
            let shown = display(url);
            let response = send(request, &shown)?;
            let mut body = Vec::new();
            response
                .take(limit + 1)
                .read_to_end(&mut body)
                .map_err(|source| StoreError::Source { name: shown.clone(), source })?;
            if body.len() as u64 > limit {
                return Err(HttpError::TooLarge { url: shown, limit });
            }
            Ok(body)
        })
    }

    /// Fetches a file into the store. Nothing is kept unless size and digest are the expected ones.
    pub fn download(&self, store: &BlobStore, url: &Url, digest: Digest, size: u64) -> Result<Blob, HttpError> {
        let id = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or("file").to_owned();
        self.report.event(Event::Start { id: id.clone(), action: "download", total: Some(size) });
        let blob = self.retry(url, |request| {
            let shown = display(url);
            let response = send(request, &shown)?;
            let body = Counted::new(response, 0, &id, &self.report);
            Ok(store.insert(&shown, body, digest, size)?)
        })?;
        self.report.event(Event::Done { id, outcome: "downloaded".to_owned() });
        Ok(blob)
    }

    /// Asks for the size of a file, in bytes; `None` where the server does not state it.
    pub fn content_length(&self, url: &Url) -> Result<Option<u64>, HttpError> {
        self.retry(url, |request| {
            let response = send(request.header("Accept-Encoding", "identity"), &display(url))?;
            Ok(response.content_length())
        })
    }

    fn retry<T>(&self, url: &Url, attempt: impl Fn(RequestBuilder) -> Result<T, HttpError>) -> Result<T, HttpError> {
        if self.offline {
            return Err(HttpError::Offline { url: display(url) });
        }
        transfer::retry(|| attempt(self.client.get(url.clone())))
    }
}

/// Returns the address for messages: without user name and password, and without the query, which may hold a token.
pub fn display(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    // Both fail only for addresses that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

fn send(request: RequestBuilder, url: &str) -> Result<Response, HttpError> {
    // The address is shown by us, without its credentials.
    let response =
        request.send().map_err(|source| HttpError::Transport { url: url.to_owned(), source: source.without_url() })?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    Err(HttpError::Status { url: url.to_owned(), status, retry_after: transfer::retry_after(response.headers()) })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    /// Begins an answer of ten bytes, and sends one after each of these pauses.
    fn serve(pauses: &'static [Duration]) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/file?token=secret", listener.local_addr().unwrap())).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for (number, pause) in pauses.iter().enumerate() {
                std::thread::sleep(*pause);
                let head: &[u8] = if number == 0 { b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" } else { b"" };
                let _ = stream.write_all(&[head, b"x"].concat());
            }
        });
        url
    }

    fn get(url: &Url) -> Result<Vec<u8>, String> {
        let client = client_for(SHORT).build().unwrap();
        let mut body = Vec::new();
        let mut response = send(client.get(url.clone()), &display(url)).map_err(|error| error.to_string())?;
        response.read_to_end(&mut body).map_err(|error| error.to_string())?;
        Ok(body)
    }

    #[test]
    fn a_slow_server_is_waited_for_and_a_silent_one_is_not() {
        const PAUSE: Duration = Duration::from_millis(100);
        const LONG: Duration = Duration::from_secs(30);
        assert_eq!(get(&serve(&[PAUSE; 10])).unwrap().len(), 10);
        assert!(get(&serve(&[LONG])).unwrap_err().starts_with("failed to fetch http://127.0.0.1"));
        assert!(get(&serve(&[PAUSE, LONG])).is_err());
    }

    #[test]
    fn no_message_shows_what_may_be_secret() {
        let url = Url::parse("https://me:secret@example.org/a/b?token=secret&x=1").unwrap();
        assert_eq!(display(&url), "https://example.org/a/b");
    }
}
