//! Why something is in the image: the chain from what was asked for to it, read from the lock alone.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde::Serialize;

use super::owner;
use crate::lock::{Package, PackageKind, PlatformLock};

/// The project's own code, as a reason.
const PROJECT: &str = "service";

/// How one step leads to the next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// Its objects need a library that the next one has.
    Library(String),
    /// It depends on the next one, runs its programs or reads its data.
    Depends,
}

/// Something that was asked for, or a package that something else needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What: `wheel:numpy`, `deb:libc6`, `artifact:model`, `service`.
    pub name: String,
    /// The package's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why it is here, for the first step: `manifest`, `runtime`, `base` or `essential`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// How the step before leads to this one; none for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
}

/// Returns the packages that `name` stands for: a package's name, with or without its kind, or a library's soname.
pub fn find<'a>(lock: &'a PlatformLock, name: &str) -> Vec<&'a Package> {
    let provides = |package: &Package| {
        let owner = owner(package);
        lock.libraries.iter().any(|library| library.soname == name && library.provider == owner)
    };
    let is_named = |package: &&Package| package.name == name || owner(package) == name || provides(package);
    lock.packages.iter().filter(is_named).collect()
}

/// Returns the shortest chain from something that was asked for to a package. What the manifest asks for comes before
/// what every image has.
pub fn chain(lock: &PlatformLock, package: &Package) -> Vec<Step> {
    let packages: HashMap<String, &Package> = lock.packages.iter().map(|package| (owner(package), package)).collect();
    // From the package back to what was asked for: who led here first, and how.
    let mut next: HashMap<String, (String, Link)> = HashMap::new();
    let mut queue = VecDeque::from([owner(package)]);
    let mut seen: BTreeSet<String> = queue.iter().cloned().collect();
    let mut roots: Vec<(usize, String, Option<String>)> = Vec::new();
    while let Some(name) = queue.pop_front() {
        let asked_by = packages.get(&name).map_or(Some(None), |package| asked_by(package).map(Some));
        if let Some(asked_by) = asked_by {
            roots.push((rank(asked_by.as_deref()), name, asked_by));
            continue;
        }
        for (parent, link) in parents(lock, &packages, &name) {
            if seen.insert(parent.clone()) {
                next.insert(parent.clone(), (name.clone(), link));
                queue.push_back(parent);
            }
        }
    }
    // The search went by length: among equals in rank the first is the nearest.
    let nearest = roots.into_iter().min_by_key(|(rank, ..)| *rank);
    let Some((_, mut name, asked_by)) = nearest else { return Vec::new() };
    let step = |name: &str, asked_by, link| {
        let version = packages.get(name).map(|package| package.version.clone());
        Step { name: name.to_owned(), version, asked_by, link }
    };
    let mut steps = vec![step(&name, asked_by, None)];
    while let Some((following, link)) = next.remove(&name) {
        steps.push(step(&following, None, Some(link)));
        name = following;
    }
    steps
}

/// Returns who needs a package directly, with the links, sorted.
pub fn needed_by(lock: &PlatformLock, package: &Package) -> BTreeSet<(String, Link)> {
    let packages = lock.packages.iter().map(|package| (owner(package), package)).collect();
    parents(lock, &packages, &owner(package))
}

fn parents(lock: &PlatformLock, packages: &HashMap<String, &Package>, name: &str) -> BTreeSet<(String, Link)> {
    let edges = lock.libraries.iter().filter(|library| library.provider == name);
    let mut parents: BTreeSet<_> = edges
        .flat_map(|edge| edge.needed_by.iter().map(|needer| (needer.clone(), Link::Library(edge.soname.clone()))))
        .collect();
    let Some(package) = packages.get(name) else { return parents };
    for reason in &package.reasons {
        // A package's own kind first: a wheel depends on wheels, but may run a program of a Debian package.
        let kinds = [package.kind, PackageKind::Deb, PackageKind::Wheel, PackageKind::R];
        if reason == PROJECT {
            parents.insert((reason.clone(), Link::Depends));
        }
        let candidates = kinds.iter().map(|kind| format!("{}:{reason}", kind.name()));
        parents
            .extend(candidates.into_iter().find(|name| packages.contains_key(name)).map(|name| (name, Link::Depends)));
    }
    parents
}

