//! A `Packages` index held as one text.
//!
//! Parsing remembers where stanzas, names and versions are; all other fields are read when they are asked for.

use std::cmp::Reverse;

use super::control::{self, Stanza};
use super::relation::{self, Alternatives, ParseRelationError};
use super::release::AUTOMATIC;
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
    priority: u32,
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
    /// How much the release's packages are preferred.
    pub priority: u32,
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

    /// Whether others use it without depending on it (Debian policy section 3.8).
    pub fn is_essential(&self) -> bool {
        self.field("Essential") == Some("yes")
    }

    /// Whether its release offers it by itself; of other releases, such as backports, only what is asked for is taken.
    pub fn is_automatic(&self) -> bool {
        self.priority >= AUTOMATIC
    }

    /// Returns what counts first when several packages provide a virtual one: the essential, then the more important.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        let is = |field| self.field(field) == Some("yes");
        let priority = match self.field("Priority") {
            Some("required") => 1,
            Some("important") => 2,
            Some("standard") => 3,
            Some("optional") => 4,
            _ => 5,
        };
        (Reverse(self.is_essential()), Reverse(is("Important") || is("Protected")), priority)
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
        Ok(Self { release: release.to_owned(), priority: AUTOMATIC, text, entries, provisions })
    }

    /// Returns the index with another priority of the release than that of most.
    #[must_use]
    pub fn with_priority(self, priority: u32) -> Self {
        Self { priority, ..self }
    }

    /// Returns the name of the release that it is of.
    pub(super) fn release(&self) -> &str {
        &self.release
    }

    fn record(&self, entry: &Entry) -> Record<'_> {
        Record {
            name: entry.name.of_text(&self.text),
            version: entry.version.of_text(&self.text),
            release: &self.release,
            priority: self.priority,
            stanza: Stanza::new(entry.stanza.of_text(&self.text)),
        }
    }

    /// Returns all stanzas, in the order of the file.
    pub(super) fn stanzas(&self) -> impl Iterator<Item = Stanza<'_>> {
        control::stanzas(&self.text)
    }

    /// Returns all packages, sorted by name.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.entries.iter().map(|entry| self.record(entry))
    }

    /// Returns the names of all packages, sorted; one of several versions is there several times.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.of_text(&self.text))
    }

    /// Returns every package of that name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = Record<'_>> {
        let first = self.entries.partition_point(|entry| entry.name.of_text(&self.text) < name);
        let rest = &self.entries[first..];
        let length = rest.partition_point(|entry| entry.name.of_text(&self.text) <= name);
        rest[..length].iter().map(|entry| self.record(entry))
    }

    /// Returns every package that provides a virtual one.
    pub(super) fn providing(&self, name: &str) -> impl Iterator<Item = Provider<'_>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_without_a_sound_name_or_version_are_refused() {
        for text in ["Version: 1\n", "Package: a\n", "Package: ../a\nVersion: 1\n", "Package: a\nVersion: 1/2\n"] {
            assert!(matches!(Index::parse("r", text.into()), Err(IndexError::Field { .. })), "{text}");
        }
        assert!(matches!(Index::parse("r", vec![0xff]), Err(IndexError::Text { .. })));
    }
}
