//! `mlpack init`: a first manifest and service file, filled in from what lies in the folder.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::Terminal;
use crate::error::Result;
use crate::manifest::{Language, init::Draft};

/// Write a manifest and, where there is none yet, a service file, filled in from what lies in the folder
#[derive(Debug, Args)]
pub(super) struct Init {
    /// The project's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The language, where the files do not tell
    #[arg(long, value_enum)]
    language: Option<Choice>,
    /// Replace a manifest that exists; code of yours is kept
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
        let draft = Draft::of(&self.folder, language);
        let begun = draft.write(&self.folder, self.force)?;
        let shown = |path: &Path| path.display().to_string();
        draft.findings().into_iter().for_each(|finding| terminal.report().say(finding));
        if let Some(kept) = &begun.kept {
            terminal.report().say(format!("`{}` was there already and is kept", shown(kept)));
        }
        terminal
            .report()
            .say(format!("Look through what was written, then run `mlpack serve {}`", begun.written[0].display()));
        let files: Vec<String> = begun.written.iter().map(|path| shown(path)).collect();
        let kept = begun.kept.as_deref().map(shown);
        terminal.result(&files.join("\n"), &json!({ "files": files, "kept": kept }))
    }
}
