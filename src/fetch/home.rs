//! The folders that mlpack keeps on this machine.

use std::path::{Path, PathBuf};

use super::derived::Derived;
use super::store::BlobStore;
use crate::fs;

/// Where mlpack keeps things: a cache that may be deleted at any time, and the local image store.
#[derive(Clone, Debug)]
pub struct Home {
    cache: PathBuf,
    images: PathBuf,
}

impl Home {
    /// Returns the home with everything below one folder, as `MLPACK_HOME` asks for.
    pub fn below(root: &Path) -> Self {
        Self { cache: root.join("cache"), images: root.join("images") }
    }

    /// Returns the home with the platform's folders for caches and for data.
    pub fn new(cache: PathBuf, images: PathBuf) -> Self {
        Self { cache, images }
    }

    /// Returns the store of downloads and unpacked packages.
    pub fn blobs(&self) -> fs::Result<BlobStore> {
        BlobStore::open(&self.cache)
    }

    /// Returns the store of values derived from blobs.
    pub fn derived(&self) -> Derived {
        Derived::new(&self.cache.join("derived"))
    }

    /// Returns the folder of layers laid out on disk, each under its digest.
    pub fn trees(&self) -> PathBuf {
        self.cache.join("trees")
    }

    /// Returns the folder for what a run needs only while it lasts, and creates it where it is missing.
    pub fn temporary(&self) -> fs::Result<PathBuf> {
        let folder = self.cache.join("tmp");
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Returns the folder of the local image store, an OCI image layout.
    pub fn images(&self) -> &Path {
        &self.images
    }

    /// Returns the cache folder.
    pub fn cache(&self) -> &Path {
        &self.cache
    }
}
