//! Wire protocols. Each is one file or folder: it turns its routes into calls of endpoints, and results and failures into its
//! own answers. None knows another; what several have in common is in `models`, `instances`,
//! `tensors` and `csv`.

mod classes;
mod csv;
mod grpc;
mod instances;
mod mlflow;
mod models;
mod multipart;
mod own;
mod seldon;
mod tensor_inputs;
mod tensor_outputs;
mod tensors;
mod v1;
mod v2;
mod vertex;
mod vetiver;

use std::sync::Arc;

use axum::Router;

use super::app::App;
use super::auth::guard;
use super::exchange::Speaker;
use crate::service;

/// A way to speak to the model over HTTP.
pub trait Protocol: Sync {
    /// Returns the protocol's routes for all endpoints that it can express. No path may be another protocol's.
    fn routes(&self, app: &Arc<App>) -> Router;

    /// Returns the routes that tell whether the server is well, and nothing else: they are open to everybody.
    fn health(&self, _app: &Arc<App>) -> Router {
        Router::new()
    }

    /// Returns who refuses those that may not call.
    fn speaker(&self) -> &'static Speaker;
}

/// Returns all routes of a protocol, those that are not open to everybody behind a guard.
pub fn routes(app: &Arc<App>, protocol: &dyn Protocol) -> Router {
    protocol.health(app).merge(guard(app, protocol.speaker(), protocol.routes(app)))
}

/// Returns the protocols that the contract turns on; the server's own always is.
pub fn spoken(app: &App) -> impl Iterator<Item = &'static dyn Protocol> {
    use service::Protocol::{Grpc, Kserve, Mlflow, Seldon, Tensorflow, V2, Vetiver};
    let peers: [(&[service::Protocol], &'static dyn Protocol); 6] = [
        (&[V2], &v2::V2),
        (&[Grpc], &grpc::Grpc),
        (&[Kserve, Tensorflow], &v1::V1),
        (&[Mlflow], &mlflow::Mlflow),
        (&[Seldon], &seldon::Seldon),
        (&[Vetiver], &vetiver::Vetiver),
    ];
    let on = &app.service.server.protocols;
    let peers = peers.into_iter().filter(|(names, _)| names.iter().any(|name| on.contains(name)));
    std::iter::once(&own::Own as &dyn Protocol).chain(peers.map(|(_, protocol)| protocol))
}

/// Puts routes that the environment names before all others, whatever they are.
pub fn before(app: &Arc<App>, routes: Router) -> Router {
    if app.service.server.protocols.contains(&service::Protocol::Vertex) {
        self::routes(app, &vertex::Vertex).fallback_service(routes)
    } else {
        routes
    }
}
