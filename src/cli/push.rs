//! `mlpack push` and `pull`, and the options of everything that speaks to a registry.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::Terminal;
use crate::error::{Diagnose, Exit, Result};
use crate::image::{Descriptor, ImageStore, digest_of};
use crate::registry::credentials::Credentials;
use crate::registry::{Connection, Reference, pull, push};

/// How to reach registries.
#[derive(Args, Debug)]
pub(super) struct PushOptions {
    /// Speak HTTP without TLS to the registry
    #[arg(long)]
    plain_http: bool,
    /// Read credentials from this file [default: podman's and Docker's own]
    #[arg(long, env = "REGISTRY_AUTH_FILE", value_name = "FILE")]
    authfile: Option<PathBuf>,
}

/// Push an image of the local store to a registry
#[derive(Args, Debug)]
pub(super) struct Push {
    /// The image: its name or a unique start of its digest
    image: String,
    /// Where to push it [default: the image's own name]
    reference: Option<String>,
    #[command(flatten)]
    options: PushOptions,
}

/// Pull an image from a registry into the local store
#[derive(Args, Debug)]
pub(super) struct Pull {
    /// The image: REGISTRY/REPOSITORY:TAG
    reference: Reference,
    #[command(flatten)]
    options: PushOptions,
}

impl Push {
    /// Runs the subcommand.
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let store = ImageStore::open(terminal.home())?;
        let _in_use = store.protect()?;
        let stored = store.find(&self.image)?;
        let name = self.reference.as_deref().unwrap_or(&self.image);
        let line = push(terminal, &store, &stored.descriptor, name, &self.options)?;
        terminal.result(&line, &json!({ "reference": line, "digest": digest_of(&stored.descriptor)? }))
    }
}

impl Pull {
    /// Runs the subcommand.
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let store = ImageStore::open(terminal.home())?;
        let _in_use = store.protect()?;
        let descriptor = pull::pull(&self.reference, &self.options.connection(), store.blobs(), terminal.report())?;
        store.tag(&self.reference.to_string(), &descriptor)?;
        let digest = digest_of(&descriptor)?;
        let line = self.reference.at(digest).to_string();
        terminal.result(&line, &json!({ "reference": line, "digest": digest }))
    }
}

/// An image was to be pushed, and its name does not say where to.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` names no registry to push to")]
struct NoRegistryError {
    name: String,
}

impl Diagnose for NoRegistryError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec![
            "name one: `mlpack push NAME REGISTRY/REPOSITORY:TAG`, or `mlpack build --push --tag REGISTRY/REPOSITORY:TAG`"
                .to_owned(),
            "Docker Hub is `docker.io`, such as docker.io/team/model:1.0".to_owned(),
        ]
    }
}

/// Reads where to push; a registry that was not named is nobody's wish.
pub(super) fn destination(name: &str) -> Result<Reference> {
    let reference: Reference = name.parse()?;
    if !name.starts_with(&format!("{}/", reference.registry)) {
        return Err(NoRegistryError { name: name.to_owned() }.into());
    }
    Ok(reference)
}

/// Pushes an image and returns its reference with digest.
pub(super) fn push(
    terminal: &Terminal,
    store: &ImageStore,
    descriptor: &Descriptor,
    name: &str,
    options: &PushOptions,
) -> Result<String> {
    let reference = destination(name)?;
    terminal.report().say(format!("Pushing to {reference}"));
    let derived = terminal.home().derived();
    let pushed = push::push(&reference, &options.connection(), store.blobs(), &derived, descriptor, terminal.report())?;
    terminal
        .report()
        .say(format!("{} blobs pushed, {} mounted, {} already there", pushed.sent, pushed.mounted, pushed.present));
    Ok(reference.at(digest_of(descriptor)?).to_string())
}

impl PushOptions {
    /// Returns how registries are reached: by these options, and by podman's and Docker's own files.
    pub(super) fn connection(&self) -> Connection {
        let files = self.authfile.clone().map_or_else(credential_files, |file| vec![file]);
        Connection {
            plain_http: self.plain_http,
            insecure: insecure_registries(),
            credentials: Credentials::new(files),
        }
    }
}

/// Where podman and Docker keep credentials, in podman's order.
fn credential_files() -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = variable("HOME").unwrap_or_default();
    let docker = variable("DOCKER_CONFIG").unwrap_or_else(|| home.join(".docker"));
    let config = variable("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
    let runtime = variable("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json"));
    runtime.into_iter().chain([config.join("containers/auth.json"), docker.join("config.json")]).collect()
}

/// The file that `login` writes: Docker's, which every tool reads.
pub(super) fn login_file() -> PathBuf {
    credential_files().pop().unwrap_or_default()
}

/// Registries that podman's and Docker's configuration call insecure. A file that cannot be read lists none.
fn insecure_registries() -> Vec<String> {
    let mut found = Vec::new();
    let config =
        std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default().join(".config/containers/registries.conf");
    for path in [config, PathBuf::from("/etc/containers/registries.conf")] {
        let Some(table) = std::fs::read_to_string(path).ok().and_then(|text| text.parse::<toml::Table>().ok()) else {
            continue;
        };
        let entries = table.get("registry").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        for entry in entries.iter().filter(|entry| entry.get("insecure").and_then(toml::Value::as_bool) == Some(true)) {
            let location = entry.get("location").or(entry.get("prefix")).and_then(toml::Value::as_str);
            found.extend(location.map(str::to_owned));
        }
    }
    let docker = std::fs::read("/etc/docker/daemon.json")
        .ok()
        .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let listed =
        docker.as_ref().and_then(|value| value.get("insecure-registries")?.as_array()).cloned().unwrap_or_default();
    found.extend(listed.iter().filter_map(|value| value.as_str().map(str::to_owned)));
    found
}
