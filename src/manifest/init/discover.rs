//! Looks into a project folder for a model, a list of packages and example data.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::mlmodel::MlModel;
use super::{Draft, Format, Model, Output, sample, service};
use crate::manifest::{Language, names};
use crate::runtime::Runtime;
use crate::service::{Column, ColumnType, Task};

/// Folders that people keep models and data in, looked through after the project folder itself.
const FOLDERS: &[&str] = &["", "model", "models", "artifacts", "data"];
/// How many files of one folder are looked at.
const MAX_FILES: usize = 1000;
/// Columns that hold what a model predicts, not what it takes.
const TARGETS: &[&str] = &["target", "label", "class", "outcome", "species", "y"];

/// Returns what can be told of a project.
pub(super) fn draft(folder: &Path, language: Option<Language>) -> Draft {
    let files = files(folder);
    let mlmodel = files.iter().find_map(|path| MlModel::read(folder, path));
    let model = model(folder, &files, mlmodel.as_ref(), language);
    let language = language.or(model.as_ref().map(|model| model.format.language())).unwrap_or_else(|| spoken(&files));
    let packages_file = packages_file(&files, language);
    let packages = match (&packages_file, &model) {
        (None, Some(model)) => model.format.packages().iter().map(|name| (*name).to_owned()).collect(),
        _ => Vec::new(),
    };
    let signature = mlmodel.as_ref().filter(|mlmodel| !mlmodel.inputs.is_empty() || mlmodel.tensors.is_some());
    let tensors = signature.and_then(|signature| signature.tensors.clone());
    let (input, target, example) = match signature {
        Some(signature) => (signature.inputs.clone(), signature.output, Some(signature.path.clone())),
        None => example(folder, &files),
    };
    let (task, output) = answer(target);
    let trained = mlmodel.as_ref().and_then(|mlmodel| mlmodel.python_version.clone());
    let trained = trained.filter(|_| language == Language::Python);
    let language_version = language_version(language, trained.as_deref());
    let draft = Draft {
        name: name(folder, mlmodel.as_ref()),
        version: "0.1.0".to_owned(),
        language,
        trained_with: trained.filter(|trained| *trained != language_version),
        language_version,
        packages_file,
        packages,
        service: service::new(language),
        model,
        input,
        example: example.and_then(|path| path.to_str().map(str::to_owned)),
        tensors,
        output,
        task,
    };
    Draft { service: service::found(folder, &draft), ..draft }
}

/// Returns the files of the project folder and the usual folders below it, sorted within each, relative to the project.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for below in FOLDERS {
        let Ok(entries) = std::fs::read_dir(folder.join(below)) else { continue };
        let entries = entries.take(MAX_FILES).filter_map(Result::ok);
        // Links are left alone: they may lead out of the project.
        let regular = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        let mut names: Vec<PathBuf> = regular.map(|entry| Path::new(below).join(entry.file_name())).collect();
        names.retain(|path| path.to_str().is_some_and(is_plain));
        names.sort();
        files.append(&mut names);
    }
    files
}

/// Whether a path can be written into a manifest and be found again.
fn is_plain(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') && !path.contains('\\') && !path.ends_with(' ')
}

fn model(folder: &Path, files: &[PathBuf], mlmodel: Option<&MlModel>, language: Option<Language>) -> Option<Model> {
    let named = mlmodel.and_then(|mlmodel| mlmodel.model.as_ref()).into_iter();
    named.chain(files).find_map(|path| {
        let format = format(&folder.join(path))?;
        let path = path.to_str()?.to_owned();
        language.is_none_or(|language| language == format.language()).then_some(Model { path, format })
    })
}

