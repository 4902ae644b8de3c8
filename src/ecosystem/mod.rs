//! Packaging worlds: each turns requirements into locked packages, and a locked package into a file tree.
//!
//! All that is specific to Debian, to the Python index or to CRAN stays in its folder; `resolve` and `build` see only
//! [`Ecosystem`] and [`Worlds`], which sends each package to its own world.

pub mod cran;
pub mod debian;
pub mod pypi;
mod worlds;

pub use worlds::{Chosen, Settings, Unpacked, Worlds};

use crate::error::Result;
use crate::fetch::Blob;
use crate::layer::tree::Tree;
use crate::lock::{Package, PackageKind};

/// One packaging world, opened for one platform and release.
pub trait Ecosystem: Sync + Send {
    /// The packages that this world has.
    fn kind(&self) -> PackageKind;

    /// Returns a package's file, from the cache or the network, verified against the lock.
    fn fetch(&self, package: &Package) -> Result<Blob>;

    /// Returns what [`unpack`](Self::unpack) gave before, without the package's file; whether the content store still has
    /// all that the tree refers to is for the caller to see.
    fn known(&self, package: &Package) -> Result<Option<Tree>>;

    /// Returns the files that a package installs, as they shall stand in the image, with its record for scanners.
    ///
    /// The bytes go into the content store once.
    fn unpack(&self, package: &Package, blob: &Blob) -> Result<Tree>;
}
