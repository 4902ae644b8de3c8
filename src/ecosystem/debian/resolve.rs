//! Chooses the packages that a set of requirements needs, as `apt-get install --no-install-recommends` does on a system
//! without any package.
//!
//! The order is apt's: everything asked for first; then, package by package and depth first, `Pre-Depends` and `Depends`
//! from left to right, nothing where a chosen package will do, real packages before virtual ones, earlier alternatives
//! before later ones, nothing that excludes what chosen packages cannot do without. A choice is never taken back: where
//! that ends in a conflict, [`ResolveError::Conflict`] carries it, for a solver that searches.

use std::collections::{BTreeMap, BTreeSet};

use super::index::{Catalog, IndexError, Record};
use super::relation::{self, Alternatives, ParseRelationError, Relation};
pub use super::selection::Conflict;
use super::selection::{Selection, is_met_by_provided};
use crate::error::{Diagnose, Exit};

/// Something that must be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// What: a relationship such as `python3`, `r-base-core (= 4.2.2-1)` or `a | b`, or apt's form `name=version`.
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

/// The requirements cannot be met.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A requirement is not a relationship.
    #[error("cannot read the requirement of {reason}")]
    Requirement {
        /// Who requires it.
        reason: String,
        /// What is wrong in it.
        source: ParseRelationError,
    },
    /// There is no package of that name.
    #[error("there is no package `{name}`, which {reason} asks for")]
    Unknown {
        /// The name.
        name: String,
        /// Who asks for it.
        reason: String,
        /// Names that look like it.
        similar: Vec<String>,
    },
    /// There is a package of that name, but not in a version that will do.
    #[error("there is no package `{relation}`, which {reason} asks for: the archive has {}", found.join(", "))]
    Version {
        /// What is asked for.
        relation: String,
        /// Who asks for it.
        reason: String,
        /// The versions that there are.
        found: Vec<String>,
    },
    /// Two versions of one package are asked for.
    #[error("`{name}` cannot be installed in version {chosen} and, as {reason} asks for, in version {other}")]
    TwoVersions {
        /// The package.
        name: String,
        /// The version that was asked for first.
        chosen: String,
        /// The version that was asked for then.
        other: String,
        /// Who asks for that.
        reason: String,
    },
    /// A virtual package is asked for, and several packages provide it.
    #[error("`{name}`, which {reason} asks for, is a virtual package that several provide: {}", providers.join(", "))]
    Virtual {
        /// The name.
        name: String,
        /// Who asks for it.
        reason: String,
        /// The packages that provide it.
        providers: Vec<String>,
    },
    /// A package depends on what is not there.
    #[error("`{package}` depends on `{relation}`, which nothing can satisfy")]
    Unsatisfiable {
        /// The package that depends.
        package: String,
        /// On what.
        relation: String,
        /// Who needs the package: a root's reason, then packages, each needing the next.
        chain: Vec<String>,
    },
    /// A package is needed that another one excludes.
    #[error("`{}` cannot be installed with `{}`: its `{}` says `{}`", conflict.package, conflict.other, conflict.field, conflict.relation)]
    Conflict {
        /// Who excludes whom.
        conflict: Conflict,
        /// Who needs the package that was chosen last: a root's reason, then packages, each needing the next.
        chain: Vec<String>,
    },
    /// The index is broken.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl Diagnose for ResolveError {
    fn exit(&self) -> Exit {
        match self {
            Self::Index(error) => error.exit(),
            _ => Exit::Resolution,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Index(error) => error.hints(),
            Self::Unknown { similar, .. } if !similar.is_empty() => {
                vec![format!("did you mean {}?", similar.join(", "))]
            }
            Self::Version { .. } => vec!["ask for a version that the archive has, or for none".to_owned()],
            Self::Virtual { .. } => vec!["ask for one of them".to_owned()],
            Self::Unsatisfiable { chain, .. } | Self::Conflict { chain, .. } => {
                vec![format!("it is needed this way: {}", chain.join(" → "))]
            }
            _ => Vec::new(),
        }
    }
}

/// Chooses the packages that `roots` need, sorted by name; `architecture` is the image's.
pub fn resolve<'a>(
    catalog: &'a Catalog,
    architecture: &'a str,
    roots: &[Root],
) -> Result<Vec<Choice<'a>>, ResolveError> {
    let mut resolver = Resolver::new(catalog, architecture);
    let mut reasons = resolver.add_roots(roots)?;
    // The order of the roots is the user's, and apt's.
    for root in roots {
        let record = resolver.root(root)?;
        resolver.add_dependencies(record, &root.reason)?;
    }
    resolver.add_dependents(&mut reasons)?;
    Ok(resolver.choices(reasons))
}