/// Tells a model's format by its extension; where that says little, by its first bytes.
fn format(path: &Path) -> Option<Format> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "joblib" => Some(Format::Joblib),
        "pkl" | "pickle" => Some(Format::Pickle),
        "onnx" => Some(Format::Onnx),
        "ubj" | "bst" => Some(Format::Xgboost),
        "cbm" => Some(Format::Catboost),
        "keras" => Some(Format::Keras),
        "pt" | "pth" => Some(Format::Torch),
        "safetensors" => Some(Format::Safetensors),
        "rds" => Some(Format::Rds),
        "rdata" | "rda" => Some(Format::Rdata),
        "json" if head(path).starts_with(b"{\"learner\":") => Some(Format::Xgboost),
        "txt" if head(path).starts_with(b"tree\nversion=") => Some(Format::Lightgbm),
        _ => None,
    }
}

fn head(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A file that cannot be read is no model to begin with.
    let _ = std::fs::File::open(path).and_then(|file| file.take(64).read_to_end(&mut bytes));
    bytes
}

fn spoken(files: &[PathBuf]) -> Language {
    let is_r = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("r"))
            || path.as_os_str() == "DESCRIPTION"
            || path.as_os_str() == "renv.lock"
    };
    if files.iter().any(is_r) { Language::R } else { Language::Python }
}

fn packages_file(files: &[PathBuf], language: Language) -> Option<String> {
    let known: &[&str] = match language {
        Language::Python => &["uv.lock", "pylock.toml", "requirements.txt", "pyproject.toml"],
        Language::R => &["renv.lock", "DESCRIPTION"],
    };
    let find = |name: &&str| files.iter().find(|path| path.file_name().is_some_and(|file| file == *name));
    known.iter().find_map(find).and_then(|path| path.to_str()).map(str::to_owned)
}

/// Returns the columns of the first example that has any, the type of the one that is to be predicted, and the example's path.
fn example(folder: &Path, files: &[PathBuf]) -> (Vec<Column>, Option<ColumnType>, Option<PathBuf>) {
    let mut tables = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "csv"));
    let found = tables.find_map(|path| Some((sample::columns(&folder.join(path))?, path.clone())));
    let Some((mut columns, path)) = found else { return (Vec::new(), None, None) };
    let target = columns.iter().rposition(|column| TARGETS.contains(&column.name.to_lowercase().as_str()));
    let target = target.filter(|_| columns.len() > 1).map(|at| columns.remove(at).kind);
    (columns, target, Some(path))
}

fn answer(target: Option<ColumnType>) -> (Task, Output) {
    match target {
        Some(kind @ (ColumnType::String | ColumnType::Boolean)) => {
            (Task::Classification, Output { name: "label", kind })
        }
        Some(ColumnType::Integer | ColumnType::Number) => {
            (Task::Regression, Output { name: "prediction", kind: ColumnType::Number })
        }
        _ => (Task::Custom, Output { name: "prediction", kind: ColumnType::Number }),
    }
}

fn name(folder: &Path, mlmodel: Option<&MlModel>) -> String {
    let registered = mlmodel.and_then(|mlmodel| mlmodel.name.clone());
    let resolved = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let folder = resolved.file_name().map(|name| name.to_string_lossy().into_owned());
    let candidates = [registered, folder].into_iter().flatten().map(|name| model_name(&name));
    candidates.into_iter().find(|name| (names::MODEL.accepts)(name)).unwrap_or_else(|| "model".to_owned())
}

/// Makes a model name of any text: `My Model (v2)` becomes `my-model-v2`.
fn model_name(text: &str) -> String {
    let spaced = text.to_lowercase().replace(|character: char| !character.is_ascii_alphanumeric(), " ");
    spaced.split_whitespace().collect::<Vec<_>>().join("-")
}

/// Returns the version to write: the one that the model was trained with, or the nearest that can be had.
fn language_version(language: Language, trained: Option<&str>) -> String {
    let usual = match language {
        Language::Python => "3.11",
        Language::R => "4.5",
    };
    let wished = trained.unwrap_or(usual);
    Runtime::nearest(&language.to_string(), wished).expect("there is a runtime for each language")
}
