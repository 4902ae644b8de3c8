//! `mlpack init`: whatever lies in a folder, the manifest that it writes loads without a problem.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its files fails")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use mlpack::error::Diagnose as _;
use mlpack::manifest::init::Draft;
use mlpack::manifest::{self, Language, Manifest, Packages};
use mlpack::service::{ColumnType, Data, Dtype, Task};
use tempfile::TempDir;

const MLMODEL: &str = r#"artifact_path: model
flavors:
  python_function:
    env:
      conda: conda.yaml
    loader_module: mlflow.sklearn
    model_path: model.pkl
    python_version: 3.10.14
  sklearn:
    code: null
    pickled_model: model.pkl
mlflow_version: 3.1.0
name: Churn Model
signature:
  inputs: '[{"type": "long", "name": "tenure", "required": true}, {"type": "string",
    "name": "plan", "required": false}]'
  outputs: '[{"type": "string", "required": true}]'
  params: null
utc_time_created: '2025-01-01 00:00:00.000000'
"#;

/// A folder called `folder` with files in it.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let parent = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = parent.path().join("Iris (v2)").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir_all(parent.path().join("Iris (v2)")).unwrap();
    parent
}

fn project(parent: &TempDir) -> std::path::PathBuf {
    parent.path().join("Iris (v2)")
}

fn init(parent: &TempDir) -> Manifest {
    let project = project(parent);
    Draft::of(&project, None).write(&project, false).unwrap();
    match manifest::load(&project) {
        Ok(manifest) => manifest,
        Err(error) => panic!("{}\n{}", error.rendered(false).unwrap(), text(parent, "manifest.yaml")),
    }
}

/// Compares with a file in `tests/manifest/init`.
fn recorded(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("manifest/init");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn text(parent: &TempDir, name: &str) -> String {
    fs::read_to_string(project(parent).join(name)).unwrap()
}

#[test]
fn an_empty_folder_gets_placeholders() {
    let parent = folder(&[]);
    let manifest = init(&parent);
    assert_eq!((manifest.name.as_str(), manifest.runtime.language), ("iris-v2", Language::Python));
    recorded("empty-manifest", &text(&parent, "manifest.yaml"));
    recorded("empty-service", &text(&parent, "service.py"));
}

#[test]
fn a_python_project_is_filled_in() {
    let parent = folder(&[
        ("models/iris.joblib", ""),
        ("requirements.txt", "scikit-learn\n"),
        (
            "data/iris.csv",
            "sepal length,day,petal.width,ok,species\n5.1,2026-01-01,0.2,true,setosa\n4.9,2026-01-02,,false,virginica\n",
        ),
    ]);
    let manifest = init(&parent);
    let root = project(&parent).canonicalize().unwrap();
    assert_eq!(manifest.artifacts["model"].path, root.join("models/iris.joblib"));
    assert_eq!(manifest.runtime.packages, Packages::File(root.join("requirements.txt")));
    assert_eq!(manifest.endpoints["predict"].task, Task::Classification);
    let Data::Table { columns, .. } = &manifest.endpoints["predict"].input else { panic!("a table") };
    assert_eq!(
        columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(),
        ["sepal length", "day", "petal.width", "ok"]
    );
    assert!(columns[2].nullable);
    recorded("python-manifest", &text(&parent, "manifest.yaml"));
    recorded("python-service", &text(&parent, "service.py"));
}

#[test]
fn an_r_project_is_filled_in() {
    let parent = folder(&[("model.rds", ""), ("renv.lock", "{}"), ("cars.csv", "speed,y\n4,2.5\n")]);
    let manifest = init(&parent);
    assert_eq!((manifest.runtime.language, manifest.service.entry.as_str()), (Language::R, ""));
    recorded("r-manifest", &text(&parent, "manifest.yaml"));
    recorded("r-service", &text(&parent, "service.R"));
}

#[test]
fn an_mlflow_model_gives_name_version_and_columns() {
    let parent =
        folder(&[("model/MLmodel", MLMODEL), ("model/model.pkl", ""), ("model/requirements.txt", "mlflow==3.1.0\n")]);
    let manifest = init(&parent);
    assert_eq!((manifest.name.as_str(), manifest.runtime.version.as_str()), ("churn-model", "3.11"));
    assert!(text(&parent, "manifest.yaml").contains("version: \"3.11\" # trained with 3.10\n"));
    assert!(manifest.artifacts["model"].path.ends_with("model/model.pkl"));
    assert!(matches!(&manifest.runtime.packages, Packages::File(path) if path.ends_with("model/requirements.txt")));
    let Data::Table { columns, .. } = &manifest.endpoints["predict"].input else { panic!("a table") };
    let columns: Vec<_> = columns.iter().map(|column| (column.name.as_str(), column.kind, column.nullable)).collect();
    assert_eq!(columns, [("tenure", ColumnType::Integer, false), ("plan", ColumnType::String, true)]);
    assert_eq!(manifest.endpoints["predict"].task, Task::Classification);
}

#[test]
fn every_model_format_has_a_service() {
    let formats = [
        ("model.joblib", "", "joblib.load"),
        ("model.pickle", "", "pickle.load"),
        ("model.onnx", "", "InferenceSession"),
        ("model.json", "{\"learner\":{}}", "xgboost.Booster"),
        ("model.txt", "tree\nversion=v4\n", "lightgbm.Booster"),
        ("model.cbm", "", "catboost.CatBoost"),
        ("model.bst", "", "xgboost.Booster"),
        ("model.ubj", "", "xgboost.Booster"),
        ("model.keras", "", "keras.saving.load_model"),
        ("model.pt", "", "torch.jit.load"),
        ("model.safetensors", "", "load_file"),
    ];
    for (name, content, call) in formats {
        let parent = folder(&[(name, content), ("notes.txt", "not a model"), ("package.json", "{}")]);
        let manifest = init(&parent);
        assert!(manifest.artifacts["model"].path.ends_with(name), "{name}");
        assert!(text(&parent, "service.py").contains(call), "{name}");
        assert!(matches!(manifest.runtime.packages, Packages::List(packages) if !packages.is_empty()), "{name}");
    }
}

#[test]
fn objects_saved_by_r_are_models() {
    let parent = folder(&[("model.RData", "")]);
    let manifest = init(&parent);
    assert!(manifest.artifacts["model"].path.ends_with("model.RData"));
    assert!(text(&parent, "service.R").contains("base::load("));
}

#[test]
fn an_mlflow_model_of_arrays_takes_and_gives_tensors() {
    let tensors = r#"flavors: {python_function: {data: model.keras, python_version: 3.11.4}}
signature:
  inputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 28, 28]}}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 10]}}]'
