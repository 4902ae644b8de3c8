//! Watching the server's health: an answer that goes on until the client or the server ends.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};

use super::frame;
use super::message::{Health, HealthRequest, SERVICE_UNKNOWN};
use crate::server::app::App;
use crate::server::http;

/// How soon a change is noticed.
const INTERVAL: Duration = Duration::from_millis(500);

/// Makes the handler.
pub(super) fn route(app: &Arc<App>) -> MethodRouter {
    let app = Arc::clone(app);
    post(async move |request: Request| {
        let (parts, body) = request.into_parts();
        let id = http::request_id(&parts.headers);
        let asked: HealthRequest = match super::question(&app, &parts.headers, body).await {
            Ok(asked) => asked,
            Err(failure) => return frame::fail(&failure, &id),
        };
        let (sender, body) = Channel::<Bytes>::new(1);
        tokio::spawn(watch(Arc::clone(&app), asked, sender));
        http::typed(StatusCode::OK, Body::new(body), &frame::MEDIA_TYPE, &id)
    })
}

/// Sends the status, and again whenever it has changed.
async fn watch(app: Arc<App>, asked: HealthRequest, mut sender: Sender<Bytes>) {
    let mut last = None;
    loop {
        // A service that is not known may come to be; its status says so in the meantime.
        let status = super::health(&app, &asked.service).unwrap_or(SERVICE_UNKNOWN);
        if last.replace(status) != Some(status) && sender.send_data(frame::encode(&Health { status })).await.is_err() {
            return;
        }
        if app.is_draining() {
            // The client may have gone; then nobody needs to know.
            let _ = sender.send_trailers(frame::success()).await;
            return;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
