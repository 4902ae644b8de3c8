//! Chooses R packages: for each one Debian's binary where its version will do, else a repository's newest that does.
//!
//! The walk goes level by level from what is asked for, and reads what each chosen package needs from its own
//! DESCRIPTION. A choice that turns out not to fit is rejected for good, with the reason, and the walk begins again: requirements
//! of R packages are lower bounds, as a rule, so this ends soon, with one version of each package or with all that is wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::{CranError, Description, Problem, Requirement, Wanted, requirement, upstream};
use crate::error::Result;
use crate::lock::Package;

/// Who asks first.
const MANIFEST: &str = "manifest";

/// Where the packages come from: Debian and repositories, or what stands for them in tests.
pub trait Shelf {
    /// The release's name, such as `bookworm`.
    fn suite(&self) -> &str;

    /// The version of R itself.
    fn r_version(&self) -> String;

    /// The names of the repositories.
    fn repositories(&self) -> Vec<String>;

    /// Debian's package of that name, if there is one.
    fn debian(&self, name: &str) -> Option<Candidate>;

    /// What the repositories have of a package, the highest version first; `exact` is the version asked for, where there
    /// is only one.
    fn offered(&self, name: &str, exact: Option<&str>) -> Result<Vec<Candidate>>;

    /// Looks into the candidates' files, in the order given; one that cannot be used gives the reason.
    fn open(&self, candidates: &[Candidate]) -> Result<Vec<Result<Opened, String>>>;
}

/// Someone who may have a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The package's name in R, as it was asked for.
    pub name: String,
    /// Its repository; `None` for Debian.
    pub repository: Option<String>,
    /// Its version: in Debian that of the Debian package.
    pub version: String,
    /// Its path in the repository, or the Debian package's name.
    pub path: String,
    /// The file's MD5 digest, where a repository says it.
    pub md5: Option<String>,
}

/// A candidate's file, looked into.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The package as the lock has it.
    pub package: Package,
    /// What it says of itself.
    pub description: Description,
    /// Whether it is a source.
    pub source: bool,
}

/// What was chosen, sorted by name.
#[derive(Debug, Default)]
pub struct Resolution {
    /// The packages for the image.
    pub packages: Vec<Package>,
    /// The packages of which compiling needs the headers alone, and what those need.
    pub headers: Vec<Package>,
}

/// A requirement, and who has it: [`MANIFEST`] or a package's name in R.
#[derive(Clone)]
struct Need {
    wanted: Wanted,
    by: String,
}

/// One walk. Packages are known by their names in R.
#[derive(Default)]
struct Walk {
    chosen: BTreeMap<String, Candidate>,
    reasons: BTreeMap<String, BTreeSet<String>>,
    problems: BTreeSet<Problem>,
}

struct Resolver<'a> {
    shelf: &'a dyn Shelf,
    r_version: String,
    opened: BTreeMap<Candidate, Opened>,
    rejected: BTreeMap<Candidate, String>,
}

/// Chooses packages that meet the requirements, and what they need in turn.
///
/// All that cannot be had is said at once.
pub fn resolve(shelf: &dyn Shelf, wanted: &[Wanted]) -> Result<Resolution> {
    let r_version = shelf.r_version();
    let mut resolver = Resolver { shelf, r_version, opened: BTreeMap::new(), rejected: BTreeMap::new() };
    loop {
        if let Some(walk) = resolver.walk(wanted)? {
            let loaded = resolver.loaded(wanted, &walk)?;
            if !resolver.reject_stale(&walk, &loaded)? {
                return resolver.finish(walk, &loaded);
            }
        }
    }
}

