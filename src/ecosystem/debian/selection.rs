//! The packages that an image shall have, looked at as a whole: who satisfies whom, and what is wrong.
//!
//! It shares nothing with what chose them, so that a mistake there is found here.

use std::collections::{BTreeMap, HashMap};

use super::index::{IndexError, Record};
use super::relation::{self, Relation};

/// Packages, one of each name.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    architecture: &'a str,
    records: BTreeMap<&'a str, Record<'a>>,
    /// The packages that provide a name, and in which version.
    provided: HashMap<&'a str, Vec<(Record<'a>, Option<&'a str>)>>,
    problems: Vec<String>,
}

impl<'a> Selection<'a> {
    /// Returns a selection for an image of that architecture.
    pub(super) fn new(
        architecture: &'a str,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> Result<Self, IndexError> {
        let mut selection =
            Self { architecture, records: BTreeMap::new(), provided: HashMap::new(), problems: Vec::new() };
        for record in records {
            if let Some(other) = selection.records.insert(record.name, record) {
                let problem =
                    format!("`{}` is there in the versions {} and {}", record.name, other.version, record.version);
                selection.problems.push(problem);
            }
        }
        for record in selection.records.values().copied() {
            for relation in record.relations("Provides")?.into_iter().flatten() {
                let version = relation.constraint.map(|constraint| constraint.version);
                selection.provided.entry(relation.name).or_default().push((record, version));
            }
        }
        Ok(selection)
    }

    /// Returns all packages, sorted by name.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'a>> {
        self.records.values().copied()
    }

    /// Returns a package that satisfies one of the alternatives, the earliest.
    pub(super) fn satisfying(&self, alternatives: &[Relation<'_>]) -> Option<Record<'a>> {
        alternatives.iter().find_map(|relation| self.meeting(relation).next())
    }

    /// Returns what is wrong: what is not satisfied, and all that [`check_together`](Self::check_together) finds.
    ///
    /// `Recommends` and what dpkg asks beyond relationships, such as files in two packages, are not looked at.
    pub(super) fn check(&self) -> Result<Vec<String>, IndexError> {
        let mut problems = Vec::new();
        for record in self.records() {
            problems.extend(self.unsatisfied(record)?);
        }
        problems.extend(self.check_together()?);
        Ok(problems)
    }

    /// Returns what is wrong with packages that come without what they depend on: what excludes each other, what is there
    /// twice, what is for another architecture.
    pub(super) fn check_together(&self) -> Result<Vec<String>, IndexError> {
        let mut problems = self.problems.clone();
        for record in self.records() {
            problems.extend(self.excluded(record)?);
            let architecture = record.field("Architecture").unwrap_or(self.architecture);
            if architecture != "all" && architecture != self.architecture {
                problems.push(format!("`{}` is for {architecture}", record.name));
            }
        }
        Ok(problems)
    }

    fn unsatisfied(&self, record: Record<'a>) -> Result<Vec<String>, IndexError> {
        let mut problems = Vec::new();
        for field in ["Pre-Depends", "Depends"] {
            let groups = record.relations(field)?.into_iter();
            let open = groups.filter(|alternatives| self.satisfying(alternatives).is_none());
            problems.extend(open.map(|alternatives| {
                format!("`{}` depends on `{}`, which is not there", record.name, relation::show(&alternatives))
            }));
        }
        Ok(problems)
    }

    fn excluded(&self, record: Record<'a>) -> Result<Vec<String>, IndexError> {
        let mut problems = Vec::new();
        for field in ["Conflicts", "Breaks"] {
            for relation in record.relations(field)?.into_iter().flatten() {
                // No package excludes itself, whatever it provides.
                let hits = self.meeting(&relation).filter(|other| other.name != record.name);
                let problem = |other: Record<'_>| {
                    format!("`{}` has `{field}: {relation}`, and `{}` is there", record.name, other.name)
                };
                problems.extend(hits.map(problem));
            }
        }
        Ok(problems)
    }

    /// Returns the packages that satisfy a relation, the real one first.
    fn meeting(&self, relation: &Relation<'_>) -> impl Iterator<Item = Record<'a>> {
        let real = self.records.get(relation.name).filter(|record| is_met_by(relation, **record, self.architecture));
        let provided = self.provided.get(relation.name).into_iter().flatten();
        let provided = provided
            .filter(|(record, version)| is_met_by_provided(relation, *record, *version, self.architecture))
            .map(|(record, _)| *record);
        real.into_iter().copied().chain(provided)
    }
}

/// Whether a real package satisfies a relation (policy section 7.1, and the Multi-Arch specification).
pub(super) fn is_met_by(relation: &Relation<'_>, record: Record<'_>, architecture: &str) -> bool {
    relation.name == record.name && is_for(relation, record, architecture) && relation.accepts(record.version)
}

/// Whether a package satisfies a relation by providing its name, maybe in a version.
pub(super) fn is_met_by_provided(
    relation: &Relation<'_>,
    record: Record<'_>,
    version: Option<&str>,
    architecture: &str,
) -> bool {
    is_for(relation, record, architecture) && relation.accepts_provided(version)
}

/// Whether a relation's architecture fits a package: all packages of an image are native to it.
fn is_for(relation: &Relation<'_>, record: Record<'_>, architecture: &str) -> bool {
    match relation.qualifier {
        None | Some("native") => true,
        Some("any") => record.field("Multi-Arch") == Some("allowed"),
        Some(other) => other == architecture,
    }
}
