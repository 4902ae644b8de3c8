//! `mlpack gc`: frees the space of what no image needs.

use clap::Args;

use super::Terminal;
use super::text::bytes;
use crate::error::Result;
use crate::image::{ImageStore, Scope};

/// Free the space of layers that no image needs
#[derive(Debug, Args)]
pub(super) struct CollectGarbage {
    /// Empty the cache of downloads and unpacked packages as well
    #[arg(long)]
    cache: bool,
}

impl CollectGarbage {
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let store = ImageStore::open(terminal.home())?;
        let scope = if self.cache { Scope::ImagesAndCache } else { Scope::Images };
        let freed = store.collect_garbage(terminal.home(), scope)?;
        terminal.report().say(format!("removed {} files, {}", freed.files, bytes(freed.bytes)));
        terminal.result("", &freed)
    }
}
