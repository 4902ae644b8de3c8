//! `mlpack vendor`: keeps every input of the lock in a folder or a registry.

use clap::Args;
use serde_json::json;

use super::Terminal;
use super::build::LockedError;
use super::text::bytes;
use super::workspace::{Options, Workspace};
use crate::build::server_lock;
use crate::error::Result;
use crate::fs;
use crate::image::{ImageStore, digest_of, normalize};
use crate::lock::PlatformLock;
use crate::platform::Platform;
use crate::vendor::{Inputs, Place};

/// Keep every input of the lock in a folder or a registry, for `--vendor` to build from
#[derive(Args, Debug)]
pub(super) struct Vendor {
    /// Where to: a folder, or REGISTRY/REPOSITORY:TAG
    #[arg(value_name = "DIR|REF")]
    place: Place,
    #[command(flatten)]
    options: Options,
}

impl Vendor {
    /// Runs the subcommand.
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let workspace = Workspace::open(&self.options, terminal)?;
        self.place.check_free()?;
        let _in_use = ImageStore::open(terminal.home())?.protect()?;
        let lock = workspace.locked(workspace.platforms(), false)?;
        let mut inputs = Inputs::default();
        for &platform in workspace.platforms() {
            let chosen = lock.platform(platform, &workspace.lock_path)?;
            fetch(&workspace, terminal, platform, chosen)?;
            inputs.add(platform, chosen);
        }
        let (files, size) = inputs.size();
        terminal.report().say(format!("Keeping {files} files ({}) in {}", bytes(size), self.place));
        let digest = digest_of(&self.keep(&workspace, terminal, &inputs)?)?;
        let line = match &self.place {
            Place::Folder(folder) => folder.display().to_string(),
            Place::Registry(reference) => reference.at(digest).to_string(),
        };
        terminal.result(&line, &json!({ "vendored": line, "digest": digest, "files": files, "bytes": size }))
    }

    fn keep(&self, workspace: &Workspace, terminal: &Terminal, inputs: &Inputs) -> Result<crate::image::Descriptor> {
        let blobs = terminal.home().blobs()?;
        match &self.place {
            Place::Folder(folder) => {
                let manifest = &workspace.manifest;
                let name = normalize(&format!("{}:{}", manifest.name, manifest.version))?;
                inputs.write(&blobs, folder, &name)
            }
            Place::Registry(reference) => {
                let connection = self.options.registry.connection();
                inputs.push(&blobs, &terminal.home().derived(), reference, &connection, terminal.report())
            }
        }
    }
}

/// Brings everything that the lock names for a platform into the cache.
fn fetch(workspace: &Workspace, terminal: &Terminal, platform: Platform, lock: &PlatformLock) -> Result<()> {
    let packages: Vec<_> = lock.inputs().cloned().collect();
    workspace.worlds(platform)?.fetch(&packages)?;
    let server = workspace.server(platform, Some(&lock.server))?;
    let found = server_lock(&server)?;
    if found != lock.server {
        return Err(LockedError::Server { found: found.sha256, expected: lock.server.sha256 }.into());
    }
    let name = server.display().to_string();
    terminal.home().blobs()?.insert(&name, fs::open(&server)?, found.sha256, found.size)?;
    Ok(())
}
