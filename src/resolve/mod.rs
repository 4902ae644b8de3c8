//! Manifest → lock: the only step that chooses.
//!
//! The language's packages are resolved by their own world, the system's by Debian's; then the ELF files of all of them
//! are read, and what they need is added until nothing is missing. Fetching is part of it, because only the packages'
//! own bytes tell what they need.

mod data;
mod dlopen;
mod essential;
mod libraries;
mod problems;
mod providers;
pub mod request;
mod shared;
mod sources;
pub mod why;

use crate::compile;
use crate::ecosystem::Worlds;
use crate::ecosystem::cran;
use crate::ecosystem::debian::pin::package_name;
use crate::ecosystem::debian::{Archive, Pin, Root};
use crate::error::{Diagnose, Exit, Result};
use crate::lock::{Library, Package, PackageKind, PlatformLock, Release, ServerLock};
use crate::manifest::{Essential, Libraries, Manifest, System};
use crate::project::Project;
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
    let mut archive = worlds.archive(known)?;
    archive.pin(&pins(&manifest.system))?;
    let request = Request { manifest, runtime, worlds, archive: &archive };
    let chosen = worlds.resolve_language(manifest, &archive)?;
    let compilation = compile::lock(manifest, worlds, &archive, &chosen)?;
    let (mut packages, libraries) = match manifest.system.libraries {
        Libraries::Elf => needed(&request, chosen.packages)?,
        Libraries::Depends => installed_with_libraries(&request, &chosen.packages)?,
        Libraries::None => (installed(&request, &chosen.packages, &[])?, Vec::new()),
    };
    replaced(&packages)?;
    packages.sort();
    archive.check(&packages, manifest.system.libraries != Libraries::Elf)?;
    let mut unpacked = worlds.unpack(&packages)?;
    shared::tell(worlds, runtime, &unpacked)?;
    unpacked.retain(|unpacked| unpacked.package.kind == PackageKind::Deb);
    let configured = worlds.configure(&unpacked, manifest.image.user, manifest.system.scripts)?;
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
        actions: configured.actions,
    })
}

/// Returns the versions and releases that the manifest asks for.
fn pins(system: &System) -> Vec<Pin> {
    system.packages.iter().chain(&system.pins).filter_map(|text| Pin::parse(text)).collect()
}

fn root(name: &str, reason: &str) -> Root {
    Root { relation: name.to_owned(), reason: reason.to_owned() }
}

/// The packages of every image, and those of the runtime.
fn runtime_roots(runtime: &Runtime, language: &[Package]) -> Vec<Root> {
    let base = runtime.base.iter().map(|name| root(name, "base"));
    // A package that the interpreter's worker needs may be a repository's instead of Debian's.
    let is_own = |name: &&String| !language.iter().any(|package| cran::stands_for(package, name));
    base.chain(runtime.packages.iter().filter(is_own).map(|name| root(name, "runtime"))).collect()
}

/// What comes with all that it depends on, to work as it would when installed: what the manifest names, and the essential
/// packages where it asks for all of them.
fn named_roots(request: &Request<'_>) -> Vec<Root> {
    let system = &request.manifest.system;
    let mut roots: Vec<_> = system.packages.iter().map(|text| root(package_name(text), "manifest")).collect();
    if system.essential == Essential::Full {
        roots.extend(essential::all(request.archive));
    }
    roots
}

/// The packages of `elf` mode with those of the language, and who needs which library from where.
///
/// The runtime's packages come without their Depends: the closure brings the libraries that they use. So do language
/// packages that are Debian's, as R's are.
fn needed(request: &Request<'_>, language: Vec<Package>) -> Result<(Vec<Package>, Vec<Library>)> {
    let runtime = request.archive.resolve_only(&runtime_roots(request.runtime, &language))?;
    let mut packages = language;
    add(&mut packages, runtime)?;
    add(&mut packages, request.archive.resolve(&named_roots(request))?)?;
    let found = libraries::close(request, &packages)?;
    packages.extend_from_slice(found.packages());
    Ok((packages, found.tell()?))
}

