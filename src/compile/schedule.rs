//! Runs jobs side by side, each once those that it needs are done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use super::error::CompileError;
use super::plan::{Job, Plan};
use super::run::{Built, processes};

/// What is going on.
#[derive(Default)]
struct State {
    waiting: BTreeSet<String>,
    running: usize,
    done: BTreeMap<String, Built>,
    errors: Vec<CompileError>,
}

/// Runs all jobs of a plan and returns what they gave, by name.
///
/// When one fails, those that do not need it go on; compilers' failures are told all at once.
pub(super) fn run(
    plan: &Plan,
    compile: impl Fn(&Job, &BTreeMap<String, Built>) -> Result<Built, CompileError> + Sync,
) -> Result<BTreeMap<String, Built>, CompileError> {
    let state = Mutex::new(State { waiting: plan.jobs.keys().cloned().collect(), ..State::default() });
    let changed = Condvar::new();
    thread::scope(|scope| {
        for _ in 0..processes().min(plan.jobs.len()) {
            scope.spawn(|| work(plan, &compile, &state, &changed));
        }
    });
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match join(state.errors) {
        Some(error) => Err(error),
        None if !state.waiting.is_empty() => Err(CompileError::Cycle { names: state.waiting.into_iter().collect() }),
        None => Ok(state.done),
    }
}

/// Takes jobs that are ready until there are none, and none can become so.
fn work(
    plan: &Plan,
    compile: &(impl Fn(&Job, &BTreeMap<String, Built>) -> Result<Built, CompileError> + Sync),
    state: &Mutex<State>,
    changed: &Condvar,
) {
    let mut guard = state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some(job) = ready(plan, &guard) else {
            if guard.running == 0 {
                changed.notify_all();
                return;
            }
            guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        guard.waiting.remove(&job.package.name);
        guard.running += 1;
        let done = guard.done.clone();
        drop(guard);
        let result = compile(job, &done);
        guard = state.lock().unwrap_or_else(PoisonError::into_inner);
        guard.running -= 1;
        match result {
            Ok(built) => drop(guard.done.insert(job.package.name.clone(), built)),
            Err(error) => guard.errors.push(error),
        }
        changed.notify_all();
    }
}

/// Returns a job that waits for nothing.
fn ready<'a>(plan: &'a Plan, state: &State) -> Option<&'a Job> {
    let is_there = |name: &String| state.done.contains_key(name) || plan.binaries.contains_key(name);
    let jobs = state.waiting.iter().map(|name| &plan.jobs[name]);
    jobs.into_iter().find(|job| job.repository.iter().all(is_there))
}

/// Makes one error of several: the first that is no compiler's, else all of the compilers'.
fn join(errors: Vec<CompileError>) -> Option<CompileError> {
    let mut all = Vec::new();
    for error in errors {
        match error {
            CompileError::Failed { failures } => all.extend(failures),
            other => return Some(other),
        }
    }
    all.sort_by(|left, right| left.package.cmp(&right.package));
    (!all.is_empty()).then_some(CompileError::Failed { failures: all })
}
