//! The archive that `docker save` writes and `docker load` reads: `manifest.json`, the configuration, and each layer
//! unpacked. It holds one platform.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use oci_spec::image::Descriptor;
use serde_json::json;

use super::{Sink, SinkError, TarWriter, copy, copy_blob, one_image, replace_file};
use crate::digest::VerifyingReader;
use crate::image::document::{self, LayerDescription, digest_of};
use crate::image::{Image, ImageError, ImageStore, normalize, to_json};
use crate::layer::Compression;

/// Writes an archive.
#[derive(Clone, Debug)]
pub struct DockerArchive {
    file: PathBuf,
}

impl DockerArchive {
    /// Returns the sink for `file`.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into() }
    }
}

impl Sink for DockerArchive {
    fn write(&self, store: &ImageStore, descriptor: &Descriptor, reference: Option<&str>) -> Result<(), SinkError> {
        let image = one_image(store, descriptor)?;
        replace_file(&self.file, |out| write_archive(store, &image, reference, out, &self.file))
    }
}

/// Writes the archive to `out`; `target` is what errors name.
pub(super) fn write_archive(
    store: &ImageStore,
    image: &Image,
    reference: Option<&str>,
    out: &mut dyn Write,
    target: &Path,
) -> Result<(), SinkError> {
    let name = reference.map(normalize).transpose()?;
    let mut archive = TarWriter { out, target };
    let mut written = BTreeSet::new();
    for (part, layer) in image.manifest.layers().iter().zip(image.layers()) {
        if written.insert(layer.diff_id) {
            add_layer(&mut archive, store, part, &layer)?;
        }
    }
    let config = image.manifest.config();
    let config_name = format!("{}.json", digest_of(config)?.hex());
    archive.entry(&config_name, config.size(), |out, target| copy_blob(store, config, out, target))?;
    let manifest = json!([{
        "Config": config_name,
        "RepoTags": Vec::from_iter(name),
        "Layers": image.layers().iter().map(layer_name).collect::<Vec<_>>(),
    }]);
    archive.bytes("manifest.json", &to_json(&manifest))?;
    archive.end()
}

fn layer_name(layer: &LayerDescription) -> String {
    format!("{}.tar", layer.diff_id.hex())
}

fn add_layer(
    archive: &mut TarWriter<'_>,
    store: &ImageStore,
    part: &Descriptor,
    layer: &LayerDescription,
) -> Result<(), SinkError> {
    let damaged = || super::damaged(store, layer.digest);
    // An archive names a size before the bytes: a layer that does not tell its own is unpacked once to count.
    let size = match layer.uncompressed {
        Some(size) => size,
        None => io::copy(&mut unpack(store, part)?, &mut io::sink()).map_err(|_| damaged())?,
    };
    archive.entry(&layer_name(layer), size, |out, target| {
        let mut reader = VerifyingReader::new(unpack(store, part)?, layer.diff_id, size);
        copy(&mut reader, out, target, damaged)
    })
}

fn unpack(store: &ImageStore, part: &Descriptor) -> Result<Box<dyn io::Read>, ImageError> {
    let refuse = |reason: String| ImageError::Refused { name: part.digest().to_string(), reason };
    let compression = Compression::of_media_type(part.media_type())
        .ok_or_else(|| refuse(format!("`{}` is no layer", part.media_type())))?;
    compression.unpack(document::open(store.blobs(), part)?).map_err(|error| refuse(error.to_string()))
}