"#;
    let parent = folder(&[("MLmodel", tensors), ("model.keras", "")]);
    let manifest = init(&parent);
    let endpoint = &manifest.endpoints["predict"];
    assert_eq!(endpoint.input, Data::Tensor { dtype: Dtype::Float32, shape: vec![None, Some(28), Some(28)] });
    assert_eq!(endpoint.output, Data::Tensor { dtype: Dtype::Float32, shape: vec![None, Some(10)] });
    recorded("tensors-service", &text(&parent, "service.py"));
    for wrong in ["[]", "[0]", "[\"a\"]", "[4294967295, 4294967295]", "{}"] {
        let parent = folder(&[("MLmodel", &tensors.replace("[-1, 28, 28]", wrong))]);
        assert!(matches!(init(&parent).endpoints["predict"].input, Data::Table { .. }), "{wrong}");
    }
}

#[test]
fn hostile_folders_give_manifests_that_load() {
    let traversal = MLMODEL
        .replace("model_path: model.pkl", "model_path: ../../secret.pkl")
        .replace("Churn Model", "'\"; rm -rf / #'");
    let parent = folder(&[
        ("model/MLmodel", &traversal.replace("\"tenure\"", "\"ten\\nure\"")),
        ("mo\ndel: {.joblib", ""),
        ("models/a b'\"#{{ 7 * 7 }}.pkl", ""),
        ("first.csv", "a,a\n1,2\n"),
        ("second.csv", "\"x: {y}\",\"yes\",\"\\\",'#\",target\n1,true,'\"\n"),
    ]);
    fs::write(parent.path().join("secret.pkl"), "").unwrap();
    symlink("../secret.pkl", project(&parent).join("link.joblib")).unwrap();
    let manifest = init(&parent);
    assert!(manifest.artifacts["model"].path.starts_with(project(&parent).canonicalize().unwrap()));
    assert_eq!(manifest.name, "rm-rf");
}

