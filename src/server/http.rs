//! What all wire protocols share over HTTP: reading bodies within their limits, request IDs, the error document, and the
//! server's own pages. Which paths call the model is each protocol's own matter.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use axum::{BoxError, Router};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::app::App;
use super::auth::guard;
use super::bodies::Room;
use super::exchange::{Exchange, Speaker};
use super::failure::{Code, Failure};
use super::{metrics, pages, protocol};

/// Bodies and results of this size are worked on by another thread, so that they do not hold up small ones.
const LARGE: usize = 256 << 10;
/// The media type of JSON.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Who speaks on the server's own routes.
pub static OWN: Speaker = Speaker { protocol: None, failure };
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// Tells one request from others, in answers and logs.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Returns all routes.
pub fn router(app: &Arc<App>) -> Router {
    let health = Router::new()
        .route("/livez", page(app, live))
        .route("/healthz", page(app, live))
        .route("/readyz", page(app, ready));
    let docs = Router::new()
        .route("/openapi.json", page(app, |app, id| body(StatusCode::OK, app.openapi.clone(), id)))
        .merge(pages::routes(app));
    let metrics = Router::new().route("/metrics", measured(app));
    let public = app.auth.as_ref().map(|auth| auth.public).unwrap_or_default();
    let own = health.merge(if public.docs { docs } else { guard(app, &OWN, docs) }).merge(if public.metrics {
        metrics
    } else {
        guard(app, &OWN, metrics)
    });
    let routes = protocol::spoken(app)
        .fold(own, |router, protocol| router.merge(protocol::routes(app, protocol)))
        .method_not_allowed_fallback(refuse(app, Code::MethodNotAllowed, "this path does not take this method"))
        .fallback(refuse(app, Code::NotFound, "there is nothing at this path"));
    let routes = protocol::before(app, routes);
    match &app.origins {
        Some(origins) => routes.layer(origins.layer()),
        None => routes,
    }
}

/// Makes a page of a function of the server and the request's ID.
pub fn page(
    app: &Arc<App>,
    answer: impl Fn(&App, &HeaderValue) -> Response + Clone + Send + Sync + 'static,
) -> MethodRouter {
    let app = Arc::clone(app);
    get(move |headers: HeaderMap| std::future::ready(finish(&app, answer(&app, &request_id(&headers)))))
}

/// Makes the page of metrics.
fn measured(app: &Arc<App>) -> MethodRouter {
    let app = Arc::clone(app);
    get(async move |headers: HeaderMap| {
        let memory = metrics::Memory::read(&app).await;
        let id = request_id(&headers);
        finish(&app, typed(StatusCode::OK, metrics::page(&app, &memory), &METRICS, &id))
    })
}

/// Makes a handler that answers every request with one failure.
fn refuse(
    app: &Arc<App>,
    code: Code,
    message: &'static str,
) -> impl Fn(Request) -> std::future::Ready<Response> + Clone + Send + Sync + 'static {
    let app = Arc::clone(app);
    move |request| {
        let exchange = Exchange::new(&app, &OWN, request);
        std::future::ready(exchange.finish(Err(Failure::new(code, message))))
    }
}

/// Asks the client to leave while the server is stopping.
pub fn finish(app: &App, mut response: Response) -> Response {
    if app.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn live(_: &App, id: &HeaderValue) -> Response {
    json(StatusCode::OK, &json!({"status": "live"}), id)
}

fn ready(app: &App, id: &HeaderValue) -> Response {
    let (status, word) = match (app.is_draining(), app.is_ready()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        (false, true) => (StatusCode::OK, "ready"),
    };
    let (ready, total) = app.workers();
    let workers = json!({"ready": ready, "total": total});
    json(status, &json!({"status": word, "workers": workers}), id)
}

/// Reads a body of at most `limit` bytes until the deadline, into the room that all bodies share.
pub async fn read_body(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    deadline: Instant,
) -> Result<(Bytes, Arc<Room>), Failure> {
    let too_large = || Failure::new(Code::BodyTooLarge, format!("the body may have at most {limit} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Failure::new(Code::UnsupportedMediaType, "send the body without `Content-Encoding`"));
    }
    match timeout_at(deadline, collect(Limited::new(body, limit), app.bodies.room())).await {
        Ok(Ok(read)) => read,
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Failure::new(Code::MalformedBody, "the body could not be read")),
        Err(_) => Err(Failure::new(Code::BodyTimeout, "the body did not arrive in time")),
    }
}

/// Reads a whole body, unless there is no room for it.
async fn collect(mut body: Limited<Body>, mut room: Room) -> Result<Result<(Bytes, Arc<Room>), Failure>, BoxError> {
    let mut whole = Whole::default();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if let Err(failure) = room.take(data.len()) {
                return Ok(Err(failure));
            }
            whole.push(data);
        }
    }
    Ok(Ok((whole.finish(), Arc::new(room))))
}

