//! `mlpack build`: lock where there is none, then layers, image and sinks.

use clap::Args;
use serde_json::json;

use super::Terminal;
use super::workspace::{Options, Workspace, record};
use crate::build;
use crate::digest::Digest;
use crate::error::{Diagnose, Exit, Result};
use crate::image::{self, Image, ImageStore, digest_of, sink};
use crate::layer::Compression;
use crate::lock::{ImageLock, Lock};
use crate::platform::Platform;

/// Build the image of a model into the local store
#[derive(Args, Debug)]
pub(super) struct Build {
    #[command(flatten)]
    options: Options,
    /// The image's name [default: NAME:VERSION of the manifest]
    #[arg(short, long, value_name = "NAME:TAG")]
    tag: Option<String>,
    /// Fail unless the lock is there and the build gives the digest that it names
    #[arg(long)]
    locked: bool,
    /// How layers are compressed: zstd, gzip (for old engines) or none
    #[arg(long, default_value_t)]
    compression: Compression,
    /// Also write the image to oci:DIR, oci-archive:FILE, docker-archive:FILE, docker or podman (repeatable)
    #[arg(long, value_name = "SINK")]
    output: Vec<String>,
    /// Push the image to the registry that its name says
    #[arg(long)]
    push: bool,
}

/// `--locked` found something else than the lock says.
#[derive(Debug, thiserror::Error)]
pub(super) enum LockedError {
    /// There is no lock file.
    #[error("there is no lock file `{path}`, and `--locked` rules out making one")]
    Missing {
        /// Where it was looked for.
        path: String,
    },
    /// The lock records no image.
    #[error("`{path}` has no image digest to check for {platform}")]
    NoImage {
        /// The lock file.
        path: String,
        /// The platform.
        platform: Platform,
    },
    /// The server program is another one.
    #[error("the mlpack-server here is {found}, and the lock names {expected}")]
    Server {
        /// The digest found.
        found: Digest,
        /// The digest in the lock.
        expected: Digest,
    },
    /// The image differs.
    #[error("the build for {platform} gave {found}, and the lock names {expected}; {differs}")]
    Differs {
        /// The platform.
        platform: Platform,
        /// The digest of the image built.
        found: Digest,
        /// The digest in the lock.
        expected: Digest,
        /// Which layers differ, in words.
        differs: String,
    },
}

impl Diagnose for LockedError {
    fn exit(&self) -> Exit {
        match self {
            Self::Missing { .. } => Exit::Manifest,
            _ => Exit::NotReproducible,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Missing { .. } => vec!["run `mlpack build` once and commit the lock file".to_owned()],
            Self::NoImage { .. } => {
                vec!["run `mlpack build` without `--locked` once: it writes the digest down".to_owned()]
            }
            Self::Server { .. } => {
                vec!["use the mlpack release that made the lock, or run `mlpack build` without `--locked`".to_owned()]
            }
            Self::Differs { .. } => vec![
                "if the project's files were meant to change, run `mlpack build` without `--locked` and commit the \
                 lock"
                    .to_owned(),
                "check that `--compression` and SOURCE_DATE_EPOCH are those of the build that wrote the lock"
                    .to_owned(),
            ],
        }
    }
}

impl Build {
    /// Runs the subcommand.
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let workspace = Workspace::open(&self.options, terminal)?;
        // What is wrong with a name is told before the work, not after it.
        let name = self.name(&workspace)?;
        let sinks = self.output.iter().map(|output| sink::parse(output)).collect::<Result<Vec<_>, _>>()?;
        let store = ImageStore::open(terminal.home())?;
        let _in_use = store.protect()?;
        let mut lock = self.lock(&workspace)?;
        let images = workspace
            .platforms()
            .iter()
            .map(|&platform| self.build(&workspace, &mut lock, platform, &store))
            .collect::<Result<Vec<_>>>()?;
        let descriptor = match &images[..] {
            [image] => image.descriptor.clone(),
            images => image::index(store.blobs(), images)?,
        };
        store.tag(&name, &descriptor)?;
        for sink in &sinks {
            sink.write(&store, &descriptor, Some(&name))?;
        }
        let digest = digest_of(&descriptor)?;
        let mut line = format!("{name}@{digest}");
        if self.push {
            line = super::push::push(terminal, &store, &descriptor, &name, &self.options.registry)?;
        }
        terminal.result(&line, &json!({ "reference": line, "digest": digest }))
    }

    fn name(&self, workspace: &Workspace) -> Result<String> {
        let manifest = &workspace.manifest;
        let given = self.tag.clone().unwrap_or_else(|| format!("{}:{}", manifest.name, manifest.version));
        let name = image::normalize(&given)?;
        if self.push {
            super::push::destination(&name)?;
        }
        Ok(name)
    }

    fn lock(&self, workspace: &Workspace) -> Result<Lock> {
        if !self.locked {
            return workspace.locked(workspace.platforms(), false);
        }
        let path = workspace.lock_path.display().to_string();
        Ok(workspace.lock()?.ok_or(LockedError::Missing { path })?)
    }

    fn build(&self, workspace: &Workspace, lock: &mut Lock, platform: Platform, store: &ImageStore) -> Result<Image> {
        let worlds = workspace.worlds(platform)?;
        let mut chosen = lock.platform(platform, &workspace.lock_path)?.clone();
        let inputs = workspace.inputs(&worlds, &chosen.server, self.compression)?;
        let server = build::server_lock(&inputs.server)?;
        if self.locked && server != chosen.server {
            return Err(LockedError::Server { found: server.sha256, expected: chosen.server.sha256 }.into());
        }
        chosen.server = server.clone();
        let (image, built) = build::build(&inputs, &chosen, store)?;
        if self.locked {
            let path = workspace.lock_path.display().to_string();
            let expected = chosen.image.as_ref().ok_or(LockedError::NoImage { path, platform })?;
            check(platform, expected, &built)?;
        } else {
            record(lock, platform, &workspace.lock_path, |locked| {
                locked.server = server;
                locked.image = Some(built);
            })?;
        }
        Ok(image)
    }
}

fn check(platform: Platform, expected: &ImageLock, built: &ImageLock) -> Result<(), LockedError> {
    if expected.digest == built.digest {
        return Ok(());
    }
    let names: Vec<_> = built
        .layers
        .iter()
        .filter(|layer| !expected.layers.contains(layer))
        .map(|layer| format!("`{}`", layer.name))
        .collect();
    let differs = if names.is_empty() {
        "the layers are the same, the configuration differs".to_owned()
    } else {
        format!("layers that differ: {}", names.join(", "))
    };
    Err(LockedError::Differs { platform, found: built.digest, expected: expected.digest, differs })
}
