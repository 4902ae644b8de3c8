//! `mlpack-server healthcheck`: asks the server on this machine for its readiness, for engines that run a program to know.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::ServerError;
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
        Some(_) => {
            let session = session(host).map_err(io::Error::other)?;
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

fn session(host: IpAddr) -> Result<ClientConnection, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any(provider)))
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::from(host))
}

/// Takes any certificate, whose key the server must have. The question goes to this machine, holds no secret and wants but a
/// status, and the file's certificate may be newer than the one that is served.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
