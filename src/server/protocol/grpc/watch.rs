//! Watching the server's health: an answer that goes on until the client or the server ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc::{self, Receiver, Sender};

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
        let (sender, frames) = mpsc::channel(1);
        let app = Arc::clone(&app);
        tokio::spawn(async move { while_heard(&sender, tell(&app, &asked, &sender)).await });
        http::typed(StatusCode::OK, Body::new(Frames(frames)), &frame::MEDIA_TYPE, &id)
    })
}

/// An answer's frames as they come; unlike that of `http-body-util`, their sender hears when the answer is dropped.
struct Frames(Receiver<Frame<Bytes>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(task).map(|frame| frame.map(Ok))
    }
}

/// Lets it be told until nobody listens any more.
async fn while_heard(sender: &Sender<Frame<Bytes>>, telling: impl Future<Output = ()>) {
    tokio::select! {
        () = sender.closed() => {}
        () = telling => {}
    }
}

/// Sends the status, and again whenever it has changed.
async fn tell(app: &App, asked: &HealthRequest, sender: &Sender<Frame<Bytes>>) {
    let mut last = None;
    loop {
        // A service that is not known may come to be; its status says so in the meantime.
        let status = super::health(app, &asked.service).unwrap_or(SERVICE_UNKNOWN);
        // The client may have gone; then nobody needs to know.
        if last.replace(status) != Some(status) {
            let _ = sender.send(Frame::data(frame::encode(&Health { status }))).await;
        }
        if app.is_draining() {
            let _ = sender.send(Frame::trailers(frame::success())).await;
            return;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_told_to_a_client_that_has_gone() {
        let (sender, frames) = mpsc::channel(1);
        let telling = tokio::spawn(async move { while_heard(&sender, std::future::pending()).await });
        tokio::task::yield_now().await;
        drop(Body::new(Frames(frames)));
        telling.await.unwrap();
    }
}
