//! The section `versions`: further versions of the model, each with the artifacts in which it differs.
//!
//! Versions are ordered here, once: the image names them in this order, and the last is the latest, which answers by itself.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::names;
use super::reader::{Cursor, Fields, Read, all, list};
use super::sections::{self, asset};
use super::text::{nearest, shown};
use super::{AssetFile, Version, keys};
use crate::service::without_prefix;

type Artifacts = BTreeMap<String, AssetFile>;

/// Reads all versions, lowest first: the manifest's own, and those of the section. `own` and `artifacts` are the manifest's,
/// where they could be read.
pub(super) fn versions(fields: &Fields<'_>, own: Option<&str>, artifacts: Option<&Artifacts>) -> Read<Vec<Version>> {
    let mut versions: Vec<Version> = fields.or("versions", Vec::new(), |cursor| section(cursor, own, artifacts))?;
    if let Some(own) = own.filter(|own| versions.iter().all(|version| version.name != *own)) {
        versions.push(Version { name: own.to_owned(), labels: Vec::new(), artifacts: BTreeMap::new() });
    }
    versions.sort_by(|one, other| order(&one.name, &other.name));
    Ok(versions)
}

fn section(cursor: Cursor<'_>, own: Option<&str>, artifacts: Option<&Artifacts>) -> Read<Vec<Version>> {
    let entries: Vec<(&str, Cursor<'_>)> = cursor.names(&names::VERSION)?.collect();
    if entries.is_empty() || entries.len() > keys::MAX_VERSIONS {
        let message = format!("`versions` must name from 1 to {} versions", keys::MAX_VERSIONS);
        return cursor.refuse(message, "leave it out where the model has one version");
    }
    let mut taken: BTreeSet<String> = entries.iter().map(|(name, _)| (*name).to_owned()).collect();
    taken.extend(own.map(str::to_owned));
    all(entries.into_iter().map(|(name, cursor)| {
        let fields = cursor.fields(keys::VERSION)?;
        let labels = fields.or("labels", Vec::new(), |cursor| labels(cursor, &mut taken));
        let artifacts = if own == Some(name) { own_artifacts(&fields) } else { differing(cursor, &fields, artifacts) };
        Ok(Version { name: name.to_owned(), labels: labels?, artifacts: artifacts? })
    }))
}

/// Reads labels, none of which is another version's name or label.
fn labels(cursor: Cursor<'_>, taken: &mut BTreeSet<String>) -> Read<Vec<String>> {
    let labels = sections::list(cursor, &names::VERSION_LABEL)?;
    all(cursor.texts()?.zip(labels).map(|(item, label)| {
        if taken.insert(label.clone()) {
            return Ok(label);
        }
        item.refuse(format!("{} stands for a version already", shown(&label)), "give each label to one version")
    }))
}

/// The manifest's own version has the manifest's own artifacts.
fn own_artifacts(fields: &Fields<'_>) -> Read<Artifacts> {
    match fields.find("artifacts") {
        Some(cursor) => cursor.refuse_key(
            "the version that `version` names has the artifacts above",
            "remove them here; further versions name those in which they differ",
        ),
        None => Ok(Artifacts::new()),
    }
}

/// Reads the artifacts of a further version; it must have some.
fn differing(version: Cursor<'_>, fields: &Fields<'_>, known: Option<&Artifacts>) -> Read<Artifacts> {
    let artifacts: Artifacts = fields.or("artifacts", Artifacts::new(), |cursor| {
        all(cursor.names(&names::ASSET)?.map(|(name, cursor)| {
            if let Some(known) = known.filter(|known| !known.contains_key(name)) {
                return unknown(cursor, name, known);
            }
            Ok((name.to_owned(), asset(cursor)?))
        }))
    })?;
    if artifacts.is_empty() {
        let hint = "name those that differ from the artifacts above, such as `artifacts: {model: models/2.joblib}`";
        return version.refuse_key("a further version must have artifacts of its own", hint);
    }
    Ok(artifacts)
}

fn unknown<T>(cursor: Cursor<'_>, name: &str, known: &Artifacts) -> Read<T> {
    let message = format!("{} is none of the artifacts above", shown(name));
    let names = || known.keys().map(String::as_str);
    match nearest(name, names()) {
        Some(near) => {
            cursor.refuse_key(format!("{message}, did you mean `{near}`?"), "versions share the names of artifacts")
        }
        None if known.is_empty() => cursor.refuse_key(message, "name all artifacts in the section `artifacts` first"),
        None => cursor.refuse_key(message, format!("it has {}", list(names()))),
    }
}

/// Orders versions as Semantic Versioning 2.0 does (section 11), for any number of parts: numbers as numbers, before words. But all
/// that have a `-`, as pre-releases do, come before all that have not, since one that is only tried out must not answer by itself.
fn order(one: &str, other: &str) -> Ordering {
    let split = |version| {
        let (core, before) = split_once(version);
        (before.is_none(), parts(core), before.map(parts))
    };
    split(one).cmp(&split(other)).then_with(|| one.cmp(other))
}

fn split_once(version: &str) -> (&str, Option<&str>) {
    let version = without_prefix(version);
    version.split_once('-').map_or((version, None), |(core, before)| (core, Some(before)))
}

/// A part of a version.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    /// A number: how many digits it has, and which.
    Number(usize, &'a str),
    Word(&'a str),
}

fn parts(text: &str) -> Vec<Part<'_>> {
    text.split(['.', '-', '_']).map(part).collect()
}

fn part(text: &str) -> Part<'_> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Part::Word(text);
    }
    let digits = text.trim_start_matches('0');
    Part::Number(digits.len(), digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_semantic_versioning_has_it_but_pre_releases_first() {
        let ordered = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "2.0.0-rc.1",
            "2026-11-23",
            "2026-12-01",
            "0.9",
            "1.0.0",
            "1.0.1",
            "v1.2",
            "1.10",
            "2",
            "10",
            "99999999999999999999999",
            "100000000000000000000000",
            "blue",
            "green",
        ];
        for (place, one) in ordered.iter().enumerate() {
            for (other_place, other) in ordered.iter().enumerate() {
                assert_eq!(order(one, other), place.cmp(&other_place), "{one} {other}");
            }
        }
    }

    #[test]
    fn only_one_text_is_equal_to_a_version() {
        for (one, other) in [("1", "01"), ("1", "v1"), ("1", "1.0"), ("1.0", "1_0")] {
            assert_ne!(order(one, other), Ordering::Equal, "{one} {other}");
        }
    }
}
