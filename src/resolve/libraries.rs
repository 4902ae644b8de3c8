//! The fixpoint between the ELF closure and the archive: read what is there, add who has what is missing, repeat.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::providers::Providers;
use super::{Request, owner, problems};
use crate::ecosystem::Unpacked;
use crate::ecosystem::debian::Root;
use crate::elf::{Closure, Missing, Resolution, names};
use crate::error::Result;
use crate::layer::tree::TreePath;
use crate::lock::{Library, Package};
use crate::project::Project;

/// What the closure added.
pub(super) struct Found {
    /// The packages, each with the libraries as its reasons.
    pub(super) packages: Vec<Package>,
    /// Who needs which library from where.
    pub(super) edges: Vec<Library>,
}

/// Adds the Debian packages whose libraries the objects of `packages` need, to a fixpoint.
pub(super) fn close(request: &Request<'_>, packages: &[Package]) -> Result<Found> {
    let providers = Providers::open(request.worlds, request.archive, packages)?;
    let mut search = Search {
        request: *request,
        providers,
        closure: Closure::new(request.worlds.platform()),
        present: packages.iter().map(|package| package.name.clone()).collect(),
        added: Vec::new(),
    };
    for unpacked in request.worlds.unpack(packages)? {
        let mut objects = request.worlds.scan(&unpacked.tree)?;
        objects.retain(|(path, _)| !is_unasked(request, path));
        search.closure.add(&owner(&unpacked.package), objects, &unpacked.tree);
    }
    search.add_project()?;
    let resolution = search.run()?;
    problems::tell(request, &search.providers, &resolution)?;
    Ok(Found { packages: search.added, edges: resolution.edges })
}

/// Whether an object is a part of the runtime that works only with a package that the manifest does not name.
fn is_unasked(request: &Request<'_>, path: &TreePath) -> bool {
    let needed = request.runtime.optional.get(path.as_str());
    needed.is_some_and(|package| !request.manifest.system.packages.contains(package))
}

/// The state of the search.
struct Search<'a> {
    request: Request<'a>,
    providers: Providers<'a>,
    closure: Closure,
    /// The names of all packages that are chosen.
    present: BTreeSet<String>,
    added: Vec<Package>,
}

impl Search<'_> {
    /// Adds the user's own objects: modules beside the service code, libraries among the artifacts.
    fn add_project(&mut self) -> Result<()> {
        let worlds = self.request.worlds;
        let project = Project::read(self.request.manifest, worlds.derived())?;
        let assets = project.artifacts.iter().map(|(name, (tree, _))| (format!("artifact:{name}"), tree));
        for (owner, tree) in assets.chain([("service".to_owned(), &project.code)]) {
            self.closure.add(&owner, worlds.scan(tree)?, tree);
        }
        Ok(())
    }

    /// Adds packages until nothing is missing that one of the release has.
    fn run(&mut self) -> Result<Resolution> {
        // A library is asked for once: what is still missing after that, nobody has.
        let mut asked: BTreeSet<String> = BTreeSet::new();
        loop {
            let resolution = self.closure.resolve();
            let missing: Vec<_> =
                resolution.missing.iter().filter(|missing| asked.insert(missing.soname.clone())).collect();
            if missing.is_empty() {
                return Ok(resolution);
            }
            for unpacked in self.find(&missing)? {
                let objects = self.request.worlds.scan(&unpacked.tree)?;
                self.closure.add_provider(&owner(&unpacked.package), objects, &unpacked.tree);
                self.present.insert(unpacked.package.name.clone());
                self.added.push(unpacked.package);
            }
        }
    }

    /// Returns packages that have the missing libraries, by name.
    fn find(&self, missing: &[&Missing]) -> Result<Vec<Unpacked>> {
        let mut open = Vec::new();
        for missing in missing {
            open.push((&*missing.soname, self.candidates(missing)?));
        }
        let mut found: BTreeMap<String, Unpacked> = BTreeMap::new();
        while !open.is_empty() {
            // The next candidate of each library, all of them fetched at once.
            let next = open.iter().filter_map(|(_, candidates)| candidates.front());
            let next: BTreeMap<&str, Package> = next.map(|package| (&*package.name, package.clone())).collect();
            let mut tried = BTreeMap::new();
            for unpacked in self.request.worlds.unpack(&next.into_values().collect::<Vec<_>>())? {
                let names = names(&unpacked.tree, &self.request.worlds.scan(&unpacked.tree)?);
                tried.insert(unpacked.package.name.clone(), (unpacked, names));
            }
            open.retain_mut(|(soname, candidates)| {
                let Some(candidate) = candidates.pop_front() else { return false };
                let (unpacked, names) = &tried[&candidate.name];
                if !names.contains(*soname) {
                    return true;
                }
                let entry = found.entry(candidate.name).or_insert_with(|| {
                    let package = Package { reasons: Vec::new(), ..unpacked.package.clone() };
                    Unpacked { package, ..unpacked.clone() }
                });
                entry.package.reasons.push((*soname).to_owned());
                false
            });
        }
        Ok(found.into_values().collect())
    }

    /// Returns the packages that may have a library; none where one of them is chosen already: then its library is not
    /// where the loader looks, and another package's would not be either.
    fn candidates(&self, missing: &Missing) -> Result<VecDeque<Package>> {
        let names = self.providers.candidates(missing)?;
        if names.iter().any(|name| self.present.contains(name)) && !self.providers.is_partial() {
            return Ok(VecDeque::new());
        }
        let mut packages = VecDeque::new();
        for name in names.into_iter().filter(|name| !self.present.contains(name)) {
            let root = Root { relation: name, reason: missing.soname.clone() };
            packages.extend(self.request.archive.resolve_only(&[root])?);
        }
        Ok(packages)
    }
}