impl Resolver<'_> {
    /// Walks from what is wanted to its end; `None` where a choice was rejected, and the walk is to begin again.
    fn walk(&mut self, wanted: &[Wanted]) -> Result<Option<Walk>> {
        let mut walk = Walk::default();
        let need = |wanted: &Wanted| Need { wanted: wanted.clone(), by: MANIFEST.to_owned() };
        let mut open: Vec<_> = wanted.iter().map(need).collect();
        // Level by level, so that the packages of a level are fetched together.
        while !open.is_empty() {
            let rejected = self.rejected.len();
            open = self.level(&mut walk, &open)?;
            if self.rejected.len() > rejected {
                return Ok(None);
            }
        }
        Ok(Some(walk))
    }

    /// Meets the needs, and returns those of the packages that are new.
    fn level(&mut self, walk: &mut Walk, needs: &[Need]) -> Result<Vec<Need>> {
        let mut new = BTreeSet::new();
        for need in needs {
            let name = &need.wanted.requirement.name;
            if need.wanted.requirement.is_base() {
                self.check_interpreter(walk, need);
                continue;
            }
            if !walk.chosen.contains_key(name) {
                let Some(candidate) = self.pick(walk, need)? else { continue };
                new.insert(candidate.clone());
                walk.chosen.insert(name.clone(), candidate);
            }
            walk.reasons.entry(name.clone()).or_default().insert(need.by.clone());
        }
        self.open(&new)?;
        for need in needs {
            self.check(walk, need);
        }
        let opened = new.iter().filter_map(|candidate| self.opened.get(candidate));
        let needs = opened.map(needs_of).collect::<Result<Vec<_>, _>>()?;
        Ok(needs.into_iter().flatten().collect())
    }

    /// Returns the first candidate that may meet a need, Debian's before the repositories'; or notes why none does.
    fn pick(&self, walk: &mut Walk, need: &Need) -> Result<Option<Candidate>> {
        let requirement = &need.wanted.requirement;
        let mut reasons = Vec::new();
        // Another package may have this name in Debian: renv says that this one is from elsewhere.
        if requirement.repository.is_none()
            && need.wanted.origin.is_none()
            && let Some(debian) = self.shelf.debian(&requirement.name)
        {
            match self.rejected.get(&debian) {
                Some(reason) => reasons.push(reason.clone()),
                None => return Ok(Some(debian)),
            }
        }
        for candidate in self.shelf.offered(&requirement.name, requirement.exact())? {
            if requirement.repository.is_some() && candidate.repository != requirement.repository {
                continue;
            }
            if let Some(reason) = self.rejected.get(&candidate) {
                reasons.push(reason.clone());
            } else if requirement.accepts(&candidate.version) {
                return Ok(Some(candidate));
            } else {
                reasons.push(has(&candidate, &candidate.version));
            }
        }
        let reason = if reasons.is_empty() { self.nobody(need) } else { reasons.join("; ") };
        walk.refuse(need, reason);
        Ok(None)
    }

    /// Says that nobody has a package.
    fn nobody(&self, need: &Need) -> String {
        let known = self.shelf.repositories();
        match (&need.wanted.requirement.repository, &need.wanted.origin) {
            (Some(repository), _) if !known.contains(repository) => format!("there is no repository `{repository}`"),
            (Some(repository), _) => format!("the repository `{repository}` has no such package"),
            (None, Some(origin)) => {
                format!("it is from {origin}: only a repository of yours that has this version can give it")
            }
            (None, None) if known.is_empty() => "the release has no such package".to_owned(),
            (None, None) => format!("neither the release nor {} has such a package", quoted(&known)),
        }
    }

    /// Looks into the files of candidates; those that cannot be used are rejected.
    fn open(&mut self, candidates: &BTreeSet<Candidate>) -> Result<()> {
        let fresh: Vec<_> = candidates.iter().filter(|one| !self.opened.contains_key(one)).cloned().collect();
        for (candidate, opened) in fresh.iter().zip(self.shelf.open(&fresh)?) {
            match opened {
                Ok(opened) => drop(self.opened.insert(candidate.clone(), opened)),
                Err(reason) => drop(self.rejected.insert(candidate.clone(), reason)),
            }
        }
        Ok(())
    }

    /// Checks that the chosen package is the one that is needed: R's names know case, Debian's do not.
    fn check(&mut self, walk: &Walk, need: &Need) {
        let requirement = &need.wanted.requirement;
        let Some(candidate) = walk.chosen.get(&requirement.name) else { return };
        let Some(opened) = self.opened.get(candidate) else { return };
        let field = |name| opened.description.field(name).unwrap_or_default();
        let reason = if field("Package") != requirement.name {
            format!("the package is called `{}`", field("Package"))
        } else if !requirement.accepts(field("Version")) {
            has(candidate, field("Version"))
        } else if requirement.repository.is_some() && candidate.repository != requirement.repository {
            "another package needs it without a repository".to_owned()
        } else {
            return;
        };
        self.rejected.insert(candidate.clone(), reason);
    }

    /// Checks a requirement of R itself; its own packages have its version.
    fn check_interpreter(&mut self, walk: &mut Walk, need: &Need) {
        let requirement = &need.wanted.requirement;
        if requirement.name != "R" || requirement.accepts(&self.r_version) {
            return;
        }
        match walk.chosen.get(&need.by) {
            Some(candidate) => {
                let reason = format!(
                    "{}, which needs {requirement}, and this R is {}",
                    has(candidate, &candidate.version),
                    self.r_version
                );
                self.rejected.insert(candidate.clone(), reason);
            }
            None => walk.refuse(need, format!("the release has {}", self.r_version)),
        }
    }

    /// Returns the names of the packages that R loads, rather than a compiler alone.
    fn loaded(&self, wanted: &[Wanted], walk: &Walk) -> Result<BTreeSet<String>> {
        let mut loaded = BTreeSet::new();
        let mut open: Vec<_> = wanted.iter().map(|wanted| wanted.requirement.name.clone()).collect();
        while let Some(name) = open.pop() {
            let Some(opened) = walk.chosen.get(&name).and_then(|candidate| self.opened.get(candidate)) else {
                continue;
            };
            if loaded.insert(name) {
                open.extend(read(opened, Description::needs)?.into_iter().map(|requirement| requirement.name));
            }
        }
        Ok(loaded)
    }

    /// Rejects Debian's binaries that were compiled for another version of a package than the one that R will load, if
    /// that one has objects: headers alone are in the binary already.
    fn reject_stale(&mut self, walk: &Walk, loaded: &BTreeSet<String>) -> Result<bool> {
        let mut stale = Vec::new();
        for candidate in walk.chosen.values().filter(|candidate| candidate.repository.is_none()) {
            let Some(opened) = self.opened.get(candidate) else { continue };
            for header in read(opened, Description::headers)?.iter().filter(|header| loaded.contains(&header.name)) {
                let Some(other) = walk.chosen.get(&header.name).filter(|other| other.repository.is_some()) else {
                    continue;
                };
                let compiled = |opened: &Opened| opened.description.field("NeedsCompilation") == Some("yes");
                if !self.opened.get(other).is_some_and(compiled) {
                    continue;
                }
                let same = |debian: Candidate| requirement::compare(upstream(&debian.version), &other.version).is_eq();
                if !self.shelf.debian(&header.name).is_some_and(same) {
                    let reason = format!("the release's was not compiled for `{}` {}", header.name, other.version);
                    stale.push((candidate.clone(), reason));
                }
            }
        }
        let found = !stale.is_empty();
        self.rejected.extend(stale);
        Ok(found)
    }

    fn finish(mut self, mut walk: Walk, loaded: &BTreeSet<String>) -> Result<Resolution> {
        if !walk.problems.is_empty() {
            return Err(CranError::Unavailable {
                suite: self.shelf.suite().to_owned(),
                repositories: !self.shelf.repositories().is_empty(),
                problems: walk.problems.into_iter().collect(),
            }
            .into());
        }
        let mut resolution = Resolution::default();
        for (name, candidate) in walk.chosen {
            let opened = self.opened.remove(&candidate).expect("what was not rejected was opened");
            let reasons = walk.reasons.remove(&name).unwrap_or_default().into_iter().collect();
            let list = if loaded.contains(&name) { &mut resolution.packages } else { &mut resolution.headers };
            list.push(Package { reasons, ..opened.package });
        }
        resolution.packages.sort();
        resolution.headers.sort();
        Ok(resolution)
    }
}

