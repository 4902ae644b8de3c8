//! Chooses the packages that a set of requirements needs, as `apt-get install --no-install-recommends` does on a system
//! without any package.
//!
//! First by apt's own rules ([`mark`]), which search nothing. Where that leads into a conflict, apt weighs which packages
//! to give up; here a solver finds the preferred set of those that can be installed, first among the versions that apt
//! would take, then among all that releases offer by themselves, then among all; or it proves that there is none, and
//! [`explain`] says why. Whatever was chosen is
//! checked by [`Selection::check`], which knows nothing of how.

mod error;
mod explain;
mod formula;
mod goal;
mod mark;
mod sat;
mod universe;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::catalog::Catalog;
use super::index::{IndexError, Record};
use super::selection::Selection;
pub use error::{ResolveError, Wanted};
use formula::{Formula, Scope};
use goal::Goal;
pub(super) use goal::similar;
use universe::{PackageId, Universe};

/// Something that must be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// What: a relationship such as `python3`, `r-base-core (= 4.2.2-1)` or `a | b`, or apt's form `name=version`. A list
    /// of architectures such as `[amd64]` at its end says for which images it is.
    pub relation: String,
    /// Why, as the lock shall say it.
    pub reason: String,
}

/// A chosen package.
#[derive(Debug)]
pub struct Choice<'a> {
    /// The package.
    pub record: Record<'a>,
    /// The reasons of the roots that ask for it, and the names of the chosen packages that depend on it.
    pub reasons: BTreeSet<String>,
}

/// Chooses the packages that `roots` need, sorted by name; `architecture` is the image's.
pub fn resolve<'a>(
    catalog: &'a Catalog,
    architecture: &'a str,
    roots: &[Root],
) -> Result<Vec<Choice<'a>>, ResolveError> {
    let question = Question::new(catalog, architecture, roots)?;
    let chosen = match question.mark()? {
        Some(marked) => marked,
        None => question.search(&Scope::Dependencies)?,
    };
    let selection = question.select(&chosen)?;
    let problems = selection.check()?;
    if !problems.is_empty() {
        return Err(ResolveError::Unsound { problems });
    }
    let mut reasons = question.reasons(&chosen);
    add_dependents(&selection, &mut reasons)?;
    Ok(choices(&selection, reasons))
}

/// Chooses the packages that `roots` name and nothing that they depend on, sorted by name.
pub fn resolve_only<'a>(
    catalog: &'a Catalog,
    architecture: &'a str,
    roots: &[Root],
) -> Result<Vec<Choice<'a>>, ResolveError> {
    let question = Question::new(catalog, architecture, roots)?;
    let chosen = question.search(&Scope::Goals)?;
    Ok(choices(&question.select(&chosen)?, question.reasons(&chosen)))
}

/// Checks packages that were chosen one after the other; `whole` asks for what they depend on as well.
pub fn check<'a>(
    architecture: &'a str,
    chosen: impl IntoIterator<Item = Record<'a>>,
    whole: bool,
) -> Result<(), ResolveError> {
    let selection = Selection::new(architecture, chosen)?;
    let problems = if whole { selection.check()? } else { selection.check_together()? };
    if problems.is_empty() { Ok(()) } else { Err(ResolveError::Together { problems }) }
}

/// Why each chosen package is there, by its name.
type Reasons<'a> = BTreeMap<&'a str, BTreeSet<String>>;

/// What is asked for, and of which packages.
struct Question<'a> {
    catalog: &'a Catalog,
    architecture: &'a str,
    universe: Universe<'a>,
    goals: Vec<Goal>,
    /// The versions that the goals ask for, by name: the candidates, where others would be without them.
    asked_for: HashMap<&'a str, PackageId>,
}

impl<'a> Question<'a> {
    fn new(catalog: &'a Catalog, architecture: &'a str, roots: &[Root]) -> Result<Self, ResolveError> {
        let universe = Universe::new(catalog, architecture);
        let goal = |root| Goal::new(&universe, catalog, architecture, root).transpose();
        let goals = roots.iter().filter_map(goal).collect::<Result<Vec<_>, _>>()?;
        let mut asked_for = HashMap::new();
        // What leaves no choice comes first, and what is taken will do.
        let (open, closed): (Vec<_>, Vec<_>) = goals.iter().partition(|goal| goal.options.len() > 1);
        for goal in closed.into_iter().chain(open) {
            let name = |id: PackageId| universe.record(id).name;
            if !goal.options.iter().any(|id| asked_for.get(name(*id)) == Some(id)) {
                asked_for.entry(name(goal.options[0])).or_insert(goal.options[0]);
            }
        }
        Ok(Self { catalog, architecture, universe, goals, asked_for })
    }

