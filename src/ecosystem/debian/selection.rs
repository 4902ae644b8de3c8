//! The packages chosen so far, and the questions that resolving asks of them.
//!
//! What is chosen is indexed both ways, so that neither a dependency nor a conflict is looked for among all packages.

use std::collections::{BTreeMap, HashMap};

use super::index::{IndexError, Record};
use super::relation::Relation;

/// Why two packages cannot be installed together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The package that excludes the other, with its version.
    pub package: String,
    /// The package that is excluded, with its version.
    pub other: String,
    /// The field that says so: `Conflicts` or `Breaks`.
    pub field: &'static str,
    /// What the field says.
    pub relation: String,
}

/// A set of packages without conflicts, one of each name.
#[derive(Debug)]
pub(super) struct Selection<'a> {
    /// The image's.
    architecture: &'a str,
    chosen: BTreeMap<&'a str, Record<'a>>,
    /// The chosen packages that provide a virtual name, and in which version.
    provided: HashMap<&'a str, Vec<(Record<'a>, Option<&'a str>)>>,
    /// What chosen packages exclude, by name.
    excluded: HashMap<&'a str, Vec<Exclusion<'a>>>,
}

#[derive(Clone, Copy, Debug)]
struct Exclusion<'a> {
    owner: Record<'a>,
    field: &'static str,
    relation: Relation<'a>,
}

impl Exclusion<'_> {
    fn conflict(&self, other: Record<'_>) -> Conflict {
        let show = |record: Record<'_>| format!("{} {}", record.name, record.version);
        Conflict {
            package: show(self.owner),
            other: show(other),
            field: self.field,
            relation: self.relation.to_string(),
        }
    }
}

impl<'a> Selection<'a> {
    /// Returns a selection without packages, for an image of that architecture.
    pub(super) fn new(architecture: &'a str) -> Self {
        Self { architecture, chosen: BTreeMap::new(), provided: HashMap::new(), excluded: HashMap::new() }
    }

    /// Returns the package of that name.
    pub(super) fn get(&self, name: &str) -> Option<Record<'a>> {
        self.chosen.get(name).copied()
    }

    /// Returns all packages, sorted by name.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'a>> {
        self.chosen.values().copied()
    }

    /// Returns a chosen package that satisfies one of the alternatives, the earliest.
    pub(super) fn satisfying(&self, alternatives: &[Relation<'a>]) -> Option<Record<'a>> {
        alternatives.iter().find_map(|relation| {
            let real = self.get(relation.name).filter(|record| self.is_met_by(relation, *record));
            real.or_else(|| {
                let providers = self.provided.get(relation.name)?.iter();
                let mut meeting = providers.filter(|(_, version)| is_met_by_provided(relation, *version));
                meeting.next().map(|(record, _)| *record)
            })
        })
    }

    /// Returns what keeps a package from being added.
    pub(super) fn conflict_with(&self, record: Record<'a>) -> Result<Option<Conflict>, IndexError> {
        for exclusion in self.exclusions(record)? {
            if let Some(other) = self.hit_by(&exclusion) {
                return Ok(Some(exclusion.conflict(other)));
            }
        }
        let provided = record.relations("Provides")?.into_iter().flatten();
        let names = provided.map(|relation| (relation.name, relation.constraint.map(|constraint| constraint.version)));
        let hit = std::iter::once((record.name, Some(record.version))).chain(names).find_map(|(name, version)| {
            let mut exclusions = self.excluded.get(name)?.iter();
            exclusions
                .find(|exclusion| exclusion.owner.name != record.name && exclusion.relation.accepts_provided(version))
        });
        Ok(hit.map(|exclusion| exclusion.conflict(record)))
    }

    /// Returns the chosen package that an exclusion is about; nobody excludes itself.
    fn hit_by(&self, exclusion: &Exclusion<'a>) -> Option<Record<'a>> {
        let relation = &exclusion.relation;
        let real = self.get(relation.name).filter(|record| relation.accepts(record.version));
        let provided = self.provided.get(relation.name).into_iter().flatten();
        let meeting = provided.filter(|(_, version)| relation.accepts_provided(*version)).map(|(record, _)| *record);
        real.into_iter().chain(meeting).find(|record| record.name != exclusion.owner.name)
    }

    /// Adds a package.
    pub(super) fn add(&mut self, record: Record<'a>) -> Result<(), IndexError> {
        for relation in record.relations("Provides")?.into_iter().flatten() {
            let version = relation.constraint.map(|constraint| constraint.version);
            self.provided.entry(relation.name).or_default().push((record, version));
        }
        for exclusion in self.exclusions(record)? {
            self.excluded.entry(exclusion.relation.name).or_default().push(exclusion);
        }
        self.chosen.insert(record.name, record);
        Ok(())
    }

    /// Returns what a package excludes.
    fn exclusions(&self, record: Record<'a>) -> Result<Vec<Exclusion<'a>>, IndexError> {
        let mut exclusions = Vec::new();
        for field in ["Conflicts", "Breaks"] {
            let relations = record.relations(field)?.into_iter().flatten();
            // One with another architecture's package concerns no image.
            let relations =
                relations.filter(|relation| self.is_own(relation.qualifier) || relation.qualifier == Some("any"));
            exclusions.extend(relations.map(|relation| Exclusion { owner: record, field, relation }));
        }
        Ok(exclusions)
    }

    /// Whether a real package satisfies a relation (policy section 7.1, and the Multi-Arch specification).
    pub(super) fn is_met_by(&self, relation: &Relation<'_>, record: Record<'_>) -> bool {
        let allowed = relation.qualifier == Some("any") && record.field("Multi-Arch") == Some("allowed");
        (allowed || self.is_own(relation.qualifier)) && relation.accepts(record.version)
    }

    /// Whether a relation's architecture is the image's, which packages for all architectures count as.
    fn is_own(&self, qualifier: Option<&str>) -> bool {
        qualifier.is_none_or(|qualifier| qualifier == "native" || qualifier == self.architecture)
    }
}

/// Whether a virtual package satisfies a relation: one with `:any` asks for a real package.
pub(super) fn is_met_by_provided(relation: &Relation<'_>, version: Option<&str>) -> bool {
    relation.qualifier != Some("any") && relation.accepts_provided(version)
}
