//! Marks packages for installation by apt's own rules, without searching.
//!
//! It follows `pkgDepCache::MarkInstall` of apt 2.6 on a system without any package and without recommendations: what
//! was asked for is marked first, then what it depends on, depth first. A group of alternatives that nothing marked
//! satisfies takes the first option whose own dependencies can be marked. What the user asked for is protected, and so is
//! the only option of a protected package; a package that a protected one excludes is never tried again. What apt then
//! leaves to its problem resolver is not followed: [`mark`] gives up, and a search takes over.

use std::collections::{BTreeSet, HashMap};

use super::super::index::IndexError;
use super::universe::{Exclusion, Facts, PackageId, Requirement, Universe};

/// How deep dependencies are followed before marking is given up; Debian's own stay far below.
const DEPTH_LIMIT: usize = 500;

/// Returns the packages that apt marks for `roots`; `None` where they do not fit together.
///
/// The roots are in the order in which apt meets them, see `Catalog::mention`; `asked_for` says which versions they are.
pub(super) fn mark(
    universe: &Universe<'_>,
    roots: &[PackageId],
    asked_for: &HashMap<&str, PackageId>,
) -> Result<Option<BTreeSet<PackageId>>, IndexError> {
    let mut marks = Marks { universe, asked_for, states: Vec::new(), is_too_deep: false };
    for root in roots {
        marks.set(*root, |state| (state.is_marked, state.is_protected) = (true, true));
    }
    for root in roots {
        if !marks.mark_dependencies(*root, 0)? || marks.is_too_deep {
            return Ok(None);
        }
    }
    // What was marked for a package that then did not work is not wanted.
    let marked = universe.reach(roots.iter().copied(), |id| marks.get(id).is_marked)?;
    for state in (0..).zip(&mut marks.states).filter(|(number, _)| !marked.contains(&PackageId(*number))) {
        state.1.is_marked = false;
    }
    for id in &marked {
        if marks.is_broken(&*universe.facts(*id)?) {
            return Ok(None);
        }
    }
    Ok(Some(marked))
}

/// What is known of one package.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_marked: bool,
    /// It is not unmarked, nor marked where it is not, except by another protected package.
    is_protected: bool,
    /// It cannot be installed, or a protected package excludes it.
    is_discarded: bool,
}

struct Marks<'u, 'a> {
    universe: &'u Universe<'a>,
    /// The versions that were asked for, by name.
    asked_for: &'u HashMap<&'u str, PackageId>,
    /// By the number of the package; those beyond the end have no marks.
    states: Vec<State>,
    is_too_deep: bool,
}

