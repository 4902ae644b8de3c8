//! An OCI image layout in a folder of its own, which may hold other images as well.

use std::path::PathBuf;

use oci_spec::image::Descriptor;

use super::{Sink, SinkError, damaged};
use crate::fetch::BlobStore;
use crate::fetch::store::StoreError;
use crate::fs;
use crate::image::document::{self, digest_of};
use crate::image::{ImageStore, is_layout};

/// Writes a folder. To a layout that is there the image is added; a folder with anything else is left alone.
#[derive(Clone, Debug)]
pub struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// Returns the sink for `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Fails unless the folder is an image layout, empty, or not there.
    pub fn check_place(&self) -> Result<(), SinkError> {
        let occupied = || SinkError::Occupied { path: self.folder.clone() };
        match std::fs::read_dir(&self.folder) {
            Ok(mut entries) => {
                let free = is_layout(&self.folder) || entries.next().is_none();
                if free { Ok(()) } else { Err(occupied()) }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Err(occupied()),
            Err(source) => Err(fs::Error { action: "read", path: self.folder.clone(), source }.into()),
        }
    }
}

impl Sink for Layout {
    fn write(&self, store: &ImageStore, descriptor: &Descriptor, reference: Option<&str>) -> Result<(), SinkError> {
        self.check_place()?;
        let parts = store.parts(descriptor)?;
        let target = ImageStore::at(&self.folder)?;
        let _in_use = target.protect()?;
        for part in &parts {
            copy(store, part, target.blobs())?;
        }
        // What had the name keeps it until the new image is whole.
        Ok(target.enter(reference, descriptor)?)
    }
}

/// Brings a part of an image into `blobs`, unless it is there and sound.
fn copy(store: &ImageStore, part: &Descriptor, blobs: &BlobStore) -> Result<(), SinkError> {
    let digest = digest_of(part)?;
    if blobs.get(&digest)?.is_some() {
        return Ok(());
    }
    let reader = document::open(store.blobs(), part)?;
    match blobs.insert(&digest.to_string(), reader, digest, part.size()) {
        Ok(_) => Ok(()),
        Err(StoreError::File(error)) => Err(error.into()),
        Err(_) => Err(damaged(store, digest).into()),
    }
}
