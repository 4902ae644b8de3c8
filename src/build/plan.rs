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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn package(kind: PackageKind, name: &str, size: u64) -> Package {
        Package {
            kind,
            name: name.to_owned(),
            version: "1".to_owned(),
            architecture: None,
            source: None,
            release: None,
            path: String::new(),
            size,
            sha256: Digest::of(name.as_bytes()),
            reasons: Vec::new(),
        }
    }

    #[test]
    fn each_package_is_in_one_layer_and_large_ones_stand_alone() {
        let runtime = Runtime::find("python", "3.11").unwrap();
        let packages = [
            package(PackageKind::Deb, "base-files", 1),
            package(PackageKind::Deb, "libc6", 1),
            package(PackageKind::Deb, "libgomp1", 1),
            package(PackageKind::Deb, "python3.11", 1),
            package(PackageKind::Wheel, "numpy", LARGE),
            package(PackageKind::Wheel, "six", 1),
        ];
        let groups = groups(&packages, &runtime);
        let listed: Vec<(&str, Vec<&str>)> = groups
            .iter()
            .map(|group| (group.name.as_str(), group.packages.iter().map(|package| package.name.as_str()).collect()))
            .collect();
        let expected = [
            ("base", vec!["base-files", "libc6"]),
            ("runtime", vec!["python3.11"]),
            ("libraries", vec!["libgomp1"]),
            ("packages", vec!["six"]),
            ("numpy", vec!["numpy"]),
        ];
        assert_eq!(listed, expected);
    }

    #[test]
    fn only_the_largest_packages_get_layers_of_their_own() {
        let runtime = Runtime::find("python", "3.11").unwrap();
        let packages: Vec<_> =
            (0..20).map(|number| package(PackageKind::Wheel, &format!("w{number:02}"), LARGE + number)).collect();
        let groups = groups(&packages, &runtime);
        assert_eq!(groups.len(), LARGE_LIMIT + 1);
        assert_eq!(groups[0].packages.len(), packages.len() - LARGE_LIMIT);
    }
}