/// Chooses the packages that `roots` name and nothing that they depend on, sorted by name.
pub fn resolve_only<'a>(
    catalog: &'a Catalog,
    architecture: &'a str,
    roots: &[Root],
) -> Result<Vec<Choice<'a>>, ResolveError> {
    let mut resolver = Resolver::new(catalog, architecture);
    let reasons = resolver.add_roots(roots)?;
    Ok(resolver.choices(reasons))
}

/// Why each chosen package is there, by its name.
type Reasons<'a> = BTreeMap<&'a str, BTreeSet<String>>;

struct Resolver<'a> {
    catalog: &'a Catalog,
    selection: Selection<'a>,
    /// What chosen packages depend on without an alternative: it will be chosen, so nothing that excludes it should be.
    needed: Selection<'a>,
}

/// A package whose dependencies are being chosen.
struct Frame<'a> {
    record: Record<'a>,
    open: std::vec::IntoIter<Alternatives<'a>>,
}

impl<'a> Resolver<'a> {
    fn new(catalog: &'a Catalog, architecture: &'a str) -> Self {
        Self { catalog, selection: Selection::new(architecture), needed: Selection::new(architecture) }
    }

    /// Adds what is asked for, before any dependency, so that dependencies are satisfied by it where they can be.
    fn add_roots(&mut self, roots: &[Root]) -> Result<Reasons<'a>, ResolveError> {
        let mut reasons = Reasons::new();
        for root in roots {
            let record = self.root(root)?;
            match self.selection.get(record.name) {
                None => self.add(record, || vec![root.reason.clone()])?,
                Some(chosen) if chosen == record => {}
                Some(chosen) => {
                    let (chosen, other) = (chosen.version.to_owned(), record.version.to_owned());
                    let (name, reason) = (record.name.to_owned(), root.reason.clone());
                    return Err(ResolveError::TwoVersions { name, chosen, other, reason });
                }
            }
            reasons.entry(record.name).or_default().insert(root.reason.clone());
        }
        Ok(reasons)
    }

    /// Returns the package that a root stands for.
    fn root(&self, root: &Root) -> Result<Record<'a>, ResolveError> {
        let spelled = match root.relation.split_once('=') {
            Some((name, version)) if !name.contains('(') => format!("{name} (= {version})"),
            _ => root.relation.clone(),
        };
        let alternatives = relation::parse_alternatives(&spelled)
            .map_err(|source| ResolveError::Requirement { reason: root.reason.clone(), source })?;
        let mut options: Vec<_> = alternatives.iter().flat_map(|relation| self.named(relation)).collect();
        // What is there already will do.
        options.sort_by_key(|record| self.selection.get(record.name) != Some(*record));
        match options.first() {
            Some(record) => Ok(*record),
            None => self.provider(&alternatives[0], &root.reason),
        }
    }

    /// Returns the real packages of a root's name, every version of them.
    fn named(&self, relation: &Relation<'_>) -> Vec<Record<'a>> {
        let versions = self.catalog.versions(relation.name).into_iter();
        versions.filter(|record| self.selection.is_met_by(relation, *record)).collect()
    }

    /// Returns the one package that provides what a root asks for.
    fn provider(&self, relation: &Relation<'_>, reason: &str) -> Result<Record<'a>, ResolveError> {
        let (name, reason) = (relation.name.to_owned(), reason.to_owned());
        let versions = self.catalog.versions(&name);
        if !versions.is_empty() {
            let found = versions.iter().map(|record| record.version.to_owned()).collect();
            return Err(ResolveError::Version { relation: relation.to_string(), reason, found });
        }
        let providers = self.catalog.providers(&name).into_iter();
        let mut meeting = providers.filter(|provider| is_met_by_provided(relation, provider.version));
        match (meeting.next(), meeting.next()) {
            (None, _) => Err(ResolveError::Unknown { similar: self.similar(&name), name, reason }),
            (Some(provider), None) => Ok(provider.record),
            (Some(first), Some(second)) => {
                let records = [first, second].into_iter().chain(meeting);
                let providers = records.map(|provider| provider.record.name.to_owned()).collect();
                Err(ResolveError::Virtual { name, reason, providers })
            }
        }
    }

    /// Returns up to three names that are spelled like `name`, the nearest first.
    fn similar(&self, name: &str) -> Vec<String> {
        let near = self.catalog.names().map(|other| (strsim::damerau_levenshtein(name, other), other));
        let near: BTreeSet<_> = near.filter(|(distance, _)| *distance <= 1 + name.len() / 6).collect();
        near.into_iter().take(3).map(|(_, other)| other.to_owned()).collect()
    }

    /// Adds all that a package depends on, depth first.
    fn add_dependencies(&mut self, record: Record<'a>, reason: &str) -> Result<(), ResolveError> {
        // A stack of our own: the depth is the archive's to choose.
        let mut stack = vec![Frame { record, open: dependencies(record)?.into_iter() }];
        while let Some(frame) = stack.last_mut() {
            let Some(alternatives) = frame.open.next() else {
                stack.pop();
                continue;
            };
            if self.selection.satisfying(&alternatives).is_some() {
                continue;
            }
            let chain = || {
                let names = stack.iter().map(|frame| frame.record.name.to_owned());
                std::iter::once(reason.to_owned()).chain(names).collect()
            };
            let record = self.choose(&alternatives, chain)?;
            self.add(record, chain)?;
            stack.push(Frame { record, open: dependencies(record)?.into_iter() });
        }
        Ok(())
    }

    /// Returns the first package that satisfies one of the alternatives and excludes nothing that is chosen or needed;
    /// where there is none, the first that excludes nothing that is chosen; else the first.
    fn choose(
        &self,
        alternatives: &[Relation<'a>],
        chain: impl Fn() -> Vec<String>,
    ) -> Result<Record<'a>, ResolveError> {
        let options = self.options(alternatives);
        let mut free = None;
        for record in &options {
            if self.selection.conflict_with(*record)?.is_none() {
                if self.needed.conflict_with(*record)?.is_none() {
                    return Ok(*record);
                }
                free = free.or(Some(*record));
            }
        }
        free.or(options.first().copied()).ok_or_else(|| {
            let chain = chain();
            let package = chain.last().cloned().unwrap_or_default();
            ResolveError::Unsatisfiable { package, relation: relation::show(alternatives), chain }
        })
    }

    /// Returns the candidates that satisfy one of the alternatives, real ones before those that provide it. A name that
    /// is chosen is none: it is installed in one version only.
    fn options(&self, alternatives: &[Relation<'a>]) -> Vec<Record<'a>> {
        let candidates = alternatives.iter().flat_map(|relation| {
            let real = self.catalog.candidate(relation.name).into_iter();
            let real = real.filter(|record| self.selection.is_met_by(relation, *record));
            let providers = self.catalog.providers(relation.name).into_iter();
            let providers = providers.filter(|provider| is_met_by_provided(relation, provider.version));
            real.chain(providers.map(|provider| provider.record))
        });
        candidates.filter(|record| self.selection.get(record.name).is_none()).collect()
    }

    fn add(&mut self, record: Record<'a>, chain: impl Fn() -> Vec<String>) -> Result<(), ResolveError> {
        if let Some(conflict) = self.selection.conflict_with(record)? {
            return Err(ResolveError::Conflict { conflict, chain: chain() });
        }
        self.selection.add(record)?;
        for alternatives in dependencies(record)? {
            if self.selection.satisfying(&alternatives).is_none()
                && let [only] = self.options(&alternatives)[..]
            {
                self.needed.add(only)?;
            }
        }
        Ok(())
    }

    /// Adds to the reasons which package depends on which.
    fn add_dependents(&self, reasons: &mut Reasons<'a>) -> Result<(), ResolveError> {
        for record in self.selection.records() {
            for alternatives in dependencies(record)? {
                match self.selection.satisfying(&alternatives) {
                    Some(found) if found != record => {
                        reasons.entry(found.name).or_default().insert(record.name.to_owned());
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn choices(&self, mut reasons: Reasons<'a>) -> Vec<Choice<'a>> {
        let choice = |record: Record<'a>| Choice { record, reasons: reasons.remove(record.name).unwrap_or_default() };
        self.selection.records().map(choice).collect()
    }
}

/// Returns what a package cannot do without, in the order in which apt looks at it.
fn dependencies(record: Record<'_>) -> Result<Vec<Alternatives<'_>>, IndexError> {
    let mut groups = record.relations("Pre-Depends")?;
    groups.extend(record.relations("Depends")?);
    Ok(groups)
}

#[cfg(test)]
mod tests;
