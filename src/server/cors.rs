//! Which web pages may call from a browser (Cross-Origin Resource Sharing, as the Fetch standard has it).

use std::time::Duration;

use axum::http::{HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::exchange::{CACHE_STATUS, FALLBACK, VERSION};
use super::http::REQUEST_ID;
use super::options::{Environment, OptionsError};

const NAME: &str = "MLPACK_CORS_ORIGINS";
/// How long browsers may remember what is allowed.
const MAX_AGE: Duration = Duration::from_mins(10);

/// The origins of pages that may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Any page.
    Any,
    /// Pages of these origins.
    Only(Vec<HeaderValue>),
}

impl Origins {
    /// Reads them from the environment; `None` where pages of other origins may not call.
    pub fn read(environment: &Environment<'_>) -> Result<Option<Self>, OptionsError> {
        let origins = environment.list(NAME);
        if origins.iter().any(|origin| origin == "*") {
            return Ok(Some(Self::Any));
        }
        let origins: Vec<HeaderValue> = origins.into_iter().map(origin).collect::<Result<_, _>>()?;
        Ok((!origins.is_empty()).then_some(Self::Only(origins)))
    }

    /// Returns what answers browsers that ask first, and adds to all answers who may read them.
    pub fn layer(&self) -> CorsLayer {
        let origins = match self {
            Self::Any => AllowOrigin::any(),
            Self::Only(origins) => AllowOrigin::list(origins.clone()),
        };
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([REQUEST_ID, header::RETRY_AFTER, CACHE_STATUS, FALLBACK, VERSION])
            .max_age(MAX_AGE)
    }
}

/// Reads an origin: scheme, host and port alone (RFC 6454, section 6.1).
fn origin(text: String) -> Result<HeaderValue, OptionsError> {
    let is_origin = text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', '@', '*'])
    });
    let value = HeaderValue::from_str(&text).ok().filter(|_| is_origin);
    value.ok_or(OptionsError::Value { name: NAME.to_owned(), value: text })
}
