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
use serde::Deserialize;
use serde_json::{Value, json};

use super::tensors::{self, Described};
use super::{Protocol, models};
use crate::server::app::{App, Callee};
use crate::server::exchange::{Exchange, Speaker};
use crate::server::failure::Failure;
use crate::server::http;
use crate::server::pool::Pool;
use crate::service;

/// See the module.
pub(super) struct V2;

/// Says how long the JSON part of a body with binary tensors is.
const JSON_LENGTH: &str = "inference-header-content-length";

/// The longest body of a question that is not for the model.
const MAX_QUESTION: usize = 4096;

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
        let ready =
            |app: &App, id: &HeaderValue| http::json(status(app.is_ready()), &json!({"ready": app.is_ready()}), id);
        let live = |_: &App, id: &HeaderValue| http::json(StatusCode::OK, &json!({"live": true}), id);
        Router::new().route("/v2/health/live", http::page(app, live)).route("/v2/health/ready", http::page(app, ready))
    }

    fn speaker(&self) -> &'static Speaker {
        &SPEAKER
    }
}

fn status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
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
/// Gives a page's status and text from the path's parameters and what they stand for.
type Page = fn(&App, &BTreeMap<String, String>, Callee) -> (StatusCode, Value);

/// Finds what a path's model and version stand for.
fn find(app: &App, parameters: &BTreeMap<String, String>) -> Result<Callee, Failure> {
    let version = parameters.get("version").map(String::as_str);
    models::find(app, parameters.get("model").map_or("", String::as_str), version)
}

/// Makes a page about one model.
fn about(app: &Arc<App>, page: Page) -> MethodRouter {
    let app = Arc::clone(app);
    get(async move |Path(parameters): Parameters, headers: HeaderMap| {
        let id = http::request_id(&headers);
        let response = match find(&app, &parameters) {
            Ok(callee) => {
                let (status, page) = page(&app, &parameters, callee);
                http::json(status, &page, &id)
            }
            Err(error) => failure(&error, &id),
        };
        http::finish(&app, response)
    })
}

/// A model is ready once all its versions are; one that the path names is by itself.
fn model_ready(app: &App, parameters: &BTreeMap<String, String>, callee: Callee) -> (StatusCode, Value) {
    let ready = models::is_ready(app, parameters.contains_key("version"), callee);
    (status(ready), json!({"name": parameters["model"], "ready": ready}))
}

fn metadata(app: &App, parameters: &BTreeMap<String, String>, callee: Callee) -> (StatusCode, Value) {
    let (_, endpoint) = app.called(callee);
    let described = |tensors: Vec<Described<'_>>| -> Vec<Value> {
        let tensor = |tensor: &Described<'_>| {
            let shape: Vec<i64> = tensor.shape.iter().map(|length| length.map_or(-1, |length| length as i64)).collect();
            json!({"name": tensor.name, "datatype": tensors::datatype(tensor.kind), "shape": shape})
        };
        tensors.iter().map(tensor).collect()
    };
    let metadata = json!({
        "name": parameters["model"],
        "versions": app.pools.iter().map(Pool::name).collect::<Vec<_>>(),
        "platform": format!("mlpack_{}", app.service.worker.language),
        "inputs": described(tensors::describe(&endpoint.input, tensors::INPUT)),
        "outputs": described(tensors::describe(&endpoint.output, tensors::OUTPUT)),
    });
    (StatusCode::OK, metadata)
}

/// What the repository's index is asked for.
#[derive(Default, Deserialize)]
struct Asked {
    /// Whether ready models alone are wanted.
    ready: Option<bool>,
}

/// The repository's index (Triton's model repository extension).
fn index(app: &Arc<App>) -> MethodRouter {
    let app = Arc::clone(app);
    post(async move |request: Request| {
        let mut exchange = Exchange::new(&app, &SPEAKER, request);
        let answer = exchange.body_within(MAX_QUESTION).await.map(|body| {
            // Most clients send no body.
            let asked: Asked = serde_json::from_slice(&body).unwrap_or_default();
            http::json(StatusCode::OK, &models_with_state(&app, asked.ready == Some(true)), exchange.id())
        });
        exchange.finish(answer)
    })
}

fn models_with_state(app: &App, only_ready: bool) -> Value {
    models::states(app, only_ready)
        .map(|(name, version, state)| json!({"name": name, "version": version, "state": state, "reason": ""}))
        .collect()
}

fn infer(app: &Arc<App>) -> MethodRouter {
    let app = Arc::clone(app);
    post(async move |Path(parameters): Parameters, request: Request| {
        let mut exchange = Exchange::new(&app, &SPEAKER, request);
        let answer = match prepare(&app, &parameters, exchange.headers()) {
            Ok((callee, json_length)) => {
                exchange.callee = Some(callee);
                let version = app.called(callee).0.name().to_owned();
                let model = response::Model { name: parameters["model"].clone(), version };
                let read = move |app: &App, body| request::read(app, callee, body, json_length);
                exchange
                    .run(read, move |endpoint, results, style| response::write(endpoint, &results, &style, &model))
                    .await
            }
            Err(failure) => Err(failure),
        };
        exchange.finish(answer)
    })
}

/// Finds what is called, and how long the JSON part of the body is where it has others.
fn prepare(
    app: &App,
    parameters: &BTreeMap<String, String>,
    headers: &HeaderMap,
) -> Result<(Callee, Option<usize>), Failure> {
    let callee = find(app, parameters)?;
    let Some(length) = headers.get(JSON_LENGTH) else { return Ok((callee, None)) };
    let length = length.to_str().ok().and_then(|length| length.parse().ok());
    let length = length.ok_or_else(|| request::malformed(format!("`{JSON_LENGTH}` must be a number")))?;
    Ok((callee, Some(length)))
}
