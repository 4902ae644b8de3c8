//! The packages as one system: which path is there, whose scripts there are.

use std::collections::BTreeMap;

use crate::ecosystem::debian::deb::Unpacked;
use crate::fetch::{BlobStore, pack};
use crate::fs;
use crate::layer::tree::{Kind, Node};
use crate::lock;

/// All unpacked packages, by name.
pub(super) struct Installed<'a> {
    packages: BTreeMap<&'a str, &'a Unpacked>,
    /// Every path of every package; of a folder that many have, the first package's node.
    paths: BTreeMap<&'a str, &'a Node>,
    store: &'a BlobStore,
}

impl<'a> Installed<'a> {
    pub(super) fn new(packages: &'a [(lock::Package, Unpacked)], store: &'a BlobStore) -> Self {
        let packages: BTreeMap<_, _> = packages.iter().map(|(package, unpacked)| (&*package.name, unpacked)).collect();
        let mut paths = BTreeMap::new();
        for unpacked in packages.values() {
            for (path, node) in unpacked.tree.iter() {
                paths.entry(path.as_str()).or_insert(node);
            }
        }
        Self { packages, paths, store }
    }

    /// Returns the packages in order of name.
    pub(super) fn packages(&self) -> impl Iterator<Item = (&'a str, &'a Unpacked)> {
        self.packages.iter().map(|(name, unpacked)| (*name, *unpacked))
    }

    /// Returns what a package has at a path of the merged tree; links are not followed.
    pub(super) fn get(&self, path: &str) -> Option<&'a Node> {
        self.paths.get(path).copied()
    }

    /// Returns the files below a folder, in order of path.
    pub(super) fn files_below(&self, folder: &str) -> impl Iterator<Item = &'a str> {
        let prefix = format!("{folder}/");
        let all = self.paths.range::<str, _>((std::ops::Bound::Included(&*prefix), std::ops::Bound::Unbounded));
        let below: Vec<_> = all.take_while(|(path, _)| path.starts_with(&prefix)).collect();
        below.into_iter().filter(|(_, node)| matches!(node.kind, Kind::File(_))).map(|(path, _)| *path)
    }

    /// Reads a file of a package; `None` where there is none.
    pub(super) fn read(&self, path: &str) -> fs::Result<Option<Vec<u8>>> {
        self.get(path).and_then(Node::content).map(|content| pack::read(self.store, content)).transpose()
    }
}
