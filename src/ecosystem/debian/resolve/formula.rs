//! What must hold of a set of packages, as a formula whose solutions are the sets that can be installed.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::index::IndexError;
use super::goal::Goal;
use super::sat::{Literal, Solver};
use super::universe::{PackageId, Requirement, Universe};

/// Why a clause must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fact {
    /// The goal of that number must be met.
    Goal(usize),
    /// A package has a requirement, by its number.
    Requires(PackageId, usize),
    /// A package has an exclusion, by its number, which is about another package.
    Excludes(PackageId, usize, PackageId),
    /// Two packages are versions of one.
    Versions(PackageId, PackageId),
}

/// Facts about packages.
#[derive(Default)]
pub(super) struct Formula {
    variables: usize,
    facts: Vec<Fact>,
    clauses: Vec<Vec<Literal>>,
    /// What meets each goal, the preferred package first.
    goals: Vec<Vec<PackageId>>,
    /// What meets each requirement of a package, likewise.
    requires: HashMap<PackageId, Vec<Vec<PackageId>>>,
}

/// Which packages a formula is about.
pub(super) enum Scope {
    /// All that the goals may bring.
    Dependencies,
    /// The goals alone.
    Goals,
}

impl Formula {
    /// Returns the formula of some goals over the packages that `is_allowed` lets pass.
    pub(super) fn new(
        universe: &Universe<'_>,
        goals: &[Goal],
        scope: &Scope,
        is_allowed: impl Fn(PackageId) -> bool,
    ) -> Result<Self, IndexError> {
        let allowed = |goal: &Goal| goal.options.iter().copied().filter(|id| is_allowed(*id)).collect::<Vec<_>>();
        let goals: Vec<_> = goals.iter().map(allowed).collect();
        let wanted = goals.iter().flatten().copied();
        let packages = match scope {
            Scope::Dependencies => universe.reach(wanted, &is_allowed)?,
            Scope::Goals => wanted.collect(),
        };
        let mut formula = Self::default();
        for (number, options) in goals.iter().enumerate() {
            formula.add(Fact::Goal(number), None, options);
        }
        for id in packages.iter().copied() {
            if matches!(scope, Scope::Dependencies) {
                formula.add_requirements(universe, id, &is_allowed)?;
            }
            formula.add_exclusions(universe, id, &packages)?;
        }
        // The facts of the packages may have brought others to light, which nothing asks for.
        Ok(Self { variables: universe.len(), goals, ..formula })
    }

    fn add_requirements(
        &mut self,
        universe: &Universe<'_>,
        id: PackageId,
        is_allowed: impl Fn(PackageId) -> bool,
    ) -> Result<(), IndexError> {
        let facts = universe.facts(id)?;
        let allowed =
            |requirement: &Requirement<'_>| requirement.all().filter(|id| is_allowed(*id)).collect::<Vec<_>>();
        let requires: Vec<_> = facts.requires.iter().map(allowed).collect();
        for (number, options) in requires.iter().enumerate() {
            self.add(Fact::Requires(id, number), Some(id), options);
        }
        self.requires.insert(id, requires);
        Ok(())
    }

    fn add_exclusions(
        &mut self,
        universe: &Universe<'_>,
        id: PackageId,
        packages: &BTreeSet<PackageId>,
    ) -> Result<(), IndexError> {
        for (number, exclusion) in universe.facts(id)?.excludes.iter().enumerate() {
            for hit in exclusion.hits.iter().copied().filter(|hit| packages.contains(hit)) {
                self.add_exclusion(Fact::Excludes(id, number, hit), id, hit);
            }
        }
        let versions = universe.versions(universe.record(id).name);
        for other in versions.iter().copied().filter(|other| *other < id && packages.contains(other)) {
            self.add_exclusion(Fact::Versions(other, id), other, id);
        }
        Ok(())
    }

    fn add(&mut self, fact: Fact, owner: Option<PackageId>, options: &[PackageId]) {
        let owner = owner.map(|id| Literal::not(id.index()));
        self.clauses.push(owner.into_iter().chain(options.iter().map(|id| Literal::is(id.index()))).collect());
        self.facts.push(fact);
    }

    fn add_exclusion(&mut self, fact: Fact, one: PackageId, other: PackageId) {
        self.clauses.push(vec![Literal::not(one.index()), Literal::not(other.index())]);
        self.facts.push(fact);
    }

    /// Returns the packages of the preferred solution; where there is none, facts that contradict each other, none of
    /// which can be left out.
    pub(super) fn solve(&self) -> Result<BTreeSet<PackageId>, Vec<Fact>> {
        let mut solver = Solver::new(self.variables);
        self.clauses.iter().for_each(|clause| solver.add(clause.clone()));
        match solver.solve(|solver| self.decide(solver)) {
            Ok(()) => Ok((0..self.variables as u32)
                .map(PackageId)
                .filter(|id| solver.value(id.index()) == Some(true))
                .collect()),
            Err(core) => {
                let core = self.minimize(core.into_iter().collect());
                Err(core.into_iter().map(|number| self.facts[number]).collect())
            }
        }
    }

    /// Returns the first option left of the first requirement, depth first, that nothing satisfies yet.
    fn decide(&self, solver: &Solver) -> Option<Literal> {
        let mut visited = HashSet::new();
        let mut open: Vec<&[PackageId]> = self.goals.iter().rev().map(Vec::as_slice).collect();
        while let Some(options) = open.pop() {
            match options.iter().find(|id| solver.value(id.index()) == Some(true)) {
                Some(chosen) if visited.insert(*chosen) => {
                    open.extend(self.requires.get(chosen).into_iter().flatten().rev().map(Vec::as_slice));
                }
                Some(_) => {}
                None => {
                    let left = options.iter().find(|id| solver.value(id.index()).is_none());
                    return left.map(|id| Literal::is(id.index()));
                }
            }
        }
        None
    }

    /// Leaves out what is not needed for the contradiction.
    fn minimize(&self, mut core: Vec<usize>) -> Vec<usize> {
        let mut place = 0;
        while place < core.len() {
            let rest: Vec<_> = core.iter().copied().filter(|clause| *clause != core[place]).collect();
            match self.contradiction(&rest) {
                // What was kept before is needed still: fewer clauses contradict less.
                Some(smaller) => core = smaller,
                None => place += 1,
            }
        }
        core
    }

    /// Returns those of some clauses that contradict each other.
    fn contradiction(&self, clauses: &[usize]) -> Option<Vec<usize>> {
        let mut solver = Solver::new(self.variables);
        for clause in clauses {
            solver.add(self.clauses[*clause].clone());
        }
        let literals = || clauses.iter().flat_map(|clause| &self.clauses[*clause]);
        let undecided = |solver: &Solver| literals().copied().find(|literal| !solver.is_decided(*literal));
        let core = solver.solve(undecided).err()?;
        Some(core.into_iter().map(|number| clauses[number]).collect())
    }
}
