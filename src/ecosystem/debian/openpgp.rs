//! Verifies text signed in OpenPGP's cleartext framework (RFC 9580), as `InRelease` files are.
//!
//! Trust is a list of keys: there is no web of trust, and what a key says of others does not count.

use std::path::Path;

use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{Signature, SignatureType};
use pgp::types::KeyDetails;

use super::cleartext;
use super::release::DAY;
use super::validity::{is_over, is_strong, key_problem, subkey_problem};
use crate::error::{Diagnose, Exit};
use crate::fs;

/// The keys of Debian 11, 12 and 13, see `keys/README.md`.
const DEBIAN_KEYS: [&str; 9] = [
    include_str!("keys/bullseye-automatic.asc"),
    include_str!("keys/bullseye-security-automatic.asc"),
    include_str!("keys/bullseye-stable.asc"),
    include_str!("keys/bookworm-automatic.asc"),
    include_str!("keys/bookworm-security-automatic.asc"),
    include_str!("keys/bookworm-stable.asc"),
    include_str!("keys/trixie-automatic.asc"),
    include_str!("keys/trixie-security-automatic.asc"),
    include_str!("keys/trixie-stable.asc"),
];

/// A text is not signed as it must be.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// There is no signed message at all.
    #[error("{name} is not signed")]
    Unsigned {
        /// What was checked, such as its URL.
        name: String,
    },
    /// There is text outside of the signed block.
    #[error("{name} has text outside of its signed part, at line {line}")]
    Outside {
        /// What was checked.
        name: String,
        /// The line's number, counted from 1.
        line: usize,
    },
    /// There is more than one signed block.
    #[error("{name} has more than one signed part")]
    Several {
        /// What was checked.
        name: String,
    },
    /// The framing or the signature packets cannot be read.
    #[error("the signature of {name} is malformed: {problem}")]
    Malformed {
        /// What was checked.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// None of the keys that signed it is trusted.
    #[error("{name} is signed by unknown keys only: {}", keys.join(", "))]
    UnknownKeys {
        /// What was checked.
        name: String,
        /// The key identifiers or fingerprints, in hex digits.
        keys: Vec<String>,
    },
    /// The text is not what the key signed.
    #[error("{name} is not what the key {key} signed")]
    Bad {
        /// What was checked.
        name: String,
        /// The key's fingerprint.
        key: String,
    },
    /// The signature rests on a hash that can be forged.
    #[error("the signature of {name} by the key {key} rests on {hash}, which can be forged")]
    WeakHash {
        /// What was checked.
        name: String,
        /// The key's fingerprint.
        key: String,
        /// The hash algorithm's name.
        hash: String,
    },
    /// The key or the signature is no longer valid, or not yet.
    #[error("the signature of {name} by the key {key} does not count: {problem}")]
    Invalid {
        /// What was checked.
        name: String,
        /// The key's fingerprint.
        key: String,
        /// Why, such as `the key was revoked`.
        problem: &'static str,
    },
    /// A keyring cannot be read.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A keyring holds no OpenPGP keys.
    #[error("`{name}` is not a keyring of OpenPGP public keys")]
    Keyring {
        /// The keyring's path.
        name: String,
        /// What is wrong with it.
        source: Box<pgp::errors::Error>,
    },
}

impl Diagnose for SignatureError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            _ => Exit::Integrity,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::File(error) => return error.hints(),
            Self::UnknownKeys { .. } => {
                "an archive of your own needs its public key in a keyring file that mlpack is told of \
                 (MLPACK_DEBIAN_KEYRING)"
            }
            Self::Keyring { .. } => "export the keys with `gpg --export --armor`",
            Self::Invalid { .. } => "a newer mlpack has newer keys; check this machine's clock as well",
            _ => "something between here and the archive changed the file: try another mirror or network",
        };
        vec![hint.to_owned()]
    }
}

/// A text whose signature was checked.
#[derive(Debug)]
pub struct Signed {
    /// The signed text and nothing else, its lines ended by line feeds.
    pub text: String,
    /// The fingerprint of the primary key that signed it, in upper-case hex digits.
    pub fingerprint: String,
}

/// The keys that are trusted.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: Vec<SignedPublicKey>,
}

impl Keyring {
    /// Returns the keys that Debian's releases are signed with.
    ///
    /// # Panics
    /// Never: the keys are part of the program.
    pub fn debian() -> Self {
        let mut keyring = Self::default();
        for armored in DEBIAN_KEYS {
            keyring.add(armored.as_bytes()).expect("the built-in keys are sound");
        }
        keyring
    }

    /// Adds the keys of a file, ASCII-armoured or binary.
    pub fn add_file(&mut self, path: &Path) -> Result<(), SignatureError> {
        let bytes = fs::read(path)?;
        self.add(&bytes)
            .map_err(|source| SignatureError::Keyring { name: path.display().to_string(), source: Box::new(source) })
    }

