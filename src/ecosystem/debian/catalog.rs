//! The packages of several indexes as one, as apt sees them.
//!
//! It knows the candidate, which is the highest version of a name in the releases of the highest priority, as with apt;
//! which versions do not count because of a pin; the order in which apt prefers who provides a virtual package; and
//! nothing else about choosing.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use super::control::Stanza;
use super::index::{Index, Provider, Record};
use super::pin::Pin;
use super::resolve::ResolveError;
use super::version;

/// The packages of several indexes. Where two of them have the same version, the one in the earlier index counts.
#[derive(Debug)]
pub struct Catalog {
    indexes: Vec<Index>,
    /// The versions that count of packages that are pinned, by name.
    pins: HashMap<String, Vec<String>>,
    /// When apt meets the packages first, by name and only where asked for.
    mentions: OnceLock<HashMap<Box<str>, u32>>,
}

impl Catalog {
    /// Joins indexes.
    pub fn new(indexes: Vec<Index>) -> Self {
        Self { indexes, pins: HashMap::new(), mentions: OnceLock::new() }
    }

    /// Leaves out the versions that a pin does not accept. Fails where it accepts none.
    pub fn pin(&mut self, pin: &Pin) -> Result<(), ResolveError> {
        let versions = pin.versions(self)?;
        self.pins.insert(pin.name().to_owned(), versions);
        Ok(())
    }

    /// Returns the versions that count of a package that is pinned.
    pub(super) fn pinned(&self, name: &str) -> Option<&[String]> {
        self.pins.get(name).map(Vec::as_slice)
    }

    /// Returns every package of that name whose version counts: those of the preferred releases first, then the highest
    /// version.
    pub fn versions(&self, name: &str) -> Vec<Record<'_>> {
        let mut records: Vec<_> = self.indexes.iter().flat_map(|index| index.named(name)).collect();
        if let Some(versions) = self.pinned(name) {
            records.retain(|record| versions.iter().any(|version| version == record.version));
        }
        records.sort_by(|left, right| {
            right.priority.cmp(&left.priority).then_with(|| version::compare(right.version, left.version))
        });
        records
    }

    /// Returns the package of that name that is installed when no version is asked for.
    pub fn candidate(&self, name: &str) -> Option<Record<'_>> {
        self.versions(name).into_iter().next()
    }

    /// Returns the candidate, where it may be chosen though nobody asked for it: not one of backports, unless it is pinned.
    pub fn offered(&self, name: &str) -> Option<Record<'_>> {
        self.candidate(name).filter(|record| record.is_automatic() || self.pinned(name).is_some())
    }

    /// Returns the candidates that provide a virtual package, the preferred one first.
    pub fn providers(&self, name: &str) -> Vec<Provider<'_>> {
        let mut providers = self.all_providers(name);
        providers.retain(|provider| self.candidate(provider.record.name) == Some(provider.record));
        providers
    }

    /// Returns the packages of any version that provide a virtual one, in the order in which apt prefers them.
    pub(super) fn all_providers(&self, name: &str) -> Vec<Provider<'_>> {
        let mut providers: Vec<_> = self.indexes.iter().flat_map(|index| index.providing(name)).collect();
        if providers.len() > 1 {
            // Where nothing else tells them apart, apt takes what it met last.
            providers
                .sort_by_cached_key(|provider| (provider.record.rank(), Reverse(self.mention(provider.record.name))));
        }
        providers
    }

    /// Returns when apt meets a package first as it reads the indexes; its choices between equals turn on that.
    pub(super) fn mention(&self, name: &str) -> u32 {
        self.mentions.get_or_init(|| mentions(&self.indexes)).get(name).copied().unwrap_or(u32::MAX)
    }

    /// Returns the candidates that are essential, sorted by name: other packages use them without depending on them.
    pub fn essential(&self) -> Vec<Record<'_>> {
        let records = self.indexes.iter().flat_map(Index::records);
        let names: BTreeSet<_> = records.filter(Record::is_essential).map(|record| record.name).collect();
        names.into_iter().filter_map(|name| self.candidate(name)).collect()
    }

    /// Returns the names of the suites that the indexes are of.
    pub(super) fn suites(&self) -> impl Iterator<Item = &str> {
        self.indexes.iter().map(Index::release)
    }

    /// Returns all names of packages, some of them more than once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.indexes.iter().flat_map(Index::names)
    }
}

