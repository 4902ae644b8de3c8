//! The examples as they stand: what a client sees of the Python one and of the R one is the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use mlpack::fetch::Home;
use mlpack::project::Project;
use mlpack::runtime::Runtime;
use mlpack::{build, manifest, service};
use serde_json::{Value, json};

fn folder(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example)
}

fn openapi(example: &str) -> Value {
    let home = tempfile::tempdir().unwrap();
    let manifest = manifest::load(&folder(example)).unwrap();
    let runtime = Runtime::find(&manifest.runtime.language.to_string(), &manifest.runtime.version).unwrap();
    let project = Project::read(&manifest, &Home::below(home.path()).derived()).unwrap();
    service::openapi::document(&build::service(&manifest, &runtime, &project))
}

#[test]
fn a_client_cannot_tell_which_language_answers() {
    let (python, mut r) = (openapi("b2x-python"), openapi("b2x-r"));
    assert_eq!(python["info"]["title"], "b2x-classifier");
    assert_eq!(r["info"]["title"], "b2x-classifier-r");
    r["info"]["title"] = json!("b2x-classifier");
    assert_eq!(r, python);
}

#[test]
fn both_have_the_same_data() {
    for name in ["first_names.csv", "surnames.csv", "legal_forms.csv", "held_out.csv"] {
        let read = |example| fs::read(folder(example).join("data").join(name)).unwrap();
        assert_eq!(read("b2x-python"), read("b2x-r"), "{name}");
    }
}
