//! Manifests, configurations and indexes as blobs: canonical JSON out, checked values in.
//!
//! What comes from elsewhere is never written again: its bytes stay as they are, and these types only look into them.

use std::io::Read as _;

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType, Sha256Digest};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ImageError, LAYER_NAME, LAYER_SIZE};
use crate::digest::{Digest, VerifyingReader};
use crate::fetch::BlobStore;
use crate::fs;
use crate::layer::Compression;

/// The largest manifest, index or configuration that is read, in bytes.
const MAX_DOCUMENT: u64 = 16 << 20;

const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// An image for one platform.
#[derive(Clone, Debug)]
pub struct Image {
    /// The descriptor of its manifest.
    pub descriptor: Descriptor,
    /// Its manifest.
    pub manifest: ImageManifest,
    /// Its configuration.
    pub config: ImageConfiguration,
}

/// What an image tells of one of its layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerDescription {
    /// What it holds, where mlpack built it.
    pub name: Option<String>,
    /// The digest of the packed blob.
    pub digest: Digest,
    /// How the blob is packed.
    pub compression: Compression,
    /// The packed blob's size in bytes.
    pub size: u64,
    /// The digest of the archive before it was packed.
    pub diff_id: Digest,
    /// The archive's size before it was packed, in bytes, where mlpack built it.
    pub uncompressed: Option<u64>,
}

impl Image {
    /// Returns the digest of the manifest, which names the image.
    pub fn digest(&self) -> Digest {
        digest_of(&self.descriptor).expect("a descriptor is checked when its image is made or read")
    }

    /// Returns `os/architecture`, with the processor's variant where there is one.
    pub fn platform(&self) -> String {
        let variant = self.config.variant().as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
        format!("{}/{}{variant}", self.config.os(), self.config.architecture())
    }

    /// Returns the layers, lowest first.
    pub fn layers(&self) -> Vec<LayerDescription> {
        self.manifest.layers().iter().zip(self.config.rootfs().diff_ids()).map(describe).collect()
    }

    /// Returns the value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.config.get_config_annotation(name)
    }

    /// Reads the image that `descriptor` names; manifest and configuration are checked against digests and sizes.
    pub(super) fn read(blobs: &BlobStore, descriptor: &Descriptor) -> Result<Self, ImageError> {
        let manifest = read_manifest(blobs, descriptor)?;
        let config: ImageConfiguration = read(blobs, manifest.config(), "an image configuration", "layers")?;
        let image = Self { descriptor: descriptor.clone(), manifest, config };
        let refuse = |reason: String| ImageError::Refused { name: descriptor.digest().to_string(), reason };
        let (layers, diff_ids) = (image.manifest.layers(), image.config.rootfs().diff_ids());
        if layers.len() != diff_ids.len() {
            return Err(refuse(format!("{} layers, but {} diff IDs", layers.len(), diff_ids.len())));
        }
        for layer in layers {
            digest_of(layer)?;
        }
        for diff_id in diff_ids {
            diff_id.parse::<Digest>().map_err(|error| refuse(error.to_string()))?;
        }
        Ok(image)
    }
}

fn describe((layer, diff_id): (&Descriptor, &String)) -> LayerDescription {
    let annotation = |key| layer.annotations().as_ref().and_then(|annotations| annotations.get(key));
    LayerDescription {
        name: annotation(LAYER_NAME).cloned(),
        compression: Compression::of_media_type(layer.media_type()).unwrap_or(Compression::None),
        digest: digest_of(layer).expect("an image's digests are checked when it is made or read"),
        size: layer.size(),
        diff_id: diff_id.parse().expect("an image's diff IDs are checked when it is made or read"),
        uncompressed: annotation(LAYER_SIZE).and_then(|size| size.parse().ok()),
    }
}

/// Returns the digest that a descriptor names; only SHA-256 is known.
pub fn digest_of(descriptor: &Descriptor) -> Result<Digest, ImageError> {
    let text = descriptor.digest().to_string();
    text.parse().map_err(|_| ImageError::Refused { name: text, reason: "its digest is not SHA-256".to_owned() })
}

