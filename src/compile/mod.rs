//! R's source packages → installed ones: each compiled in the sandbox, over a tree of Debian packages resolved for it.
//!
//! ```text
//! plan: who needs whom → tools: Debian packages → tree: laid out → run: R CMD INSTALL → files, kept by their inputs
//! ```
//!
//! Compiling is part of making a lock, because only the objects tell which libraries they need: [`lock`]. The lock records
//! the compilers and the digest of what came out; a build takes that from the cache, or compiles again and compares:
//! [`unpack`]. Nothing of the compilers reaches the image.

mod error;
mod failure;
mod plan;
mod run;
mod schedule;
mod tools;
mod tree;

use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::ecosystem::debian::Archive;
use crate::ecosystem::{Chosen, Unpacked, Worlds, cran};
use crate::error::Result;
use crate::lock::{Compilation, Package, PackageKind, PlatformLock};
use crate::manifest::Manifest;
use crate::platform::Platform;
pub use error::CompileError;
use plan::Plan;

/// Resolves what compiling the chosen sources needs, and compiles them; `None` where there is no source among them.
///
/// From then on `worlds` can unpack them.
pub fn lock(manifest: &Manifest, worlds: &Worlds, archive: &Archive, chosen: &Chosen) -> Result<Option<Compilation>> {
    let all: Vec<_> = chosen.packages.iter().chain(&chosen.headers).collect();
    let plan = Plan::new(worlds, &all)?;
    if plan.jobs.is_empty() {
        return Ok(None);
    }
    check_platform(worlds, &plan)?;
    let mut packages = tools::resolve(manifest, archive, &plan)?;
    // What a failed compilation lacks is looked up in the archive.
    let results = compile(worlds, &plan, &packages).map_err(|error| failure::explain(error, manifest, archive))?;
    // Debian's are among the compilers already, each for those that need it.
    packages.extend(chosen.headers.iter().filter(|package| package.kind == PackageKind::R).cloned());
    packages.sort();
    Ok(Some(Compilation { results, packages }))
}

/// Unpacks the packages of a lock, its sources compiled to the files that it names.
pub fn unpack(worlds: &Worlds, lock: &PlatformLock) -> Result<Vec<Unpacked>> {
    if let Some(compilation) = &lock.compilation {
        reproduce(worlds, &lock.packages, compilation)?;
    }
    worlds.unpack_whole(&lock.packages)
}

/// Makes sure that `worlds` can unpack the sources among `packages`.
fn reproduce(worlds: &Worlds, packages: &[Package], compilation: &Compilation) -> Result<()> {
    let headers = compilation.packages.iter().filter(|package| package.kind == PackageKind::R);
    let debs = compilation.packages.iter().filter(|package| is_header(package));
    let plan = Plan::new(worlds, &packages.iter().chain(headers).chain(debs).collect::<Vec<_>>())?;
    check_platform(worlds, &plan)?;
    let results = compile(worlds, &plan, &compilation.packages).map_err(CompileError::into_error)?;
    for (name, found) in &results {
        let expected = compilation.results.get(name);
        if expected != Some(found) {
            let (name, expected) = (name.clone(), expected.map(ToString::to_string).unwrap_or_default());
            return Err(CompileError::Differs { name, found: found.to_string(), expected }.into());
        }
    }
    Ok(())
}

/// Whether a package of the compilers' is one of Debian's R packages.
fn is_header(package: &Package) -> bool {
    package.kind == PackageKind::Deb && cran::library::is_r_package(&package.name)
}

fn check_platform(worlds: &Worlds, plan: &Plan) -> Result<(), CompileError> {
    if plan.jobs.is_empty() || Platform::host() == Some(worlds.platform()) {
        return Ok(());
    }
    let names = plan.jobs.values().map(|job| job.package.name.clone()).collect();
    Err(CompileError::Platform { platform: worlds.platform(), names })
}

/// Compiles all jobs, several at a time, each after those that it needs, and returns the digests of their files.
fn compile(worlds: &Worlds, plan: &Plan, packages: &[Package]) -> Result<BTreeMap<String, Digest>, CompileError> {
    let trees = tree::Trees::new(worlds, packages);
    let done = schedule::run(plan, |job, done| run::compile(worlds, &trees, plan, job, done))?;
    let mut results = BTreeMap::new();
    for (name, built) in done {
        worlds.r_packages().keep(&name, built.tree);
        results.insert(name, built.digest);
    }
    Ok(results)
}
