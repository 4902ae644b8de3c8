//! `mlpack lock`: resolves everything over the network into the lock file.

use clap::Args;
use serde_json::json;

use super::Terminal;
use super::workspace::{Options, Workspace};
use crate::error::Result;
use crate::image::ImageStore;
use crate::lock::PackageKind;

/// Resolve everything over the network into mlpack.lock
#[derive(Args, Debug)]
pub(super) struct Lock {
    #[command(flatten)]
    options: Options,
    /// Resolve again, to the newest versions that fit
    #[arg(long)]
    update: bool,
}

impl Lock {
    /// Runs the subcommand.
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let workspace = Workspace::open(&self.options, terminal)?;
        let _in_use = ImageStore::open(terminal.home())?.protect()?;
        let lock = workspace.locked(workspace.platforms(), self.update)?;
        for &platform in workspace.platforms() {
            let chosen = lock.platform(platform, &workspace.lock_path)?;
            let count = |kind| chosen.packages_of(kind).count();
            terminal.report().say(format!(
                "{platform}: {} Debian packages, {} wheels, {} R packages of repositories in `{}`",
                count(PackageKind::Deb),
                count(PackageKind::Wheel),
                count(PackageKind::R),
                workspace.lock_path.display()
            ));
        }
        terminal.result("", &json!({ "lock": workspace.lock_path }))
    }
}
