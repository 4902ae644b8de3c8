//! The connection to an OpenTelemetry collector: one request at a time, each over a connection of its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::settings::Settings;

/// Where Debian keeps the authorities that it trusts.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Answers that OTLP asks to be tried again (OTLP/HTTP, "Retryable response codes").
const AGAIN: [u16; 4] = [429, 502, 503, 504];

/// Why spans were not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectorError {
    /// The address names no server.
    #[error("`{0}` names no server")]
    Address(Uri),
    /// The trusted authorities cannot be read.
    #[error("cannot read the authorities `{0}`: {1}")]
    Authorities(String, #[source] pem::Error),
    /// TLS cannot be spoken.
    #[error("TLS cannot be spoken: {0}")]
    Tls(#[from] rustls::Error),
    /// The collector cannot be reached.
    #[error("cannot reach `{0}`: {1}")]
    Connect(Uri, #[source] io::Error),
    /// The exchange failed.
    #[error("the collector did not answer: {0}")]
    Exchange(#[from] hyper::Error),
    /// It took too long.
    #[error("the collector did not answer within {0:?}")]
    Timeout(Duration),
    /// The collector refused.
    #[error("the collector answered with {0}")]
    Refused(StatusCode),
}

impl CollectorError {
    /// Returns whether the same may succeed later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Connect(..) | Self::Exchange(_) | Self::Timeout(_) => true,
            Self::Refused(status) => AGAIN.contains(&status.as_u16()),
            Self::Address(_) | Self::Authorities(..) | Self::Tls(_) => false,
        }
    }
}

/// Sends a body to the collector.
pub(super) async fn send(settings: &Settings, body: Bytes) -> Result<(), CollectorError> {
    let limit = settings.timeout;
    let status = tokio::time::timeout(limit, exchange(settings, body)).await;
    let status = status.map_err(|_| CollectorError::Timeout(limit))??;
    if status.is_success() { Ok(()) } else { Err(CollectorError::Refused(status)) }
}

async fn exchange(settings: &Settings, body: Bytes) -> Result<StatusCode, CollectorError> {
    let address = &settings.endpoint;
    let host = address.host().ok_or_else(|| CollectorError::Address(address.clone()))?.trim_matches(['[', ']']);
    let encrypted = address.scheme_str() == Some("https");
    let port = address.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
    let failed = |error| CollectorError::Connect(address.clone(), error);
    let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
    if !encrypted {
        return post(settings, stream, body).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| CollectorError::Address(address.clone()))?;
    let connector = TlsConnector::from(Arc::new(client(settings)?));
    post(settings, connector.connect(name, stream).await.map_err(failed)?, body).await
}

fn client(settings: &Settings) -> Result<ClientConfig, CollectorError> {
    let path = settings.authorities.as_deref().unwrap_or(AUTHORITIES);
    let failed = |error| CollectorError::Authorities(path.to_owned(), error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
        // Some systems trust certificates that this library cannot read; the others are enough.
        let _ = roots.add(certificate.map_err(failed)?);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

async fn post(
    settings: &Settings,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    body: Bytes,
) -> Result<StatusCode, CollectorError> {
    let address = &settings.endpoint;
    let host = address.authority().map_or("", |authority| authority.as_str().rsplit('@').next().unwrap_or_default());
    let mut request = Request::post(address.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(body))
        .map_err(|_| CollectorError::Address(address.clone()))?;
    request.headers_mut().extend(settings.headers.iter().cloned());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driven = tokio::spawn(connection);
    let response = sender.send_request(request).await;
    driven.abort();
    Ok(response?.status())
}