#[test]
fn a_manifest_is_replaced_with_force_alone() {
    let parent = folder(&[("manifest.yaml", "mine")]);
    let project = project(&parent);
    let error = Draft::of(&project, None).write(&project, false).unwrap_err();
    let message = error.to_string().replace(&project.display().to_string(), ".");
    assert_eq!(
        (message.as_str(), text(&parent, "manifest.yaml").as_str()),
        ("`./manifest.yaml` exists already", "mine")
    );
    assert!(!project.join("service.py").exists(), "all or nothing");
    Draft::of(&project, None).write(&project, true).unwrap();
    assert!(text(&parent, "service.py").contains("class Model"));
}

#[test]
fn code_of_the_user_is_kept_and_named() {
    let scorer = "class InputError(Exception):\n    pass\n\n\nclass Scorer(Base):\n    pass\n";
    for (file, code, expected) in [
        ("service.py", scorer, "service: service.py:Scorer\n"),
        ("service.py", "def predict(): ...\n", "service: service.py:Model # "),
        ("service.R", "predict <- function(state, rows) rows\n", "service: service.R\n"),
    ] {
        let parent = folder(&[(file, code)]);
        let project = project(&parent);
        for force in [false, true] {
            let begun = Draft::of(&project, None).write(&project, force).unwrap();
            assert_eq!((begun.written, begun.kept), (vec![project.join("manifest.yaml")], Some(project.join(file))));
            assert_eq!(text(&parent, file), code);
            assert!(text(&parent, "manifest.yaml").contains(expected), "{}", text(&parent, "manifest.yaml"));
            manifest::load(&project).unwrap();
        }
    }
}

#[test]
fn a_service_file_from_the_template_follows_the_model() {
    for (first, model, call) in [("x.py", "model.joblib", "joblib.load"), ("x.R", "model.rds", "readRDS")] {
        let parent = folder(&[(first, "")]);
        init(&parent);
        let project = project(&parent);
        fs::write(project.join(model), "").unwrap();
        let begun = Draft::of(&project, None).write(&project, true).unwrap();
        assert_eq!((begun.written.len(), begun.kept), (2, None));
        assert!(fs::read_to_string(&begun.written[1]).unwrap().contains(call));
    }
}

#[test]
fn a_file_is_no_project() {
    let parent = folder(&[("service.py", "")]);
    let file = project(&parent).join("service.py");
    let error = Draft::of(&file, None).write(&file, true).unwrap_err();
    assert!(error.to_string().ends_with("service.py` is a file, not a folder"), "{error}");
}

#[test]
fn the_language_can_be_asked_for_and_the_folder_created() {
    let parent = folder(&[]);
    let new = project(&parent).join("new");
    Draft::of(&new, Some(Language::R)).write(&new, false).unwrap();
    assert_eq!(manifest::load(Path::new(&new)).unwrap().runtime.language, Language::R);
}

#[test]
fn the_program_prints_schema_and_files() {
    let parent = folder(&[]);
    let mlpack = |command: &str| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_mlpack"));
        let output = program.current_dir(project(&parent)).arg(command).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, schema) = mlpack("schema");
    assert_eq!(code, Some(0));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&schema).unwrap(), manifest::json_schema());
    assert_eq!(mlpack("init"), (Some(0), "./manifest.yaml\n./service.py\n".to_owned()));
    assert_eq!(mlpack("init"), (Some(1), String::new()));
}

#[test]
fn the_program_says_what_it_found_and_what_comes_next() {
    let parent = folder(&[("model.joblib", ""), ("cars.csv", "speed,y\n4,2.5\n"), ("service.py", "class Cars: ...\n")]);
    let mut program = Command::new(env!("CARGO_BIN_EXE_mlpack"));
    let output = program.current_dir(project(&parent)).args(["init", "."]).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "Found the model `model.joblib`\nFound what the model takes in `cars.csv`\n\
         `./service.py` was there already and is kept\n\
         Look through what was written, then run `mlpack serve ./manifest.yaml`\n"
    );
}
