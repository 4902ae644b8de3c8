//! Lock → image: a pure function of the lock, the bytes it names and the project's own files.
//!
//! Nothing is chosen here. [`plan`] says which packages share a layer, [`bytecode`] compiles Python in the sandbox,
//! [`system`] makes what depends on the whole; this file puts them in order.

mod bytecode;
mod plan;
mod settings;
mod system;
mod tree;

pub use tree::server_lock;

use std::path::PathBuf;

use rayon::prelude::*;

use crate::digest::Digest;
use crate::ecosystem::Worlds;
use crate::error::Result;
use crate::fetch::derived::Derived;
use crate::image::{self, Descriptor, Image, ImageStore};
use crate::layer::{self, Compression, FORMAT, Layer};
use crate::lock::{ImageLock, LayerLock, PlatformLock};
use crate::manifest::{self, Manifest};
use crate::platform::Platform;
use crate::project::Project;
use crate::runtime::Runtime;
use crate::service;
use tree::Part;

/// What a build is made of, beside the lock.
pub struct Inputs<'a> {
    /// The model manifest.
    pub manifest: &'a Manifest,
    /// The runtime that it asks for.
    pub runtime: &'a Runtime,
    /// The packaging worlds, opened for the platform.
    pub worlds: &'a Worlds,
    /// The server program for the platform; its digest is in the lock.
    pub server: PathBuf,
    /// How layers are compressed.
    pub compression: Compression,
    /// `SOURCE_DATE_EPOCH`, where it is set: the time of the project's own layer, and of the image.
    pub epoch: Option<i64>,
}

/// Builds the image of one platform into the local store, and returns it with its record for the lock.
pub fn build(inputs: &Inputs<'_>, lock: &PlatformLock, store: &ImageStore) -> Result<(Image, ImageLock)> {
    let derived = inputs.worlds.derived();
    let project = Project::read(inputs.manifest, derived)?;
    let fingerprint = fingerprint(inputs, lock, &project);
    if let Some((image, record)) = known(store, derived, &fingerprint) {
        return Ok((image, record));
    }
    let mut layers = dependency_layers(inputs, lock, store)?;
    let own = tree::project_parts(inputs, &project);
    layers.extend(write_all(inputs, store, own)?);
    let settings = settings::settings(inputs, lock, &project);
    let image = image::assemble(store.blobs(), &layers, &settings)?;
    let record = record(&image, &layers, fingerprint, inputs.compression);
    derived.put(&Derived::key("image", &fingerprint), &(&image.descriptor, &record))?;
    Ok((image, record))
}

/// The digest of everything that the image's bytes depend on.
fn fingerprint(inputs: &Inputs<'_>, lock: &PlatformLock, project: &Project) -> Digest {
    Derived::key(
        "build",
        &(
            dependency_key(inputs, lock),
            project.digest(),
            Digest::of(inputs.manifest.text.as_bytes()),
            inputs.epoch,
            &inputs.runtime.command,
            &inputs.runtime.environment,
        ),
    )
}

/// The digest of everything that the dependency layers depend on.
fn dependency_key(inputs: &Inputs<'_>, lock: &PlatformLock) -> Digest {
    let platform = inputs.worlds.platform();
    let Runtime { language, version, base, packages, left_out, worker, .. } = inputs.runtime;
    let runtime = (language, version, base, packages, left_out, worker);
    // Whether this machine can compile modules for the platform: a home folder may be shared with one that can.
    let machine = (FORMAT, env!("CARGO_PKG_VERSION"), Platform::host() == Some(platform));
    let settings = (inputs.compression.to_string(), platform, inputs.manifest.image.user);
    let chosen = (&lock.packages, &lock.compilation, &lock.libraries, &lock.actions, &lock.server, lock.date);
    Derived::key("dependencies", &(machine, runtime, settings, chosen))
}

/// The image of an earlier build with the same inputs, where the store still has it.
fn known(store: &ImageStore, derived: &Derived, fingerprint: &Digest) -> Option<(Image, ImageLock)> {
    let (descriptor, record): (Descriptor, ImageLock) = derived.get(&Derived::key("image", fingerprint))?;
    let image = store.read(&descriptor).ok()?;
    let whole = image.layers().iter().all(|layer| store.blobs().holds(&layer.digest, layer.size));
    whole.then_some((image, record))
}

/// The layers that no file of the project touches, from the cache where they are known and still there.
fn dependency_layers(inputs: &Inputs<'_>, lock: &PlatformLock, store: &ImageStore) -> Result<Vec<(String, Layer)>> {
    let derived = inputs.worlds.derived();
    let key = dependency_key(inputs, lock);
    let known: Option<Vec<(String, Layer)>> = derived.get(&key);
    let is_there = |(_, layer): &(String, Layer)| store.blobs().holds(&layer.digest, layer.size);
    if let Some(layers) = known.filter(|layers| layers.iter().all(is_there)) {
        return Ok(layers);
    }
    let layers = write_all(inputs, store, tree::dependency_parts(inputs, lock)?)?;
    derived.put(&key, &layers)?;
    Ok(layers)
}

/// Writes parts as layers, several at a time; the order stays.
fn write_all(inputs: &Inputs<'_>, store: &ImageStore, parts: Vec<Part>) -> Result<Vec<(String, Layer)>> {
    let write = |part: Part| {
        let layer = layer::write_cached(
            store.blobs(),
            inputs.worlds.blobs(),
            &part.tree,
            inputs.compression,
            inputs.worlds.derived(),
        )?;
        Ok((part.name, layer))
    };
    parts.into_par_iter().map(write).collect()
}

fn record(image: &Image, layers: &[(String, Layer)], project: Digest, compression: Compression) -> ImageLock {
    let layer = |(name, layer): &(String, Layer)| LayerLock {
        name: name.clone(),
        digest: layer.digest,
        diff_id: layer.diff_id,
    };
    ImageLock {
        digest: image.digest(),
        project,
        compression: compression.to_string(),
        layers: layers.iter().map(layer).collect(),
    }
}

/// Returns the contract that the server reads, from the manifest and the project's files.
pub fn service(manifest: &Manifest, runtime: &Runtime, project: &Project) -> service::Service {
    let version = |version: &manifest::Version| service::Version {
        version: version.name.clone(),
        labels: version.labels.clone(),
        artifacts: project.artifacts_of(&version.name),
    };
    let (latest, earlier) = manifest.versions.split_last().expect("a manifest has a version");
    service::Service {
        name: manifest.name.clone(),
        latest: version(latest),
        earlier: earlier.iter().map(version).collect(),
        description: manifest.description.clone(),
        license: manifest.license.clone(),
        worker: service::Worker {
            language: runtime.language.clone(),
            command: runtime.command.clone(),
            environment: runtime.environment.clone(),
            file: project.service_file.clone(),
            entry: manifest.service.entry.clone(),
        },
        datasets: project.datasets.iter().map(|(name, (_, asset))| (name.clone(), asset.clone())).collect(),
        endpoints: manifest.endpoints.clone(),
        server: manifest.server.clone(),
    }
}
