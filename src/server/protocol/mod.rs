//! Wire protocols. Each is one file or folder: it turns its routes into calls of endpoints, and results and failures into its
//! own answers. None knows another; what several have in common is in `models` and `instances`.

mod models;
mod own;
mod tensors;
mod v2;

use std::sync::Arc;

use axum::Router;

use super::app::App;
use crate::service;

/// A way to speak to the model over HTTP.
pub trait Protocol: Sync {
    /// Returns the protocol's routes for all endpoints that it can express. No path may be another protocol's.
    fn routes(&self, app: &Arc<App>) -> Router;
}

/// Returns the protocols that the contract turns on; the server's own always is.
pub fn spoken(app: &App) -> impl Iterator<Item = &'static dyn Protocol> {
    let peers = [(service::Protocol::V2, &v2::V2 as &dyn Protocol)];
    let on = &app.service.server.protocols;
    let peers = peers.into_iter().filter(|(protocol, _)| on.contains(protocol)).map(|(_, routes)| routes);
    std::iter::once(&own::Own as &dyn Protocol).chain(peers)
}

/// Puts routes that the environment names before all others, whatever they are.
pub fn before(_app: &Arc<App>, routes: Router) -> Router {
    routes
}
