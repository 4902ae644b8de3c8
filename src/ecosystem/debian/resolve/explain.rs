//! Says why packages cannot be installed: who needs what, what excludes what, and what to change.

use super::error::{ResolveError, Wanted};
use super::formula::Fact;
use super::goal::Goal;
use super::universe::{PackageId, Universe};
use crate::ecosystem::debian::relation;

/// How many steps of a proof a message shows.
const STEPS: usize = 12;

/// Returns the error for facts that contradict each other.
pub(super) fn conflict(universe: &Universe<'_>, goals: &[Goal], facts: &[Fact]) -> ResolveError {
    let (mut wanted, mut because) = (Vec::new(), Vec::new());
    for fact in facts {
        match *fact {
            Fact::Goal(number) => {
                let goal = &goals[number];
                wanted.push(Wanted { relation: goal.relation.clone(), reason: goal.reason.clone() });
            }
            Fact::Requires(id, number) => match requirement(universe, id, number) {
                Ok(text) => because.push(text),
                Err(error) => return error,
            },
            Fact::Excludes(id, number, hit) => match exclusion(universe, id, number, hit) {
                Ok(text) => because.push(text),
                Err(error) => return error,
            },
            Fact::Versions(one, other) => {
                let (one, other) = (universe.record(one), universe.record(other));
                because.push(format!(
                    "only one of `{} {}` and `{} {}` can be there",
                    one.name, one.version, other.name, other.version
                ));
            }
        }
    }
    ResolveError::Conflict { wanted, because }
}

fn requirement(universe: &Universe<'_>, id: PackageId, number: usize) -> Result<String, ResolveError> {
    let facts = universe.facts(id)?;
    let requirement = &facts.requires[number];
    let needs = format!("`{}` depends on `{}`", name(universe, id), relation::show(&requirement.alternatives));
    if requirement.all().next().is_some() {
        return Ok(needs);
    }
    let pins = requirement.alternatives.iter().filter_map(|relation| {
        let versions = universe.pinned(relation.name)?;
        Some(format!(" while `{}` is pinned to {}", relation.name, versions.join(" or ")))
    });
    Ok(format!("{needs}, which nothing can satisfy{}", pins.collect::<Vec<_>>().join(" and")))
}

fn exclusion(universe: &Universe<'_>, id: PackageId, number: usize, hit: PackageId) -> Result<String, ResolveError> {
    let facts = universe.facts(id)?;
    let exclusion = &facts.excludes[number];
    let verb = if exclusion.field == "Breaks" { "breaks" } else { "conflicts with" };
    let (owner, other) = (name(universe, id), name(universe, hit));
    let is_itself = exclusion.relation.name == universe.record(hit).name;
    Ok(match (is_itself, exclusion.relation.constraint) {
        (true, None) => format!("`{owner}` {verb} `{other}`"),
        (true, Some(_)) => format!("`{owner}` {verb} `{}`, which `{other}` is", exclusion.relation),
        (false, _) => format!("`{owner}` {verb} `{}`, which `{other}` provides", exclusion.relation),
    })
}

fn name(universe: &Universe<'_>, id: PackageId) -> String {
    let record = universe.record(id);
    format!("{} {}", record.name, record.version)
}

/// Returns the message of a conflict.
pub(super) fn summary(wanted: &[Wanted], because: &[String]) -> String {
    let names: Vec<_> = wanted.iter().map(|wanted| format!("`{}`", wanted.relation)).collect();
    let together = if names.len() > 1 { " together" } else { "" };
    let mut steps = because[..because.len().min(STEPS)].to_vec();
    if because.len() > STEPS {
        steps.push(format!("{} more facts of that kind", because.len() - STEPS));
    }
    format!("{} cannot be installed{together}: {}", join(&names), list(&steps))
}

/// Returns what to change.
pub(super) fn advice(wanted: &[Wanted]) -> String {
    let wanted: Vec<_> = wanted.iter().map(|wanted| format!("`{}` (for {})", wanted.relation, wanted.reason)).collect();
    let one_of = if wanted.len() > 1 { "one of " } else { "" };
    format!("leave out {one_of}{}, or ask for another package in its place", join(&wanted))
}

/// Joins names.
fn join(names: &[String]) -> String {
    match names {
        [one, other] => format!("{one} and {other}"),
        _ => list(names),
    }
}

/// Joins facts, which may have an "and" of their own.
fn list(facts: &[String]) -> String {
    match facts {
        [] => String::new(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{}, and {last}", rest.join(", ")),
    }
}
