//! Pull: an image or index with everything it names, each blob checked against its digest before it counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;
use reqwest::Method;
use serde::Deserialize;

use super::Connection;
use super::client::{self, Client, Request};
use super::error::RegistryError;
use super::reference::Reference;
use crate::digest::Digest;
use crate::event::{Event, Report};
use crate::fetch::store::StoreError;
use crate::fetch::transfer::{Counted, Transient as _};
use crate::fetch::{Blob, BlobStore, http};
use crate::image::{Descriptor, MediaType};

/// A manifest or index may have so many bytes: the limit that registries have.
const MANIFEST_LIMIT: u64 = 4 << 20;
/// Blobs that are fetched at a time.
const PARALLEL: usize = 4;
/// What we can read.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// What of a descriptor moving it needs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// The media type.
    pub media_type: String,
    /// The digest.
    pub digest: Digest,
    /// The number of bytes.
    pub size: u64,
}

/// What an image manifest or an index names.
#[derive(Debug, Default)]
pub struct Children {
    /// The configuration and the layers.
    pub blobs: Vec<Part>,
    /// The manifests of an index.
    pub manifests: Vec<Part>,
}

/// Reads what a manifest or an index names; `name` is the image, for the error.
///
/// One that could be read as both is refused: two readers would see two images.
pub fn children(name: &str, bytes: &[u8]) -> Result<Children, RegistryError> {
    #[derive(Deserialize)]
    struct Either {
        config: Option<Part>,
        layers: Option<Vec<Part>>,
        manifests: Option<Vec<Part>>,
    }
    let error = |reason: String| RegistryError::Manifest { name: name.to_owned(), reason };
    let either: Either = serde_json::from_slice(bytes).map_err(|reason| error(reason.to_string()))?;
    match (either.config, either.layers, either.manifests) {
        (Some(config), Some(mut layers), None) => {
            layers.insert(0, config);
            Ok(Children { blobs: layers, manifests: Vec::new() })
        }
        (None, None, Some(manifests)) => Ok(Children { blobs: Vec::new(), manifests }),
        _ => Err(error("it must have either config and layers, or manifests".to_owned())),
    }
}

/// Fetches `reference` with all that it names into `store`, and returns its descriptor.
pub fn pull(
    reference: &Reference,
    connection: &Connection,
    store: &BlobStore,
    report: &Arc<dyn Report>,
) -> Result<Descriptor, RegistryError> {
    let source = Source::new(reference, connection, report.clone())?;
    source.manifest(&reference.target(), reference.digest, store)
}

/// An artifact in a registry, whose blobs are fetched one by one.
pub struct Artifact {
    source: Source,
    blobs: BTreeMap<Digest, Part>,
}

impl Artifact {
    /// Reads the manifest of `reference`.
    pub fn open(
        reference: &Reference,
        connection: &Connection,
        report: Arc<dyn Report>,
    ) -> Result<Self, RegistryError> {
        let source = Source::new(reference, connection, report)?;
        let document = source.document(&reference.target(), reference.digest)?;
        let blobs = document.children.blobs.into_iter().map(|blob| (blob.digest, blob)).collect();
        Ok(Self { source, blobs })
    }

    /// Brings a blob into `store`; `None` where the artifact has none of that digest. Another size is an error.
    pub fn fetch(&self, store: &BlobStore, digest: Digest, size: u64) -> Result<Option<Blob>, RegistryError> {
        let Some(part) = self.blobs.get(&digest) else { return Ok(None) };
        self.source.blob(&Part { size, ..part.clone() }, store).map(Some)
    }
}

/// One repository of a registry.
struct Source {
    client: Client,
    name: String,
}

/// A manifest or index as it came.
struct Document {
    media_type: String,
    /// Its address, for errors.
    name: String,
    digest: Digest,
    bytes: Vec<u8>,
    children: Children,
}

impl Source {
    fn new(reference: &Reference, connection: &Connection, report: Arc<dyn Report>) -> Result<Self, RegistryError> {
        Ok(Self { client: Client::new(reference, connection, report)?, name: reference.to_string() })
    }

    /// Fetches a manifest or index; where a digest is expected, it must have that one.
    fn document(&self, target: &str, expected: Option<Digest>) -> Result<Document, RegistryError> {
        let url = self.client.url(&format!("manifests/{target}"))?;
        let response =
            self.client.send(&Request::new(Method::GET, &url, self.client.read_scope()).header("Accept", ACCEPT))?;
        let media_type =
            response.headers().get("Content-Type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().to_owned();
        let bytes = client::body(response, MANIFEST_LIMIT, &url)?;
        let (name, digest, size) = (http::display(&url), Digest::of(&bytes), bytes.len() as u64);
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(StoreError::Mismatch { name, size, digest, expected_size: size, expected }.into());
        }
        let children = children(&self.name, &bytes)?;
        Ok(Document { media_type, name, digest, bytes, children })
    }

    /// Fetches a manifest or index with all that it names, which comes first.
    fn manifest(&self, target: &str, expected: Option<Digest>, store: &BlobStore) -> Result<Descriptor, RegistryError> {
        let Document { media_type, name, digest, bytes, children } = self.document(target, expected)?;
        for manifest in &children.manifests {
            self.manifest(&manifest.digest.to_string(), Some(manifest.digest), store)?;
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(PARALLEL).build().expect("threads can be started");
        pool.install(|| children.blobs.par_iter().try_for_each(|blob| self.blob(blob, store).map(drop)))?;
        let blob = store.insert(&name, bytes.as_slice(), digest, bytes.len() as u64)?;
        let digest: oci_spec::image::Digest =
            blob.digest.to_string().parse().expect("a digest of ours is one of OCI's");
        Ok(Descriptor::new(MediaType::from(media_type.as_str()), blob.size, digest))
    }

    fn blob(&self, part: &Part, store: &BlobStore) -> Result<Blob, RegistryError> {
        if let Some(blob) = store.get(&part.digest)? {
            return Ok(blob);
        }
        let id = part.digest.hex()[..12].to_owned();
        self.client.report().event(Event::Start { id: id.clone(), action: "pull", total: Some(part.size) });
        let url = self.client.url(&format!("blobs/{}", part.digest))?;
        let fetch = || -> Result<Blob, RegistryError> {
            let response = self.client.send(&Request::new(Method::GET, &url, self.client.read_scope()))?;
            let body = Counted::new(response, 0, &id, self.client.report());
            Ok(store.insert(&http::display(&url), body, part.digest, part.size)?)
        };
        // A transfer that broke off is begun once more; what was not whole was dropped.
        let blob = fetch().or_else(|error| if error.is_temporary() { fetch() } else { Err(error) })?;
        self.client.report().event(Event::Done { id, outcome: "pulled".to_owned() });
        Ok(blob)
    }
}

#[cfg(test)]
mod tests {
    use super::children;

    #[test]
    fn a_manifest_that_is_also_an_index_is_refused() {
        let descriptor = format!(r#"{{"mediaType": "x", "digest": "sha256:{}", "size": 1}}"#, "0".repeat(64));
        let both = format!(r#"{{"config": {descriptor}, "layers": [], "manifests": [{descriptor}]}}"#);
        assert!(children("x", both.as_bytes()).is_err());
        assert!(children("x", b"{}").is_err());
        let image = format!(r#"{{"config": {descriptor}, "layers": [{descriptor}]}}"#);
        assert_eq!(children("x", image.as_bytes()).unwrap().blobs.len(), 2);
    }
}
