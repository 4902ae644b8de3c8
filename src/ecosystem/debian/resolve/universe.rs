//! The packages that a question comes to, by number, with what each requires and excludes.
//!
//! Packages are read from the catalog when they are first asked for: most questions need few of the archive's many. It
//! says what could be installed and in which order apt would try it, and chooses nothing.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use super::super::catalog::Catalog;
use super::super::index::{IndexError, Record};
use super::super::relation::{Alternatives, Relation};
use super::super::selection::{is_met_by, is_met_by_provided};

/// One version of one package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PackageId(pub(super) u32);

impl PackageId {
    /// Returns the number, counted from 0 in the order in which packages were asked for.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a package says of others.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// What it cannot do without, in the order in which apt looks at it.
    pub(super) requires: Vec<Requirement<'a>>,
    /// What it cannot be installed with.
    pub(super) excludes: Vec<Exclusion<'a>>,
}

/// A group of alternatives, of which one must be installed.
#[derive(Debug)]
pub(super) struct Requirement<'a> {
    /// What the field says.
    pub(super) alternatives: Alternatives<'a>,
    /// The packages that satisfy each alternative, in apt's order of preference.
    pub(super) options: Vec<Rc<[PackageId]>>,
}

impl Requirement<'_> {
    /// Returns the packages that satisfy it, the preferred one first.
    pub(super) fn all(&self) -> impl Iterator<Item = PackageId> {
        self.options.iter().flat_map(|options| options.iter().copied())
    }
}

/// An entry of `Conflicts` or `Breaks`.
#[derive(Debug)]
pub(super) struct Exclusion<'a> {
    /// The name of the field.
    pub(super) field: &'static str,
    /// What the field says.
    pub(super) relation: Relation<'a>,
    /// The packages that it is about; none of them is another version of the package itself.
    pub(super) hits: Vec<PackageId>,
}

/// The packages of a catalog, as one image sees them.
pub(super) struct Universe<'a> {
    catalog: &'a Catalog,
    architecture: &'a str,
    known: RefCell<Known<'a>>,
}

#[derive(Default)]
struct Known<'a> {
    records: Vec<Record<'a>>,
    facts: Vec<Option<Rc<Facts<'a>>>>,
    versions: HashMap<&'a str, Rc<[PackageId]>>,
    options: HashMap<Relation<'a>, Rc<[PackageId]>>,
}

impl<'a> Universe<'a> {
    /// Returns the packages of `catalog` for an image of that architecture.
    pub(super) fn new(catalog: &'a Catalog, architecture: &'a str) -> Self {
        Self { catalog, architecture, known: RefCell::default() }
    }

    /// Returns a package.
    pub(super) fn record(&self, id: PackageId) -> Record<'a> {
        self.known.borrow().records[id.index()]
    }

    /// Returns the packages of that name for the image's architecture, the preferred one first.
    pub(super) fn versions(&self, name: &'a str) -> Rc<[PackageId]> {
        if let Some(ids) = self.known.borrow().versions.get(name) {
            return ids.clone();
        }
        let mut records = self.catalog.versions(name);
        // The same version in several releases is one package, that of the first.
        let mut seen = HashSet::new();
        records.retain(|record| self.is_installable(*record) && seen.insert(record.version));
        let mut known = self.known.borrow_mut();
        let first = known.records.len() as u32;
        known.records.extend(records);
        let end = known.records.len() as u32;
        let ids: Rc<[_]> = (first..end).map(PackageId).collect();
        known.facts.resize(end as usize, None);
        known.versions.insert(name, ids.clone());
        ids
    }

    /// Returns the version of a package that is installed when no other is asked for.
    pub(super) fn candidate(&self, name: &'a str) -> Option<PackageId> {
        self.versions(name).first().copied()
    }

    /// Returns the versions to which a package is pinned.
    pub(super) fn pinned(&self, name: &str) -> Option<&'a [String]> {
        self.catalog.pinned(name)
    }

    /// Returns what a package requires and excludes.
    pub(super) fn facts(&self, id: PackageId) -> Result<Rc<Facts<'a>>, IndexError> {
        if let Some(facts) = &self.known.borrow().facts[id.index()] {
            return Ok(facts.clone());
        }
        let record = self.record(id);
        let mut requires = Vec::new();
        for field in ["Pre-Depends", "Depends"] {
            requires.extend(record.relations(field)?.into_iter().map(|alternatives| self.requirement(alternatives)));
        }
        let mut excludes = Vec::new();
        for field in ["Conflicts", "Breaks"] {
            let relations = record.relations(field)?.into_iter().flatten();
            excludes.extend(relations.map(|relation| self.exclusion(record, field, relation)));
        }
        let facts = Rc::new(Facts { requires, excludes });
        self.known.borrow_mut().facts[id.index()] = Some(facts.clone());
        Ok(facts)
    }

    /// Returns the packages that satisfy each of some alternatives.
    pub(super) fn requirement(&self, alternatives: Alternatives<'a>) -> Requirement<'a> {
        let options = alternatives.iter().map(|relation| self.options(relation)).collect();
        Requirement { alternatives, options }
    }

    fn exclusion(&self, owner: Record<'a>, field: &'static str, relation: Relation<'a>) -> Exclusion<'a> {
        let mut hits = self.options(&relation).to_vec();
        // No package excludes itself, whatever it provides.
        hits.retain(|id| self.record(*id).name != owner.name);
        Exclusion { field, relation, hits }
    }

    /// Returns the packages that satisfy a relation: first the real one's versions, then those of who provides it.
    fn options(&self, relation: &Relation<'a>) -> Rc<[PackageId]> {
        if let Some(options) = self.known.borrow().options.get(relation) {
            return options.clone();
        }
        let mut options: Vec<_> = self.versions(relation.name).to_vec();
        options.retain(|id| is_met_by(relation, self.record(*id), self.architecture));
        for provider in self.catalog.all_providers(relation.name) {
            let versions = self.versions(provider.record.name);
            let id = versions.iter().copied().find(|id| self.record(*id) == provider.record);
            let meets = is_met_by_provided(relation, provider.record, provider.version, self.architecture);
            options.extend(id.filter(|id| meets && !options.contains(id)));
        }
        let options: Rc<[_]> = options.into();
        self.known.borrow_mut().options.insert(*relation, options.clone());
        options
    }

    /// Whether a package is one for the image's architecture, or for all.
    fn is_installable(&self, record: Record<'_>) -> bool {
        record.field("Architecture").is_none_or(|text| text == "all" || text == self.architecture)
    }

    /// Returns how many packages were asked for.
    pub(super) fn len(&self) -> usize {
        self.known.borrow().records.len()
    }

    /// Returns those packages of `first` and of all that they require, whichever alternatives are taken, that `is_allowed`
    /// lets pass.
    pub(super) fn reach(
        &self,
        first: impl IntoIterator<Item = PackageId>,
        is_allowed: impl Fn(PackageId) -> bool,
    ) -> Result<BTreeSet<PackageId>, IndexError> {
        let mut found = BTreeSet::new();
        let mut open: Vec<_> = first.into_iter().filter(|id| is_allowed(*id) && found.insert(*id)).collect();
        while let Some(id) = open.pop() {
            let facts = self.facts(id)?;
            open.extend(
                facts.requires.iter().flat_map(Requirement::all).filter(|id| is_allowed(*id) && found.insert(*id)),
            );
        }
        Ok(found)
    }
}
