//! `mlpack schema`: the manifest's JSON Schema, for editors.

use clap::Args;

use super::Terminal;
use crate::error::Result;
use crate::manifest;

/// Print the model manifest's JSON Schema, for completion and checks in editors
#[derive(Debug, Args)]
pub(super) struct Schema {}

impl Schema {
    #[expect(clippy::unused_self, reason = "every subcommand is run the same way")]
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let schema = manifest::json_schema();
        terminal.result(&format!("{schema:#}"), &schema)
    }
}
