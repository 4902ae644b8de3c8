//! R packages of repositories as an [`Ecosystem`]: their files, binaries unpacked, sources as they were compiled.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::package;
use super::{CranError, Repository};
use crate::ecosystem::Ecosystem;
use crate::error::Result;
use crate::fetch::derived::Derived;
use crate::fetch::http::Http;
use crate::fetch::{Blob, BlobStore, Home};
use crate::layer::tree::Tree;
use crate::lock::{Package, PackageKind};
use crate::manifest::Manifest;

/// The R packages of one image that are not Debian's.
pub struct RPackages {
    manifest: Manifest,
    configured: Vec<(String, String)>,
    http: Http,
    blobs: BlobStore,
    derived: Derived,
    /// What was compiled in this run, by name.
    compiled: Mutex<BTreeMap<String, Tree>>,
}

impl RPackages {
    /// Returns the packages of the repositories that a manifest names, and of those `configured` as names and addresses.
    pub fn new(home: &Home, http: &Http, manifest: &Manifest, configured: &[(String, String)]) -> Result<Self> {
        Ok(Self {
            manifest: manifest.clone(),
            configured: configured.to_vec(),
            http: http.clone(),
            blobs: home.blobs()?,
            derived: home.derived(),
            compiled: Mutex::default(),
        })
    }

    /// Returns the repositories. Where nothing says the address of one, that is an error only now.
    pub fn repositories(&self) -> Result<Vec<Repository>> {
        let listed = super::listed_repositories(&self.manifest.runtime.packages)?;
        Ok(Repository::find(&self.manifest, &listed, &self.configured)?)
    }

    /// Keeps a package that was compiled, so that it can be unpacked.
    pub fn keep(&self, name: &str, tree: Tree) {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), tree);
    }
}

impl Ecosystem for RPackages {
    fn kind(&self) -> PackageKind {
        PackageKind::R
    }

    fn fetch(&self, package: &Package) -> Result<Blob> {
        if let Some(blob) = self.blobs.get(&package.sha256)?.filter(|blob| blob.size == package.size) {
            return Ok(blob);
        }
        let name = package.release.clone().unwrap_or_default();
        let repositories = self.repositories()?;
        let repository = repositories.iter().find(|repository| repository.name() == name);
        let repository = repository.ok_or(CranError::Unplaced { repository: name })?;
        repository.fetch_locked(package, &self.blobs, &self.http)
    }

    fn known(&self, package: &Package) -> Result<Option<Tree>> {
        let compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner).get(&package.name).cloned();
        Ok(compiled.or_else(|| package::known(package, &self.derived)))
    }

    fn unpack(&self, package: &Package, blob: &Blob) -> Result<Tree> {
        if package::facts(&package.name, blob, &self.derived)?.is_source() {
            return Err(CranError::NotCompiled { package: package.name.clone() }.into());
        }
        package::unpack(&package.name, blob, &self.blobs, &self.derived)
    }
}