/// The fields that name packages, in the order in which apt reads them.
const RELATIONS: [&str; 9] =
    ["Pre-Depends", "Depends", "Conflicts", "Breaks", "Recommends", "Suggests", "Replaces", "Enhances", "Provides"];

/// Numbers the names of packages in the order in which they occur first.
fn mentions(indexes: &[Index]) -> HashMap<Box<str>, u32> {
    let mut found: HashMap<&str, u32> = HashMap::new();
    for name in indexes.iter().flat_map(Index::stanzas).flat_map(mentioned) {
        let number = found.len() as u32;
        found.entry(name).or_insert(number);
    }
    found.into_iter().map(|(name, number)| (name.into(), number)).collect()
}

/// Returns the names of a package and of those that its fields name, in apt's order.
fn mentioned(stanza: Stanza<'_>) -> impl Iterator<Item = &str> {
    let mut own = None;
    let mut fields = [""; RELATIONS.len()];
    for (field, value) in stanza.fields() {
        match RELATIONS.iter().position(|known| *known == field) {
            Some(place) => fields[place] = value,
            None if field == "Package" => own = Some(value),
            None => {}
        }
    }
    let relations = fields.into_iter().flat_map(|field| field.split([',', '|'])).map(str::trim_ascii_start);
    let names = relations.filter_map(|text| text.split([' ', '(']).next());
    // Those of another architecture, or of any, are packages of their own to apt.
    own.into_iter().chain(names.filter(|name| !name.is_empty() && !name.contains(':')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(texts: &[&str]) -> Catalog {
        let index =
            |(number, text): (usize, &&str)| Index::parse(&format!("r{number}"), text.as_bytes().to_vec()).unwrap();
        Catalog::new(texts.iter().enumerate().map(index).collect())
    }

    #[test]
    fn the_candidate_is_the_highest_version_and_the_earliest_index() {
        let catalog = catalog(&[
            "Package: b\nVersion: 1\n\nPackage: a\nVersion: 1.9\nDepends: b\n",
            "Package: a\nVersion: 1.10\n",
            "Package: a\nVersion: 1.10\n",
        ]);
        let candidate = catalog.candidate("a").unwrap();
        assert_eq!((candidate.version, candidate.release), ("1.10", "r1"));
        assert_eq!(catalog.versions("a").len(), 3);
        assert_eq!(catalog.versions("a")[2].field("Depends"), Some("b"));
        assert!(catalog.candidate("c").is_none());
    }

    #[test]
    fn what_is_not_automatic_is_offered_only_when_it_is_pinned() {
        let index = |release: &str, text: &str| Index::parse(release, text.as_bytes().to_vec()).unwrap();
        let backports = index("demo-backports", "Package: a\nVersion: 2\n\nPackage: b\nVersion: 2\n");
        let mut catalog = Catalog::new(vec![index("demo", "Package: a\nVersion: 1\n"), backports.with_priority(100)]);
        let offered = |catalog: &Catalog, name| catalog.offered(name).map(|record| record.version.to_owned());
        assert_eq!(["a", "b"].map(|name| offered(&catalog, name)), [Some("1".to_owned()), None]);
        catalog.pin(&Pin::parse("b/demo-backports").unwrap()).unwrap();
        assert_eq!(offered(&catalog, "b"), Some("2".to_owned()));
    }

    #[test]
    fn only_candidates_provide_and_the_more_important_comes_first() {
        let catalog = catalog(&[
            "Package: y\nVersion: 1\nPriority: optional\nProvides: v (= 2), w\n\n\
             Package: x\nVersion: 1\nPriority: optional\nProvides: v\n\n\
             Package: z\nVersion: 1\nPriority: standard\nProvides: v",
            "Package: x\nVersion: 2\n",
        ]);
        let providers: Vec<_> = catalog.providers("v").iter().map(|p| (p.record.name, p.version)).collect();
        assert_eq!(providers, [("z", None), ("y", Some("2"))]);
    }

    #[test]
    fn names_are_met_in_the_order_in_which_apt_reads_fields() {
        let catalog =
            catalog(&["Package: b\nVersion: 1\nProvides: g\nDepends: d (>= 1) | e:any, f\nPre-Depends: c\n\n\
             Package: a\nVersion: 1\nEnhances: h,b\n"]);
        let mut names = ["a", "b", "c", "d", "f", "g", "h"];
        names.sort_by_key(|name| catalog.mention(name));
        assert_eq!(names, ["b", "c", "d", "f", "g", "a", "h"]);
        assert_eq!(catalog.mention("e"), u32::MAX);
    }
}