/// Fails where an R package of a repository would be in the image beside Debian's package of it.
fn replaced(packages: &[Package]) -> Result<(), cran::CranError> {
    let twice = |deb: &&Package| packages.iter().any(|package| cran::stands_for(package, &deb.name));
    match packages.iter().filter(|package| package.kind == PackageKind::Deb).find(twice) {
        Some(deb) => Err(cran::CranError::Twice { package: deb.name.clone() }),
        None => Ok(()),
    }
}

/// The packages of `depends` mode, as of `elf` mode: who has a library comes with its Depends, too.
fn installed_with_libraries(request: &Request<'_>, language: &[Package]) -> Result<(Vec<Package>, Vec<Library>)> {
    let mut providers = Vec::new();
    loop {
        let packages = installed(request, language, &providers)?;
        let found = libraries::close(request, &packages)?;
        if found.packages().is_empty() {
            return Ok((packages, found.tell()?));
        }
        let roots =
            |package: &Package| package.reasons.iter().map(|reason| root(&package.name, reason)).collect::<Vec<_>>();
        providers.extend(found.packages().iter().flat_map(roots));
    }
}

/// The packages of an image in which all of Debian's come with their Depends, with those of the language.
fn installed(request: &Request<'_>, language: &[Package], further: &[Root]) -> Result<Vec<Package>> {
    let mut roots = [&runtime_roots(request.runtime, language), &named_roots(request), further].concat();
    let debs = language.iter().filter(|package| package.kind == PackageKind::Deb);
    roots.extend(debs.map(|package| root(&package.name, "manifest")));
    let mut packages = language.to_vec();
    add(&mut packages, request.archive.resolve(&roots)?)?;
    if request.manifest.system.essential == Essential::Auto {
        let project = Project::read(request.manifest, request.worlds.derived())?;
        roots.extend(essential::used(request, &request.worlds.unpack(&packages)?, &project.code)?);
        packages = language.to_vec();
        add(&mut packages, request.archive.resolve(&roots)?)?;
    }
    Ok(packages)
}

/// Parts of an image that are resolved apart want different versions of a package.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` is wanted in version {present} for {}, and in version {wanted} for {}", reasons.join(", "), others.join(", "))]
struct Clash {
    name: String,
    present: String,
    reasons: Vec<String>,
    wanted: String,
    others: Vec<String>,
}

impl Diagnose for Clash {
    fn exit(&self) -> Exit {
        Exit::Resolution
    }

    fn hints(&self) -> Vec<String> {
        vec![format!("let all have the same one: add `{}={}` to `system.pins`", self.name, self.wanted)]
    }
}

/// Adds packages without those that are there, which take on their reasons.
fn add(packages: &mut Vec<Package>, more: Vec<Package>) -> Result<(), Clash> {
    for package in more {
        let same = |present: &&mut Package| (present.kind, &present.name) == (package.kind, &package.name);
        match packages.iter_mut().find(same) {
            Some(present) if present.version != package.version => {
                return Err(Clash {
                    name: package.name,
                    present: present.version.clone(),
                    reasons: present.reasons.clone(),
                    wanted: package.version,
                    others: package.reasons,
                });
            }
            Some(present) => {
                present.reasons.extend(package.reasons);
                present.reasons.sort();
                present.reasons.dedup();
            }
            None => packages.push(package),
        }
    }
    Ok(())
}

/// Returns a package's name in the closure and in the lock's edges, such as `wheel:numpy`.
pub fn owner(package: &Package) -> String {
    format!("{}:{}", package.kind.name(), package.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_added_once_and_never_in_two_versions() {
        let package = |version: &str, reason: &str| Package {
            version: version.to_owned(),
            ..why::tests::package(PackageKind::Deb, "libx1", &[reason])
        };
        let mut packages = vec![package("1", "runtime")];
        add(&mut packages, vec![package("1", "manifest")]).unwrap();
        assert_eq!((packages.len(), packages[0].reasons.join(" ")), (1, "manifest runtime".to_owned()));
        let clash = add(&mut packages, vec![package("2", "y")]).unwrap_err();
        let expected = "`libx1` is wanted in version 1 for manifest, runtime, and in version 2 for y";
        assert_eq!(clash.to_string(), expected);
        assert_eq!(clash.hints(), ["let all have the same one: add `libx1=2` to `system.pins`"]);
    }
}
