//! One registry's HTTP: scheme, tokens by scope, retries with backoff. What is moved is the business of `push` and `pull`.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::blocking::{Body, Client as Http, RequestBuilder, Response};
use reqwest::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};
use url::Url;

use super::auth::{self, Challenge};
use super::credentials::{Credential, Credentials};
use super::error::{RegistryError, messages};
use super::reference::Reference;
use crate::event::Report;
use crate::fetch::{http, transfer};

/// An error body is read up to this many bytes.
const ERROR_LIMIT: u64 = 64 << 10;

/// How long a registry may take to keep what was sent to it: it reads a large blob once more for its digest.
const KEEPING: Duration = Duration::from_mins(5);
/// The least number of bytes that are sent in a second, else the request is given up; an upload is then resumed.
const SLOWEST: u64 = 16 << 10;

/// How to reach registries.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Speak HTTP without TLS.
    pub plain_http: bool,
    /// Registries that may be spoken to without TLS or with any certificate, as Docker's and podman's files list them.
    pub insecure: Vec<String>,
    /// Who we are.
    pub credentials: Credentials,
}

/// A connection to one registry for one repository.
pub struct Client {
    http: Http,
    base: Url,
    repository: String,
    credential: Option<Credential>,
    tokens: Mutex<HashMap<String, Arc<str>>>,
    report: Arc<dyn Report>,
}

/// A request to the registry.
pub struct Request<'a> {
    method: Method,
    url: &'a Url,
    scopes: Vec<String>,
    headers: Vec<(&'static str, String)>,
    length: u64,
    body: Option<MakeBody<'a>>,
}

/// Makes a request's body, anew for each try.
type MakeBody<'a> = Box<dyn Fn() -> Result<Body, RegistryError> + 'a>;

impl<'a> Request<'a> {
    /// Returns a request without headers or body, for which the registry may want a token for `scope`.
    pub fn new(method: Method, url: &'a Url, scope: String) -> Self {
        Self { method, url, scopes: vec![scope], headers: Vec::new(), length: 0, body: None }
    }

    /// Asks for a token that allows this as well.
    pub fn scope(mut self, scope: String) -> Self {
        self.scopes.push(scope);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Says that there is no body, which registries want to hear where there could be one.
    pub fn empty(self) -> Self {
        self.header("Content-Length", 0)
    }

    /// Sends the `length` bytes that `body` makes.
    pub fn body(mut self, length: u64, body: impl Fn() -> Result<Body, RegistryError> + 'a) -> Self {
        self.length = length;
        self.body = Some(Box::new(body));
        self
    }

    /// How long sending and the answer may take; `None` where nothing is written, so that silence alone counts.
    fn patience(&self) -> Option<Duration> {
        let writes = !matches!(self.method, Method::GET | Method::HEAD);
        writes.then(|| KEEPING + Duration::from_secs(self.length / SLOWEST))
    }
}

impl Client {
    /// Connects to the registry of `reference`: finds the scheme and the credentials.
    pub fn new(reference: &Reference, connection: &Connection, report: Arc<dyn Report>) -> Result<Self, RegistryError> {
        let host = reference.host();
        let lenient = is_loopback(host) || connection.insecure.iter().any(|listed| listed == &reference.registry);
        let http = http::client()
            .tls_danger_accept_invalid_certs(lenient && !connection.plain_http)
            // The client drops credentials where a redirect leaves the host.
            .redirect(reqwest::redirect::Policy::limited(5))
            .build()
            .map_err(|source| RegistryError::Transport {
                action: "connect to".to_owned(),
                url: host.to_owned(),
                source,
            })?;
        let plain = connection.plain_http || (lenient && !answers(&http, &format!("https://{host}/v2/")));
        let scheme = if plain { "http" } else { "https" };
        let base = format!("{scheme}://{host}/v2/").parse().map_err(|_| RegistryError::Protocol {
            url: host.to_owned(),
            reason: "the registry's name makes no address".to_owned(),
        })?;
        let credential = connection.credentials.find(&reference.registry, &reference.repository)?;
        Ok(Self { http, base, repository: reference.repository.clone(), credential, tokens: Mutex::default(), report })
    }

    /// The repository that this client speaks of.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Receives events.
    pub fn report(&self) -> &Arc<dyn Report> {
        &self.report
    }

    /// Returns the address of `path` below the repository.
    pub fn url(&self, path: &str) -> Result<Url, RegistryError> {
        self.relative(&format!("{}/{path}", self.repository))
    }

    /// Returns an address that the registry gave, relative to its own where it has no host.
    pub fn relative(&self, path: &str) -> Result<Url, RegistryError> {
        self.base.join(path).map_err(|_| RegistryError::Protocol {
            url: self.base.to_string(),
            reason: format!("`{}` is not an address", path.escape_default()),
        })
    }

    /// Checks that the registry is there and takes our credentials.
    pub fn ping(&self) -> Result<(), RegistryError> {
        self.send(&Request::new(Method::GET, &self.base, String::new())).map(drop)
    }

