//! The data packages that chosen libraries read: without its magic numbers libmagic opens, and recognises nothing.
//!
//! In `elf` mode packages come without their Depends. Those Depends that are data alone are added here; what is left out
//! is told to who asks for details.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Request;
use crate::ecosystem::Unpacked;
use crate::ecosystem::debian::Root;
use crate::error::Result;
use crate::event::Event;
use crate::layer::tree::TreePath;
use crate::lock::{Package, PackageKind};

/// What the rule gets wrong, see there.
const EXCEPTIONS: &str = include_str!("data-packages.toml");

/// Folders whose files are programs or code of a language, which nobody runs unless they ask for the package.
const CODE: [&str; 7] =
    ["usr/bin", "usr/sbin", "usr/games", "usr/share/perl5", "usr/lib/python3", "usr/lib/R", "usr/share/java"];

/// What every package has, which makes none a data package.
const RECORDS: [&str; 2] = ["usr/share/doc", "var/lib/dpkg"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exceptions {
    keep: BTreeMap<String, String>,
    leave: BTreeMap<String, String>,
}

/// Returns the data packages that the Debian packages of `chosen` depend on, and that these depend on, by name.
pub(super) fn close(request: &Request<'_>, chosen: &[&Package]) -> Result<Vec<Unpacked>> {
    let exceptions: Exceptions = toml::from_str(EXCEPTIONS).expect("the table is a constant that a test reads");
    let debs = chosen.iter().filter(|package| package.kind == PackageKind::Deb);
    let mut open: Vec<Package> = debs.copied().cloned().collect();
    let mut present: BTreeSet<String> = open.iter().map(|package| package.name.clone()).collect();
    let (mut added, mut left_out) = (Vec::new(), BTreeSet::new());
    while !open.is_empty() {
        let mut maybe = Vec::new();
        for dependent in &open {
            for name in depends(request, dependent)? {
                if !present.insert(name.clone()) {
                    continue;
                }
                if may_be_data(request, &name, &exceptions) {
                    let root = Root { relation: name, reason: dependent.name.clone() };
                    maybe.extend(request.archive.resolve_only(&[root])?);
                } else {
                    left_out.insert(name);
                }
            }
        }
        open.clear();
        for unpacked in request.worlds.unpack(&maybe)? {
            let name = unpacked.package.name.clone();
            if exceptions.keep.contains_key(&name) || is_data(request, &unpacked)? {
                open.push(unpacked.package.clone());
                added.push(unpacked);
            } else {
                left_out.insert(name);
            }
        }
    }
    if !left_out.is_empty() {
        let names: Vec<_> = left_out.into_iter().collect();
        let message = format!("left out, because no library of theirs is needed: {}", names.join(", "));
        request.worlds.report().event(Event::Detail { message });
    }
    Ok(added)
}

/// Returns what a chosen package depends on, in the version that was chosen.
fn depends(request: &Request<'_>, package: &Package) -> Result<Vec<String>> {
    let versions = request.archive.catalog().versions(&package.name);
    let chosen = versions.into_iter().find(|record| record.version == package.version);
    chosen.map_or_else(|| Ok(Vec::new()), |record| request.archive.depends(record))
}

/// Whether it is worth looking into a package: one for a single architecture holds programs or libraries, as a rule.
fn may_be_data(request: &Request<'_>, name: &str, exceptions: &Exceptions) -> bool {
    let candidate = request.archive.catalog().candidate(name);
    let is_for_all = candidate.is_some_and(|record| record.field("Architecture") == Some("all"));
    !exceptions.leave.contains_key(name) && (is_for_all || exceptions.keep.contains_key(name))
}

fn is_data(request: &Request<'_>, unpacked: &Unpacked) -> Result<bool> {
    let below = |path: &TreePath, folders: &[&str]| folders.iter().any(|folder| path.is_below(folder));
    let paths = || unpacked.tree.iter().map(|(path, _)| path);
    if paths().any(|path| below(path, &CODE)) || !request.worlds.scan(&unpacked.tree)?.is_empty() {
        return Ok(false);
    }
    let files = unpacked.tree.iter().filter(|(_, node)| node.content().is_some());
    Ok(files.into_iter().any(|(path, _)| !below(path, &RECORDS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exceptions_can_be_read_and_have_reasons() {
        let exceptions: Exceptions = toml::from_str(EXCEPTIONS).unwrap();
        assert!(exceptions.keep.values().chain(exceptions.leave.values()).all(|reason| !reason.is_empty()));
        assert!(!exceptions.keep.keys().any(|name| exceptions.leave.contains_key(name)));
    }
}
