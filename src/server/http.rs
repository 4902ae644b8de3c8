//! What all wire protocols share over HTTP: reading bodies within their limits, request IDs, the error document, and the
//! server's own pages. Which paths call the model is each protocol's own matter.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::app::App;
use super::docs;
use super::failure::{Code, Failure};
use super::protocol;

/// Bodies and results of this size are worked on by another thread, so that they do not hold up small ones.
const LARGE: usize = 256 << 10;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Returns all routes.
pub fn router(app: &Arc<App>) -> Router {
    let own = Router::new()
        .route("/", get(with(app, landing)))
        .route(
            "/livez",
            get(with(app, |_, headers| json_response(StatusCode::OK, &json!({"status": "live"}), headers))),
        )
        .route("/readyz", get(with(app, ready)))
        .route("/openapi.json", get(with(app, |app, headers| body(StatusCode::OK, app.openapi.clone(), headers))))
        .merge(docs::routes());
    protocol::all()
        .iter()
        .fold(own, |router, protocol| router.merge(protocol.routes(app)))
        .method_not_allowed_fallback(with(app, |_, headers| {
            failure(&Failure::new(Code::MethodNotAllowed, "this path does not take this method"), headers)
        }))
        .fallback(with(app, |_, headers| {
            failure(&Failure::new(Code::NotFound, "there is nothing at this path"), headers)
        }))
}

/// Makes a handler of a function of the server and the request's headers.
fn with(
    app: &Arc<App>,
    answer: impl Fn(&App, &HeaderMap) -> Response + Clone + Send + Sync + 'static,
) -> impl Fn(HeaderMap) -> std::future::Ready<Response> + Clone + Send + Sync + 'static {
    let app = Arc::clone(app);
    move |headers| std::future::ready(finish(&app, answer(&app, &headers)))
}

/// Asks the client to leave while the server is stopping.
pub fn finish(app: &App, mut response: Response) -> Response {
    if app.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn landing(app: &App, headers: &HeaderMap) -> Response {
    let endpoints: Vec<String> = app.endpoints.iter().map(|endpoint| format!("/{}", endpoint.name)).collect();
    let service = &app.service;
    let page = json!({"name": service.name, "version": service.version, "description": service.description,
        "endpoints": endpoints, "openapi": "/openapi.json", "docs": "/docs"});
    json_response(StatusCode::OK, &page, headers)
}

fn ready(app: &App, headers: &HeaderMap) -> Response {
    let (status, word) = match (app.is_draining(), app.ready_workers()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, 0) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        (false, _) => (StatusCode::OK, "ready"),
    };
    let workers = json!({"ready": app.ready_workers(), "total": app.workers});
    json_response(status, &json!({"status": word, "workers": workers}), headers)
}

/// Reads a request's body within the limits of size and time.
pub async fn read_body(app: &App, headers: &HeaderMap, body: Body, deadline: Instant) -> Result<Bytes, Failure> {
    let limit = app.max_body();
    let too_large = || Failure::new(Code::BodyTooLarge, format!("the body may have at most {limit} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    match timeout_at(deadline, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Failure::new(Code::MalformedBody, "the body could not be read")),
        Err(_) => Err(Failure::new(Code::BodyTimeout, "the body did not arrive in time")),
    }
}

/// Does work in proportion to `size`, elsewhere where that is large.
pub async fn work<T: Send + 'static>(size: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if size < LARGE {
        return work();
    }
    tokio::task::spawn_blocking(work).await.expect("the work does not panic, and is never cancelled")
}

/// Returns an answer of this media type.
pub fn typed(status: StatusCode, content: impl Into<Body>, media_type: &HeaderValue, headers: &HeaderMap) -> Response {
    let mut response = Response::new(content.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, media_type.clone());
    response.headers_mut().insert(REQUEST_ID, request_id(headers));
    response
}

/// Returns a JSON answer that is text already.
pub fn body(status: StatusCode, content: impl Into<Body>, headers: &HeaderMap) -> Response {
    typed(status, content, &HeaderValue::from_static("application/json"), headers)
}

fn json_response(status: StatusCode, value: &serde_json::Value, headers: &HeaderMap) -> Response {
    body(status, value.to_string(), headers)
}

/// Returns the server's own error document.
pub fn failure(failure: &Failure, headers: &HeaderMap) -> Response {
    let id = request_id(headers);
    let mut error = json!({"code": failure.code.text(), "message": failure.message,
        "request_id": id.to_str().unwrap_or_default()});
    if !failure.details.is_empty() {
        error["details"] = json!(failure.details);
    }
    let status = StatusCode::from_u16(failure.code.status()).expect("codes have valid statuses");
    let mut response = json_response(status, &json!({ "error": error }), headers);
    response.headers_mut().insert(REQUEST_ID, id);
    if matches!(failure.code, Code::QueueFull | Code::NotReady | Code::Draining) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Returns the client's own request ID where it is short and printable, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let printable = |id: &&HeaderValue| (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    headers.get(REQUEST_ID).filter(printable).cloned().unwrap_or_else(|| {
        let id = START.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        HeaderValue::try_from(format!("{id:016x}")).expect("hex digits are a header's value")
    })
}
