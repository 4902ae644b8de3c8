//! `mlpack init`: a first manifest and service file, filled in from what lies in the folder.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::Terminal;
use crate::error::Result;
use crate::manifest::{Language, init::Draft};

/// Write a manifest and a service file, filled in from what lies in the folder
#[derive(Debug, Args)]
pub(super) struct Init {
    /// The project's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The language, where the files do not tell
    #[arg(long, value_enum)]
    language: Option<Choice>,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    Python,
    R,
}

impl Init {
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let language = self.language.map(|choice| match choice {
            Choice::Python => Language::Python,
            Choice::R => Language::R,
        });
        let files = Draft::of(&self.folder, language).write(&self.folder, self.force)?;
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        terminal.result(&files.join("\n"), &json!({ "files": files }))
    }
}
