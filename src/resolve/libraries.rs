//! The fixpoint between the ELF closure and the archive: read what is there, add who has what is missing, repeat.

use std::collections::BTreeSet;

use super::owner;
use crate::ecosystem::Worlds;
use crate::ecosystem::debian::{Archive, Root};
use crate::elf::{Closure, Missing, Resolution};
use crate::error::Result;
use crate::layer::tree::TreePath;
use crate::lock::{Library, Package};
use crate::manifest::Manifest;
use crate::runtime::Runtime;

/// What the closure added.
pub(super) struct Found {
    /// The packages, each with the library as its reason.
    pub(super) packages: Vec<Package>,
    /// Who needs which library from where.
    pub(super) edges: Vec<Library>,
}

/// Adds the Debian packages whose libraries the objects of `packages` need, to a fixpoint.
///
/// A library that no package of the release has is warned of: the objects that need it may be optional parts of their
/// package.
pub(super) fn close(
    worlds: &Worlds,
    archive: &Archive,
    manifest: &Manifest,
    runtime: &Runtime,
    packages: &[Package],
) -> Result<Found> {
    let mut closure = Closure::new(worlds.platform());
    let unasked =
        |path: &TreePath| runtime.optional.get(path.as_str()).is_some_and(|by| !manifest.system.packages.contains(by));
    for unpacked in worlds.unpack(packages)? {
        let mut objects = worlds.scan(&unpacked.tree)?;
        objects.retain(|(path, _)| !unasked(path));
        closure.add(&owner(&unpacked.package), objects, &unpacked.tree);
    }
    let mut added: Vec<Package> = Vec::new();
    // A library is asked for once: what is still missing after that, nobody has.
    let mut asked: BTreeSet<String> = BTreeSet::new();
    loop {
        let resolution = closure.resolve();
        let missing: Vec<_> =
            resolution.missing.iter().filter(|missing| asked.insert(missing.soname.clone())).collect();
        if missing.is_empty() {
            warn(worlds, manifest, &resolution);
            return Ok(Found { packages: added, edges: resolution.edges });
        }
        let fresh = providers(archive, &missing, packages.iter().chain(&added))?;
        for unpacked in worlds.unpack(&fresh)? {
            closure.add_provider(&owner(&unpacked.package), worlds.scan(&unpacked.tree)?, &unpacked.tree);
        }
        added.extend(fresh);
    }
}

/// Returns the packages to add for missing libraries, without those that are there.
fn providers<'a>(
    archive: &Archive,
    missing: &[&Missing],
    present: impl Iterator<Item = &'a Package>,
) -> Result<Vec<Package>> {
    let mut names: BTreeSet<String> = present.map(|package| package.name.clone()).collect();
    let mut roots = Vec::new();
    for missing in missing {
        let candidates = archive.provider(&missing.soname)?;
        // One that is there already is the right one, even if its library was not found where the loader looks.
        let chosen = candidates.iter().find(|name| names.contains(*name)).or(candidates.first());
        if let Some(name) = chosen.filter(|name| !names.contains(*name)) {
            names.insert(name.clone());
            roots.push(Root { relation: name.clone(), reason: missing.soname.clone() });
        }
    }
    archive.resolve_only(&roots)
}

fn warn(worlds: &Worlds, manifest: &Manifest, resolution: &Resolution) {
    for missing in &resolution.missing {
        let by = missing.needed_by.iter().take(3).map(|(owner, path)| format!("`{path}` of {owner}"));
        let by: Vec<_> = by.collect();
        worlds.report().warn(
            format!("no package of the release has `{}`, which {} needs", missing.soname, by.join(", ")),
            Some(format!(
                "if it is used, name the package that has it in `system.packages` of `{}`",
                manifest.path.display()
            )),
        );
    }
    for problem in &resolution.version_problems {
        worlds.report().warn(problem.to_string(), None);
    }
}
