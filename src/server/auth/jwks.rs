//! The keys that tokens are signed with, from a JSON Web Key Set (RFC 7517, 7518, 8037): RS256, ES256, EdDSA with Ed25519,
//! and HS256. Each key signs with its own algorithm alone, whatever a token's header says.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::{hmac, signature};
use serde::Deserialize;

/// The shortest secret that HS256 takes (RFC 7518, section 3.2).
const SHORTEST_SECRET: usize = 32;
/// Bytes of a coordinate on P-256, and of a key of Ed25519.
const COORDINATE: usize = 32;

/// The keys of a set that can be used.
#[derive(Debug)]
pub struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Secret(hmac::Key),
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A key as it is written.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    k: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

/// Why a key set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The file cannot be read.
    #[error("cannot read the key set `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no key set.
    #[error("`{path}` is not a JSON Web Key Set: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// No key is of a kind that is known.
    #[error("`{0}` has no key for RS256, ES256, EdDSA (Ed25519) or HS256 (32 bytes or more)")]
    Empty(PathBuf),
}

impl KeySet {
    /// Reads a file. Keys of other kinds are left out, as RFC 7517 asks (section 5).
    pub fn read(path: &Path) -> Result<Self, JwksError> {
        let text = std::fs::read(path).map_err(|source| JwksError::Read { path: path.to_owned(), source })?;
        let set: Jwks =
            serde_json::from_slice(&text).map_err(|source| JwksError::Parse { path: path.to_owned(), source })?;
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()?.usable());
        let keys: Vec<Key> = keys.collect();
        if keys.is_empty() { Err(JwksError::Empty(path.to_owned())) } else { Ok(Self(keys)) }
    }

    /// Returns whether a key of this algorithm, and of this name where both have one, has signed the message.
    pub fn verifies(&self, algorithm: &str, id: Option<&str>, message: &[u8], signature: &[u8]) -> bool {
        let named = |key: &&Key| id.is_none() || key.id.is_none() || key.id.as_deref() == id;
        let mut candidates = self.0.iter().filter(|key| key.material.algorithm() == algorithm).filter(named);
        candidates.any(|key| key.material.verifies(message, signature))
    }
}

impl Jwk {
    fn usable(self) -> Option<Key> {
        if self.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let bytes = |text: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
        let coordinate = |text: &Option<String>| bytes(text).filter(|bytes| bytes.len() == COORDINATE);
        let material = match (self.kty.as_str(), self.crv.as_deref()) {
            ("oct", _) => {
                let secret = bytes(&self.k).filter(|secret| secret.len() >= SHORTEST_SECRET)?;
                Material::Secret(hmac::Key::new(hmac::HMAC_SHA256, &secret))
            }
            ("RSA", _) => Material::Rsa { modulus: number(bytes(&self.n)?), exponent: number(bytes(&self.e)?) },
            // An uncompressed point (SEC 1, section 2.3.3).
            ("EC", Some("P-256")) => Material::P256([vec![4], coordinate(&self.x)?, coordinate(&self.y)?].concat()),
            ("OKP", Some("Ed25519")) => Material::Ed25519(coordinate(&self.x)?),
            _ => return None,
        };
        let fits = self.alg.as_deref().is_none_or(|algorithm| algorithm == material.algorithm());
        fits.then_some(Key { id: self.kid, material })
    }
}

impl Material {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Secret(_) => "HS256",
            Self::Rsa { .. } => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let public = |algorithm: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            signature::UnparsedPublicKey::new(algorithm, key).verify(message, signature)
        };
        let verified =
            match self {
                Self::Secret(key) => hmac::verify(key, message, signature),
                Self::Rsa { modulus, exponent } => signature::RsaPublicKeyComponents { n: modulus, e: exponent }
                    .verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature),
                Self::P256(key) => public(&signature::ECDSA_P256_SHA256_FIXED, key),
                Self::Ed25519(key) => public(&signature::ED25519, key),
            };
        verified.is_ok()
    }
}

/// Takes the zeros before a number away, which some programs write.
fn number(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}
