//! An image's layers on disk: each is laid out once, under its digest, and shared by all images that have it.

use std::path::PathBuf;

use rayon::prelude::*;

use super::layout;
use crate::error::Result;
use crate::fetch::{BlobStore, Home};
use crate::fs;
use crate::image::{Image, ImageError, ImageStore, LayerDescription};
use crate::layer::read;

/// Returns the folders of an image's layers, lowest first; those that are not there yet are laid out.
pub fn layers(home: &Home, store: &ImageStore, image: &Image) -> Result<Vec<PathBuf>> {
    image.layers().par_iter().map(|layer| lay_out(home, store, layer)).collect()
}

fn lay_out(home: &Home, store: &ImageStore, layer: &LayerDescription) -> Result<PathBuf> {
    // The packed blob's digest is checked, its diff ID is only what somebody says: the first is the key.
    if let Some(folder) = layout::find(&home.trees(), &layer.digest) {
        return Ok(folder);
    }
    // The contents pass through a store of their own, which goes with the end of this function.
    let folder = home.temporary()?;
    let temporary = tempfile::tempdir_in(&folder).map_err(fs::Error::wrap("create a folder in", &folder))?;
    let packs = BlobStore::open(temporary.path())?;
    let blob = store.blobs().get(&layer.digest)?.ok_or(ImageError::Missing { digest: layer.digest })?;
    let plain = layer.compression.unpack(blob.open()?).map_err(fs::Error::wrap("read", blob.path()))?;
    let tree = read::read(&packs, layer.digest, plain)?;
    Ok(layout::cached(&home.trees(), &layer.digest, &packs, &tree)?)
}
