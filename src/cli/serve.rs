//! `mlpack serve`: builds the image, lays its layers out and runs its server, without a container engine.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use clap::Args;

use super::Terminal;
use super::workspace::{Options, Workspace};
use crate::build;
use crate::error::{Diagnose, Exit, Result};
use crate::image::{Image, ImageStore};
use crate::layer::Compression;
use crate::sandbox::{self, Root, Session, Spec};

/// Run the image's own file tree and server here, without a container engine
#[derive(Args, Debug)]
#[command(mut_arg("manifest", |argument| argument
    .value_name("MANIFEST|IMAGE")
    .help("The model manifest, or an image of the local store")))]
pub(super) struct Serve {
    #[command(flatten)]
    options: Options,
    /// The port to listen on
    #[arg(short, long, default_value_t = 8080)]
    port: u16,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: std::net::IpAddr,
    /// Set a variable of the server's environment; a name alone passes on the one that is set here (repeatable)
    #[arg(short, long = "env", value_name = "NAME[=VALUE]", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// Start again when the manifest, the service code, an artifact or a dataset changes
    #[arg(short, long)]
    watch: bool,
}

/// The server ended by itself, with an error.
#[derive(Debug, thiserror::Error)]
#[error("the server ended with {0}")]
struct EndedError(ExitStatus);

impl Diagnose for EndedError {
    fn exit(&self) -> Exit {
        Exit::Failure
    }
}

impl Serve {
    /// Runs the subcommand: MANIFEST is a manifest file, or an image of the local store.
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let store = ImageStore::open(terminal.home())?;
        let _in_use = store.protect()?;
        let (image, watched) = self.image(terminal, &store)?;
        let spec = self.spec(terminal, &store, &image)?;
        terminal.report().say(format!("Serving on http://{}:{} (docs at /docs, Ctrl-C to stop)", self.host, self.port));
        let session = Session {
            watched,
            restart_grace: Duration::from_secs(1),
            stop_grace: Duration::from_secs(30),
            report: &**terminal.report(),
        };
        let status = session.run(&spec, |_| {
            let (image, _) = self.build(terminal, &store)?;
            self.spec(terminal, &store, &image)
        })?;
        if status.success() { Ok(()) } else { Err(EndedError(status).into()) }
    }

    /// The image to serve, and the files whose change makes another one.
    fn image(&self, terminal: &Terminal, store: &ImageStore) -> Result<(Image, Vec<PathBuf>)> {
        let named = &self.options.manifest;
        if !named.exists() {
            match store.find(&named.to_string_lossy()) {
                Ok(stored) => {
                    if self.watch {
                        terminal.report().warn("an image does not change: `--watch` has no effect", None);
                    }
                    return Ok((store.for_host(&stored.descriptor)?, Vec::new()));
                }
                Err(error) if !is_manifest_name(named) => return Err(error.into()),
                Err(_) => {}
            }
        }
        let (image, workspace) = self.build(terminal, store)?;
        Ok((image, if self.watch { watched(&workspace) } else { Vec::new() }))
    }

    fn build(&self, terminal: &Terminal, store: &ImageStore) -> Result<(Image, Workspace)> {
        let workspace = Workspace::open(&self.options, terminal)?;
        let platform = workspace.host_platform()?;
        let lock = workspace.locked(&[platform], false)?;
        let worlds = workspace.worlds(platform)?;
        let mut chosen = lock.platform(platform, &workspace.lock_path)?.clone();
        let inputs = workspace.inputs(&worlds, &chosen.server, Compression::default())?;
        chosen.server = build::server_lock(&inputs.server)?;
        let (image, _) = build::build(&inputs, &chosen, store)?;
        Ok((image, workspace))
    }

    /// The image's own entry point, environment and user, in its own layers.
    fn spec(&self, terminal: &Terminal, store: &ImageStore, image: &Image) -> Result<Spec> {
        let layers = sandbox::layers::layers(terminal.home(), store, image)?;
        let run = image.run();
        let mut command = run.command.into_iter();
        let mut spec = Spec::new(Root { layers, binds: Vec::new() }, command.next().unwrap_or_default());
        spec.arguments = command.collect();
        spec.arguments.extend(["--host".to_owned(), self.host.to_string(), "--port".to_owned(), self.port.to_string()]);
        spec.environment = run.environment;
        spec.environment.extend(self.environment.iter().cloned());
        spec.directory = run.directory;
        (spec.uid, spec.gid) = (run.user, run.user);
        spec.network = true;
        Ok(spec)
    }
}

/// Reads `NAME=VALUE`, or `NAME` for a variable that is set here.
fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, value.to_owned()),
        None => (text, std::env::var(text).map_err(|_| format!("`{text}` is not set here: write `{text}=VALUE`"))?),
    };
    if name.is_empty() { Err("write `NAME=VALUE`".to_owned()) } else { Ok((name.to_owned(), value)) }
}

/// Whether a name that no file has was meant as a manifest's.
fn is_manifest_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Everything of the project that goes into the image.
fn watched(workspace: &Workspace) -> Vec<PathBuf> {
    let manifest = &workspace.manifest;
    let assets = manifest.all_artifacts().chain(manifest.datasets.values()).map(|asset| asset.path.clone());
    [manifest.path.clone(), manifest.service.file.clone()]
        .into_iter()
        .chain(manifest.code.iter().map(|file| manifest.root.join(file)))
        .chain(assets)
        .collect()
}
