//! The Open Inference Protocol V2 over REST, as KServe, Triton and MLServer speak it, with the binary tensor data extension and
//! the repository index.
//!
//! A table is one tensor for each column, of shape `[rows]`; one tensor of shape `[rows, columns]` is taken as well. A tensor is
//! one tensor, by any name. A text, JSON value or file is an element of one BYTES tensor; each is a call of its own.

mod request;
mod response;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use serde_json::{Value, json};

use super::tensors::{self, Described};
use super::{Protocol, models};
use crate::server::app::App;
use crate::server::exchange::{Exchange, Speaker};
use crate::server::failure::Failure;
use crate::server::http;
use crate::service;

/// See the module.
pub(super) struct V2;

/// Says how long the JSON part of a body with binary tensors is.
const JSON_LENGTH: &str = "inference-header-content-length";

static SPEAKER: Speaker = Speaker { protocol: Some(service::Protocol::V2), failure };

impl Protocol for V2 {
    fn routes(&self, app: &Arc<App>) -> Router {
        let list = |app: &App, id: &HeaderValue| http::json(StatusCode::OK, &json!({"models": models::names(app)}), id);
        let mut routes = Router::new()
            .route("/v2", http::page(app, server))
            .route("/v2/", http::page(app, server))
            .route("/v2/models", http::page(app, list))
            .route("/v2/repository/index", index(app));
        for model in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
            routes = routes
                .route(model, about(app, metadata))
                .route(&format!("{model}/ready"), about(app, model_ready))
                .route(&format!("{model}/infer"), infer(app));
        }
        routes
    }

    fn health(&self, app: &Arc<App>) -> Router {
        let ready = |app: &App, id: &HeaderValue| http::json(status(app), &json!({"ready": app.is_ready()}), id);
        let live = |_: &App, id: &HeaderValue| http::json(StatusCode::OK, &json!({"live": true}), id);
        Router::new().route("/v2/health/live", http::page(app, live)).route("/v2/health/ready", http::page(app, ready))
    }

    fn speaker(&self) -> &'static Speaker {
        &SPEAKER
    }
}

fn status(app: &App) -> StatusCode {
    if app.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn failure(failure: &Failure, id: &HeaderValue) -> Response {
    http::json(failure.plain_status(), &json!({"error": failure.sentence()}), id)
}

fn server(_: &App, id: &HeaderValue) -> Response {
    let extensions = ["binary_tensor_data", "classification", "model_repository"];
    let server = json!({"name": "mlpack", "version": env!("CARGO_PKG_VERSION"), "extensions": extensions});
    http::json(StatusCode::OK, &server, id)
}

type Parameters = Path<BTreeMap<String, String>>;

/// Finds the endpoint that a path's model and version stand for.
fn find(app: &App, parameters: &BTreeMap<String, String>) -> Result<usize, Failure> {
    let endpoint = models::find(app, parameters.get("model").map_or("", String::as_str))?;
    parameters.get("version").map_or(Ok(()), |version| models::check_version(app, version))?;
    Ok(endpoint)
}

/// Makes a page about one model; it gets the model's name and endpoint.
fn about(app: &Arc<App>, page: fn(&App, &str, usize) -> (StatusCode, Value)) -> MethodRouter {
    let app = Arc::clone(app);
    get(async move |Path(parameters): Parameters, headers: HeaderMap| {
        let id = http::request_id(&headers);
        let response = match find(&app, &parameters) {
            Ok(endpoint) => {
                let (status, page) = page(&app, &parameters["model"], endpoint);
                http::json(status, &page, &id)
            }
            Err(error) => failure(&error, &id),
        };
        http::finish(&app, response)
    })
}

fn model_ready(app: &App, model: &str, _: usize) -> (StatusCode, Value) {
    (status(app), json!({"name": model, "ready": app.is_ready()}))
}

fn metadata(app: &App, model: &str, endpoint: usize) -> (StatusCode, Value) {
    let endpoint = &app.endpoints[endpoint];
    let described = |tensors: Vec<Described<'_>>| -> Vec<Value> {
        let tensor = |tensor: &Described<'_>| {
            let shape: Vec<i64> = tensor.shape.iter().map(|length| length.map_or(-1, |length| length as i64)).collect();
            json!({"name": tensor.name, "datatype": tensors::datatype(tensor.kind), "shape": shape})
        };
        tensors.iter().map(tensor).collect()
    };
    let metadata = json!({
        "name": model,
        "versions": [app.service.version],
        "platform": format!("mlpack_{}", app.service.worker.language),
        "inputs": described(tensors::describe(&endpoint.input, tensors::INPUT)),
        "outputs": described(tensors::describe(&endpoint.output, tensors::OUTPUT)),
    });
    (StatusCode::OK, metadata)
}

/// The repository's index (Triton's model repository extension); the body may ask for ready models alone.
fn index(app: &Arc<App>) -> MethodRouter {
    let app = Arc::clone(app);
    post(async move |request: Request| {
        let mut exchange = Exchange::new(&app, &SPEAKER, request);
        let answer = exchange.body().await.map(|body| {
            // Most clients send no body.
            let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
            http::json(StatusCode::OK, &models_with_state(&app, asked["ready"] == json!(true)), exchange.id())
        });
        exchange.finish(answer)
    })
}

fn models_with_state(app: &App, only_ready: bool) -> Value {
    let state = if app.is_ready() { "READY" } else { "UNAVAILABLE" };
    let model = |name: &str| json!({"name": name, "version": app.service.version, "state": state, "reason": ""});
    let wanted = app.is_ready() || !only_ready;
    models::names(app).into_iter().filter(|_| wanted).map(model).collect()
}

fn infer(app: &Arc<App>) -> MethodRouter {
    let app = Arc::clone(app);
    post(async move |Path(parameters): Parameters, request: Request| {
        let mut exchange = Exchange::new(&app, &SPEAKER, request);
        let answer = match prepare(&app, &parameters, exchange.headers()) {
            Ok((endpoint, json_length)) => {
                exchange.endpoint = Some(endpoint);
                let model = response::Model { name: parameters["model"].clone(), version: app.service.version.clone() };
                let read = move |app: &App, body| request::read(app, endpoint, body, json_length);
                exchange
                    .run(read, move |endpoint, results, style| response::write(endpoint, &results, &style, &model))
                    .await
            }
            Err(failure) => Err(failure),
        };
        exchange.finish(answer)
    })
}

/// Finds the endpoint, and how long the JSON part of the body is where it has others.
fn prepare(
    app: &App,
    parameters: &BTreeMap<String, String>,
    headers: &HeaderMap,
) -> Result<(usize, Option<usize>), Failure> {
    let endpoint = find(app, parameters)?;
    let Some(length) = headers.get(JSON_LENGTH) else { return Ok((endpoint, None)) };
    let length = length.to_str().ok().and_then(|length| length.parse().ok());
    let length = length.ok_or_else(|| request::malformed(format!("`{JSON_LENGTH}` must be a number")))?;
    Ok((endpoint, Some(length)))
}
