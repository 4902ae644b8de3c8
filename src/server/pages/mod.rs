//! The pages for people: what the model is at `/`, and Swagger UI at `/docs`. Nothing from outside is loaded, and no text of
//! the manifest becomes markup.

mod about;
mod html;
mod literal;
mod snippets;
mod swagger;

use std::sync::Arc;

use axum::Router;
use axum::http::response::Builder;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use serde_json::json;

use super::app::App;
use super::http;

/// Only this server's own files run, and only this server is asked. Swagger UI sets styles on its elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// The pages' own files.
const FILES: [(&str, &str, &str); 5] = [
    ("/docs", include_str!("assets/docs.html"), HTML),
    ("/docs/docs.js", include_str!("assets/docs.js"), SCRIPT),
    ("/docs/docs.css", include_str!("assets/docs.css"), STYLE),
    ("/docs/about.js", include_str!("assets/about.js"), SCRIPT),
    ("/docs/about.css", include_str!("assets/about.css"), STYLE),
];

/// Returns the routes of the pages.
pub(super) fn routes(app: &Arc<App>) -> Router {
    let mut router = Router::new().route("/", index(app));
    for (path, content, media_type) in FILES {
        router = router.route(path, get(async move || file(content, media_type)));
    }
    for (name, gzip, media_type) in swagger::ASSETS {
        router = router.route(&format!("/docs/{name}"), get(async move || compressed(gzip, media_type)));
    }
    router
}

/// The model's own page for browsers, and its JSON for all others.
fn index(app: &Arc<App>) -> axum::routing::MethodRouter {
    let page = Bytes::from(about::page(&app.service, app.auth.is_some()));
    let app = Arc::clone(app);
    get(move |headers: HeaderMap| {
        let mut response = if wants_html(&headers) {
            respond(HTML).header(header::CACHE_CONTROL, "no-cache").body(page.into()).expect("constants are valid")
        } else {
            http::json(StatusCode::OK, &summary(&app), &http::request_id(&headers))
        };
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
        std::future::ready(http::finish(&app, response))
    })
}

fn summary(app: &App) -> serde_json::Value {
    let endpoints: Vec<String> = app.endpoints.iter().map(|endpoint| format!("/{}", endpoint.name)).collect();
    let service = &app.service;
    let versions: Vec<_> =
        service.versions().map(|version| json!({"version": version.version, "labels": version.labels})).collect();
    json!({"name": service.name, "version": service.latest.version, "versions": versions, "description": service.description,
        "license": service.license, "endpoints": endpoints, "protocols": service.server.protocols,
        "openapi": "/openapi.json", "docs": "/docs", "metrics": "/metrics", "status": "alive"})
}

/// Whether HTML is preferred to JSON (RFC 9110, section 12.5.1). Wildcards do not ask for a page.
fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<&str> = accepted.flat_map(|value| value.split(',')).collect();
    let quality = |media_type: &str| {
        let mut fields = ranges.iter().map(|range| range.split(';').map(str::trim));
        let mut found =
            fields.find(|fields| fields.clone().next().is_some_and(|name| name.eq_ignore_ascii_case(media_type)))?;
        let weight = found.find_map(|field| field.strip_prefix("q=")?.parse::<f32>().ok());
        Some(weight.unwrap_or(1.0))
    };
    quality("text/html").is_some_and(|html| html > 0.0 && html >= quality("application/json").unwrap_or(0.0))
}

fn file(content: &'static str, media_type: &'static str) -> Response {
    respond(media_type).header(header::CACHE_CONTROL, "no-cache").body(content.into()).expect("constants are valid")
}

/// A file of Swagger UI, as gzip, which every browser takes.
fn compressed(gzip: &'static [u8], media_type: &'static str) -> Response {
    respond(media_type)
        .header(header::CONTENT_ENCODING, "gzip")
        .header(header::CACHE_CONTROL, "public, max-age=86400")
        .body(gzip.into())
        .expect("constants are valid")
}

fn respond(media_type: &'static str) -> Builder {
    Response::builder()
        .header(header::CONTENT_TYPE, media_type)
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::REFERRER_POLICY, "no-referrer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_no_other_host() {
        for (_, content, _) in FILES {
            assert!(!content.contains("//"), "{content}");
        }
        assert!(!POLICY.contains("//"));
    }

    #[test]
    fn only_who_prefers_a_page_gets_one() {
        let wants = |accept: &str| {
            wants_html(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_str(accept).unwrap())]))
        };
        assert!(wants("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(wants("application/json;q=0.5, text/html"));
        for other in ["*/*", "application/json", "text/html;q=0.2, application/json", "text/html;q=0", ""] {
            assert!(!wants(other), "{other}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }
}
