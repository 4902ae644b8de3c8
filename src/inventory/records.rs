//! Which package owns which file, by the records that packages leave in an image.
//!
//! dpkg's are in `status.d`, where images without dpkg keep them; wheels leave a `.dist-info` folder, R packages a
//! `DESCRIPTION` in a folder of their name. A file that two packages claim is the first one's.

use std::collections::HashMap;

use super::listing::Listing;
use crate::ecosystem::debian::control::Stanza;
use crate::ecosystem::debian::deb::record::FOLDER;
use crate::ecosystem::pypi::{name, recorded_paths};
use crate::layer::tree::TreePath;
use crate::lock::PackageKind;

/// The ending of a Debian package's list of files.
const SUMS: &str = ".md5sums";

/// A package, as its record names it.
#[derive(Debug)]
pub(super) struct Package {
    pub kind: PackageKind,
    pub name: String,
    pub version: String,
    /// The record's path.
    record: String,
}

/// The packages of an image, and what they own. Packages are named by their place in the list.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// The packages.
    pub packages: Vec<Package>,
    files: HashMap<String, usize>,
    /// Folders of R packages that have no list of files.
    folders: HashMap<String, usize>,
}

/// Whether a file is a package's record, or part of one.
pub(super) fn is_record(path: &str) -> bool {
    let is_info = |name: &str| path.strip_suffix(name).is_some_and(|folder| folder.ends_with(".dist-info/"));
    path.strip_prefix(FOLDER).is_some_and(|rest| rest.starts_with('/'))
        || is_info("METADATA")
        || is_info("RECORD")
        || path.ends_with("/DESCRIPTION")
}

impl Owners {
    /// Reads all records of an image's layers.
    pub(super) fn find(listings: &[Listing]) -> Self {
        let mut owners = Self::default();
        for (path, bytes) in listings.iter().flat_map(|listing| &listing.records) {
            let text = String::from_utf8_lossy(bytes);
            let sibling = |path: &str| listings.iter().find_map(|listing| listing.records.get(path));
            let list = |path: &str| sibling(path).map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
            if path.starts_with(FOLDER) && !path.ends_with(SUMS) {
                owners.add_deb(path, &text, &list(&format!("{path}{SUMS}")));
            } else if let Some(info) = path.strip_suffix("/METADATA") {
                owners.add_wheel(path, info, &text, &list(&format!("{info}/RECORD")));
            } else if let Some(folder) = path.strip_suffix("/DESCRIPTION") {
                owners.add_r(path, folder, &text);
            }
        }
        owners
    }

    /// Returns the owner of a file. A compiled Python module is its source's owner's.
    pub(super) fn of(&self, path: &str) -> Option<usize> {
        let source = || self.files.get(&python_source(path)?).copied();
        let folder = || {
            let mut ends = path.match_indices('/').map(|(end, _)| end);
            ends.find_map(|end| self.folders.get(&path[..end])).copied()
        };
        self.files.get(path).copied().or_else(source).or_else(folder)
    }

    /// Returns the package that has its record in a layer, where no other has.
    pub(super) fn only(&self, listing: &Listing) -> Option<usize> {
        let mut here =
            (0..self.packages.len()).filter(|package| listing.records.contains_key(&self.packages[*package].record));
        here.next().filter(|_| here.next().is_none())
    }

    fn add_deb(&mut self, path: &str, status: &str, sums: &str) {
        let stanza = Stanza::new(status);
        let (Some(name), Some(version)) = (stanza.field("Package"), stanza.field("Version")) else { return };
        let listed = sums.lines().filter_map(|line| line.split_once("  ")).map(|(_, path)| path.to_owned());
        let own = [path.to_owned(), format!("{path}{SUMS}")];
        self.add(PackageKind::Deb, name, version, path, listed.chain(own));
    }

    fn add_wheel(&mut self, path: &str, info: &str, metadata: &str, record: &str) {
        // The description of the package follows the first empty line.
        let header = Stanza::new(metadata.split("\n\n").next().unwrap_or_default());
        let (Some(name), Some(version)) = (header.field("Name"), header.field("Version")) else { return };
        let site = info.rsplit_once('/').map_or("", |(site, _)| site);
        let listed = recorded_paths(record).filter_map(|file| below(site, &file));
        self.add(PackageKind::Wheel, &name::normalise(name), version, path, listed.chain([path.to_owned()]));
    }

    fn add_r(&mut self, path: &str, folder: &str, description: &str) {
        let stanza = Stanza::new(description);
        let (Some(name), Some(version)) = (stanza.field("Package"), stanza.field("Version")) else { return };
        let is_its_own = folder.rsplit('/').next() == Some(name);
        // Debian's packages of R packages own their files by list.
        if is_its_own && !self.files.contains_key(path) {
            self.folders.insert(folder.to_owned(), self.packages.len());
            self.add(PackageKind::R, name, version, path, std::iter::empty());
        }
    }

    fn add(&mut self, kind: PackageKind, name: &str, version: &str, record: &str, files: impl Iterator<Item = String>) {
        let place = self.packages.len();
        for file in files {
            self.files.entry(file).or_insert(place);
        }
        let [name, version, record] = [name, version, record].map(str::to_owned);
        self.packages.push(Package { kind, name, version, record });
    }
}

/// Returns the module that a compiled one was made of: `a/b.py` for `a/__pycache__/b.cpython-311.pyc`.
fn python_source(path: &str) -> Option<String> {
    let (folder, file) = path.rsplit_once("/__pycache__/")?;
    let module = file.strip_suffix(".pyc")?.split('.').next()?;
    Some(format!("{folder}/{module}.py"))
}

/// Returns where a path that may begin with `..` leads from a folder; `None` where it leads out of the image.
fn below(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<_> = folder.split('/').collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    TreePath::new(&parts.join("/")).ok().map(String::from)
}
