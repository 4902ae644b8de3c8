//! Wheels as an [`Ecosystem`]: chosen by uv, fetched from the user's indexes, unpacked by us.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use url::Url;

use super::uv::{Target, Uv};
use super::{Indexes, Python, Requirements, Settings, simple, wheel};
use crate::ecosystem::Ecosystem;
use crate::error::Result;
use crate::fetch::derived::Derived;
use crate::fetch::http::Http;
use crate::fetch::{Blob, BlobStore, Home};
use crate::layer::tree::Tree;
use crate::lock::{Package, PackageKind};
use crate::platform::Platform;

/// Gives pip's own wheel, see [`Indexes::new`].
type PipWheel = Box<dyn Fn() -> Result<Vec<u8>> + Send + Sync>;

/// The Python packages of one image.
pub struct Wheels {
    home: Home,
    http: Http,
    blobs: BlobStore,
    derived: Derived,
    settings: Settings,
    python: Python,
    platform: Platform,
    uv: Option<PathBuf>,
    pip_wheel: PipWheel,
    /// Read when first needed: a build that finds all in the cache asks no index.
    indexes: OnceLock<Indexes>,
    /// Where files were seen while locking in this run.
    urls: Mutex<BTreeMap<String, Url>>,
}

impl Wheels {
    /// Returns the packages for one Python and platform; `uv` is the user's own program, where not the pinned one.
    pub fn new(
        home: &Home,
        http: &Http,
        settings: Settings,
        (python, platform): (Python, Platform),
        uv: Option<PathBuf>,
        pip_wheel: PipWheel,
    ) -> Result<Self> {
        Ok(Self {
            home: home.clone(),
            http: http.clone(),
            blobs: home.blobs()?,
            derived: home.derived(),
            settings,
            python,
            platform,
            uv,
            pip_wheel,
            indexes: OnceLock::new(),
            urls: Mutex::default(),
        })
    }

    /// Chooses wheels for `requirements`; `folder` is the manifest's, `glibc` the minor version of the image's C library.
    pub fn resolve(&self, requirements: &Requirements, folder: &std::path::Path, glibc: u32) -> Result<Vec<Package>> {
        let indexes = self.indexes()?;
        let uv = match &self.uv {
            Some(program) => Uv::own(program, self.home.cache()),
            None => Uv::pinned(&self.home, indexes, &self.http)?,
        };
        let target = Target { python: self.python.clone(), platform: self.platform, glibc };
        let resolution = uv.resolve(requirements, folder, &target, indexes, &self.http)?;
        self.urls.lock().unwrap_or_else(PoisonError::into_inner).extend(resolution.urls);
        Ok(resolution.packages)
    }

    fn indexes(&self) -> Result<&Indexes> {
        if let Some(indexes) = self.indexes.get() {
            return Ok(indexes);
        }
        let indexes = Indexes::new(&self.settings, || (self.pip_wheel)())?;
        Ok(self.indexes.get_or_init(|| indexes))
    }
}

impl Ecosystem for Wheels {
    fn kind(&self) -> PackageKind {
        PackageKind::Wheel
    }

    fn fetch(&self, package: &Package) -> Result<Blob> {
        if let Some(blob) = self.blobs.get(&package.sha256)?.filter(|blob| blob.size == package.size) {
            return Ok(blob);
        }
        let known = self.urls.lock().unwrap_or_else(PoisonError::into_inner).get(&package.path).cloned();
        Ok(simple::fetch(package, known.as_ref(), self.indexes()?, &self.blobs, &self.http)?)
    }

    fn known(&self, package: &Package) -> Result<Option<Tree>> {
        Ok(wheel::known(&self.derived, package, &self.python, self.platform)?)
    }

    fn unpack(&self, package: &Package, blob: &Blob) -> Result<Tree> {
        Ok(wheel::unpack(&self.blobs, &self.derived, package, blob, &self.python, self.platform)?)
    }
}
