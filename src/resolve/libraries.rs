//! The fixpoint between the ELF closure and the archive: read what is there, add who has what is missing, repeat.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::dlopen::{self, Rule};
use super::providers::Providers;
use super::{Request, data, essential, owner, problems, sources};
use crate::ecosystem::Unpacked;
use crate::ecosystem::debian::Root;
use crate::ecosystem::debian::pin::package_name;
use crate::elf::{Closure, Missing, Resolution, names};
use crate::error::Result;
use crate::layer::tree::{Tree, TreePath};
use crate::lock::{Library, Package, PackageKind};
use crate::manifest::Essential;
use crate::project::Project;

/// What the closure found.
pub(super) struct Found<'a> {
    search: Search<'a>,
    unpacked: Vec<Unpacked>,
    resolution: Resolution,
}

/// Finds the Debian packages whose libraries the objects of `packages` need, to a fixpoint, and the data that they read.
pub(super) fn close<'a>(request: &Request<'a>, packages: &[Package]) -> Result<Found<'a>> {
    let debs = packages.iter().filter(|package| package.kind == PackageKind::Deb);
    let mut search = Search {
        request: *request,
        providers: Providers::open(request.worlds, request.archive, packages)?,
        rules: dlopen::rules(&packages.iter().map(owner).collect()),
        closure: Closure::new(request.worlds.platform()),
        present: debs.map(|package| package.name.clone()).collect(),
        names: BTreeSet::new(),
        added: Vec::new(),
        suggestions: Vec::new(),
    };
    let unpacked = request.worlds.unpack(packages)?;
    for unpacked in &unpacked {
        search.extend(unpacked, true)?;
    }
    search.add_project(&unpacked)?;
    search.add_rules()?;
    let resolution = search.run()?;
    let data = data::close(request, &packages.iter().chain(&search.added).collect::<Vec<_>>())?;
    search.added.extend(data.into_iter().map(|unpacked| unpacked.package));
    Ok(Found { search, unpacked, resolution })
}

impl Found<'_> {
    /// The packages that are to be added, each with the libraries as its reasons.
    pub(super) fn packages(&self) -> &[Package] {
        &self.search.added
    }

    /// Warns of what may be missing, and fails where the release is too old; returns who needs which library from where.
    pub(super) fn tell(self) -> Result<Vec<Library>> {
        for (message, packages) in &self.search.suggestions {
            self.search.suggest(message.clone(), packages);
        }
        self.search.tell_of_sources(&self.unpacked)?;
        problems::tell(&self.search.request, &self.search.providers, &self.resolution)?;
        Ok(self.resolution.edges)
    }
}

/// Whether an object is a part of the runtime that works only with a package that the manifest does not name.
fn is_unasked(request: &Request<'_>, path: &TreePath) -> bool {
    let needed = request.runtime.optional.get(path.as_str());
    let is_named = |package: &String| request.manifest.system.packages.iter().any(|text| package_name(text) == package);
    needed.is_some_and(|package| !is_named(package))
}

/// The state of the search.
struct Search<'a> {
    request: Request<'a>,
    providers: Providers<'a>,
    /// What is known of the packages.
    rules: Vec<Rule>,
    closure: Closure,
    /// The names of all Debian packages that are chosen.
    present: BTreeSet<String>,
    /// The names of all their libraries.
    names: BTreeSet<String>,
    added: Vec<Package>,
    /// What some uses need: why, and the packages of which one would do.
    suggestions: Vec<(String, Vec<String>)>,
}

