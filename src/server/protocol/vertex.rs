//! Vertex AI's custom containers: `{"instances": […]}` on the routes that the environment names (`AIP_PREDICT_ROUTE`,
//! `AIP_HEALTH_ROUTE`). They come before all other routes, since whoever sets them wants them.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::Protocol;
use super::instances::{self, DIALECT, Rows};
use super::{models, tensors};
use crate::server::app::App;
use crate::server::contract::Endpoint;
use crate::server::data::Payload;
use crate::server::exchange::{Call, Exchange, Reply, Speaker};
use crate::server::failure::Failure;
use crate::server::{http, validate};
use crate::service;

/// See the module.
pub(super) struct Vertex;

static SPEAKER: Speaker = Speaker { protocol: Some(service::Protocol::Vertex), failure };

impl Protocol for Vertex {
    fn routes(&self, app: &Arc<App>) -> Router {
        let Some(path) = &app.vertex.predict else { return Router::new() };
        let app = Arc::clone(app);
        Router::new().route(path, post(async move |request: Request| predict(&app, request).await))
    }

    fn health(&self, app: &Arc<App>) -> Router {
        match &app.vertex.health {
            Some(path) if app.vertex.predict.as_ref() != Some(path) => {
                Router::new().route(path, http::page(app, health))
            }
            _ => Router::new(),
        }
    }

    fn speaker(&self) -> &'static Speaker {
        &SPEAKER
    }
}

fn failure(failure: &Failure, id: &HeaderValue) -> Response {
    http::json(failure.plain_status(), &json!({"error": failure.sentence()}), id)
}

fn health(app: &App, id: &HeaderValue) -> Response {
    let status = if app.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    http::json(status, &json!({"ready": app.is_ready()}), id)
}

async fn predict(app: &Arc<App>, request: Request) -> Response {
    let mut exchange = Exchange::new(app, &SPEAKER, request);
    let answer = exchange.run(read, write).await;
    exchange.finish(answer)
}

/// The request; its `parameters` are for the model, and models here take none.
#[derive(Deserialize)]
struct Predict<'a> {
    #[serde(borrow)]
    instances: &'a RawValue,
}

fn read(app: &App, body: Bytes) -> Result<Call<bool>, Failure> {
    let callee = models::default_callee(app);
    let form = &app.called(callee).1.input;
    let body = validate::without_words(&body, |_| Ok(form))?;
    let request: Predict<'_> = validate::envelope(&body)?;
    let asked = instances::instances(form, DIALECT, "/instances", request.instances.get())?;
    Ok(Call { callee, payloads: asked.payloads, style: asked.each })
}

fn write(endpoint: &Endpoint, results: Vec<Payload>, each: bool) -> Result<Reply, Failure> {
    tensors::check_finite(&results)?;
    let mut out = b"{\"predictions\":".to_vec();
    instances::write_predictions(&mut out, &endpoint.output, &results, each, Rows::Bare);
    out.push(b'}');
    Ok(Reply::json(out))
}
