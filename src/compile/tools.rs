//! The Debian packages that each compilation needs: the toolchain for all of them, and what the package itself asks for.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Job, Plan};
use crate::ecosystem::cran::system;
use crate::ecosystem::debian::pin::package_name;
use crate::ecosystem::debian::{Archive, Root};
use crate::error::Result;
use crate::lock::Package;
use crate::manifest::Manifest;

/// The reason of what all compilations have.
pub(super) const TOOLCHAIN: &str = "toolchain";

/// Resolves all of them. The reasons of each package are the names of those that it is for, or [`TOOLCHAIN`].
pub(super) fn resolve(manifest: &Manifest, archive: &Archive, plan: &Plan) -> Result<Vec<Package>> {
    let root = |relation: String| Root { relation, reason: TOOLCHAIN.to_owned() };
    let toolchain = archive.resolve(&system::TOOLCHAIN.map(|name| root(name.to_owned())))?;
    let mut tools: BTreeMap<String, Package> = BTreeMap::new();
    for package in &toolchain {
        let package = Package { reasons: vec![TOOLCHAIN.to_owned()], ..package.clone() };
        tools.insert(package.name.clone(), package);
    }
    // With exact versions, so that the toolchain is a part of what each compilation has.
    let fixed: Vec<_> =
        toolchain.iter().map(|package| root(format!("{} (= {})", package.name, package.version))).collect();
    for (job, own) in own(manifest, archive, plan)? {
        let own = own.into_iter().map(root);
        for package in archive.resolve(&fixed.iter().cloned().chain(own).collect::<Vec<_>>())? {
            let tool = tools.entry(package.name.clone()).or_insert_with(|| Package { reasons: Vec::new(), ..package });
            if !tool.reasons.iter().any(|reason| reason == TOOLCHAIN) {
                tool.reasons.push(job.package.name.clone());
            }
        }
    }
    Ok(tools.into_values().collect())
}

/// Returns the packages that a compilation has: those for all, and its own. Both are sorted by name.
pub(super) fn of<'a>(tools: &'a [Package], name: &str) -> (Vec<&'a Package>, Vec<&'a Package>) {
    let with = |wanted: &str| {
        let debs = tools.iter().filter(|package| package.kind == crate::lock::PackageKind::Deb);
        debs.filter(|package| package.reasons.iter().any(|reason| reason == wanted)).collect()
    };
    (with(TOOLCHAIN), with(name))
}

/// Returns what each job needs beyond the toolchain, by name.
fn own<'a>(manifest: &Manifest, archive: &Archive, plan: &'a Plan) -> Result<Vec<(&'a Job, BTreeSet<String>)>> {
    let debian_name = |job: &Job| {
        let names = crate::ecosystem::cran::library::debian_names(&job.package.name);
        names.into_iter().find(|name| archive.catalog().candidate(name).is_some())
    };
    let names: BTreeMap<&str, String> =
        plan.jobs.values().filter_map(|job| Some((&*job.package.name, debian_name(job)?))).collect();
    let build_depends = archive.build_depends(&names.values().cloned().collect())?;
    let is_there = |name: &String| archive.catalog().candidate(name).is_some() || !archive.providers(name).is_empty();
    let found = |job: &Job| {
        // Of what Debian does not have, SystemRequirements is all that there is to go by.
        let known = names.get(&*job.package.name).and_then(|name| build_depends.get(name));
        match known {
            Some(names) => names.iter().filter(|name| system::compiles(name)).cloned().collect(),
            None => system::required(&job.description),
        }
    };
    let needs = |job: &'a Job| {
        // R loads the packages that this one needs, and they load their libraries.
        let loaded = job.repository.iter().filter_map(|name| plan.jobs.get(name));
        let found = loaded.chain([job]).flat_map(found).filter(is_there);
        let named = manifest.system.build.iter().map(|text| package_name(text).to_owned());
        (job, found.chain(job.debian.clone()).chain(named).collect())
    };
    Ok(plan.jobs.values().map(needs).collect())
}
