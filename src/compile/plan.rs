//! Which packages are to be compiled, and which others each of them needs for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::ecosystem::Worlds;
use crate::ecosystem::cran::{self, CranError, Description};
use crate::error::Result;
use crate::lock::{Package, PackageKind};

/// A source package that is to be compiled.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// The package.
    pub package: Package,
    /// What it says of itself.
    pub description: Description,
    /// The packages of repositories that must be installed, by name in R, sorted.
    pub repository: Vec<String>,
    /// Debian's R packages that must be installed, by Debian's name, sorted.
    pub debian: Vec<String>,
}

/// What is to be compiled.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// By name in R.
    pub jobs: BTreeMap<String, Job>,
    /// The packages of repositories that are binaries, by name in R.
    pub binaries: BTreeMap<String, Package>,
}

/// A package with what it says of itself.
struct Known<'a> {
    package: &'a Package,
    description: Description,
    source: bool,
}

impl Plan {
    /// Looks into the R packages among `packages`; of two with the same name in R the first counts.
    pub(super) fn new(worlds: &Worlds, packages: &[&Package]) -> Result<Self> {
        if packages.iter().all(|package| package.kind != PackageKind::R) {
            return Ok(Self::default());
        }
        let known = look(worlds, packages)?;
        let mut plan = Self::default();
        for (name, one) in &known {
            if one.source {
                plan.jobs.insert(name.clone(), job(one, &known)?);
            } else if one.package.kind == PackageKind::R {
                plan.binaries.insert(name.clone(), one.package.clone());
            }
        }
        Ok(plan)
    }
}

fn look<'a>(worlds: &Worlds, packages: &[&'a Package]) -> Result<BTreeMap<String, Known<'a>>> {
    let mut known = BTreeMap::new();
    for package in packages {
        let (description, source) = match package.kind {
            PackageKind::R => {
                check_name(package)?;
                let file = worlds.fetch(&[(*package).clone()])?.remove(0);
                let facts = cran::package::facts(&package.name, &file, worlds.derived())?;
                (facts.description.clone(), facts.is_source())
            }
            PackageKind::Deb if cran::library::is_r_package(&package.name) => {
                let unpacked = worlds.unpack(&[(*package).clone()])?;
                match cran::library::description(&unpacked[0].tree, worlds.blobs())? {
                    Some(text) => (Description::parse(&text).map_err(|source| unreadable(package, source))?, false),
                    None => continue,
                }
            }
            _ => continue,
        };
        let name = description.field("Package").unwrap_or_default().to_owned();
        // Debian's package of one that a repository has comes along as a dependency, and is hidden by it.
        known.entry(name).or_insert(Known { package, description, source });
    }
    Ok(known)
}

fn job(one: &Known<'_>, known: &BTreeMap<String, Known<'_>>) -> Result<Job, CranError> {
    let read = |known: &Known<'_>| known.description.needs().map_err(|source| unreadable(known.package, source));
    let headers = one.description.headers().map_err(|source| unreadable(one.package, source))?;
    let mut open: Vec<_> = read(one)?.into_iter().chain(headers).map(|requirement| requirement.name).collect();
    let mut needed = BTreeSet::new();
    // What is loaded for compiling is loaded with all that it needs; base packages are not among the known.
    while let Some(name) = open.pop() {
        if let Some(other) = known.get(&name)
            && needed.insert(name)
        {
            open.extend(read(other)?.into_iter().map(|requirement| requirement.name));
        }
    }
    let (mut repository, mut debian) = (Vec::new(), Vec::new());
    for name in needed {
        match known[&name].package.kind {
            PackageKind::R => repository.push(name),
            _ => debian.push(known[&name].package.name.clone()),
        }
    }
    debian.sort();
    Ok(Job { package: one.package.clone(), description: one.description.clone(), repository, debian })
}

/// Checks a name and a version that files and folders are named after: a lock is a file that anybody can write.
fn check_name(package: &Package) -> Result<(), CranError> {
    let line = format!("{} (== {})", package.name, package.version);
    match line.parse::<cran::Requirement>() {
        Ok(requirement) if requirement.name == package.name => Ok(()),
        _ => Err(CranError::Requirement { line }),
    }
}

fn unreadable(package: &Package, source: cran::Unreadable) -> CranError {
    CranError::Description { package: package.name.clone(), source }
}
