//! Manifest → lock: the only step that chooses.
//!
//! The language's packages are resolved by their own world, the system's by Debian's; then the ELF files of all of them
//! are read, and what they need is added until nothing is missing. Fetching is part of it, because only the packages'
//! own bytes tell what they need.

mod data;
mod dlopen;
mod libraries;
mod problems;
mod providers;
pub mod request;
mod sources;
pub mod why;

use crate::compile;
use crate::ecosystem::Worlds;
use crate::ecosystem::cran;
use crate::ecosystem::debian::{Archive, Root};
use crate::error::Result;
use crate::lock::{Package, PackageKind, PlatformLock, Release, ServerLock};
use crate::manifest::{Libraries, Manifest};
use crate::runtime::Runtime;

/// What is resolved, and from what.
#[derive(Clone, Copy)]
struct Request<'a> {
    manifest: &'a Manifest,
    runtime: &'a Runtime,
    worlds: &'a Worlds,
    archive: &'a Archive,
}

/// Chooses everything for one platform.
///
/// `worlds` are opened for the platform and the runtime's Debian release; `known` is what a lock that is replaced says of
/// the releases. What comes back names no mirror and no path of this machine, and is sorted.
pub fn resolve(
    manifest: &Manifest,
    runtime: &Runtime,
    worlds: &Worlds,
    server: ServerLock,
    known: &[Release],
) -> Result<PlatformLock> {
    let archive = worlds.archive(known)?;
    let chosen = worlds.resolve_language(manifest, &archive)?;
    let compilation = compile::lock(manifest, worlds, &archive, &chosen)?;
    let mut packages = chosen.packages;
    let system = system_packages(manifest, runtime, &archive, &packages)?;
    add(&mut packages, system);
    replaced(&packages)?;
    let mut libraries = Vec::new();
    if manifest.system.libraries == Libraries::Elf {
        let found = libraries::close(&Request { manifest, runtime, worlds, archive: &archive }, &packages)?;
        packages.extend(found.packages);
        libraries = found.edges;
    }
    packages.sort();
    let releases = archive.releases();
    Ok(PlatformLock {
        suite: runtime.suite.clone(),
        date: releases.iter().map(|release| release.date).max().unwrap_or_default(),
        server,
        image: None,
        compilation,
        releases,
        packages,
        libraries,
    })
}

/// The Debian packages that the runtime and the manifest name.
///
/// In `elf` mode the runtime's packages come without their Depends: the closure brings the libraries that they use. What
/// the user names comes with its Depends, to work as it would when installed.
/// Language packages that are Debian's, as R's are, come with their Depends only outside of that mode.
fn system_packages(
    manifest: &Manifest,
    runtime: &Runtime,
    archive: &Archive,
    language: &[Package],
) -> Result<Vec<Package>> {
    let root = |relation: &String, reason: &str| Root { relation: relation.clone(), reason: reason.to_owned() };
    let base = runtime.base.iter().map(|name| root(name, "base"));
    // A package that the interpreter's worker needs may be a repository's instead of Debian's.
    let is_own = |name: &&String| !language.iter().any(|package| cran::stands_for(package, name));
    let interpreter = runtime.packages.iter().filter(is_own).map(|name| root(name, "runtime"));
    let own: Vec<_> = base.chain(interpreter).collect();
    let named: Vec<_> = manifest.system.packages.iter().map(|name| root(name, "manifest")).collect();
    if manifest.system.libraries != Libraries::Elf {
        let debs = language.iter().filter(|package| package.kind == PackageKind::Deb);
        let language = debs.map(|package| root(&package.name, "manifest")).collect();
        return archive.resolve(&[own, language, named].concat());
    }
    let mut packages = archive.resolve_only(&own)?;
    add(&mut packages, archive.resolve(&named)?);
    Ok(packages)
}

/// Fails where an R package of a repository would be in the image beside Debian's package of it.
fn replaced(packages: &[Package]) -> Result<(), cran::CranError> {
    let twice = |deb: &&Package| packages.iter().any(|package| cran::stands_for(package, &deb.name));
    match packages.iter().filter(|package| package.kind == PackageKind::Deb).find(twice) {
        Some(deb) => Err(cran::CranError::Twice { package: deb.name.clone() }),
        None => Ok(()),
    }
}

/// Adds packages without those that are there, which take on their reasons.
fn add(packages: &mut Vec<Package>, more: Vec<Package>) {
    for package in more {
        let same = |present: &&mut Package| (present.kind, &present.name) == (package.kind, &package.name);
        match packages.iter_mut().find(same) {
            Some(present) => {
                present.reasons.extend(package.reasons);
                present.reasons.sort();
                present.reasons.dedup();
            }
            None => packages.push(package),
        }
    }
}

/// Returns a package's name in the closure and in the lock's edges, such as `wheel:numpy`.
fn owner(package: &Package) -> String {
    format!("{}:{}", package.kind.name(), package.name)
}
