//! vetiver's model APIs, in R and Python: `POST /predict` with a bare list of rows, `/ping`, `/metadata`.
//!
//! `/predict` is the server's own route by another name, since that takes bare lists and answers them alike; its requests are
//! counted apart. An endpoint of the service keeps its path, and MLflow its `/ping`.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::post;
use serde_json::json;

use super::{Protocol, models, own};
use crate::server::app::App;
use crate::server::exchange::Speaker;
use crate::server::failure::Failure;
use crate::server::http;
use crate::service;

/// See the module.
pub(super) struct Vetiver;

static SPEAKER: Speaker = Speaker { protocol: Some(service::Protocol::Vetiver), failure };

impl Protocol for Vetiver {
    fn routes(&self, app: &Arc<App>) -> Router {
        let mut routes = Router::new();
        if models::endpoint(app, "predict").is_none() {
            let app = Arc::clone(app);
            let handler = async move |request: Request| {
                own::answer(&app, &SPEAKER, Ok(models::default_callee(&app)), request).await
            };
            routes = routes.route("/predict", post(handler));
        }
        if models::endpoint(app, "metadata").is_none() {
            routes = routes.route("/metadata", http::page(app, metadata));
        }
        routes
    }

    fn health(&self, app: &Arc<App>) -> Router {
        if app.service.server.protocols.contains(&service::Protocol::Mlflow) {
            return Router::new();
        }
        Router::new().route("/ping", http::page(app, ping))
    }

    fn speaker(&self) -> &'static Speaker {
        &SPEAKER
    }
}

fn failure(failure: &Failure, id: &HeaderValue) -> Response {
    (http::OWN.failure)(failure, id)
}

fn metadata(app: &App, id: &HeaderValue) -> Response {
    let metadata = json!({"user": {}, "version": app.pools[app.choose()].name(), "url": null, "required_pkgs": []});
    http::json(StatusCode::OK, &metadata, id)
}

fn ping(app: &App, id: &HeaderValue) -> Response {
    let (status, word) =
        if app.is_ready() { (StatusCode::OK, "online") } else { (StatusCode::SERVICE_UNAVAILABLE, "offline") };
    http::json(status, &json!({"ping": "pong", "status": word}), id)
}