impl<'a> Marks<'_, 'a> {
    fn get(&self, id: PackageId) -> State {
        self.states.get(id.index()).copied().unwrap_or_default()
    }

    fn set(&mut self, id: PackageId, change: impl FnOnce(&mut State)) {
        if self.states.len() <= id.index() {
            self.states.resize(id.index() + 1, State::default());
        }
        change(&mut self.states[id.index()]);
    }

    /// Whether it is the version that would be installed: the one asked for, else the highest.
    fn is_candidate(&self, id: PackageId) -> bool {
        let name = self.universe.record(id).name;
        let asked_for = self.asked_for.get(name).copied();
        !self.get(id).is_discarded && asked_for.or_else(|| self.universe.candidate(name)) == Some(id)
    }

    fn is_met(&self, requirement: &Requirement<'_>) -> bool {
        requirement.all().any(|id| self.get(id).is_marked)
    }

    fn is_broken(&self, facts: &Facts<'_>) -> bool {
        let is_hit = |exclusion: &Exclusion<'_>| exclusion.hits.iter().any(|id| self.get(*id).is_marked);
        facts.requires.iter().any(|requirement| !self.is_met(requirement)) || facts.excludes.iter().any(is_hit)
    }

    /// Marks a package and all that it depends on; returns whether that worked.
    fn mark(&mut self, id: PackageId, depth: usize) -> Result<bool, IndexError> {
        let facts = self.universe.facts(id)?;
        let state = self.get(id);
        if !state.is_marked && state.is_protected || state.is_discarded {
            return Ok(false);
        }
        if state.is_marked && !state.is_protected && !self.is_broken(&facts) {
            return Ok(true);
        }
        if !self.can_be_met(id, &facts) {
            return Ok(false);
        }
        self.mark_dependencies(id, depth)
    }

    /// Whether each dependency has an option left; a package of which one has none is discarded.
    fn can_be_met(&mut self, id: PackageId, facts: &Facts<'_>) -> bool {
        let has_option =
            |requirement: &Requirement<'_>| requirement.all().any(|id| self.get(id).is_marked || self.is_candidate(id));
        let can_be_met = facts.requires.iter().all(has_option);
        if !can_be_met && !self.get(id).is_protected {
            self.set(id, |state| (state.is_marked, state.is_discarded) = (false, true));
        }
        can_be_met
    }

    /// Marks a package, unmarks what it excludes, and marks what it depends on.
    fn mark_dependencies(&mut self, id: PackageId, depth: usize) -> Result<bool, IndexError> {
        if depth > DEPTH_LIMIT {
            self.is_too_deep = true;
            return Ok(false);
        }
        let facts = self.universe.facts(id)?;
        let is_protected = self.get(id).is_protected;
        // What is satisfied now is not looked at again, except to protect it.
        let open: Vec<_> =
            facts.requires.iter().filter(|requirement| is_protected || !self.is_met(requirement)).collect();
        if !self.unmark_excluded(&facts, is_protected) {
            return Ok(false);
        }
        // What it depends on cannot push it out again.
        self.set(id, |state| (state.is_marked, state.is_protected) = (true, true));
        let mut fits = true;
        for requirement in open {
            fits = fits && self.mark_requirement(requirement, is_protected, depth + 1)?;
        }
        self.set(id, |state| state.is_protected = is_protected);
        if !fits && !is_protected {
            self.set(id, |state| (state.is_marked, state.is_discarded) = (false, true));
        }
        Ok(fits)
    }

    /// Unmarks what a package excludes; returns whether nothing protected is among it.
    fn unmark_excluded(&mut self, facts: &Facts<'_>, is_protected: bool) -> bool {
        let hits = facts.excludes.iter().flat_map(|exclusion| exclusion.hits.iter().copied());
        for hit in hits {
            if !self.is_candidate(hit) {
                continue;
            }
            let state = self.get(hit);
            if state.is_marked && state.is_protected {
                return false;
            }
            self.set(hit, |state| state.is_marked = false);
            if is_protected {
                self.set(hit, |state| (state.is_protected, state.is_discarded) = (true, true));
            }
        }
        true
    }

    /// Marks the first option that works, where none is marked yet.
    fn mark_requirement(
        &mut self,
        requirement: &Requirement<'a>,
        is_protected: bool,
        depth: usize,
    ) -> Result<bool, IndexError> {
        let options = self.options(requirement);
        if self.is_met(requirement) {
            return match options[..] {
                [only] if is_protected && !self.get(only).is_protected => {
                    self.set(only, |state| state.is_protected = true);
                    self.mark(only, depth)
                }
                _ => Ok(true),
            };
        }
        let is_only = options.len() == 1;
        for option in options {
            if !self.is_candidate(option) {
                continue;
            }
            if is_protected && is_only {
                self.set(option, |state| (state.is_marked, state.is_protected) = (true, true));
            }
            if self.mark(option, depth)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the options that are left, those that are protected first within each alternative.
    fn options(&self, requirement: &Requirement<'a>) -> Vec<PackageId> {
        let mut options: Vec<PackageId> = Vec::new();
        for alternative in &requirement.options {
            let mut left: Vec<_> = alternative.iter().copied().filter(|id| self.is_candidate(*id)).collect();
            left.sort_by_key(|id| !self.get(*id).is_protected);
            options.extend(left);
        }
        options.dedup();
        options.retain(|id| self.get(*id).is_marked || !self.get(*id).is_protected);
        options
    }
}