    /// Sends a request, with a token where the registry wants one, and tries again when that may help.
    pub fn send(&self, request: &Request<'_>) -> Result<Response, RegistryError> {
        transfer::retry(|| self.attempt(request))
    }

    /// Sends a request once; a challenge is answered.
    pub fn attempt(&self, request: &Request<'_>) -> Result<Response, RegistryError> {
        let mut response = self.transmit(request, self.known_token(&request.scopes).as_deref())?;
        if response.status() == StatusCode::UNAUTHORIZED
            && self.is_ours(request.url)
            && let Some(authorization) = self.answer(&response, &request.scopes)?
        {
            response = self.transmit(request, Some(&authorization))?;
        }
        check(response, request.method.as_str(), request.url)
    }

    fn transmit(&self, request: &Request<'_>, authorization: Option<&str>) -> Result<Response, RegistryError> {
        let mut builder = self.http.request(request.method.clone(), request.url.clone());
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        // Credentials are for the registry's own host, never for where it sends us.
        if let Some(authorization) = authorization.filter(|_| self.is_ours(request.url)) {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        if let Some(patience) = request.patience() {
            builder = builder.timeout(patience);
        }
        if let Some(body) = &request.body {
            builder = builder.body(body()?);
        }
        transport(builder.send(), request.method.as_str(), request.url)
    }

    /// Answers a challenge, and returns the header that does.
    fn answer(&self, response: &Response, scopes: &[String]) -> Result<Option<Arc<str>>, RegistryError> {
        let headers = response.headers().get_all(WWW_AUTHENTICATE);
        let Some(challenge) = headers.iter().find_map(|value| Challenge::parse(value.to_str().ok()?)) else {
            return Ok(None);
        };
        let header: Arc<str> = match challenge {
            Challenge::Basic => match &self.credential {
                Some(Credential::Password { user, password }) => {
                    use base64::Engine as _;
                    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                    format!("Basic {encoded}").into()
                }
                _ => return Ok(None),
            },
            Challenge::Bearer { realm, service } => {
                let plain = self.base.scheme() == "http";
                let token =
                    auth::token(&self.http, &realm, service.as_deref(), scopes, self.credential.as_ref(), plain)?;
                format!("Bearer {token}").into()
            }
        };
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(scopes.join(" "), header.clone());
        Ok(Some(header))
    }

    fn known_token(&self, scopes: &[String]) -> Option<Arc<str>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(&scopes.join(" ")).cloned()
    }

    fn is_ours(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// The scope for reading and writing this repository.
    pub fn write_scope(&self) -> String {
        format!("repository:{}:pull,push", self.repository)
    }

    /// The scope for reading this repository.
    pub fn read_scope(&self) -> String {
        format!("repository:{}:pull", self.repository)
    }
}

/// Sends a request that needs no token, and checks the answer.
pub fn checked(request: RequestBuilder, action: &str, url: &Url) -> Result<Response, RegistryError> {
    check(transport(request.send(), action, url)?, action, url)
}

/// Reads a body of at most `limit` bytes.
pub fn body(response: Response, limit: u64, url: &Url) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    let protocol = |reason: String| RegistryError::Protocol { url: http::display(url), reason };
    response.take(limit + 1).read_to_end(&mut bytes).map_err(|error| protocol(error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(protocol(format!("the answer has more than {limit} bytes")));
    }
    Ok(bytes)
}

fn transport(result: reqwest::Result<Response>, action: &str, url: &Url) -> Result<Response, RegistryError> {
    result.map_err(|source| RegistryError::Transport {
        action: action.to_owned(),
        url: http::display(url),
        source: source.without_url(),
    })
}

fn check(response: Response, action: &str, url: &Url) -> Result<Response, RegistryError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = transfer::retry_after(response.headers());
    let mut body = Vec::new();
    // What the registry says of its refusal helps, but is not needed.
    let _ = response.take(ERROR_LIMIT).read_to_end(&mut body);
    Err(RegistryError::Status {
        action: action.to_owned(),
        url: http::display(url),
        status,
        messages: messages(&body),
        retry_after,
    })
}

/// Whether a registry on this machine may be spoken to without TLS, as Docker and podman do it.
fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name == "[::1]" || name.starts_with("127.")
}

fn answers(http: &Http, url: &str) -> bool {
    http.get(url).timeout(Duration::from_secs(5)).send().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_gets_the_time_that_writing_takes() {
        let url = Url::parse("https://registry.example.org/v2/").unwrap();
        let patience = |method, length| {
            let request = Request::new(method, &url, String::new());
            request.body(length, || Ok(Vec::new().into())).patience()
        };
        assert_eq!([Method::GET, Method::HEAD].map(|method| patience(method, 0)), [None; 2]);
        assert_eq!(patience(Method::PUT, 0), Some(KEEPING));
        assert!(patience(Method::PATCH, 1 << 30).unwrap() > Duration::from_hours(18));
    }
}