impl Walk {
    fn refuse(&mut self, need: &Need, reason: String) {
        let by = if need.by == MANIFEST { "the manifest".to_owned() } else { need.by.clone() };
        self.problems.insert(Problem { requirement: need.wanted.requirement.to_string(), by, reason });
    }
}

/// What a package needs: to be loaded and, if it is a source, to be compiled.
fn needs_of(opened: &Opened) -> Result<Vec<Need>, CranError> {
    let mut needs = read(opened, Description::needs)?;
    if opened.source {
        needs.extend(read(opened, Description::headers)?);
    }
    let by = opened.description.field("Package").unwrap_or_default();
    let need = |requirement| Need { wanted: Wanted { requirement, origin: None }, by: by.to_owned() };
    Ok(needs.into_iter().map(need).collect())
}

fn read(
    opened: &Opened,
    field: fn(&Description) -> Result<Vec<Requirement>, super::Unreadable>,
) -> Result<Vec<Requirement>, CranError> {
    field(&opened.description).map_err(|source| CranError::Description { package: opened.package.name.clone(), source })
}

fn has(candidate: &Candidate, version: &str) -> String {
    match &candidate.repository {
        Some(repository) => format!("the repository `{repository}` has {version}"),
        None => format!("the release has {version}"),
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" nor ")
}

#[cfg(test)]
mod tests;