    /// Chooses as apt marks; `None` where that does not work out.
    fn mark(&self) -> Result<Option<BTreeSet<PackageId>>, IndexError> {
        let mut roots = Vec::new();
        for goal in &self.goals {
            let asked_for = |id: &&PackageId| self.asked_for.get(self.universe.record(**id).name) == Some(*id);
            let Some(root) = goal.options.iter().find(asked_for) else { return Ok(None) };
            roots.push(*root);
        }
        // The order in which things were asked for does not matter: apt has its own.
        if roots.len() > 1 {
            roots.sort_by_cached_key(|id| self.catalog.mention(self.universe.record(*id).name));
            roots.dedup();
        }
        mark::mark(&self.universe, &roots, &self.asked_for)
    }

    /// Finds the preferred set of packages that fit together.
    fn search(&self, scope: &Scope) -> Result<BTreeSet<PackageId>, ResolveError> {
        let is_automatic = |id| self.universe.record(id).is_automatic();
        let allowed: [&dyn Fn(PackageId) -> bool; 3] =
            [&|id| self.is_candidate(id), &|id| self.is_candidate(id) || is_automatic(id), &|_| true];
        let mut contradiction = Vec::new();
        for is_allowed in allowed {
            match Formula::new(&self.universe, &self.goals, scope, is_allowed)?.solve() {
                Ok(found) => return Ok(self.reached(scope, found)?),
                Err(facts) => contradiction = facts,
            }
        }
        Err(explain::conflict(&self.universe, &self.goals, &contradiction))
    }

    /// Leaves out of a solution what no goal leads to.
    fn reached(&self, scope: &Scope, found: BTreeSet<PackageId>) -> Result<BTreeSet<PackageId>, IndexError> {
        let wanted = self.goals.iter().flat_map(|goal| goal.options.iter().copied());
        match scope {
            Scope::Dependencies => self.universe.reach(wanted, |id| found.contains(&id)),
            Scope::Goals => Ok(found),
        }
    }

    /// Whether it is the version that is installed when no other has to be.
    fn is_candidate(&self, id: PackageId) -> bool {
        let name = self.universe.record(id).name;
        self.asked_for.get(name).copied().or_else(|| self.universe.candidate(name)) == Some(id)
    }

    fn select(&self, chosen: &BTreeSet<PackageId>) -> Result<Selection<'a>, IndexError> {
        Selection::new(self.architecture, chosen.iter().map(|id| self.universe.record(*id)))
    }

    /// Returns which goal each chosen package meets.
    fn reasons(&self, chosen: &BTreeSet<PackageId>) -> Reasons<'a> {
        let mut reasons = Reasons::new();
        for goal in &self.goals {
            if let Some(id) = goal.options.iter().find(|id| chosen.contains(id)) {
                reasons.entry(self.universe.record(*id).name).or_default().insert(goal.reason.clone());
            }
        }
        reasons
    }
}

/// Adds to the reasons which package depends on which.
fn add_dependents<'a>(selection: &Selection<'a>, reasons: &mut Reasons<'a>) -> Result<(), IndexError> {
    for record in selection.records() {
        let dependencies = [record.relations("Pre-Depends")?, record.relations("Depends")?].concat();
        for alternatives in dependencies {
            match selection.satisfying(&alternatives) {
                Some(found) if found != record => {
                    reasons.entry(found.name).or_default().insert(record.name.to_owned());
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn choices<'a>(selection: &Selection<'a>, mut reasons: Reasons<'a>) -> Vec<Choice<'a>> {
    let choice = |record: Record<'a>| Choice { record, reasons: reasons.remove(record.name).unwrap_or_default() };
    selection.records().map(choice).collect()
}

#[cfg(test)]
mod tests;
