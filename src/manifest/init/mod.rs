//! A first manifest and service file for a project, filled in from what lies in its folder.
//!
//! Nothing is run and no model is loaded: names, extensions and the first bytes tell what there is. What cannot be told
//! is filled with a placeholder that loads, and a comment that says what to change.

mod discover;
mod mlmodel;
mod sample;
mod service;

use std::io;
use std::path::{Path, PathBuf};

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use super::{FILE_NAME, Language};
use crate::error::{Diagnose, Exit};
use crate::fs;
use crate::service::{Column, ColumnType, Dtype, Task};

const MANIFEST: &str = include_str!("../../../templates/manifest.yaml.j2");

/// Beginning a project failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is a manifest already.
    #[error("`{}` exists already", path.display())]
    Exists {
        /// The manifest.
        path: PathBuf,
    },
    /// The project's folder is a file.
    #[error("`{}` is a file, not a folder", path.display())]
    NotFolder {
        /// The file.
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
            Self::Exists { .. } => {
                vec!["`--force` writes it anew; what you wrote yourself beside it is kept".to_owned()]
            }
            Self::NotFolder { .. } => vec!["name the project's folder".to_owned()],
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
    /// The version that the model was trained with, where that one cannot be had.
    trained_with: Option<String>,
    /// The file that lists packages, relative to the project.
    packages_file: Option<String>,
    packages: Vec<String>,
    service: Service,
    model: Option<Model>,
    /// The columns that the model takes; empty where no example tells them.
    input: Vec<Column>,
    /// The file, relative to the project, that told what the model takes.
    example: Option<String>,
    /// The arrays that the model takes and gives, where it takes no table.
    tensors: Option<Tensors>,
    output: Output,
    task: Task,
}

/// The service file.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Service {
    /// Relative to the project.
    file: &'static str,
    /// The class in it for Python, where it has one or is to be written.
    class: Option<String>,
    /// Whether it is there already, with code of the user's.
    kept: bool,
}

/// What beginning a project came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The files that were written.
    pub written: Vec<PathBuf>,
    /// The service file, where it was there already and stays as it is.
    pub kept: Option<PathBuf>,
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
    Keras,
    Torch,
    Safetensors,
    Rds,
    Rdata,
}

impl Format {
    const ALL: [Self; 11] = [
        Self::Joblib,
        Self::Pickle,
        Self::Onnx,
        Self::Xgboost,
        Self::Lightgbm,
        Self::Catboost,
        Self::Keras,
        Self::Torch,
        Self::Safetensors,
        Self::Rds,
        Self::Rdata,
    ];

    /// The language that such models are made and served in.
    fn language(self) -> Language {
        if matches!(self, Self::Rds | Self::Rdata) { Language::R } else { Language::Python }
    }

    /// The packages that load it and take its input.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Joblib | Self::Pickle => &["joblib", "pandas", "scikit-learn"],
            Self::Onnx => &["numpy", "onnxruntime", "pandas"],
            Self::Xgboost => &["pandas", "xgboost"],
            Self::Lightgbm => &["lightgbm", "pandas"],
            Self::Catboost => &["catboost", "pandas"],
            Self::Keras => &["keras", "pandas", "tensorflow"],
            Self::Torch => &["pandas", "torch"],
            Self::Safetensors => &["pandas", "safetensors"],
            Self::Rds | Self::Rdata => &[],
        }
    }
}

/// The arrays that a model takes and gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Tensors {
    input: Tensor,
    /// Where it gives a column, there is none.
    output: Option<Tensor>,
}

/// An array: the type of its elements, and its length in each dimension, where that does not vary.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Tensor {
    dtype: Dtype,
    shape: Vec<Option<u64>>,
}

/// The one column that the endpoint gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Output {
    name: &'static str,
    kind: ColumnType,
}

impl Output {
    const ALL: [Self; 3] = [
        Self { name: "label", kind: ColumnType::String },
        Self { name: "label", kind: ColumnType::Boolean },
        Self { name: "prediction", kind: ColumnType::Number },
    ];
}

impl Draft {
    /// Looks at a folder. `language` decides where its files do not tell, or tell otherwise.
    pub fn of(folder: &Path, language: Option<Language>) -> Self {
        discover::draft(folder, language)
    }

    /// Says what was found in the folder, and what was not.
    pub fn findings(&self) -> Vec<String> {
        let model = match &self.model {
            Some(model) => format!("Found the model `{}`", model.path),
            None => "Found no model: name its file in `artifacts`".to_owned(),
        };
        let packages = self.packages_file.as_ref().map(|file| format!("Found the packages in `{file}`"));
        let input = match &self.example {
            Some(file) => format!("Found what the model takes in `{file}`"),
            None => "Found no example data: write what the model takes into `input`".to_owned(),
        };
        [Some(model), packages, Some(input)].into_iter().flatten().collect()
    }

    /// Writes the files into the folder, which is created where it is missing. `force` replaces a manifest; a service file with
    /// code of the user's is never replaced.
    pub fn write(&self, folder: &Path, force: bool) -> Result<Begun, Error> {
        if folder.is_file() {
            return Err(Error::NotFolder { path: folder.to_owned() });
        }
        let manifest = folder.join(FILE_NAME);
        if !force && is_taken(&manifest) {
            return Err(Error::Exists { path: manifest });
        }
        fs::write_atomic(&manifest, self.fill(MANIFEST).as_bytes())?;
        let service = folder.join(self.service.file);
        if self.service.kept {
            return Ok(Begun { written: vec![manifest], kept: Some(service) });
        }
        fs::write_atomic(&service, self.fill(service::template(self.language)).as_bytes())?;
        Ok(Begun { written: vec![manifest, service], kept: None })
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

/// Whether anything is at a path, be it a link that leads nowhere.
fn is_taken(path: &Path) -> bool {
    !path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
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
