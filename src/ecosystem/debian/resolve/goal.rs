//! What is asked for, as packages that would do.

use std::collections::BTreeSet;

use super::super::catalog::Catalog;
use super::super::index::Record;
use super::super::relation::{self, Relation};
use super::super::selection::is_met_by;
use super::universe::{PackageId, Universe};
use super::{ResolveError, Root};

/// A root, and what would do for it.
pub(super) struct Goal {
    /// What is asked for, as a relationship field says it.
    pub(super) relation: String,
    /// Who asks for it.
    pub(super) reason: String,
    /// The packages that would do, the preferred one first; there is at least one.
    pub(super) options: Vec<PackageId>,
}

impl Goal {
    /// Finds what would do for a root; `None` where it is for other architectures.
    pub(super) fn new<'a>(
        universe: &Universe<'a>,
        catalog: &'a Catalog,
        architecture: &str,
        root: &Root,
    ) -> Result<Option<Self>, ResolveError> {
        let Some(relation) = relation::unrestricted(&root.relation, architecture) else { return Ok(None) };
        let spelled = spelled(relation);
        let alternatives = relation::parse_alternatives(&spelled)
            .map_err(|source| ResolveError::Requirement { reason: root.reason.clone(), source })?;
        let named = |relation: &Relation<'_>| {
            let versions = catalog.versions(relation.name).into_iter();
            versions.filter(|record| is_met_by(relation, *record, architecture)).collect::<Vec<_>>()
        };
        let mut records: Vec<_> = alternatives.iter().flat_map(named).collect();
        if records.is_empty() {
            records.push(provider(catalog, &alternatives[0], &root.reason)?);
        }
        let id = |record: Record<'a>| {
            let versions = universe.versions(record.name);
            versions.iter().copied().find(|id| universe.record(*id) == record)
        };
        let options = records.into_iter().filter_map(id).collect();
        Ok(Some(Self { relation: relation::show(&alternatives), reason: root.reason.clone(), options }))
    }
}

/// Returns the relationship that apt's form `name=version` stands for.
fn spelled(relation: &str) -> String {
    match relation.split_once('=') {
        Some((name, version)) if !name.contains('(') => format!("{name} (= {version})"),
        _ => relation.to_owned(),
    }
}

/// Returns the one package that provides what a root asks for.
fn provider<'a>(catalog: &'a Catalog, relation: &Relation<'_>, reason: &str) -> Result<Record<'a>, ResolveError> {
    let (name, reason) = (relation.name.to_owned(), reason.to_owned());
    let versions = catalog.versions(&name);
    if !versions.is_empty() {
        let found = versions.iter().map(|record| format!("{} ({})", record.version, record.release)).collect();
        return Err(ResolveError::Version { relation: relation.to_string(), reason, found });
    }
    let mut providers = catalog.providers(&name);
    providers.retain(|provider| relation.accepts_provided(provider.version));
    providers.sort_by_key(|provider| provider.record.name);
    match providers[..] {
        [] => Err(ResolveError::Unknown { similar: similar(catalog, &name), name, reason }),
        [provider] => Ok(provider.record),
        _ => {
            let providers = providers.iter().map(|provider| provider.record.name.to_owned()).collect();
            Err(ResolveError::Virtual { name, reason, providers })
        }
    }
}

/// Returns up to three names that are spelled like `name`, the nearest first.
pub(in super::super) fn similar(catalog: &Catalog, name: &str) -> Vec<String> {
    let near = catalog.names().map(|other| (strsim::damerau_levenshtein(name, other), other));
    let near: BTreeSet<_> = near.filter(|(distance, _)| *distance <= 1 + name.len() / 6).collect();
    near.into_iter().take(3).map(|(_, other)| other.to_owned()).collect()
}
