//! Who may have a library: the one place that answers, from the best evidence that there is.
//!
//! The archive's list of files says it for every package. Where that is not to be had, the packages that those chosen
//! depend on are looked into; what they lack is guessed by the names that Debian gives to packages, and by what the
//! packages depend on that need it. An answer is a claim: `libraries` takes a package only when its files bear it out.

use std::collections::{BTreeSet, HashSet};

use crate::ecosystem::Worlds;
use crate::ecosystem::debian::contents::Sonames;
use crate::ecosystem::debian::{Archive, Root, naming};
use crate::elf::{Missing, names};
use crate::error::Result;
use crate::lock::{Package, PackageKind};

/// The most packages that are tried on one ground for a library that nothing is known of.
const GUESSES: usize = 6;

/// Answers who may have a library.
pub(super) struct Providers<'a> {
    archive: &'a Archive,
    known: Sonames,
    /// Whether `known` is not of all packages of the release.
    partial: bool,
}

impl<'a> Providers<'a> {
    /// Reads the archive's list of files or, where it is not to be had, the packages that `chosen` depend on.
    pub(super) fn open(worlds: &Worlds, archive: &'a Archive, chosen: &[Package]) -> Result<Self> {
        match archive.sonames()? {
            Some(known) => Ok(Self { archive, known, partial: false }),
            None => Ok(Self { archive, known: dependencies(worlds, archive, chosen)?, partial: true }),
        }
    }

    /// Returns the names of the packages that may have a missing library, the likeliest first.
    pub(super) fn candidates(&self, missing: &Missing) -> Result<Vec<String>> {
        let soname = &missing.soname;
        let mut names = self.known.packages(soname).to_vec();
        let catalog = self.archive.catalog();
        // What is known in part is of packages that others need, backports among them.
        names.retain(|name| if self.partial { catalog.candidate(name) } else { catalog.offered(name) }.is_some());
        if names.is_empty() {
            // One that exists only as an alternative is found by who provides its name.
            names = self.archive.providers(soname);
        }
        names.sort_by_key(|name| naming::distance(name, soname).unwrap_or(usize::MAX));
        if names.is_empty() && self.partial {
            names = self.archive.named_like(soname);
            names.truncate(GUESSES);
            names.extend(self.dependencies(missing)?);
        }
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        Ok(names)
    }

    /// Returns what the packages depend on that need a library, first those whose names begin like it.
    fn dependencies(&self, missing: &Missing) -> Result<Vec<String>> {
        let owners: BTreeSet<_> =
            missing.needed_by.iter().filter_map(|(owner, _)| owner.strip_prefix("deb:")).collect();
        let mut names = Vec::new();
        for record in owners.into_iter().filter_map(|owner| self.archive.catalog().candidate(owner)) {
            names.extend(self.archive.depends(record)?);
        }
        let common = |name: &str| name.bytes().zip(missing.soname.bytes()).take_while(|(a, b)| a == b).count();
        names.sort_by_key(|name| std::cmp::Reverse(common(name)));
        names.truncate(GUESSES);
        Ok(names)
    }

    /// Returns the package that most likely has a library which may lack its version, such as `libmagic.so`.
    pub(super) fn likeliest(&self, library: &str) -> Option<String> {
        let versions = self.known.versions(library).filter(|(name, _)| {
            name.strip_prefix(library).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let packages = versions.flat_map(|(name, packages)| packages.iter().map(move |package| (name, package)));
        // The file without a version is the linker's.
        let packages = packages.filter(|(_, package)| !package.ends_with("-dev"));
        let near = packages.min_by_key(|(name, package)| naming::distance(package, name).unwrap_or(usize::MAX));
        near.map(|(_, package)| package.clone())
    }

    /// Whether answers may be wrong, because the archive's list of files is not to be had.
    pub(super) fn is_partial(&self) -> bool {
        self.partial
    }

    /// Returns the library in the versions that the release has, and the package of each.
    pub(super) fn other_versions(&self, soname: &str) -> Vec<(&str, &str)> {
        let versions = self.known.versions(soname);
        versions.filter_map(|(name, packages)| Some((name, packages.first()?.as_str()))).collect()
    }
}

/// Returns the libraries of all packages that `chosen` depend on.
fn dependencies(worlds: &Worlds, archive: &Archive, chosen: &[Package]) -> Result<Sonames> {
    let debs = chosen.iter().filter(|package| package.kind == PackageKind::Deb);
    let roots: Vec<_> = debs.map(|deb| Root { relation: deb.name.clone(), reason: "libraries".to_owned() }).collect();
    let mut known = Sonames::default();
    for unpacked in worlds.unpack(&archive.resolve(&roots)?)? {
        for name in names(&unpacked.tree, &worlds.scan(&unpacked.tree)?) {
            known.add(&name, &unpacked.package.name);
        }
    }
    Ok(known)
}
