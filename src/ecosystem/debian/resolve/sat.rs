//! A small solver for propositional formulas in conjunctive normal form: conflict-driven clause learning with two
//! watched literals and the first unique implication point.
//!
//! It knows nothing of packages. What to try next is the caller's to decide, so that the first solution that is found is
//! the preferred one; when there is none, it says which clauses contradict each other.

use std::collections::BTreeSet;

/// A variable, or its negation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Literal(u32);

impl Literal {
    /// Returns the literal that is true where the variable is.
    pub(super) fn is(variable: usize) -> Self {
        Self((variable as u32) << 1)
    }

    /// Returns the literal that is true where the variable is not.
    pub(super) fn not(variable: usize) -> Self {
        Self((variable as u32) << 1 | 1)
    }

    fn variable(self) -> usize {
        (self.0 >> 1) as usize
    }

    fn negated(self) -> Self {
        Self(self.0 ^ 1)
    }
}

#[derive(Debug)]
struct Clause {
    /// The first two are watched.
    literals: Vec<Literal>,
    /// The clauses that a learnt one follows from.
    parents: Vec<usize>,
}

/// A value that a variable was given.
#[derive(Clone, Copy, Debug)]
struct Assignment {
    value: bool,
    level: usize,
    /// The clause that forced it; none where it was decided.
    reason: Option<usize>,
}

/// A formula and the values tried so far.
#[derive(Debug, Default)]
pub(super) struct Solver {
    clauses: Vec<Clause>,
    /// How many of the clauses are the caller's.
    given: usize,
    /// The clauses that watch a literal, by the literal.
    watches: Vec<Vec<usize>>,
    values: Vec<Option<Assignment>>,
    /// The literals that are true, in the order in which they became so.
    trail: Vec<Literal>,
    /// The length of the trail at each decision.
    decisions: Vec<usize>,
    propagated: usize,
}

impl Solver {
    /// Returns a formula of `variables` variables, numbered from 0, without any clause.
    pub(super) fn new(variables: usize) -> Self {
        Self { watches: vec![Vec::new(); 2 * variables], values: vec![None; variables], ..Self::default() }
    }

    /// Adds a clause: one of the literals must be true. Clauses are numbered from 0.
    pub(super) fn add(&mut self, mut literals: Vec<Literal>) {
        literals.sort_unstable();
        literals.dedup();
        self.push(Clause { literals, parents: Vec::new() });
        self.given = self.clauses.len();
    }

    /// Returns the value of a variable.
    pub(super) fn value(&self, variable: usize) -> Option<bool> {
        self.values[variable].map(|assignment| assignment.value)
    }

    /// Whether the variable of a literal has a value.
    pub(super) fn is_decided(&self, literal: Literal) -> bool {
        self.values[literal.variable()].is_some()
    }

    /// Searches for values that make all clauses true. `decide` names a literal without a value to try next, and none
    /// when all that is left may be false. On failure, returns the numbers of clauses that cannot all be true.
    pub(super) fn solve(&mut self, mut decide: impl FnMut(&Self) -> Option<Literal>) -> Result<(), BTreeSet<usize>> {
        for clause in 0..self.given {
            match self.clauses[clause].literals[..] {
                [] => return Err([clause].into()),
                [only] => self.force(only, clause).map_err(|clause| self.core(clause))?,
                _ => {}
            }
        }
        loop {
            if let Some(conflict) = self.propagate() {
                if self.decisions.is_empty() {
                    return Err(self.core(conflict));
                }
                self.learn(conflict);
            } else if let Some(literal) = decide(self) {
                self.decisions.push(self.trail.len());
                self.assign(literal, None);
            } else {
                return Ok(());
            }
        }
    }

    fn push(&mut self, clause: Clause) -> usize {
        let number = self.clauses.len();
        if let [first, second, ..] = clause.literals[..] {
            self.watches[first.0 as usize].push(number);
            self.watches[second.0 as usize].push(number);
        }
        self.clauses.push(clause);
        number
    }

