//! The Open Inference Protocol over gRPC, as KServe, Triton and MLServer speak it, the health service (`grpc.health.v1`) and
//! server reflection, on the port of everything else.
//!
//! Tensors mean what they mean over REST. A call goes the way of all others: it is counted, logged and bounded alike.
//! Messages are not compressed, and only the health service and reflection have streams.

mod frame;
mod infer;
mod message;
mod reflection;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{MethodRouter, post};
use prost::Message;
use tokio::time::Instant;

use self::message::{
    Answer, Health, HealthRequest, Index, IndexEntry, IndexRequest, Model, ModelMetadata, NOT_SERVING, Nothing,
    SERVING, ServerMetadata, TensorMetadata,
};
use super::tensors::{self, Described};
use super::{Protocol, models};
use crate::server::app::App;
use crate::server::bodies::FIRST;
use crate::server::exchange::{Exchange, Speaker};
use crate::server::failure::{Code, Failure};
use crate::server::http;
use crate::service;

/// See the module.
pub(super) struct Grpc;

/// The services there are.
const INFERENCE: &str = "inference.GRPCInferenceService";
const HEALTH: &str = "grpc.health.v1.Health";

static SPEAKER: Speaker = Speaker { protocol: Some(service::Protocol::Grpc), failure: frame::fail };

impl Protocol for Grpc {
    fn routes(&self, app: &Arc<App>) -> Router {
        Router::new()
            .route(&path(INFERENCE, "ModelReady"), unary(app, model_ready))
            .route(&path(INFERENCE, "ServerMetadata"), unary(app, |_, _: Nothing| Ok(server())))
            .route(&path(INFERENCE, "ModelMetadata"), unary(app, metadata))
            .route(&path(INFERENCE, "RepositoryIndex"), unary(app, |app, asked| Ok(index(app, asked))))
            .route(&path(INFERENCE, "ModelInfer"), infer(app))
            .route(&path("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo"), reflection::route(app))
            .route(&path("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo"), reflection::route(app))
    }

    fn health(&self, app: &Arc<App>) -> Router {
        Router::new()
            .route(&path(INFERENCE, "ServerLive"), unary(app, |_, _: Nothing| Ok(Answer { yes: true })))
            .route(&path(INFERENCE, "ServerReady"), unary(app, |app, _: Nothing| Ok(Answer { yes: app.is_ready() })))
            .route(&path(HEALTH, "Check"), unary(app, check))
            .route(&path(HEALTH, "Watch"), watch::route(app))
    }

    fn speaker(&self) -> &'static Speaker {
        &SPEAKER
    }
}

fn path(service: &str, method: &str) -> String {
    format!("/{service}/{method}")
}

/// Makes a handler of a function from one message to another.
fn unary<M, N>(app: &Arc<App>, answer: fn(&App, M) -> Result<N, Failure>) -> MethodRouter
where
    M: Message + Default + 'static,
    N: Message + 'static,
{
    let app = Arc::clone(app);
    post(async move |request: Request| {
        let (parts, body) = request.into_parts();
        let id = http::request_id(&parts.headers);
        let answer = match question(&app, &parts.headers, body).await {
            Ok(message) => answer(&app, message).map(|message| frame::encode(&message)),
            Err(failure) => Err(failure),
        };
        let response = match answer {
            Ok(message) => frame::succeed(http::typed(StatusCode::OK, message, &frame::MEDIA_TYPE, &id)),
            Err(failure) => frame::fail(&failure, &id),
        };
        http::finish(&app, response)
    })
}

/// Reads the one message of a request.
async fn question<M: Message + Default>(app: &App, headers: &HeaderMap, body: Body) -> Result<M, Failure> {
    check_headers(headers)?;
    // Questions are short, and health is asked by anybody: they take no room from large calls.
    let (body, _room) = http::read_body(app, headers, body, FIRST, Instant::now() + app.timeout()).await?;
    frame::decode(frame::only(body)?)
}

fn check_headers(headers: &HeaderMap) -> Result<(), Failure> {
    let given = headers.get(header::CONTENT_TYPE).map_or(b"".as_slice(), |given| given.as_bytes());
    match given.strip_prefix(b"application/grpc") {
        Some([] | [b'+' | b';', ..]) => Ok(()),
        _ => Err(Failure::new(Code::UnsupportedMediaType, "send the body with `Content-Type: application/grpc`")),
    }
}

/// A model is ready once all its versions are; one that is named is by itself.
fn model_ready(app: &App, model: Model) -> Result<Answer, Failure> {
    let callee = models::find(app, &model.name, model.asked_version())?;
    Ok(Answer { yes: models::is_ready(app, model.asked_version().is_some(), callee) })
}

fn server() -> ServerMetadata {
    let (name, version) = ("mlpack".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    ServerMetadata { name, version, extensions: vec!["classification".to_owned(), "model_repository".to_owned()] }
}

fn metadata(app: &App, model: Model) -> Result<ModelMetadata, Failure> {
    let (_, endpoint) = app.called(models::find(app, &model.name, model.asked_version())?);
    let tensor = |tensor: &Described<'_>| TensorMetadata {
        name: tensor.name.to_owned(),
        datatype: tensors::datatype(tensor.kind).to_owned(),
        shape: tensor.shape.iter().map(|length| length.map_or(-1, |length| length as i64)).collect(),
    };
    Ok(ModelMetadata {
        name: model.name,
        versions: app.pools.iter().map(|pool| pool.name().to_owned()).collect(),
        platform: format!("mlpack_{}", app.service.worker.language),
        inputs: tensors::describe(&endpoint.input, tensors::INPUT).iter().map(tensor).collect(),
        outputs: tensors::describe(&endpoint.output, tensors::OUTPUT).iter().map(tensor).collect(),
    })
}

/// The repository's index (Triton's model repository extension).
fn index(app: &App, asked: IndexRequest) -> Index {
    let entry = |(name, version, state): (&str, &str, &str)| IndexEntry {
        name: name.to_owned(),
        version: version.to_owned(),
        state: state.to_owned(),
        reason: String::new(),
    };
    Index { models: models::states(app, asked.ready).map(entry).collect() }
}

/// Returns how a service or model is; `None` where there is none of the name.
fn health(app: &App, service: &str) -> Option<i32> {
    let known = matches!(service, "" | INFERENCE) || models::find_endpoint(app, service).is_ok();
    known.then(|| if app.is_ready() { SERVING } else { NOT_SERVING })
}

fn check(app: &App, asked: HealthRequest) -> Result<Health, Failure> {
    let status = health(app, &asked.service);
    status
        .map(|status| Health { status })
        .ok_or_else(|| Failure::new(Code::NotFound, "there is no service of this name"))
}

fn infer(app: &Arc<App>) -> MethodRouter {
    let app = Arc::clone(app);
    post(async move |request: Request| {
        let patience = patience(request.headers());
        let mut exchange = Exchange::new(&app, &SPEAKER, request);
        if let Some(patience) = patience {
            exchange.within(patience);
        }
        let answer = match check_headers(exchange.headers()) {
            Ok(()) => exchange.run(infer::read, infer::write).await.map(frame::succeed),
            Err(failure) => Err(failure),
        };
        exchange.finish(answer)
    })
}

/// Returns how long the client waits, where it says so: up to eight digits and a unit.
fn patience(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(amount) * 3600,
        "M" => Duration::from_secs(amount) * 60,
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}
