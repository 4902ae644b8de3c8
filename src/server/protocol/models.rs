//! How protocols that know models by name and version find an endpoint.
//!
//! The service's name stands for its default endpoint: the only one, or the one named `predict`, or the first by name. An
//! endpoint's own name stands for it as well, and wins where both are the same. There is one version: the contract's, also
//! known by its leading whole number, since some protocols have no other versions.

use crate::server::app::App;
use crate::server::failure::{Code, Failure};
use crate::service::Task;

/// The endpoint that is called where a request names none.
pub(super) fn default_endpoint(app: &App) -> usize {
    app.endpoints.iter().position(|endpoint| endpoint.name == "predict").unwrap_or(0)
}

/// Finds the endpoint that a model's name stands for.
pub(super) fn find(app: &App, model: &str) -> Result<usize, Failure> {
    let named = endpoint(app, model);
    let default = (model == app.service.name).then(|| default_endpoint(app));
    named.or(default).ok_or_else(|| Failure::new(Code::NotFound, "there is no model of this name"))
}

/// Finds the endpoint of exactly this name.
pub(super) fn endpoint(app: &App, name: &str) -> Option<usize> {
    app.endpoints.iter().position(|endpoint| endpoint.name == name)
}

/// Finds the endpoint for a task where a request names the model alone: the default one, unless another one has the task.
pub(super) fn for_task(app: &App, model: &str, task: Task) -> Result<usize, Failure> {
    let found = find(app, model)?;
    if endpoint(app, model).is_some() || app.endpoints[found].task == task {
        return Ok(found);
    }
    Ok(app.endpoints.iter().position(|endpoint| endpoint.task == task).unwrap_or(found))
}

/// Makes sure that the version is the one that is served.
pub(super) fn check_version(app: &App, version: &str) -> Result<(), Failure> {
    if version == app.service.version || version == number(app) {
        return Ok(());
    }
    Err(Failure::new(Code::NotFound, "the model does not have this version"))
}

/// Returns the whole number that the version begins with; 1 where it begins with none.
pub(super) fn number(app: &App) -> &str {
    let version = &app.service.version;
    let end = version.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(version.len());
    if end == 0 { "1" } else { &version[..end] }
}

/// Returns all names that models have: the service's, and those of its endpoints.
pub(super) fn names(app: &App) -> Vec<&str> {
    let endpoints = app.endpoints.iter().map(|endpoint| endpoint.name.as_str());
    let mut names = vec![app.service.name.as_str()];
    names.extend(endpoints.filter(|name| *name != app.service.name));
    names
}