    fn is_true(&self, literal: Literal) -> Option<bool> {
        self.value(literal.variable()).map(|value| value == (literal == Literal::is(literal.variable())))
    }

    fn assign(&mut self, literal: Literal, reason: Option<usize>) {
        let value = literal == Literal::is(literal.variable());
        self.values[literal.variable()] = Some(Assignment { value, level: self.decisions.len(), reason });
        self.trail.push(literal);
    }

    /// Makes a literal true because of a clause; returns the clause where it is false already.
    fn force(&mut self, literal: Literal, clause: usize) -> Result<(), usize> {
        match self.is_true(literal) {
            Some(true) => Ok(()),
            Some(false) => Err(clause),
            None => {
                self.assign(literal, Some(clause));
                Ok(())
            }
        }
    }

    /// Draws the conclusions from what is true; returns a clause that is false.
    fn propagate(&mut self) -> Option<usize> {
        while let Some(literal) = self.trail.get(self.propagated).copied() {
            self.propagated += 1;
            let falsified = literal.negated();
            let watching = std::mem::take(&mut self.watches[falsified.0 as usize]);
            let mut kept = Vec::with_capacity(watching.len());
            let mut conflict = None;
            for clause in watching {
                if conflict.is_some() {
                    kept.push(clause);
                } else if let Some(other) = self.watch_another(clause, falsified) {
                    kept.push(clause);
                    conflict = self.force(other, clause).err();
                }
            }
            self.watches[falsified.0 as usize].extend(kept);
            if conflict.is_some() {
                return conflict;
            }
        }
        None
    }

    /// Watches another literal instead of one that became false; returns the only one left where there is none.
    fn watch_another(&mut self, clause: usize, falsified: Literal) -> Option<Literal> {
        let literals = &mut self.clauses[clause].literals;
        if literals[0] == falsified {
            literals.swap(0, 1);
        }
        let literals = &self.clauses[clause].literals;
        let other = literals[0];
        let place = (2..literals.len()).find(|place| self.is_true(literals[*place]) != Some(false));
        let Some(place) = place.filter(|_| self.is_true(other) != Some(true)) else { return Some(other) };
        let literals = &mut self.clauses[clause].literals;
        literals.swap(1, place);
        let watched = literals[1];
        self.watches[watched.0 as usize].push(clause);
        None
    }

    /// Learns from a false clause what must never be decided again, and takes the decisions back up to there.
    fn learn(&mut self, conflict: usize) {
        let (literals, parents) = self.analyze(conflict);
        let level = literals[1..].iter().map(|literal| self.level(*literal)).max().unwrap_or(0);
        self.backtrack(level);
        let first = literals[0];
        let clause = self.push(Clause { literals, parents });
        self.assign(first, Some(clause));
    }

    /// Returns the clause to learn and what it follows from. Its first literal is the only one of the last decision, its
    /// second the latest of the others.
    fn analyze(&self, conflict: usize) -> (Vec<Literal>, Vec<usize>) {
        let level = self.decisions.len();
        let mut parents = vec![conflict];
        let mut seen = BTreeSet::new();
        let mut learnt = Vec::new();
        let mut open = 0;
        let mut next = Some(conflict);
        for literal in self.trail.iter().rev().copied() {
            let antecedents = next.take().map_or(&[][..], |clause| &self.clauses[clause].literals);
            for antecedent in antecedents.iter().copied().filter(|literal| self.is_true(*literal) == Some(false)) {
                match seen.insert(antecedent.variable()) {
                    true if self.level(antecedent) == level => open += 1,
                    true => learnt.push(antecedent),
                    false => {}
                }
            }
            if !seen.contains(&literal.variable()) {
                continue;
            }
            open -= 1;
            if open == 0 {
                learnt.push(literal.negated());
                break;
            }
            // Only the decision has no reason, and nothing of its level stands before it.
            next = self.values[literal.variable()].and_then(|assignment| assignment.reason);
            parents.extend(next);
        }
        learnt.sort_by_key(|literal| std::cmp::Reverse(self.level(*literal)));
        (learnt, parents)
    }

