//! Bearer tokens: reading a registry's challenge and getting a token for it, as Docker's token specification says.

use std::collections::BTreeMap;

use reqwest::blocking::{Client, RequestBuilder};
use serde::Deserialize;
use url::Url;

use super::credentials::Credential;
use super::error::RegistryError;

/// An answer to a token request may have so many bytes.
const TOKEN_LIMIT: u64 = 1 << 20;

/// What a registry asks for in `WWW-Authenticate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with every request.
    Basic,
    /// A token from `realm`.
    Bearer {
        /// Where tokens are given out.
        realm: String,
        /// The registry's name at the realm.
        service: Option<String>,
    },
}

impl Challenge {
    /// Reads a `WWW-Authenticate` header; `None` for schemes that nobody uses here.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        Some(Self::Bearer { realm: parameters.remove("realm")?, service: parameters.remove("service") })
    }
}

/// Splits `a="x, y",b=z` into its parameters.
fn parameters(mut text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while let Some((name, rest)) = text.split_once('=') {
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(',').unwrap_or((rest, "")),
        };
        found.insert(name.trim_matches([' ', ',']).to_ascii_lowercase(), value.to_owned());
        text = rest;
    }
    found
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

/// Gets a token for `scopes` from the challenge's realm.
///
/// A realm without TLS is asked only if the registry itself is spoken to without TLS: a password must not leave in the
/// clear because a registry says so.
pub(super) fn token(
    client: &Client,
    realm: &str,
    service: Option<&str>,
    scopes: &[String],
    credential: Option<&Credential>,
    plain: bool,
) -> Result<String, RegistryError> {
    let protocol = |reason: &str| RegistryError::Protocol { url: realm.to_owned(), reason: reason.to_owned() };
    let url: Url = realm.parse().map_err(|_| protocol("the token realm is not an address"))?;
    if url.scheme() != "https" && !(plain && url.scheme() == "http") {
        return Err(protocol("the token realm has no TLS"));
    }
    let request = request(client, &url, service, scopes, credential);
    let response = super::client::checked(request, "get a token from", &url)?;
    let body = super::client::body(response, TOKEN_LIMIT, &url)?;
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| protocol("the token answer is not JSON"))?;
    answer.token.or(answer.access_token).ok_or_else(|| protocol("the token answer has no token"))
}

fn request(
    client: &Client,
    url: &Url,
    service: Option<&str>,
    scopes: &[String],
    credential: Option<&Credential>,
) -> RequestBuilder {
    let mut query: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
    if let Some(Credential::IdentityToken(token)) = credential {
        let scope = scopes.join(" ");
        query.extend([("scope", scope.as_str()), ("grant_type", "refresh_token")]);
        query.extend([("client_id", "mlpack"), ("refresh_token", token)]);
        return client.post(url.clone()).form(&query);
    }
    query.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
    let request = client.get(url.clone()).query(&query);
    match credential {
        Some(Credential::Password { user, password }) => request.basic_auth(user, Some(password)),
        _ => request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(
            Challenge::parse(r#"Bearer realm="https://a.example.org/token",service="r, s",scope="repository:x:pull""#),
            bearer("https://a.example.org/token", Some("r, s"))
        );
        assert_eq!(Challenge::parse("bearer service=s, realm=r"), bearer("r", Some("s")));
        for hostile in ["", "Bearer", "Bearer realm", "Digest realm=\"x\"", "Bearer =\"", "Bearer realm=\"unclosed"] {
            let _ = Challenge::parse(hostile);
        }
        assert_eq!(Challenge::parse("Bearer service=x"), None);
    }
}
