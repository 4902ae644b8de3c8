//! KServe V1 and TensorFlow Serving's REST interface, which have their paths below `/v1/models` in common.
//!
//! Where both are on, an answer serves the clients of both: a model's status has the members of either, and `:predict` answers
//! `instances` as both do and `inputs` as TensorFlow Serving does. In KServe's older form `inputs` is another name for
//! `instances`; it is taken so where TensorFlow Serving is off. `:explain` calls an endpoint named `explain`.

mod classify;
mod path;
mod predict;
mod signature;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use self::path::{Target, Verb};
use super::{Protocol, models};
use crate::server::app::{App, Callee};
use crate::server::exchange::{Exchange, Speaker};
use crate::server::failure::{Code, Failure};
use crate::server::http;
use crate::service;

/// See the module.
pub(super) struct V1;

static KSERVE: Speaker = Speaker { protocol: Some(service::Protocol::Kserve), failure };
static TENSORFLOW: Speaker = Speaker { protocol: Some(service::Protocol::Tensorflow), failure };

impl Protocol for V1 {
    fn routes(&self, app: &Arc<App>) -> Router {
        let list = |app: &App, id: &HeaderValue| http::json(StatusCode::OK, &json!({"models": models::names(app)}), id);
        let (pages, calls) = (Arc::clone(app), Arc::clone(app));
        let page = async move |Path(path): Path<String>, headers: HeaderMap| page(&pages, &path, &headers);
        let call = async move |Path(path): Path<String>, request: Request| call(&calls, &path, request).await;
        Router::new().route("/v1/models", http::page(app, list)).route("/v1/models/{*path}", get(page).post(call))
    }

    fn speaker(&self) -> &'static Speaker {
        &KSERVE
    }
}

fn failure(failure: &Failure, id: &HeaderValue) -> Response {
    http::json(failure.plain_status(), &json!({"error": failure.sentence()}), id)
}

fn is_on(app: &App, protocol: service::Protocol) -> bool {
    app.service.server.protocols.contains(&protocol)
}

fn page(app: &App, path: &str, headers: &HeaderMap) -> Response {
    let id = http::request_id(headers);
    let page = path::parse(path).and_then(|target| about(app, &target));
    let response = page.map_or_else(|error| failure(&error, &id), |(status, page)| http::json(status, &page, &id));
    http::finish(app, response)
}

fn about(app: &App, target: &Target<'_>) -> Result<(StatusCode, Value), Failure> {
    let callee = find(app, target)?;
    match target.verb {
        None => Ok(status(app, target, callee)),
        Some(Verb::Metadata) if is_on(app, service::Protocol::Tensorflow) => {
            Ok((StatusCode::OK, signature::metadata(app, target.model, callee)))
        }
        Some(Verb::Metadata) => Err(Failure::new(Code::NotFound, "there is nothing at this path")),
        Some(_) => Err(Failure::new(Code::MethodNotAllowed, "this path takes POST")),
    }
}

/// Returns how a model is. KServe's clients look at the code; TensorFlow Serving's, whose server answers 200 while it loads, at
/// the text, and they alone ask for a version.
fn status(app: &App, target: &Target<'_>, callee: Callee) -> (StatusCode, Value) {
    let (kserve, tensorflow) = (is_on(app, service::Protocol::Kserve), is_on(app, service::Protocol::Tensorflow));
    let ready = models::is_ready(app, target.names_version(), callee);
    let mut status = if kserve { json!({"name": target.model, "ready": ready}) } else { json!({}) };
    if tensorflow {
        let asked = target.names_version().then_some(callee.pool);
        status["model_version_status"] = signature::status(app, asked);
    }
    let probed = kserve && !(tensorflow && target.names_version());
    (if probed && !ready { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, status)
}

/// Finds the endpoint and the version of a path.
fn find(app: &App, target: &Target<'_>) -> Result<Callee, Failure> {
    let callee = models::find(app, target.model, target.version)?;
    match target.label {
        Some(label) => Ok(Callee { pool: app.find_label(label)?, ..callee }),
        None => Ok(callee),
    }
}

async fn call(app: &Arc<App>, path: &str, request: Request) -> Response {
    let target = path::parse(path);
    let kserve = target.as_ref().is_ok_and(Target::is_kserve) && is_on(app, service::Protocol::Kserve);
    let mut exchange = Exchange::new(app, if kserve { &KSERVE } else { &TENSORFLOW }, request);
    let answer = match target.and_then(|target| Ok((find(app, &target)?, target))) {
        Ok((callee, target)) => {
            exchange.callee = Some(callee);
            answer(app, &mut exchange, &target, callee).await
        }
        Err(failure) => Err(failure),
    };
    exchange.finish(answer)
}

async fn answer(app: &App, exchange: &mut Exchange, target: &Target<'_>, callee: Callee) -> Result<Response, Failure> {
    let (kserve, tensorflow) = (is_on(app, service::Protocol::Kserve), is_on(app, service::Protocol::Tensorflow));
    match target.verb {
        Some(Verb::Predict) => {
            let read = move |app: &App, body| predict::read(app, callee, tensorflow, body);
            exchange.run(read, predict::write).await
        }
        Some(Verb::Explain) if kserve => {
            let named = models::endpoint(app, "explain");
            let endpoint = named.ok_or_else(|| Failure::new(Code::NotFound, "the model has no endpoint `explain`"))?;
            let callee = Callee { endpoint, ..callee };
            let read = move |app: &App, body| predict::read_explain(app, callee, body);
            exchange.run(read, predict::write).await
        }
        Some(verb @ (Verb::Classify | Verb::Regress)) if tensorflow => {
            let callee = models::for_task(app, target.model, callee, verb.task());
            exchange.run(move |app, body| classify::read(app, callee, verb, body), classify::write).await
        }
        None | Some(Verb::Metadata) => Err(Failure::new(Code::MethodNotAllowed, "this path takes GET")),
        Some(_) => Err(Failure::new(Code::NotFound, "there is nothing at this path")),
    }
}