    /// Adds keys, ASCII-armoured or binary.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), pgp::errors::Error> {
        if bytes.trim_ascii_start().starts_with(b"-----") {
            let (keys, _) = SignedPublicKey::from_armor_many_buf(bytes)?;
            self.keys.extend(keys.collect::<Result<Vec<_>, _>>()?);
        } else {
            self.keys.extend(SignedPublicKey::from_bytes_many(bytes)?.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(())
    }

    /// Checks a signed message: at least one signature must be good, and by a key of this ring that is valid at `now`,
    /// in seconds since 1970. `name` says in errors what is checked.
    pub fn verify(&self, name: &str, message: &str, now: i64) -> Result<Signed, SignatureError> {
        let (text, armor) = cleartext::split(name, message)?;
        let malformed =
            |error: pgp::errors::Error| SignatureError::Malformed { name: name.to_owned(), problem: error.to_string() };
        let (signatures, _) = DetachedSignature::from_armor_many_buf(armor.as_bytes()).map_err(malformed)?;
        let mut unknown = Vec::new();
        let mut failure = None;
        for signature in signatures {
            let signature = signature.map_err(malformed)?.signature;
            let Some((key, subkey)) = self.find(&signature) else {
                unknown.extend(signature.issuer_fingerprint().iter().map(|key| hex(key.as_bytes())));
                continue;
            };
            let check = Check { name, key, subkey, signature: &signature, now };
            match check.run(&text) {
                Ok(()) => return Ok(Signed { text, fingerprint: fingerprint(key) }),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(SignatureError::UnknownKeys { name: name.to_owned(), keys: unknown }))
    }

    /// Returns the key, and the subkey if it was one, that a signature says it is by.
    fn find(&self, signature: &Signature) -> Option<(&SignedPublicKey, Option<&SignedPublicSubKey>)> {
        let is_issuer = |key: &dyn KeyDetails| {
            let fingerprints = signature.issuer_fingerprint();
            if fingerprints.is_empty() {
                signature.issuer_key_id().contains(&&key.legacy_key_id())
            } else {
                fingerprints.contains(&&key.fingerprint())
            }
        };
        self.keys.iter().find_map(|key| {
            if is_issuer(key) {
                return Some((key, None));
            }
            key.public_subkeys.iter().find(|subkey| is_issuer(*subkey)).map(|subkey| (key, Some(subkey)))
        })
    }
}

/// One signature by one known key.
struct Check<'a> {
    name: &'a str,
    key: &'a SignedPublicKey,
    subkey: Option<&'a SignedPublicSubKey>,
    signature: &'a Signature,
    now: i64,
}

impl Check<'_> {
    fn run(&self, text: &str) -> Result<(), SignatureError> {
        let (name, key) = (self.name.to_owned(), fingerprint(self.key));
        if let Some(hash) = self.signature.hash_alg().filter(|hash| !is_strong(*hash)) {
            return Err(SignatureError::WeakHash { name, key, hash: hash.to_string() });
        }
        let text_type = self.signature.typ() == Some(SignatureType::Text);
        let verified = match self.subkey {
            Some(subkey) => self.signature.verify(subkey, text.as_bytes()),
            None => self.signature.verify(self.key, text.as_bytes()),
        };
        if !text_type || verified.is_err() {
            return Err(SignatureError::Bad { name, key });
        }
        self.problem().map_or(Ok(()), |problem| Err(SignatureError::Invalid { name, key, problem }))
    }

    /// Returns why the signature does not count although it is good.
    fn problem(&self) -> Option<&'static str> {
        let Some(created) = self.signature.created() else { return Some("it does not say when it was made") };
        if i64::from(created.as_secs()) > self.now + DAY {
            return Some("it was made in the future");
        }
        if is_over(created, self.signature.signature_expiration_time(), self.now) {
            return Some("the signature expired");
        }
        match self.subkey {
            None => key_problem(self.key, true, self.now),
            Some(subkey) => {
                key_problem(self.key, false, self.now).or_else(|| subkey_problem(self.key, subkey, self.now))
            }
        }
    }
}

fn fingerprint(key: &SignedPublicKey) -> String {
    hex(key.fingerprint().as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02X}").expect("writing to a String cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_keys_sign_until_they_expire() {
        let keyring = Keyring::debian();
        assert_eq!(keyring.keys.len(), DEBIAN_KEYS.len());
        let (year_2026, year_2036) = (1_783_764_997, 2_082_758_400);
        for key in &keyring.keys {
            assert_eq!(key_problem(key, true, year_2026), None, "{}", fingerprint(key));
            assert_eq!(key_problem(key, true, year_2036), Some("the key expired"));
            for subkey in &key.public_subkeys {
                assert_eq!(subkey_problem(key, subkey, year_2026), None);
                assert_eq!(subkey_problem(key, subkey, year_2036), Some("the subkey expired"));
            }
        }
    }
}
