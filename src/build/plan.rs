//! Which packages share a layer: by how often they change and who shares them.
//!
//! The base and the runtime change with Debian's point releases and are the same for every project; large packages stand
//! alone, so that a new version of one moves only that one; the small ones share. The plan depends on the lock alone.

use crate::lock::{Package, PackageKind};
use crate::runtime::Runtime;

/// A package file of this many bytes gets a layer of its own.
const LARGE: u64 = 8 << 20;
/// So many packages at most get layers of their own; registries and engines slow down past some dozens of layers.
const LARGE_LIMIT: usize = 10;

/// The packages of one layer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group<'a> {
    /// The layer's name, such as `base` or `numpy`.
    pub name: String,
    /// Its packages, in the lock's order.
    pub packages: Vec<&'a Package>,
}

/// Splits a lock's packages into layers, lowest first. Every package is in exactly one.
pub(super) fn groups<'a>(packages: &'a [Package], runtime: &Runtime) -> Vec<Group<'a>> {
    let large = large(packages);
    let mut groups: Vec<Group<'a>> = Vec::new();
    for name in ["base", "runtime", "libraries", "packages"] {
        groups.push(Group { name: name.to_owned(), packages: Vec::new() });
    }
    for package in packages {
        let name = if is_base(package, runtime) {
            "base"
        } else if package.kind == PackageKind::Deb && runtime.packages.contains(&package.name) {
            "runtime"
        } else if large.contains(&package) {
            groups.push(Group { name: package.name.clone(), packages: vec![package] });
            continue;
        } else if package.kind == PackageKind::Deb && !package.name.starts_with("r-") {
            "libraries"
        } else {
            "packages"
        };
        let group = groups.iter_mut().find(|group| group.name == name);
        group.expect("the four names were pushed above").packages.push(package);
    }
    groups.retain(|group| !group.packages.is_empty());
    groups
}

/// The C library and what every image has.
fn is_base(package: &Package, runtime: &Runtime) -> bool {
    package.kind == PackageKind::Deb && (runtime.base.contains(&package.name) || package.name == "libc6")
}

fn large(packages: &[Package]) -> Vec<&Package> {
    let mut large: Vec<_> = packages.iter().filter(|package| package.size >= LARGE).collect();
    large.sort_by_key(|package| (std::cmp::Reverse(package.size), &package.name));
    large.truncate(LARGE_LIMIT);
    large
}
