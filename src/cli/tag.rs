//! `mlpack tag`: gives an image of the local store another name.

use clap::Args;
use serde_json::json;

use super::Terminal;
use crate::error::Result;
use crate::image::{ImageStore, digest_of};

/// Give an image another name
#[derive(Debug, Args)]
pub(super) struct Tag {
    /// Name, digest, or the beginning of a digest
    image: String,
    /// The new name, as name:tag
    name: String,
}

impl Tag {
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let store = ImageStore::open(terminal.home())?;
        let _protection = store.protect()?;
        let descriptor = store.find(&self.image)?.descriptor;
        let name = store.tag(&self.name, &descriptor)?;
        let digest = digest_of(&descriptor)?;
        terminal.result(&format!("{name}@{digest}"), &json!({ "reference": name, "digest": digest }))
    }
}
