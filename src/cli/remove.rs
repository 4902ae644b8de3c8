//! `mlpack rm`: takes images out of the local store.

use clap::Args;

use super::Terminal;
use crate::error::Result;
use crate::image::ImageStore;

/// Remove images from the local store; `mlpack gc` then frees their space
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Names, digests, or beginnings of digests; a digest removes every name of the image
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Remove {
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let store = ImageStore::open(terminal.home())?;
        // All are looked up first: a mistyped name removes nothing.
        for image in &self.images {
            store.find(image)?;
        }
        let mut removed = Vec::new();
        for image in &self.images {
            removed.extend(store.remove(image)?);
        }
        terminal.result(&removed.join("\n"), &removed)
    }
}