/// A body as far as it has come. Most come in one piece, which is not copied; pieces that were kept could be many and tiny.
#[derive(Default)]
struct Whole {
    first: Bytes,
    joined: BytesMut,
}

impl Whole {
    fn push(&mut self, piece: Bytes) {
        if self.first.is_empty() && self.joined.is_empty() {
            self.first = piece;
            return;
        }
        self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        self.joined.extend_from_slice(&piece);
    }

    fn finish(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

/// Does work in proportion to `size`, elsewhere where that is large. There are as many large works at once as processors: more would
/// not be done sooner, and each may take many times its size of memory.
pub async fn work<T: Send + 'static>(size: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    static PROCESSORS: LazyLock<Semaphore> =
        LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));
    if size < LARGE {
        return work();
    }
    let permit = PROCESSORS.acquire().await.expect("it is never closed");
    let work = move || {
        // Until here, even if the client has gone.
        let _permit = permit;
        work()
    };
    tokio::task::spawn_blocking(work).await.expect("the work does not panic, and is never cancelled")
}

/// Returns an answer of this media type.
pub fn typed(status: StatusCode, content: impl Into<Body>, media_type: &HeaderValue, id: &HeaderValue) -> Response {
    let mut response = Response::new(content.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, media_type.clone());
    response.headers_mut().insert(REQUEST_ID, id.clone());
    response
}

/// Returns a JSON answer that is text already.
pub fn body(status: StatusCode, content: impl Into<Body>, id: &HeaderValue) -> Response {
    typed(status, content, &JSON, id)
}

/// Returns a JSON answer.
pub fn json(status: StatusCode, value: &serde_json::Value, id: &HeaderValue) -> Response {
    body(status, value.to_string(), id)
}

/// Returns the server's own error document.
pub fn failure(failure: &Failure, id: &HeaderValue) -> Response {
    let mut error = json!({"code": failure.code.text(), "message": failure.message,
        "request_id": id.to_str().unwrap_or_default()});
    if !failure.details.is_empty() {
        error["details"] = json!(failure.details);
    }
    let status = StatusCode::from_u16(failure.code.status()).expect("codes have valid statuses");
    json(status, &json!({ "error": error }), id)
}

/// Returns the client's own request ID where it is short and printable, else a new one.
pub fn request_id(headers: &HeaderMap) -> HeaderValue {
    static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let printable = |id: &&HeaderValue| (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    headers.get(REQUEST_ID).filter(printable).cloned().unwrap_or_else(|| {
        let id = START.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        HeaderValue::try_from(format!("{id:016x}")).expect("hex digits are a header's value")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_tiny_pieces_takes_little_more_than_its_bytes() {
        let one = Bytes::from_static(b"alone");
        let mut whole = Whole::default();
        whole.push(one.clone());
        assert_eq!(whole.finish().as_ptr(), one.as_ptr(), "it is not copied");
        let mut whole = Whole::default();
        (0..1000).for_each(|_| whole.push(Bytes::from_static(b"x")));
        assert!(whole.first.is_empty() && whole.joined.capacity() < 4096);
        assert_eq!(whole.finish(), "x".repeat(1000));
    }
}
