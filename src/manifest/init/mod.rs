//! A first manifest and service file for a project, filled in from what lies in its folder.
//!
//! Nothing is run and no model is loaded: names, extensions and the first bytes tell what there is. What cannot be told
//! is filled with a placeholder that loads, and a comment that says what to change.

mod discover;
mod mlmodel;
mod sample;

use std::io;
use std::path::{Path, PathBuf};

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use super::{FILE_NAME, Language};
use crate::error::{Diagnose, Exit};
use crate::fs;
use crate::service::{Column, ColumnType, Task};

/// Beginning a project failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Files that would be written are there already.
    #[error("`{}` exists already", path.display())]
    Exists {
        /// The first of them.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] fs::Error),
}

impl Diagnose for Error {
    fn exit(&self) -> Exit {
        Exit::Failure
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Exists { .. } => vec!["`--force` replaces it; another folder leaves it alone".to_owned()],
            Self::Write(error) => error.hints(),
        }
    }
}

/// What is known of a project; the templates are filled in from it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Draft {
    name: String,
    version: String,
    language: Language,
    language_version: String,
    /// The file that lists packages, relative to the project.
    packages_file: Option<String>,
    packages: Vec<String>,
    model: Option<Model>,
    /// The columns that the model takes; empty where no example tells them.
    input: Vec<Column>,
    output: Output,
    task: Task,
}

/// The model's file.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Model {
    /// Relative to the project.
    path: String,
    format: Format,
}

/// How a model is stored, and so how it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Joblib,
    Pickle,
    Onnx,
    Xgboost,
    Lightgbm,
    Catboost,
    Rds,
}

impl Format {
    /// The language that such models are made and served in.
    fn language(self) -> Language {
        if self == Self::Rds { Language::R } else { Language::Python }
    }

    /// The packages that load it and take its input.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Joblib | Self::Pickle => &["joblib", "pandas", "scikit-learn"],
            Self::Onnx => &["numpy", "onnxruntime", "pandas"],
            Self::Xgboost => &["pandas", "xgboost"],
            Self::Lightgbm => &["lightgbm", "pandas"],
            Self::Catboost => &["catboost", "pandas"],
            Self::Rds => &[],
        }
    }
}

/// The one column that the endpoint gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Output {
    name: &'static str,
    kind: ColumnType,
}

impl Draft {
    /// Looks at a folder. `language` decides where its files do not tell, or tell otherwise.
    pub fn of(folder: &Path, language: Option<Language>) -> Self {
        discover::draft(folder, language)
    }

    /// Returns the files to write: name and text.
    pub fn files(&self) -> [(&'static str, String); 2] {
        let (service, template) = match self.language {
            Language::Python => ("service.py", include_str!("../../../templates/service.py.j2")),
            Language::R => ("service.R", include_str!("../../../templates/service.R.j2")),
        };
        let manifest = include_str!("../../../templates/manifest.yaml.j2");
        [(FILE_NAME, self.fill(manifest)), (service, self.fill(template))]
    }

    /// Writes the files into the folder, which is created where it is missing; gives their paths.
    pub fn write(&self, folder: &Path, force: bool) -> Result<Vec<PathBuf>, Error> {
        let files = self.files().map(|(name, text)| (folder.join(name), text));
        let taken = |path: &Path| !path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if let Some((path, _)) = files.iter().find(|(path, _)| !force && taken(path)) {
            return Err(Error::Exists { path: path.clone() });
        }
        for (path, text) in &files {
            fs::write_atomic(path, text.as_bytes())?;
        }
        Ok(files.map(|(path, _)| path).to_vec())
    }

    fn fill(&self, template: &str) -> String {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_keep_trailing_newline(true);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.add_filter("yaml", yaml);
        environment.render_str(template, self).expect("the templates are constants, and tests fill in every part")
    }
}

/// Writes any value as JSON, which is YAML, but plain words as they are.
fn yaml(value: &minijinja::Value) -> String {
    const RESERVED: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let json = serde_json::to_string(value).expect("values of the draft are plain data");
    match value.as_str() {
        Some(word) if super::names::is_word(word) && !RESERVED.contains(&word.to_lowercase().as_str()) => {
            word.to_owned()
        }
        _ => json,
    }
}
