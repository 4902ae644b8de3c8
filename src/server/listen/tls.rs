//! TLS 1.2 and 1.3 with a certificate and a key in PEM files, which may be exchanged while the server runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::server::options::{Environment, OptionsError};
use crate::server::reload::Source;

/// What may be spoken after the handshake (RFC 7301), what is liked best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and those between it and a known authority.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    #[error("`{path}` does not hold {what} in PEM: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// There is no certificate in the file.
    #[error("`{0}` holds no certificate")]
    Empty(PathBuf),
    /// Certificate and key cannot be used.
    #[error("the certificate `{certificate}` and the key `{key}` cannot be used together: {source}")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

impl Files {
    /// Reads which files the environment names: both or none.
    pub fn from_environment(environment: &Environment<'_>) -> Result<Option<Self>, OptionsError> {
        const NAMES: [&str; 2] = ["MLPACK_TLS_CERT", "MLPACK_TLS_KEY"];
        match NAMES.map(|name| environment.text(name).map(PathBuf::from)) {
            [Some(certificate), Some(key)] => Ok(Some(Self { certificate, key })),
            [None, None] => Ok(None),
            [Some(_), None] => Err(OptionsError::Missing(NAMES[1].to_owned())),
            [None, Some(_)] => Err(OptionsError::Missing(NAMES[0].to_owned())),
        }
    }

    /// Reads the certificate and those above it.
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let failed = |source| TlsError::Pem { path: self.certificate.clone(), what: "certificates", source };
        let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&self.certificate).map_err(failed)?.collect();
        let all = all.map_err(failed)?;
        if all.is_empty() { Err(TlsError::Empty(self.certificate.clone())) } else { Ok(all) }
    }
}

impl Source for Files {
    type Value = ServerConfig;
    type Error = TlsError;

    fn files(&self) -> Vec<&Path> {
        vec![&self.certificate, &self.key]
    }

    fn read(&self) -> Result<ServerConfig, TlsError> {
        let certificates = self.certificates()?;
        let failed = |source| TlsError::Pem { path: self.key.clone(), what: "a private key", source };
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(failed)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(certificates, key));
        let mut config = config.map_err(|source| TlsError::Unusable {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(config)
    }
}
