//! OCI artifacts: manifests whose blobs are files of any kind, by the image specification 1.1, "Guidelines for Artifact
//! Usage". Which files they are, and what they are for, is the business of whoever makes one.

use oci_spec::image::{Descriptor, ImageManifestBuilder, MediaType, SCHEMA_VERSION};

use super::ImageError;
use super::document;
use crate::digest::Digest;
use crate::fetch::BlobStore;

/// The annotation with the name of a blob's file, which tools give it when they write it to a folder.
const TITLE: &str = "org.opencontainers.image.title";
/// The configuration of an artifact that has none.
const EMPTY: &[u8] = b"{}";

/// A file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactFile {
    /// The file's name.
    pub name: String,
    /// What it is.
    pub media_type: &'static str,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The number of its bytes.
    pub size: u64,
}

/// Makes the artifact of these files, in this order, and returns its descriptor. Their blobs must be in `blobs`.
pub fn artifact(blobs: &BlobStore, kind: &str, files: &[ArtifactFile]) -> Result<Descriptor, ImageError> {
    let empty = blobs.insert_bytes(EMPTY)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .artifact_type(MediaType::from(kind))
        .config(document::descriptor(MediaType::EmptyJSON, empty.digest, empty.size))
        .layers(files.iter().map(descriptor).collect::<Vec<_>>())
        .build()
        .expect("every required field is set");
    document::put(blobs, MediaType::ImageManifest, &manifest)
}

fn descriptor(file: &ArtifactFile) -> Descriptor {
    let mut descriptor = document::descriptor(MediaType::from(file.media_type), file.digest, file.size);
    descriptor.set_annotations(Some([(TITLE.to_owned(), file.name.clone())].into()));
    descriptor
}
