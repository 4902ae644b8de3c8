//! Vendoring: every input of a lock kept as one OCI artifact, so that the image can be built when mirrors have moved on.
//!
//! The artifact has a blob for each package file and server program. It lies in a folder, which is an OCI image layout,
//! or in a registry. It is read by the digests of the lock, and what comes from it is checked like what comes from a mirror.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use crate::digest::Digest;
use crate::error::{Diagnose, Exit, Result};
use crate::event::Report;
use crate::fetch::derived::Derived;
use crate::fetch::{Blob, BlobStore};
use crate::fs;
use crate::image::sink::Layout;
use crate::image::{self, ArtifactFile, Descriptor, ImageStore};
use crate::lock::{Package, PackageKind, PlatformLock};
use crate::platform::Platform;
use crate::registry::reference::ReferenceError;
use crate::registry::{Connection, Reference, pull, push};

/// The artifact's type.
const ARTIFACT_TYPE: &str = "application/vnd.mlpack.inputs.v1";
/// The media type of a server program.
const SERVER: &str = "application/vnd.mlpack.server.v1";

/// Where vendored inputs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An image layout.
    Folder(PathBuf),
    /// An artifact in a registry.
    Registry(Reference),
}

impl Place {
    /// Fails where something else is in the folder.
    pub fn check_free(&self) -> Result<()> {
        match self {
            Self::Folder(folder) => Ok(Layout::new(folder).check_place()?),
            Self::Registry(_) => Ok(()),
        }
    }
}

impl FromStr for Place {
    type Err = ReferenceError;

    /// Reads a reference where the text begins with a host name, as Docker tells it; any other text is a folder.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let host = text.split_once('/').map_or("", |(host, _)| host);
        if !text.starts_with('.') && (host.contains(['.', ':']) || host == "localhost") {
            return Ok(Self::Registry(text.parse()?));
        }
        Ok(Self::Folder(text.into()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Registry(reference) => reference.fmt(f),
        }
    }
}

/// The folder holds no vendored inputs.
#[derive(Debug, thiserror::Error)]
#[error("`{}` holds no vendored inputs", path.display())]
pub struct NotVendored {
    path: PathBuf,
}

impl Diagnose for NotVendored {
    fn exit(&self) -> Exit {
        Exit::Failure
    }

    fn hints(&self) -> Vec<String> {
        vec![format!("`mlpack vendor {}` fills it", self.path.display())]
    }
}

/// The inputs of one project, for all of its platforms.
#[derive(Debug, Default)]
pub struct Inputs(BTreeMap<Digest, ArtifactFile>);

impl Inputs {
    /// Adds what the lock names for one platform.
    pub fn add(&mut self, platform: Platform, lock: &PlatformLock) {
        let server = ArtifactFile {
            name: format!("mlpack-server-{}", platform.machine()),
            media_type: SERVER,
            digest: lock.server.sha256,
            size: lock.server.size,
        };
        let files = lock.inputs().map(package_file).chain([server]);
        self.0.extend(files.map(|file| (file.digest, file)));
    }

    /// Returns the number of files and of their bytes.
    pub fn size(&self) -> (usize, u64) {
        (self.0.len(), self.0.values().map(|file| file.size).sum())
    }

    /// Keeps the inputs in a folder under `name`; other projects' inputs in it stay. `blobs` has them all.
    pub fn write(&self, blobs: &BlobStore, folder: &Path, name: &str) -> Result<Descriptor> {
        let store = ImageStore::at(folder)?;
        let _in_use = store.protect()?;
        for file in self.0.values() {
            if store.blobs().get(&file.digest)?.is_none() {
                let source = fs::open(&blobs.path(&file.digest))?;
                store.blobs().insert(&file.name, source, file.digest, file.size)?;
            }
        }
        let artifact = self.artifact(store.blobs())?;
        store.tag(name, &artifact)?;
        Ok(artifact)
    }

    /// Sends the inputs to a registry. `blobs` has them all.
    pub fn push(
        &self,
        blobs: &BlobStore,
        derived: &Derived,
        reference: &Reference,
        connection: &Connection,
        report: &Arc<dyn Report>,
    ) -> Result<Descriptor> {
        let artifact = self.artifact(blobs)?;
        push::push(reference, connection, blobs, derived, &artifact, report)?;
        Ok(artifact)
    }

    fn artifact(&self, blobs: &BlobStore) -> Result<Descriptor> {
        let mut files: Vec<_> = self.0.values().cloned().collect();
        files.sort_by(|one, other| (&one.name, one.digest).cmp(&(&other.name, other.digest)));
        Ok(image::artifact(blobs, ARTIFACT_TYPE, &files)?)
    }
}

fn package_file(package: &Package) -> ArtifactFile {
    let media_type = match package.kind {
        PackageKind::Deb => "application/vnd.debian.binary-package",
        PackageKind::Wheel => "application/vnd.mlpack.wheel.v1+zip",
        PackageKind::R => "application/vnd.mlpack.r-package.v1.tar+gzip",
    };
    let name = package.path.rsplit('/').next().unwrap_or_default().to_owned();
    ArtifactFile { name, media_type, digest: package.sha256, size: package.size }
}

/// Vendored inputs, opened for reading.
pub enum Vendored {
    /// In an image layout.
    Folder(PathBuf),
    /// In a registry.
    Registry(Box<pull::Artifact>),
}

impl Vendored {
    /// Opens what `place` holds.
    pub fn open(place: &Place, connection: &Connection, report: &Arc<dyn Report>) -> Result<Self> {
        match place {
            Place::Folder(folder) if image::is_layout(folder) => Ok(Self::Folder(folder.clone())),
            Place::Folder(folder) => Err(NotVendored { path: folder.clone() }.into()),
            Place::Registry(reference) => {
                let artifact = pull::Artifact::open(reference, connection, report.clone())?;
                Ok(Self::Registry(Box::new(artifact)))
            }
        }
    }

    /// Brings a file into `blobs`; `None` where it was not vendored. One with other bytes is an error.
    pub fn fetch(&self, blobs: &BlobStore, digest: Digest, size: u64) -> Result<Option<Blob>> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join("blobs/sha256").join(digest.hex());
                match fs::open(&path) {
                    Ok(file) => Ok(Some(blobs.insert(&path.display().to_string(), file, digest, size)?)),
                    Err(error) if error.is_not_found() => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
            Self::Registry(artifact) => Ok(artifact.fetch(blobs, digest, size)?),
        }
    }
}

impl fmt::Debug for Vendored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => f.debug_tuple("Folder").field(folder).finish(),
            Self::Registry(_) => f.write_str("Registry"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_makes_a_reference_and_anything_else_a_folder() {
        for text in ["vendor", "./vendor", "../x.y/vendor", "/srv/a.b/vendor", "a/b", "vendor.d", ".vendor/x"] {
            assert_eq!(text.parse::<Place>().unwrap(), Place::Folder(text.into()));
        }
        for (text, shown) in [
            ("localhost/inputs", "localhost/inputs:latest"),
            ("registry.example.org/team/inputs:1", "registry.example.org/team/inputs:1"),
            ("localhost:5000/inputs", "localhost:5000/inputs:latest"),
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), shown);
        }
        assert!("registry.example.org/Team".parse::<Place>().is_err());
    }
}
