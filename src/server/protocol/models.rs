//! How protocols that know models by name and version find an endpoint.
//!
//! The service's name stands for its default endpoint: the only one, or the one named `predict`, or the first by name. An
//! endpoint's own name stands for it as well, and wins where both are the same. A version is found by its name, one of its labels
//! or the whole number that it begins with, since some protocols have no other versions; where none is named, the server chooses.

use crate::server::app::{App, Callee};
use crate::server::failure::{Code, Failure};
use crate::server::pool::{self, Pool};
use crate::service::Task;

/// The endpoint that is called where a request names none.
pub(super) fn default_endpoint(app: &App) -> usize {
    app.endpoints.iter().position(|endpoint| endpoint.name == "predict").unwrap_or(0)
}

/// What is called where a request names neither model nor version.
pub(super) fn default_callee(app: &App) -> Callee {
    Callee { pool: app.choose(), endpoint: default_endpoint(app) }
}

/// Finds what a model's name and version stand for.
pub(super) fn find(app: &App, model: &str, version: Option<&str>) -> Result<Callee, Failure> {
    let endpoint = find_endpoint(app, model)?;
    let pool = version.map_or_else(|| Ok(app.choose()), |version| app.find_version(version))?;
    Ok(Callee { pool, endpoint })
}

/// Returns whether the version that a request names can be called; where it names none, whether all can.
pub(super) fn is_ready(app: &App, named: bool, callee: Callee) -> bool {
    if named { app.serves(callee.pool) } else { app.is_ready() }
}

/// Finds the endpoint that a model's name stands for.
pub(super) fn find_endpoint(app: &App, model: &str) -> Result<usize, Failure> {
    let named = endpoint(app, model);
    let default = (model == app.service.name).then(|| default_endpoint(app));
    named.or(default).ok_or_else(|| Failure::new(Code::NotFound, "there is no model of this name"))
}

/// Finds the endpoint of exactly this name.
pub(super) fn endpoint(app: &App, name: &str) -> Option<usize> {
    app.endpoints.iter().position(|endpoint| endpoint.name == name)
}

/// Turns to the endpoint for a task where a request names the model alone: the default one, unless another one has the task.
pub(super) fn for_task(app: &App, model: &str, found: Callee, task: Task) -> Callee {
    if endpoint(app, model).is_some() || app.endpoints[found.endpoint].task == task {
        return found;
    }
    let endpoint = app.endpoints.iter().position(|endpoint| endpoint.task == task);
    Callee { endpoint: endpoint.unwrap_or(found.endpoint), ..found }
}

/// Returns the whole numbers of the versions there are, latest first, each with the latest version that begins with it.
pub(super) fn numbers(app: &App) -> Vec<(&str, usize)> {
    (0..app.pools.len()).rev().filter_map(|pool| Some((pool::number(&app.pools, pool)?, pool))).collect()
}

/// Returns what a protocol that knows whole numbers calls a version: its number, or its name where that stands for another version.
pub(super) fn number(app: &App, pool: usize) -> &str {
    pool::number(&app.pools, pool).unwrap_or(app.pools[pool].name())
}

/// Returns every model by each of its names and versions, with its state as Triton names it.
pub(super) fn states(app: &App, only_ready: bool) -> impl Iterator<Item = (&str, &str, &'static str)> {
    let state = move |(pool, version)| {
        let ready = app.serves(pool);
        (ready || !only_ready).then_some((Pool::name(version), if ready { "READY" } else { "UNAVAILABLE" }))
    };
    let versions: Vec<_> = app.pools.iter().enumerate().filter_map(state).collect();
    let of = move |name| versions.clone().into_iter().map(move |(version, state)| (name, version, state));
    names(app).into_iter().flat_map(of)
}

/// Returns all names that models have: the service's, and those of its endpoints.
pub(super) fn names(app: &App) -> Vec<&str> {
    let endpoints = app.endpoints.iter().map(|endpoint| endpoint.name.as_str());
    let mut names = vec![app.service.name.as_str()];
    names.extend(endpoints.filter(|name| *name != app.service.name));
    names
}
