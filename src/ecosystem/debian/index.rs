//! A `Packages` index held as one text, and several of them as one catalog.
//!
//! Parsing remembers where stanzas, names and versions are; all other fields are read when they are asked for. An index
//! chooses nothing but the candidate: the highest version of a name, as apt does among sources of equal priority.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::OnceLock;

use super::control::{self, Stanza};
use super::relation::{self, Alternatives, ParseRelationError};
use super::version;
use crate::error::{Diagnose, Exit};

/// An index is not what an archive publishes.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The text is not UTF-8, or larger than 4 GiB.
    #[error("the package index of {release} is not text that an archive publishes")]
    Text {
        /// The release that it belongs to.
        release: String,
    },
    /// A stanza lacks a field that each package has, or the field's value cannot be one.
    #[error("the package index of {release} gives `{package}` no usable field `{field}`")]
    Field {
        /// The release that it belongs to.
        release: String,
        /// The package's name, or the first line of the stanza.
        package: String,
        /// The field.
        field: &'static str,
    },
    /// A relationship field cannot be read.
    #[error("the package index gives `{package}` a wrong field `{field}`")]
    Relation {
        /// The package's name.
        package: String,
        /// The field.
        field: &'static str,
        /// What is wrong in it.
        source: ParseRelationError,
    },
}

impl Diagnose for IndexError {
    fn exit(&self) -> Exit {
        Exit::Integrity
    }

    fn hints(&self) -> Vec<String> {
        vec!["the archive signed a broken index: try another mirror, or report it to who runs the archive".to_owned()]
    }
}

/// A part of the index's text.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Returns where `part`, a slice of `whole`, stands in it.
    fn of(part: &str, whole: &str) -> Self {
        let start = part.as_ptr() as usize - whole.as_ptr() as usize;
        Self { start: start as u32, end: (start + part.len()) as u32 }
    }

    fn of_text(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    stanza: Span,
    name: Span,
    version: Span,
    provides: Option<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Provision {
    name: Span,
    version: Option<Span>,
    entry: u32,
}

/// One `Packages` file.
#[derive(Debug)]
pub struct Index {
    release: String,
    text: String,
    /// Sorted by name.
    entries: Vec<Entry>,
    /// Sorted by the name that is provided.
    provisions: Vec<Provision>,
}

/// A binary package in an index.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The release whose index has it.
    pub release: &'a str,
    stanza: Stanza<'a>,
}

impl PartialEq for Record<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.name, self.version, self.release) == (other.name, other.version, other.release)
    }
}

impl<'a> Record<'a> {
    /// Returns a field's value.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        self.stanza.field(name)
    }

    /// Returns a relationship field; one that is absent has no groups.
    pub fn relations(&self, field: &'static str) -> Result<Vec<Alternatives<'a>>, IndexError> {
        relation::parse(self.field(field).unwrap_or_default()).map_err(|source| IndexError::Relation {
            package: self.name.to_owned(),
            field,
            source,
        })
    }

    /// Returns what counts first when several packages provide a virtual one: the essential, then the more important.
    fn rank(&self) -> impl Ord + use<> {
        let is = |field| self.field(field) == Some("yes");
        let priority = match self.field("Priority") {
            Some("required") => 1,
            Some("important") => 2,
            Some("standard") => 3,
            Some("optional") => 4,
            _ => 5,
        };
        (Reverse(is("Essential")), Reverse(is("Important") || is("Protected")), priority)
    }
}

impl Index {
    /// Reads the `Packages` file of `release`.
    pub fn parse(release: &str, text: Vec<u8>) -> Result<Self, IndexError> {
        let refuse = || IndexError::Text { release: release.to_owned() };
        let text = String::from_utf8(text).map_err(|_| refuse())?;
        u32::try_from(text.len()).map_err(|_| refuse())?;
        let mut entries = entries(release, &text)?;
        // Archives publish them sorted, by and large.
        entries.sort_by_key(|entry| entry.name.of_text(&text));
        let provisions = provisions(&entries, &text)?;
        Ok(Self { release: release.to_owned(), text, entries, provisions })
    }

    fn record(&self, entry: &Entry) -> Record<'_> {
        Record {
            name: entry.name.of_text(&self.text),
            version: entry.version.of_text(&self.text),
            release: &self.release,
            stanza: Stanza::new(entry.stanza.of_text(&self.text)),
        }
    }

    fn named(&self, name: &str) -> impl Iterator<Item = Record<'_>> {
        let first = self.entries.partition_point(|entry| entry.name.of_text(&self.text) < name);
        let rest = &self.entries[first..];
        let length = rest.partition_point(|entry| entry.name.of_text(&self.text) <= name);
        rest[..length].iter().map(|entry| self.record(entry))
    }

    fn providing(&self, name: &str) -> impl Iterator<Item = Provider<'_>> {
        let first = self.provisions.partition_point(|provision| provision.name.of_text(&self.text) < name);
        let rest = &self.provisions[first..];
        let length = rest.partition_point(|provision| provision.name.of_text(&self.text) <= name);
        rest[..length].iter().map(|provision| Provider {
            record: self.record(&self.entries[provision.entry as usize]),
            version: provision.version.map(|span| span.of_text(&self.text)),
        })
    }
}

