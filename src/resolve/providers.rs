//! Who may have a library: the one place that answers, from the best evidence that there is.
//!
//! The archive's list of files says it for every package. Where that is not to be had, the packages that those chosen
//! depend on are looked into; what they lack is guessed by the names that Debian gives to packages, and by what the
//! packages depend on that need it. An answer is a claim: `libraries` takes a package only when its files bear it out.

use std::collections::HashSet;

use crate::ecosystem::Worlds;
use crate::ecosystem::debian::contents::Sonames;
use crate::ecosystem::debian::{Archive, Root, naming};
use crate::elf::{Missing, names};
use crate::error::Result;
use crate::lock::{Package, PackageKind};

/// The most packages that are tried for a library that nothing is known of.
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
        names.retain(|name| self.archive.catalog().candidate(name).is_some());
        if names.is_empty() {
            // One that exists only as an alternative is found by who provides its name.
            names = self.archive.providers(soname);
        }
        names.sort_by_key(|name| naming::distance(name, soname).unwrap_or(usize::MAX));
        if names.is_empty() && self.partial {
            names = self.archive.named_like(soname);
            for (owner, _) in &missing.needed_by {
                names.extend(self.archive.depends(owner.strip_prefix("deb:").unwrap_or_default())?);
            }
            names.truncate(GUESSES);
        }
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        Ok(names)
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
