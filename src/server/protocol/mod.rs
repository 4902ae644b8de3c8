//! Wire protocols. Each is one file: it turns its routes into calls of endpoints, and results and failures into its own
//! answers. None knows another.

mod own;

use std::sync::Arc;

use axum::Router;

use super::app::App;

/// A way to speak to the model over HTTP.
pub trait Protocol: Sync {
    /// Returns the protocol's routes for all endpoints that it can express. No path may be another protocol's.
    fn routes(&self, app: &Arc<App>) -> Router;
}

/// Returns every protocol that the server speaks.
pub fn all() -> [&'static dyn Protocol; 1] {
    [&own::Own]
}
