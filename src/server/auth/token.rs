//! Signed tokens: JSON Web Tokens (RFC 7519) as bearers send them. Tokens that were verified are remembered until they expire,
//! since checking a signature takes longer than the rest of a small request.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::jwks::{JwksError, KeySet};
use crate::server::reload::Source;

/// Seconds that clocks may differ by.
const LEEWAY: f64 = 60.0;
/// Tokens that are remembered; when there are more, all are forgotten.
const MAX_REMEMBERED: usize = 4096;

/// What tokens must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The key set's file.
    pub keys: PathBuf,
    /// Who must have issued them.
    pub issuer: Option<String>,
    /// Whom they must be meant for.
    pub audience: Option<String>,
    /// What they must allow.
    pub scope: Option<String>,
}

/// Verifies tokens.
#[derive(Debug)]
pub struct Tokens {
    rules: Rules,
    keys: KeySet,
    remembered: Mutex<HashMap<[u8; 32], Claims>>,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is no token.
    Malformed,
    /// No known key has signed it.
    Signature,
    /// It is no longer valid.
    Expired,
    /// It is not valid yet.
    TooEarly,
    /// Somebody else issued it.
    Issuer,
    /// It is meant for somebody else.
    Audience,
    /// It does not allow what is asked for.
    Scope,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; there are none that are.
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Clone, Debug, Deserialize)]
struct Claims {
    exp: f64,
    nbf: Option<f64>,
    iss: Option<String>,
    aud: Option<OneOrMore>,
    sub: Option<String>,
    scope: Option<OneOrMore>,
    scp: Option<OneOrMore>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Source for Rules {
    type Value = Tokens;
    type Error = JwksError;

    fn files(&self) -> Vec<&Path> {
        vec![&self.keys]
    }

    fn read(&self) -> Result<Tokens, JwksError> {
        Ok(Tokens { rules: self.clone(), keys: KeySet::read(&self.keys)?, remembered: Mutex::default() })
    }
}

impl Tokens {
    /// Verifies a token at this time, in seconds since 1970; returns whose it is.
    pub fn verify(&self, token: &str, now: f64) -> Result<String, TokenError> {
        let digest = Sha256::digest(token).into();
        let known = self.remembered().get(&digest).cloned();
        let claims = match known {
            Some(claims) => claims,
            None => {
                let claims = self.signed(token)?;
                let mut remembered = self.remembered();
                if remembered.len() >= MAX_REMEMBERED {
                    remembered.clear();
                }
                remembered.insert(digest, claims.clone());
                claims
            }
        };
        self.rules.check(&claims, now)?;
        Ok(claims.sub.unwrap_or_default())
    }

    /// Returns what a token claims, once its signature is known to be good.
    fn signed(&self, token: &str) -> Result<Claims, TokenError> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let header: Header = part(header)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        if !self.keys.verifies(&header.alg, header.kid.as_deref(), message.as_bytes(), &signature) {
            return Err(TokenError::Signature);
        }
        part(claims)
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<[u8; 32], Claims>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Result<T, TokenError> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}

impl Rules {
    fn check(&self, claims: &Claims, now: f64) -> Result<(), TokenError> {
        if claims.exp + LEEWAY <= now {
            return Err(TokenError::Expired);
        }
        if claims.nbf.is_some_and(|start| start - LEEWAY > now) {
            return Err(TokenError::TooEarly);
        }
        if self.issuer.is_some() && claims.iss != self.issuer {
            return Err(TokenError::Issuer);
        }
        let is_for = |audience: &str| claims.aud.as_ref().is_some_and(|found| found.has(audience));
        if self.audience.as_deref().is_some_and(|audience| !is_for(audience)) {
            return Err(TokenError::Audience);
        }
        // RFC 8693 calls it `scope`, a text of words; others a list, or `scp`.
        let allows =
            |scope: &str| [&claims.scope, &claims.scp].into_iter().flatten().any(|found| found.has_word(scope));
        if self.scope.as_deref().is_some_and(|scope| !allows(scope)) {
            return Err(TokenError::Scope);
        }
        Ok(())
    }
}

impl OneOrMore {
    /// Returns whether it is the text, or has it in its list.
    fn has(&self, wanted: &str) -> bool {
        match self {
            Self::One(text) => text == wanted,
            Self::More(list) => list.iter().any(|text| text == wanted),
        }
    }

    /// Returns whether it has the text, where one may be several words.
    fn has_word(&self, wanted: &str) -> bool {
        matches!(self, Self::One(text) if text.split(' ').any(|word| word == wanted)) || self.has(wanted)
    }
}

impl TokenError {
    /// Returns what is wrong with the token, for its bearer.
    pub fn message(self) -> &'static str {
        match self {
            Self::Malformed => "the token is not a JSON Web Token with an expiry time",
            Self::Signature => "the token is not signed with a known key",
            Self::Expired => "the token has expired",
            Self::TooEarly => "the token is not valid yet",
            Self::Issuer => "the token comes from another issuer",
            Self::Audience => "the token is meant for another audience",
            Self::Scope => "the token does not allow this",
        }
    }
}