/// Returns the descriptor of a blob.
pub(super) fn descriptor(media_type: MediaType, digest: Digest, size: u64) -> Descriptor {
    let digest: Sha256Digest = digest.hex().parse().expect("64 hex digits are a SHA-256 digest");
    Descriptor::new(media_type, size, digest)
}

/// Returns the JSON of a document with sorted keys: the types hold hash maps, whose order changes from run to run.
pub fn to_json(document: &impl Serialize) -> Vec<u8> {
    let value = serde_json::to_value(document).expect("OCI documents have text keys only");
    serde_json::to_vec(&value).expect("a JSON value can be written")
}

/// Keeps a document as a blob.
pub(super) fn put(
    blobs: &BlobStore,
    media_type: MediaType,
    document: &impl Serialize,
) -> Result<Descriptor, ImageError> {
    let blob = blobs.insert_bytes(&to_json(document))?;
    Ok(descriptor(media_type, blob.digest, blob.size))
}

/// Whether a descriptor's media type is that of an index, in OCI's words or in Docker's.
pub(super) fn is_index(media_type: &MediaType) -> bool {
    *media_type == MediaType::ImageIndex || media_type.as_ref() == DOCKER_INDEX
}

/// Whether a descriptor's media type is that of a manifest, in OCI's words or in Docker's.
pub(super) fn is_manifest(media_type: &MediaType) -> bool {
    *media_type == MediaType::ImageManifest || media_type.as_ref() == DOCKER_MANIFEST
}

/// Returns what a document directly refers to: an index its manifests, a manifest its configuration and layers.
pub(super) fn references(blobs: &BlobStore, descriptor: &Descriptor) -> Result<Vec<Descriptor>, ImageError> {
    if is_index(descriptor.media_type()) {
        return Ok(read_index(blobs, descriptor)?.manifests().clone());
    }
    if is_manifest(descriptor.media_type()) {
        let manifest = read_manifest(blobs, descriptor)?;
        return Ok([manifest.config()].into_iter().chain(manifest.layers()).cloned().collect());
    }
    Ok(Vec::new())
}

/// Opens a blob for one reading that fails at the end unless digest and size are as the descriptor says.
pub(super) fn open(blobs: &BlobStore, descriptor: &Descriptor) -> Result<VerifyingReader<std::fs::File>, ImageError> {
    let digest = digest_of(descriptor)?;
    match fs::open(&blobs.path(&digest)) {
        Ok(file) => Ok(VerifyingReader::new(file, digest, descriptor.size())),
        Err(error) if error.is_not_found() => Err(ImageError::Missing { digest }),
        Err(error) => Err(error.into()),
    }
}

/// Reads an index, checked like an image.
pub(super) fn read_index(blobs: &BlobStore, descriptor: &Descriptor) -> Result<ImageIndex, ImageError> {
    read(blobs, descriptor, "an image index", "layers")
}

fn read_manifest(blobs: &BlobStore, descriptor: &Descriptor) -> Result<ImageManifest, ImageError> {
    read(blobs, descriptor, "an image manifest", "manifests")
}

/// Reads a document. It must not have the key `foreign`, which another kind of document has: one that is both would
/// mean different things to different programs (CVE-2021-41190).
fn read<T: DeserializeOwned>(
    blobs: &BlobStore,
    descriptor: &Descriptor,
    expected: &'static str,
    foreign: &str,
) -> Result<T, ImageError> {
    let name = descriptor.digest().to_string();
    let refuse = |reason: String| ImageError::Refused { name: name.clone(), reason };
    if descriptor.size() > MAX_DOCUMENT {
        return Err(refuse(format!("{} bytes are too many for {expected}", descriptor.size())));
    }
    let mut bytes = Vec::new();
    if open(blobs, descriptor)?.read_to_end(&mut bytes).is_err() {
        return Err(ImageError::Missing { digest: digest_of(descriptor)? });
    }
    let document = |source| ImageError::Document { name: name.clone(), expected, source };
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(document)?;
    if value.get(foreign).is_some() {
        return Err(refuse(format!("it has `{foreign}`, which {expected} cannot have")));
    }
    if value.get("mediaType").is_some_and(|found| found.as_str() != Some(descriptor.media_type().as_ref())) {
        return Err(refuse("its media type is not the one of its descriptor".to_owned()));
    }
    serde_json::from_value(value).map_err(document)
}