/// Finds the stanzas of an index, in one pass over its lines.
fn entries(release: &str, text: &str) -> Result<Vec<Entry>, IndexError> {
    let mut entries = Vec::with_capacity(text.len() / 800);
    let (mut start, mut position) = (0, 0);
    let (mut name, mut version, mut provides) = (None, None, None);
    // The empty line at the end closes the last stanza.
    for line in text.split_inclusive('\n').chain([""]) {
        let bare = line.trim_ascii_end();
        if bare.is_empty() {
            if position > start {
                let stanza = Span { start: start as u32, end: position as u32 };
                entries.push(entry(release, text, stanza, name.take(), version.take(), provides.take())?);
            }
            start = position + line.len();
        } else if let Some(value) = bare.strip_prefix("Package: ") {
            name = Some(value);
        } else if let Some(value) = bare.strip_prefix("Version: ") {
            version = Some(value);
        } else if let Some(value) = bare.strip_prefix("Provides: ") {
            provides = Some(Span::of(value, text));
        }
        position += line.len();
    }
    Ok(entries)
}

fn entry(
    release: &str,
    text: &str,
    stanza: Span,
    name: Option<&str>,
    version: Option<&str>,
    provides: Option<Span>,
) -> Result<Entry, IndexError> {
    let first = stanza.of_text(text).lines().next().unwrap_or_default();
    let refuse =
        |field| IndexError::Field { release: release.to_owned(), package: name.unwrap_or(first).to_owned(), field };
    // Names become parts of paths, and both of them lines of a control file.
    let name = name.filter(|name| relation::is_package_name(name)).ok_or_else(|| refuse("Package"))?;
    let version = version.filter(|version| relation::is_version(version)).ok_or_else(|| refuse("Version"))?;
    Ok(Entry { stanza, name: Span::of(name, text), version: Span::of(version, text), provides })
}

fn provisions(entries: &[Entry], text: &str) -> Result<Vec<Provision>, IndexError> {
    let mut provisions = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let Some(field) = entry.provides else { continue };
        let groups = relation::parse(field.of_text(text)).map_err(|source| IndexError::Relation {
            package: entry.name.of_text(text).to_owned(),
            field: "Provides",
            source,
        })?;
        provisions.extend(groups.iter().flatten().map(|relation| Provision {
            name: Span::of(relation.name, text),
            version: relation.constraint.map(|constraint| Span::of(constraint.version, text)),
            entry: index as u32,
        }));
    }
    provisions.sort_by_key(|provision| provision.name.of_text(text));
    Ok(provisions)
}

/// A package that provides a virtual one.
#[derive(Clone, Copy, Debug)]
pub struct Provider<'a> {
    /// The package.
    pub record: Record<'a>,
    /// The version that it provides, where it says one.
    pub version: Option<&'a str>,
}

/// The packages of several indexes. Where two of them have the same version, the one in the earlier index counts.
#[derive(Debug)]
pub struct Catalog {
    indexes: Vec<Index>,
    /// When apt meets the packages first, by name and only where asked for.
    mentions: OnceLock<HashMap<Box<str>, u32>>,
}

impl Catalog {
    /// Joins indexes.
    pub fn new(indexes: Vec<Index>) -> Self {
        Self { indexes, mentions: OnceLock::new() }
    }

    /// Returns every package of that name, highest version first.
    pub fn versions(&self, name: &str) -> Vec<Record<'_>> {
        let mut records: Vec<_> = self.indexes.iter().flat_map(|index| index.named(name)).collect();
        records.sort_by(|left, right| version::compare(right.version, left.version));
        records
    }

    /// Returns the package of that name that is installed when no version is asked for.
    pub fn candidate(&self, name: &str) -> Option<Record<'_>> {
        self.versions(name).into_iter().next()
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

    /// Returns all names of packages, some of them more than once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.indexes.iter().flat_map(|index| index.entries.iter().map(|entry| entry.name.of_text(&index.text)))
    }
}

/// The fields that name packages, in the order in which apt reads them.
const RELATIONS: [&str; 9] =
    ["Pre-Depends", "Depends", "Conflicts", "Breaks", "Recommends", "Suggests", "Replaces", "Enhances", "Provides"];

/// Numbers the names of packages in the order in which they occur first.
fn mentions(indexes: &[Index]) -> HashMap<Box<str>, u32> {
    let mut found: HashMap<&str, u32> = HashMap::new();
    let mut mention = |name| {
        let number = found.len() as u32;
        found.entry(name).or_insert(number);
    };
    for index in indexes {
        for stanza in control::stanzas(&index.text) {
            let mut name = None;
            let mut relations = [""; RELATIONS.len()];
            for (field, value) in stanza.fields() {
                match RELATIONS.iter().position(|known| *known == field) {
                    Some(place) => relations[place] = value,
                    None if field == "Package" => name = Some(value),
                    None => {}
                }
            }
            name.into_iter().for_each(&mut mention);
            for field in relations.into_iter().filter(|field| !field.is_empty()) {
                let words = field.split([',', '|']).map(str::trim_ascii_start);
                // Those of another architecture, or of any, are packages of their own to apt.
                words
                    .filter_map(|text| text.split([' ', '(']).next())
                    .filter(|name| !name.contains(':'))
                    .for_each(&mut mention);
            }
        }
    }
    found.into_iter().map(|(name, number)| (name.into(), number)).collect()
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
    fn stanzas_without_a_sound_name_or_version_are_refused() {
        for text in ["Version: 1\n", "Package: a\n", "Package: ../a\nVersion: 1\n", "Package: a\nVersion: 1/2\n"] {
            assert!(matches!(Index::parse("r", text.into()), Err(IndexError::Field { .. })), "{text}");
        }
        assert!(matches!(Index::parse("r", vec![0xff]), Err(IndexError::Text { .. })));
    }
}