impl Search<'_> {
    /// Adds a package's objects; those of one that is not a root count only when they are reached.
    fn extend(&mut self, unpacked: &Unpacked, root: bool) -> Result<()> {
        let (owner, tree) = (owner(&unpacked.package), &unpacked.tree);
        let mut objects = self.request.worlds.scan(tree)?;
        let is_optional = |path: &TreePath| self.rules.iter().any(|rule| rule.is_optional(&owner, path));
        objects.retain(|(path, _)| !is_unasked(&self.request, path) && !is_optional(path));
        self.names.extend(names(tree, &objects));
        if root {
            self.closure.add(&owner, objects, tree);
        } else {
            self.closure.add_provider(&owner, objects, tree);
        }
        Ok(())
    }

    /// Adds a package that was not chosen before.
    fn choose(&mut self, unpacked: Unpacked, root: bool) -> Result<()> {
        self.extend(&unpacked, root)?;
        self.present.insert(unpacked.package.name.clone());
        self.added.push(unpacked.package);
        Ok(())
    }

    /// Adds packages of which everything counts.
    fn choose_all(&mut self, roots: &[Root]) -> Result<()> {
        for unpacked in self.request.worlds.unpack(&self.request.archive.resolve_only(roots)?)? {
            self.choose(unpacked, true)?;
        }
        Ok(())
    }

    /// Adds the user's own objects, modules beside the service code and libraries among the artifacts, and the essential
    /// packages whose programs the scripts of packages and of the service code use.
    fn add_project(&mut self, unpacked: &[Unpacked]) -> Result<()> {
        let worlds = self.request.worlds;
        let project = Project::read(self.request.manifest, worlds.derived())?;
        for (owner, tree) in project.all_artifacts().chain([("service".to_owned(), &project.code)]) {
            self.closure.add(&owner, worlds.scan(tree)?, tree);
        }
        if self.request.manifest.system.essential == Essential::Auto {
            let used = essential::used(&self.request, unpacked, &project.code)?;
            self.choose_all(&used)?;
        }
        Ok(())
    }

    /// Adds what packages are known to open and run.
    fn add_rules(&mut self) -> Result<()> {
        for rule in self.rules.clone() {
            let (_, name) = rule.owner.split_once(':').unwrap_or_default();
            let mut sonames = Vec::new();
            for alternatives in &rule.libraries {
                sonames.push(self.first_known(alternatives)?);
            }
            let object = dlopen::needs(sonames.into_iter(), self.request.worlds.platform());
            self.closure.add(&rule.owner, vec![(TreePath::new(name)?, object)], &Tree::new());
            let absent = rule.packages.iter().filter(|package| !self.present.contains(*package));
            let root = |package: &String| Root { relation: package.clone(), reason: name.to_owned() };
            self.choose_all(&absent.map(root).collect::<Vec<_>>())?;
            if !rule.maybe.is_empty() && !rule.maybe.iter().any(|package| self.present.contains(package)) {
                self.suggestions.push((rule.reason, rule.maybe));
            }
        }
        Ok(())
    }

    /// Returns the first of the sonames, separated by bars, that the release has.
    fn first_known(&self, alternatives: &str) -> Result<String> {
        for soname in alternatives.split('|') {
            let missing = Missing { soname: soname.to_owned(), needed_by: Vec::new() };
            if !self.providers.candidates(&missing)?.is_empty() {
                return Ok(missing.soname);
            }
        }
        Ok(alternatives.split('|').next().unwrap_or_default().to_owned())
    }

    /// Tells what sources open that is not there; not of packages that a rule knows better.
    fn tell_of_sources(&self, unpacked: &[Unpacked]) -> Result<()> {
        let worlds = self.request.worlds;
        for Unpacked { package, tree } in unpacked.iter().filter(|unpacked| unpacked.package.kind != PackageKind::Deb) {
            let owner = owner(package);
            if self.rules.iter().any(|rule| rule.owner == owner) {
                continue;
            }
            let opened = sources::scan(worlds.blobs(), worlds.derived(), tree)?;
            for (package, opened) in sources::absent(&self.providers, &opened, &self.names) {
                let message = format!("`{}` of {owner} may open `{}`, which is not there", opened.path, opened.library);
                self.suggest(message, &[package]);
            }
        }
        Ok(())
    }

    fn suggest(&self, message: String, packages: &[String]) {
        let names: Vec<_> = packages.iter().map(|package| format!("`{package}`")).collect();
        let file = self.request.manifest.path.file_name().unwrap_or_default().to_string_lossy();
        let hint = format!("if your model needs that, add {} to `system.packages` of `{file}`", names.join(" or "));
        self.request.worlds.report().warn(message, Some(hint));
    }

    /// Adds packages until nothing is missing that one of the release has.
    fn run(&mut self) -> Result<Resolution> {
        // A library is asked for once: what is still missing after that, nobody has.
        let mut asked: BTreeSet<String> = BTreeSet::new();
        loop {
            let resolution = self.closure.resolve();
            // The name of a library of the system has a version; one of another wheel is meant where it has none.
            let borrowed = resolution.borrowed.iter().filter(|borrowed| !borrowed.soname.ends_with(".so"));
            let open = resolution.missing.iter().chain(borrowed);
            let missing: Vec<_> = open.filter(|missing| asked.insert(missing.soname.clone())).collect();
            if missing.is_empty() {
                return Ok(resolution);
            }
            for unpacked in self.find(&missing)? {
                self.choose(unpacked, false)?;
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
