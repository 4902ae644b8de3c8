//! `mlpack-server healthcheck`: asks the server on this machine for its readiness, for engines that run a program to know.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::ServerError;
use super::listen::tls::Files;
use super::options::Options;

const PATIENCE: Duration = Duration::from_secs(3);
/// More than the answer has.
const MAX_ANSWER: u64 = 4096;

/// Asks the server with these options whether it is ready.
pub fn ask(options: &Options) -> Result<(), ServerError> {
    let answer = exchange(options).map_err(|source| ServerError::NotAnswered { port: options.port, source })?;
    let ready = answer.split(' ').nth(1) == Some("200");
    if ready { Ok(()) } else { Err(ServerError::NotReady(options.port)) }
}

fn exchange(options: &Options) -> io::Result<String> {
    let host = if options.host.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { options.host };
    let connection = TcpStream::connect_timeout(&SocketAddr::new(host, options.port), PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    match &options.tls {
        None => get(connection),
        Some(files) => {
            let session = session(files, host).map_err(io::Error::other)?;
            get(StreamOwned::new(session, connection))
        }
    }
}

fn get(mut connection: impl Read + Write) -> io::Result<String> {
    connection.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    connection.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

fn session(files: &Files, host: IpAddr) -> Result<ClientConnection, Box<dyn std::error::Error + Send + Sync>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let own = files.certificates()?.swap_remove(0);
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Own { own, provider }))
        .with_no_client_auth();
    Ok(ClientConnection::new(Arc::new(config), ServerName::from(host))?)
}

/// Takes the server's own certificate alone, whatever name stands in it: the file says that it is this server.
#[derive(Debug)]
struct Own {
    own: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Own {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *certificate == self.own {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
