//! Who may call: API keys, and signed tokens. Without either setting everybody may.
//!
//! Health stays open to all; metrics and documentation where [`Public`] says so.

mod guard;
pub mod jwks;
pub mod keys;
pub mod token;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, header};
use serde_json::{Value, json};

pub use self::guard::guard;
use self::jwks::JwksError;
use self::keys::{KeyError, Keys, Place};
use self::token::{Rules, TokenError};
use super::failure::{Code, Failure};
use super::options::{Environment, OptionsError};
use super::reload::{Reloaded, Source};

const KEYS: &str = "MLPACK_API_KEYS";
const KEY_HEADER: &str = "x-api-key";

/// Who may call, as the environment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Keys, by file and by variable.
    keys: KeySources,
    /// What tokens must say, where tokens are taken.
    tokens: Option<Rules>,
    /// What everybody may see.
    pub public: Public,
}

/// Pages that need no key, besides those about health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Public {
    /// `/metrics`.
    pub metrics: bool,
    /// `/`, `/docs` and `/openapi.json`.
    pub docs: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct KeySources {
    file: Option<PathBuf>,
    variable: Option<String>,
}

/// Why nobody can be let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The file of keys cannot be read.
    #[error("cannot read the API keys `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There are no keys where there should be some.
    #[error("there are no API keys in {0}")]
    NoKeys(Place),
    /// The key set cannot be used.
    #[error(transparent)]
    Jwks(#[from] JwksError),
}

/// Lets callers in.
#[derive(Debug)]
pub struct Auth {
    keys: Option<Reloaded<KeySources>>,
    tokens: Option<Reloaded<Rules>>,
    /// What everybody may see.
    pub public: Public,
}

/// Who calls: the key's name, or the token's subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(pub String);

impl Settings {
    /// Reads them from the environment.
    pub fn read(environment: &Environment<'_>) -> Result<Self, OptionsError> {
        let rule = |name: &str| environment.text(name);
        let keys = KeySources {
            file: environment.text("MLPACK_API_KEYS_FILE").map(PathBuf::from),
            variable: environment.text(KEYS),
        };
        let tokens = environment.text("MLPACK_JWT_KEYS_FILE").map(|keys| Rules {
            keys: keys.into(),
            issuer: rule("MLPACK_JWT_ISSUER"),
            audience: rule("MLPACK_JWT_AUDIENCE"),
            scope: rule("MLPACK_JWT_SCOPE"),
        });
        let mut public = Public::default();
        for page in environment.list("MLPACK_PUBLIC") {
            match page.as_str() {
                "metrics" => public.metrics = true,
                "docs" => public.docs = true,
                _ => return Err(OptionsError::Value { name: "MLPACK_PUBLIC".to_owned(), value: page }),
            }
        }
        Ok(Self { keys, tokens, public })
    }
}

impl Source for KeySources {
    type Value = Keys;
    type Error = AuthError;

    fn files(&self) -> Vec<&Path> {
        self.file.as_deref().into_iter().collect()
    }

    fn read(&self) -> Result<Keys, AuthError> {
        let mut keys = Keys::default();
        if let Some(text) = &self.variable {
            keys.extend(read_keys(&text.replace(',', "\n"), Place::Variable(KEYS))?);
        }
        if let Some(path) = &self.file {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|source| AuthError::Read { path: path.clone(), source })?;
            keys.extend(read_keys(&text, Place::File(path.clone()))?);
        }
        Ok(keys)
    }
}

fn read_keys(text: &str, place: Place) -> Result<Keys, AuthError> {
    let keys = Keys::parse(text, &place)?;
    if keys.is_empty() { Err(AuthError::NoKeys(place)) } else { Ok(keys) }
}

impl Auth {
    /// Reads keys and key sets; `None` where there are none to be read.
    pub fn new(settings: &Settings) -> Result<Option<Self>, AuthError> {
        let with_keys = settings.keys != KeySources::default();
        let keys = with_keys.then(|| Reloaded::new(settings.keys.clone())).transpose()?;
        let tokens = settings.tokens.clone().map(Reloaded::new).transpose()?;
        let auth = Self { keys, tokens, public: settings.public };
        Ok((auth.keys.is_some() || auth.tokens.is_some()).then_some(auth))
    }

    /// Follows the files of keys for ever.
    pub async fn follow(&self) {
        let keys = async {
            if let Some(keys) = &self.keys {
                keys.follow().await;
            }
        };
        let tokens = async {
            if let Some(tokens) = &self.tokens {
                tokens.follow().await;
            }
        };
        tokio::join!(keys, tokens);
    }

    /// Returns who calls, by a request's headers.
    pub fn check(&self, headers: &HeaderMap) -> Result<Caller, Failure> {
        let refused = |code, message: &str| Err(Failure::new(code, message));
        if let Some(key) = headers.get(KEY_HEADER).filter(|_| self.keys.is_some()) {
            let unknown = Failure::new(Code::InvalidCredentials, "the API key is not known");
            return self.key(key.as_bytes()).ok_or(unknown);
        }
        let Some(bearer) = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.to_str().ok()?)) else {
            return refused(Code::Unauthenticated, self.invitation());
        };
        if let Some(caller) = self.key(bearer.as_bytes()) {
            return Ok(caller);
        }
        let Some(tokens) = &self.tokens else { return refused(Code::InvalidCredentials, "the API key is not known") };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match tokens.current().verify(bearer, now.as_secs_f64()) {
            Ok(subject) => Ok(Caller(subject)),
            Err(TokenError::Scope) => refused(Code::Forbidden, TokenError::Scope.message()),
            Err(error) => refused(Code::InvalidCredentials, error.message()),
        }
    }

    fn key(&self, presented: &[u8]) -> Option<Caller> {
        Some(Caller(self.keys.as_ref()?.current().find(presented)?.to_owned()))
    }

    fn invitation(&self) -> &'static str {
        match (&self.keys, &self.tokens) {
            (_, None) => "send an API key as `X-API-Key`, or as `Authorization: Bearer`",
            (Some(_), Some(_)) => "send an API key as `X-API-Key`, or a token as `Authorization: Bearer`",
            (None, Some(_)) => "send a token as `Authorization: Bearer`",
        }
    }

    /// Adds to an OpenAPI document how to authenticate (OpenAPI 3.1, security schemes): either way will do.
    pub fn describe(&self, document: &mut Value) {
        let mut schemes = serde_json::Map::new();
        if self.keys.is_some() {
            schemes.insert("key".to_owned(), json!({"type": "apiKey", "in": "header", "name": "X-API-Key"}));
        }
        let mut bearer = json!({"type": "http", "scheme": "bearer"});
        if self.tokens.is_some() {
            bearer["bearerFormat"] = json!("JWT");
        }
        schemes.insert("bearer".to_owned(), bearer);
        document["security"] = schemes.keys().map(|name| json!({ name.as_str(): [] })).collect();
        document["components"]["securitySchemes"] = Value::Object(schemes);
        for probe in ["/livez", "/readyz"] {
            document["paths"][probe]["get"]["security"] = json!([]);
        }
    }
}

/// Returns the token of `Bearer <token>` (RFC 6750, section 2.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