/// Returns why a package is here by itself.
fn asked_by(package: &Package) -> Option<String> {
    let roots = ["manifest", "runtime", "base", "essential"];
    roots.iter().find(|root| package.reasons.iter().any(|reason| reason == *root)).map(|root| (*root).to_owned())
}

/// The user's own wishes come first.
fn rank(asked_by: Option<&str>) -> usize {
    match asked_by {
        None | Some("manifest") => 0,
        Some("runtime") => 1,
        _ => 2,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::lock::{Library, ServerLock};

    pub(in crate::resolve) fn package(kind: PackageKind, name: &str, reasons: &[&str]) -> Package {
        Package {
            kind,
            name: name.to_owned(),
            version: "1".to_owned(),
            architecture: None,
            source: None,
            release: None,
            path: String::new(),
            size: 0,
            sha256: Digest::of(b""),
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
        }
    }

    fn library(soname: &str, provider: &str, needed_by: &[&str]) -> Library {
        let needed_by = needed_by.iter().map(|name| (*name).to_owned()).collect();
        Library { soname: soname.to_owned(), provider: provider.to_owned(), needed_by }
    }

    fn lock() -> PlatformLock {
        PlatformLock {
            suite: "bookworm".to_owned(),
            date: 0,
            server: ServerLock { version: String::new(), sha256: Digest::of(b""), size: 0 },
            image: None,
            compilation: None,
            releases: Vec::new(),
            packages: vec![
                package(PackageKind::Deb, "libc6", &["libc.so.6"]),
                package(PackageKind::Deb, "libmagic-mgc", &["libmagic1"]),
                package(PackageKind::Deb, "libmagic1", &["libmagic.so.1"]),
                package(PackageKind::Deb, "python3.11", &["runtime"]),
                package(PackageKind::Wheel, "python-magic", &["tool"]),
                package(PackageKind::Wheel, "tool", &["manifest"]),
            ],
            libraries: vec![
                library("libc.so.6", "deb:libc6", &["deb:libmagic1", "deb:python3.11"]),
                library("libmagic.so.1", "deb:libmagic1", &["wheel:python-magic"]),
            ],
            actions: Vec::new(),
        }
    }

    fn names(lock: &PlatformLock, name: &str) -> Vec<String> {
        chain(lock, find(lock, name)[0]).into_iter().map(|step| step.name).collect()
    }

    #[test]
    fn a_chain_starts_at_what_the_manifest_asks_for() {
        let lock = lock();
        let expected = ["wheel:tool", "wheel:python-magic", "deb:libmagic1", "deb:libmagic-mgc"];
        assert_eq!(names(&lock, "libmagic-mgc"), expected);
        assert_eq!(names(&lock, "libmagic.so.1"), expected[..3]);
        assert_eq!(names(&lock, "wheel:tool"), ["wheel:tool"]);
        let steps = chain(&lock, find(&lock, "libmagic1")[0]);
        assert_eq!(steps[0].asked_by.as_deref(), Some("manifest"));
        assert_eq!(steps[2].link, Some(Link::Library("libmagic.so.1".to_owned())));
        assert!(find(&lock, "libnone").is_empty());
    }

    #[test]
    fn the_projects_own_objects_are_asked_for_by_themselves() {
        let mut lock = lock();
        lock.packages.push(package(PackageKind::Deb, "libgomp1", &["libgomp.so.1"]));
        lock.libraries.push(library("libgomp.so.1", "deb:libgomp1", &["artifact:model"]));
        assert_eq!(names(&lock, "libgomp1"), ["artifact:model", "deb:libgomp1"]);
    }

    #[test]
    fn packages_that_need_each_other_end() {
        let mut lock = lock();
        lock.packages = vec![package(PackageKind::Deb, "a", &["b"]), package(PackageKind::Deb, "b", &["a"])];
        assert!(names(&lock, "a").is_empty());
    }
}
