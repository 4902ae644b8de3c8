//! Debian's packages as an [`Ecosystem`]: the archive's pool, and unpacking.

use super::{Archive, Pool, Root, deb};
use crate::ecosystem::Ecosystem;
use crate::error::Result;
use crate::fetch::derived::Derived;
use crate::fetch::{Blob, BlobStore, pack};
use crate::layer::tree::Tree;
use crate::lock::{Package, PackageKind};
use crate::platform::Platform;

/// Fetches and unpacks locked Debian packages. It needs no index: the lock says what each file must be.
#[derive(Clone)]
pub struct Debs {
    pool: Pool,
    blobs: BlobStore,
    derived: Derived,
    platform: Platform,
}

impl Debs {
    /// Returns the packages of one platform.
    pub fn new(pool: Pool, blobs: BlobStore, derived: Derived, platform: Platform) -> Self {
        Self { pool, blobs, derived, platform }
    }

    /// Returns a package with its control data and maintainer scripts; fetches and unpacks it where it is not known.
    pub fn open(&self, package: &Package) -> Result<deb::Unpacked> {
        if let Some(known) = deb::known(&self.derived, package, self.platform)?
            && pack::is_there(&self.blobs, &known.tree)?
        {
            return Ok(known);
        }
        let blob = self.pool.fetch(package)?;
        Ok(deb::unpack(&self.blobs, &self.derived, package, &blob, self.platform)?)
    }

    /// Returns the first file whose path ends in `suffix`, of the archive's package `name`; `None` where it has none.
    pub fn file(&self, archive: &Archive, name: &str, suffix: &str) -> Result<Option<Vec<u8>>> {
        let root = Root { relation: name.to_owned(), reason: "tool".to_owned() };
        for package in archive.resolve_only(&[root])? {
            let tree = self.open(&package)?.tree;
            let found = tree.iter().find(|(path, _)| path.as_str().ends_with(suffix));
            if let Some(content) = found.and_then(|(_, node)| node.content()) {
                return Ok(Some(pack::read(&self.blobs, content)?));
            }
        }
        Ok(None)
    }
}

impl Ecosystem for Debs {
    fn kind(&self) -> PackageKind {
        PackageKind::Deb
    }

    fn fetch(&self, package: &Package) -> Result<Blob> {
        self.pool.fetch(package)
    }

    fn known(&self, package: &Package) -> Result<Option<Tree>> {
        Ok(deb::known(&self.derived, package, self.platform)?.map(|known| known.tree))
    }

    fn unpack(&self, package: &Package, blob: &Blob) -> Result<Tree> {
        Ok(deb::unpack(&self.blobs, &self.derived, package, blob, self.platform)?.tree)
    }
}
