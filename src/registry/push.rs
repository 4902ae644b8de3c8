//! Push: every blob first, then manifests, the index last, so that a reference in the registry is always whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;
use reqwest::Method;

use super::Connection;
use super::client::{Client, Request};
use super::error::RegistryError;
use super::pull::{Children, Part, children};
use super::reference::Reference;
use super::upload::{Outcome, Upload};
use crate::digest::Digest;
use crate::event::Report;
use crate::fetch::BlobStore;
use crate::fetch::derived::Derived;
use crate::image::{self, Descriptor};

/// Blobs that are sent at a time.
const PARALLEL: usize = 4;
/// Repositories that are remembered to have a blob.
const REMEMBERED: usize = 4;

/// How the blobs came to be in the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Blobs that were there before.
    pub present: usize,
    /// Blobs taken from another repository.
    pub mounted: usize,
    /// Blobs sent.
    pub sent: usize,
}

/// Sends the image or index of `descriptor` from `store` to `reference`.
///
/// `derived` remembers which repositories have which blobs, so that they can be mounted next time.
pub fn push(
    reference: &Reference,
    connection: &Connection,
    store: &BlobStore,
    derived: &Derived,
    descriptor: &Descriptor,
    report: &Arc<dyn Report>,
) -> Result<Pushed, RegistryError> {
    let client = Client::new(reference, connection, report.clone())?;
    let push = Push { reference, store, derived, client: &client };
    let mut plan = Plan::default();
    let root = Part {
        media_type: descriptor.media_type().to_string(),
        digest: image::digest_of(descriptor)?,
        size: descriptor.size(),
    };
    push.plan(&root, &mut plan)?;
    let pushed = push.blobs(&plan.blobs)?;
    for (part, bytes) in &plan.manifests {
        let tag = if part.digest == plan.root { reference.tag.clone() } else { None };
        push.manifest(part, bytes, tag)?;
    }
    Ok(pushed)
}

/// What is to be sent, in order.
struct Plan {
    root: Digest,
    blobs: BTreeMap<Digest, u64>,
    /// Children before parents.
    manifests: Vec<(Part, Vec<u8>)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { root: Digest::of(b""), blobs: BTreeMap::new(), manifests: Vec::new() }
    }
}

struct Push<'a> {
    reference: &'a Reference,
    store: &'a BlobStore,
    derived: &'a Derived,
    client: &'a Client,
}

impl Push<'_> {
    fn plan(&self, part: &Part, plan: &mut Plan) -> Result<(), RegistryError> {
        let blob = self.store.get(&part.digest)?.ok_or(RegistryError::MissingBlob { digest: part.digest })?;
        let bytes = blob.read()?;
        let Children { blobs, manifests } = children(&self.reference.to_string(), &bytes)?;
        plan.blobs.extend(blobs.into_iter().map(|blob| (blob.digest, blob.size)));
        for manifest in manifests {
            self.plan(&manifest, plan)?;
        }
        plan.manifests.push((part.clone(), bytes));
        plan.root = part.digest;
        Ok(())
    }

    fn blobs(&self, blobs: &BTreeMap<Digest, u64>) -> Result<Pushed, RegistryError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(PARALLEL).build().expect("threads can be started");
        let outcomes: Vec<Outcome> = pool
            .install(|| blobs.par_iter().map(|(digest, size)| self.blob(*digest, *size)).collect::<Result<_, _>>())?;
        let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
        Ok(Pushed { present: count(Outcome::Present), mounted: count(Outcome::Mounted), sent: count(Outcome::Sent) })
    }

    fn blob(&self, digest: Digest, size: u64) -> Result<Outcome, RegistryError> {
        let key = Derived::key("blob-location", &(&self.reference.registry, digest));
        let mut elsewhere: Vec<String> = self.derived.get(&key).unwrap_or_default();
        let upload = Upload { client: self.client, store: self.store, digest, size, elsewhere: &elsewhere };
        let outcome = upload.run()?;
        if !elsewhere.contains(&self.reference.repository) {
            elsewhere.insert(0, self.reference.repository.clone());
            elsewhere.truncate(REMEMBERED);
            self.derived.put(&key, &elsewhere)?;
        }
        Ok(outcome)
    }

    fn manifest(&self, part: &Part, bytes: &[u8], tag: Option<String>) -> Result<(), RegistryError> {
        let target = tag.unwrap_or_else(|| part.digest.to_string());
        let url = self.client.url(&format!("manifests/{target}"))?;
        let request = Request::new(Method::PUT, &url, self.client.write_scope())
            .header("Content-Type", &part.media_type)
            .body(bytes.len() as u64, || Ok(bytes.to_vec().into()));
        self.client.send(&request).map(drop)
    }
}
