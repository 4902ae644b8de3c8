//! The part of an `MLmodel` file that a draft can use (MLflow's model format: flavors and signature).

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Tensor, Tensors};
use crate::manifest::{document, endpoints, error, names, values};
use crate::service::{Column, ColumnType};

/// What an `MLmodel` file says; each part where it says it.
#[derive(Debug, Default)]
pub(super) struct MlModel {
    /// Where the file is, relative to the project.
    pub(super) path: PathBuf,
    pub(super) name: Option<String>,
    /// Major and minor.
    pub(super) python_version: Option<String>,
    /// Relative to the project.
    pub(super) model: Option<PathBuf>,
    pub(super) inputs: Vec<Column>,
    /// The arrays that it takes and gives, in place of columns.
    pub(super) tensors: Option<Tensors>,
    /// The type of the first column of the output.
    pub(super) output: Option<ColumnType>,
}

impl MlModel {
    /// Reads `path`, relative to the project, if it is an `MLmodel` file that can be read.
    pub(super) fn read(folder: &Path, path: &Path) -> Option<Self> {
        if path.file_name()? != "MLmodel" {
            return None;
        }
        let text = crate::manifest::read(&folder.join(path)).ok()?;
        let document = values::json(&document::parse(&text, &error::Problems::default())?);
        let python = &document["flavors"]["python_function"];
        let file = ["model_path", "data"].iter().find_map(|key| python[key].as_str());
        Some(Self {
            path: path.to_owned(),
            name: document["name"].as_str().map(str::to_owned),
            python_version: version(&python["python_version"]),
            model: file.map(|file| path.with_file_name(file)).filter(|model| is_inside(folder, model)),
            inputs: signature(&document["signature"]["inputs"]).unwrap_or_default(),
            tensors: tensors(&document["signature"]),
            output: outputs(&document["signature"]["outputs"]),
        })
    }
}

/// Whether a path is of a file in the project, by links as well.
fn is_inside(folder: &Path, path: &Path) -> bool {
    let Ok(root) = folder.canonicalize() else { return false };
    let inside = folder.join(path).canonicalize().is_ok_and(|file| file.starts_with(root) && file.is_file());
    inside && path.components().all(|component| matches!(component, std::path::Component::Normal(_)))
}

/// Cuts `3.11.9` to `3.11`.
fn version(value: &Value) -> Option<String> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut parts = text.split('.');
    let version = format!("{}.{}", parts.next()?, parts.next()?);
    (names::LANGUAGE_VERSION.accepts)(&version).then_some(version)
}

/// Reads a signature, which is JSON in text; `None` unless it is made of named columns of types that a table has.
fn signature(value: &Value) -> Option<Vec<Column>> {
    let fields: Vec<Value> = serde_json::from_str(value.as_str()?).ok()?;
    let columns: Option<Vec<Column>> = fields.iter().map(column).collect();
    columns.filter(|columns| {
        let mut names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        names.sort_unstable();
        names.windows(2).all(|pair| pair[0] != pair[1])
    })
}

fn column(field: &Value) -> Option<Column> {
    let name = field["name"].as_str().filter(|name| (names::COLUMN.accepts)(name))?;
    let nullable = field["required"] == Value::Bool(false);
    Some(Column { nullable, ..endpoints::bare(name, kind(&field["type"])?) })
}

fn kind(value: &Value) -> Option<ColumnType> {
    match value.as_str()? {
        "string" => Some(ColumnType::String),
        "integer" | "long" => Some(ColumnType::Integer),
        "float" | "double" => Some(ColumnType::Number),
        "boolean" => Some(ColumnType::Boolean),
        "datetime" => Some(ColumnType::Datetime),
        _ => None,
    }
}

fn tensors(signature: &Value) -> Option<Tensors> {
    Some(Tensors { input: tensor(&signature["inputs"])?, output: tensor(&signature["outputs"]) })
}

/// Reads the only tensor of a signature, if a manifest takes it.
fn tensor(value: &Value) -> Option<Tensor> {
    let fields: Vec<Value> = serde_json::from_str(value.as_str()?).ok()?;
    let [field] = &fields[..] else { return None };
    let spec = &field["tensor-spec"];
    let dtype = serde_json::from_value(spec["dtype"].clone()).ok()?;
    let length = |length: &Value| if length.as_i64() == Some(-1) { Some(None) } else { length.as_u64().map(Some) };
    let shape: Vec<Option<u64>> = spec["shape"].as_array()?.iter().map(length).collect::<Option<_>>()?;
    endpoints::is_shape(&shape).then_some(Tensor { dtype, shape })
}

fn outputs(value: &Value) -> Option<ColumnType> {
    let fields: Vec<Value> = serde_json::from_str(value.as_str()?).ok()?;
    kind(&fields.first()?["type"])
}
