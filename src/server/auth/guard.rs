//! Stands before routes that not everybody may call. Refusals are written, counted and logged as those of the protocol whose
//! routes they are.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};

use crate::server::app::App;
use crate::server::exchange::{Exchange, Speaker};

/// Lets only known callers through to the routes; all, where the server knows no callers.
pub fn guard(app: &Arc<App>, speaker: &'static Speaker, routes: Router) -> Router {
    let Some(auth) = app.auth.clone().filter(|_| routes.has_routes()) else { return routes };
    let app = Arc::clone(app);
    let check = move |mut request: Request, next: Next| {
        let checked = auth.check(request.headers());
        let app = Arc::clone(&app);
        async move {
            match checked {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                    next.run(request).await
                }
                Err(refusal) => Exchange::new(&app, speaker, request).finish(Err(refusal)),
            }
        }
    };
    routes.route_layer(middleware::from_fn(check))
}