    fn level(&self, literal: Literal) -> usize {
        self.values[literal.variable()].map_or(0, |assignment| assignment.level)
    }

    fn backtrack(&mut self, level: usize) {
        let length = self.decisions[level];
        for literal in self.trail.drain(length..) {
            self.values[literal.variable()] = None;
        }
        self.decisions.truncate(level);
        self.propagated = length;
    }

    /// Returns the caller's clauses that a contradiction without any decision follows from.
    fn core(&self, conflict: usize) -> BTreeSet<usize> {
        let mut open = vec![conflict];
        let mut seen = BTreeSet::new();
        while let Some(clause) = open.pop() {
            if !seen.insert(clause) {
                continue;
            }
            open.extend(&self.clauses[clause].parents);
            let variables = self.clauses[clause].literals.iter().map(|literal| literal.variable());
            open.extend(variables.filter_map(|variable| self.values[variable]?.reason));
        }
        seen.into_iter().filter(|clause| *clause < self.given).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Solves clauses of signed variables, numbered from 1, by trying to make each variable true.
    fn solve(variables: usize, clauses: &[Vec<i32>]) -> Result<Vec<bool>, BTreeSet<usize>> {
        let mut solver = Solver::new(variables);
        for clause in clauses {
            let literal = |signed: &i32| match signed.unsigned_abs() as usize - 1 {
                variable if *signed > 0 => Literal::is(variable),
                variable => Literal::not(variable),
            };
            solver.add(clause.iter().map(literal).collect());
        }
        let undecided =
            |solver: &Solver| (0..variables).find(|variable| solver.value(*variable).is_none()).map(Literal::is);
        solver.solve(undecided)?;
        Ok((0..variables).map(|variable| solver.value(variable) == Some(true)).collect())
    }

    fn holds(clauses: &[Vec<i32>], values: &[bool]) -> bool {
        let is_true = |signed: &i32| values[signed.unsigned_abs() as usize - 1] == (*signed > 0);
        clauses.iter().all(|clause| clause.iter().any(is_true))
    }

    #[test]
    fn pigeons_do_not_fit_into_fewer_holes() {
        let at = |pigeon: i32, hole: i32| pigeon * 4 + hole + 1;
        let mut clauses: Vec<Vec<i32>> = (0..5).map(|pigeon| (0..4).map(|hole| at(pigeon, hole)).collect()).collect();
        for hole in 0..4 {
            for pigeon in 0..5 {
                clauses.extend((0..pigeon).map(|other| vec![-at(pigeon, hole), -at(other, hole)]));
            }
        }
        assert_eq!(solve(20, &clauses).unwrap_err().len(), clauses.len());
        assert!(solve(20, &clauses[1..]).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn it_agrees_with_trying_everything(
            signed in proptest::collection::vec(proptest::collection::vec((1..=8i32, proptest::bool::ANY), 1..4), 0..60)
        ) {
            let sign = |(variable, is): &(i32, bool)| if *is { *variable } else { -*variable };
            let clauses: Vec<Vec<i32>> = signed.iter().map(|clause| clause.iter().map(sign).collect()).collect();
            let all = (0..256u32).map(|bits| (0..8).map(|bit| bits >> bit & 1 == 1).collect::<Vec<_>>());
            let possible = |clauses: &[Vec<i32>]| all.clone().any(|values| holds(clauses, &values));
            match solve(8, &clauses) {
                Ok(values) => assert!(holds(&clauses, &values)),
                Err(core) => {
                    let core: Vec<_> = core.into_iter().map(|number| clauses[number].clone()).collect();
                    assert!(!possible(&core));
                }
            }
        }
    }
}
