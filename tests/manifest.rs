//! The model manifest as users meet it: what is taken, and every message about what is not.
//!
//! `tests/manifest/bad` holds one manifest a file; beside it lies the message that the user sees.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its files fails")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use mlpack::error::{Diagnose as _, Exit};
use mlpack::manifest::{self, Essential, Language, Libraries, Manifest, Packages, Place, Scripts, System};
use mlpack::service::{ColumnType, Data, Dtype, Extra, Protocol, ValidateOutput};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A project with all files that the manifests name, and some traps.
fn project() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("project");
    for name in ["models", "data", "lib", "folder.py", "holds-link"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    for name in [
        "service.py",
        "service.R",
        "helper.py",
        "requirements.txt",
        "renv.lock",
        "models/model.joblib",
        "models/old.joblib",
        "data/names.csv",
        "lib/a.py",
    ] {
        fs::write(root.join(name), "").unwrap();
    }
    fs::write(folder.path().join("secret"), "").unwrap();
    symlink("../secret", root.join("link-outside")).unwrap();
    symlink("../../secret", root.join("holds-link/inner")).unwrap();
    symlink("holds-link", root.join("linked-folder")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("models/model.joblib", root.join("link-inside")).unwrap();
    nix::unistd::mkfifo(&root.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    folder
}

fn load(project: &TempDir, text: impl AsRef<[u8]>) -> Result<Manifest, manifest::Error> {
    let path = project.path().join("project/manifest.yaml");
    fs::write(&path, text).unwrap();
    manifest::load(&path)
}

/// What the user sees, with the project's folder left out.
fn message(project: &TempDir, error: &manifest::Error, color: bool) -> String {
    let mut text = error.rendered(color).unwrap_or_else(|| format!("error: {error}\n"));
    for hint in error.hints() {
        text = text + "hint: " + &hint + "\n";
    }
    text.replace(&format!("{}/project/", project.path().display()), "")
}

fn bad() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifest/bad");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

fn full() -> Value {
    serde_json::from_str(include_str!("manifest/full.json")).unwrap()
}

fn minimal() -> Value {
    json!({
        "apiVersion": "mlpack/v1", "name": "iris", "version": "1", "service": "service.py:Model",
        "runtime": { "language": "python", "version": "3.11" },
        "endpoints": { "predict": { "input": { "type": "text" }, "output": { "type": "text" } } },
    })
}

#[test]
fn every_message_is_as_recorded() {
    let project = project();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("manifest/bad");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in bad() {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let error = load(&project, fs::read(&path).unwrap()).expect_err(name);
            assert_eq!(error.exit(), Exit::Manifest, "{name}");
            insta::assert_snapshot!(name, message(&project, &error, false));
        }
    });
}

#[test]
fn colour_shows_the_same_and_nothing_hostile() {
    let project = project();
    for path in bad() {
        let error = load(&project, fs::read(&path).unwrap()).unwrap_err();
        let colored = message(&project, &error, true);
        let manifest::Error::Invalid { problems, .. } = &error else { continue };
        for problem in problems {
            let word = problem.message().split(' ').next().unwrap();
            assert!(colored.contains(word), "{path:?}: {colored}");
        }
        for hostile in ["\u{1b}[31mb", "\u{202e}", "\u{200b}", "\0"] {
            assert!(!colored.contains(hostile), "{path:?}: {colored}");
        }
    }
}

#[test]
fn colour_draws_whole_lines_with_both_places_of_a_duplicate() {
    let project = project();
    let error = load(&project, include_str!("manifest/bad/duplicate-fields.yaml")).unwrap_err();
    let colored = message(&project, &error, true);
    for expected in ["name: iris", "name: other", "it was first written here", "manifest.yaml:10:1"] {
        assert!(colored.contains(expected), "{colored}");
    }
}

#[test]
fn a_missing_file_leads_to_init() {
    let project = project();
    let error = manifest::load(&project.path().join("project/none.yaml")).unwrap_err();
    assert_eq!(
        message(&project, &error, false),
        "error: failed to open `none.yaml`\nhint: `mlpack init` writes a manifest, filled in from what lies in the folder\n"
    );
}

#[test]
fn a_manifest_of_another_ending_is_seen() {
    let project = project();
    let folder = project.path().join("project");
    fs::write(folder.join("manifest.yml"), "").unwrap();
    for path in [&folder, &folder.join("manifest.yaml")] {
        assert_eq!(
            message(&project, &manifest::load(path).unwrap_err(), false),
            "error: there is no `manifest.yaml`, but `manifest.yml`\nhint: rename it, or name it: `mlpack build manifest.yml`\n"
        );
    }
}

#[test]
fn a_huge_file_is_refused_unread() {
    let project = project();
    let error = load(&project, "#".repeat((1 << 20) + 1)).unwrap_err();
    insta::assert_snapshot!(message(&project, &error, false), @r"
    error: `manifest.yaml` is larger than 1048576 bytes
    hint: is it the right file? Data belongs into `artifacts` or `datasets`
    ");
}

#[test]
fn many_problems_are_cut_off() {
    let project = project();
    let keys = (0..5000).fold(String::new(), |text, number| text + &format!("unknown{number}: 1\n"));
    let error = load(&project, keys).unwrap_err();
    let message = message(&project, &error, false);
    assert!(message.starts_with("error: `manifest.yaml` has 100 problems or more\n"), "{message}");
    assert_eq!(message.matches("manifest.yaml:").count(), 100);
}

#[test]
fn reads_every_field() {
    let project = project();
    let manifest = load(&project, include_str!("manifest/full.json")).unwrap();
    let root = project.path().join("project").canonicalize().unwrap();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("b2x-classifier", "1.0.0"));
    assert_eq!(manifest.description, "Tells companies from persons.\nBy name.");
    assert_eq!(manifest.runtime.language, Language::Python);
    assert_eq!(manifest.runtime.packages, Packages::File(root.join("requirements.txt")));
    let System { packages, build, suites, pins, libraries, essential, scripts } = manifest.system;
    assert!(build.is_empty(), "it is for R");
    assert_eq!(packages, ["libgomp1", "libssl3=3.0.11-1~deb12u2", "openssl/bookworm", "libx11-6 (>= 2:1.8)"]);
    assert_eq!((suites, pins), (vec!["bookworm-backports".to_owned()], vec!["tzdata/bookworm".to_owned()]));
    assert_eq!((libraries, essential, scripts), (Libraries::Depends, Essential::Full, Scripts::Deny));
    assert_eq!(manifest.service.file, root.join("service.py"));
    assert_eq!(manifest.code, [PathBuf::from("lib"), PathBuf::from("helper.py")]);
    assert_eq!(manifest.artifacts["model"].path, root.join("models/model.joblib"));
    let versions: Vec<(&str, usize)> =
        manifest.versions.iter().map(|version| (version.name.as_str(), version.labels.len())).collect();
    assert_eq!(versions, [("0.9.0", 0), ("0.10.0", 1), ("1.0.0", 2)], "lowest first");
    assert_eq!(manifest.versions[1].artifacts["model"].path, root.join("models/old.joblib"));
    assert!(manifest.versions[2].artifacts.is_empty(), "it has the manifest's own");
    assert_eq!(manifest.datasets["names"].license.as_deref(), Some("CC0-1.0"));
    let Data::Table { columns, extra } = &manifest.endpoints["classify"].input else { panic!("a table") };
    assert_eq!((*extra, columns[0].pattern.as_deref()), (Extra::Ignore, Some("^[A-Z]")));
    assert_eq!(manifest.endpoints["classify"].validate_output, ValidateOutput::Warn);
    assert_eq!(manifest.endpoints["ask"].output, Data::Image { media_types: vec!["image/webp".to_owned()] });
    assert_eq!((columns[0].name.as_str(), columns[1].name.as_str()), ("name", "age"), "in the order written");
    assert_eq!(columns[0].default, Some(Value::Null));
    assert_eq!((columns[1].kind, columns[1].maximum), (ColumnType::Integer, Some(150.0)));
    let Data::Tensor { dtype, shape } = &manifest.endpoints["embed"].output else { panic!("a tensor") };
    assert_eq!((*dtype, shape.as_slice()), (Dtype::Float32, &[None, None, Some(3)][..]));
    let score = &manifest.endpoints["score"];
    assert_eq!((score.max_batch_rows, score.max_batch_bytes, score.latency_ms), (Some(32), Some(8 << 20), Some(50)));
    assert_eq!((score.cache_bytes, &score.fallback), (Some(1 << 20), &Some(json!({ "y": 0.5 }))));
    assert_eq!((score.preprocess.as_deref(), score.postprocess.as_deref()), (Some("clean"), Some("round_off")));
    assert_eq!((manifest.server.workers, manifest.server.timeout_ms), (Some(2), 500));
    assert_eq!((manifest.server.max_body_bytes, manifest.server.startup_timeout_ms), (1 << 20, 120_000));
    assert_eq!(manifest.server.preload, Some(true));
    assert_eq!(manifest.server.protocols, [Protocol::V2, Protocol::Mlflow].into());
    assert_eq!((manifest.image.user, manifest.image.env["OMP_NUM_THREADS"].as_str()), (0, "1"));
    assert_eq!(manifest.platforms.iter().map(ToString::to_string).collect::<Vec<_>>(), ["linux/amd64", "linux/arm64"]);
}

#[test]
fn reads_what_is_for_r_alone() {
    let project = project();
    fs::write(project.path().join("project/service.R"), "").unwrap();
    let manifest = load(&project, include_str!("manifest/full-r.json")).unwrap();
    let place = |name: &str| manifest.runtime.repositories[name].place.clone();
    assert_eq!(place("cran"), Some(Place::Address("https://example.org/cran/{date}".to_owned())));
    assert_eq!(place("ours"), Some(Place::Folder(manifest.root.join("lib"))));
    assert_eq!(place("elsewhere"), None);
    assert_eq!(manifest.runtime.repositories["cran"].date.as_deref(), Some("2026-11-23"));
    assert_eq!(manifest.system.build, ["libxml2-dev"]);
}

#[test]
fn fills_in_what_is_left_out() {
    let project = project();
    let manifest = load(&project, minimal().to_string()).unwrap();
    assert_eq!(manifest.runtime.packages, Packages::None);
    assert_eq!(manifest.system, System::default());
    assert_eq!(manifest.system.libraries, Libraries::Elf);
    assert_eq!(manifest.image.user, 10001);
    assert_eq!(manifest.server, mlpack::service::Server::default());
    assert_eq!(manifest.platforms[0].to_string(), "linux/amd64");
    assert!(!manifest.endpoints["predict"].batch, "text has no rows");
}

#[test]
fn a_text_alone_is_a_list_of_one() {
    let project = project();
    let (mut alone, mut listed) = (minimal(), minimal());
    for (place, text) in [
        ("code", "helper.py"),
        ("platforms", "linux/arm64"),
        ("system.packages", "libgomp1"),
        ("server.protocols", "v2"),
        ("endpoints.predict.input.mediaTypes", "image/png"),
    ] {
        let place = place.split('.').collect::<Vec<_>>();
        for (manifest, value) in [(&mut alone, json!(text)), (&mut listed, json!([text]))] {
            manifest["endpoints"]["predict"]["input"]["type"] = json!("image");
            *place.iter().fold(&mut *manifest, |value, key| &mut value[*key]) = value;
        }
    }
    let load = |manifest: Value| Manifest { text: String::new(), ..load(&project, manifest.to_string()).unwrap() };
    assert_eq!(load(alone), load(listed));
}

#[test]
fn merges_requests_wherever_the_data_has_rows() {
    let project = project();
    let mut manifest = minimal();
    manifest["endpoints"]["predict"] = json!({
        "input": { "type": "table", "columns": { "x": "number" } },
        "output": { "type": "tensor", "dtype": "float64", "shape": [null, 3] },
    });
    assert!(load(&project, manifest.to_string()).unwrap().endpoints["predict"].batch);
}

#[test]
fn an_unquoted_version_keeps_its_zero_and_no_is_not_false() {
    let project = project();
    let text = "apiVersion: mlpack/v1\nname: no\nversion: 1.10\nruntime: {language: python, version: 3.11}\n\
        service: service.py:Model\nendpoints:\n  predict: {input: {type: text}, output: {type: text}}\n";
    let manifest = load(&project, text).unwrap();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("no", "1.10"));
    assert_eq!(manifest.runtime.version, "3.11");
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(load(&project, windows).unwrap().name, "no");
}

#[test]
fn the_highest_version_gives_the_image_its_name() {
    let project = project();
    let mut manifest = minimal();
    assert_eq!(load(&project, manifest.to_string()).unwrap().versions.len(), 1);
    manifest["artifacts"] = json!({ "model": "models/model.joblib" });
    manifest["versions"] = json!({ "2": { "artifacts": { "model": "models/old.joblib" } } });
    let manifest = load(&project, manifest.to_string()).unwrap();
    let names: Vec<&str> = manifest.versions.iter().map(|version| version.name.as_str()).collect();
    assert_eq!((manifest.version.as_str(), names), ("2", vec!["1", "2"]));
    assert_eq!(manifest.all_artifacts().count(), 2);
}

#[test]
fn a_pre_release_gives_its_name_only_where_there_is_nothing_else() {
    let project = project();
    let mut manifest = minimal();
    manifest["artifacts"] = json!({ "model": "models/model.joblib" });
    for (own, other, expected) in [("1.9.0", "2.0.0-rc.1", "1.9.0"), ("2.0.0-rc.1", "1.9.0-rc.2", "2.0.0-rc.1")] {
        manifest["version"] = json!(own);
        manifest["versions"] = json!({ other: { "artifacts": { "model": "models/old.joblib" } } });
        assert_eq!(load(&project, manifest.to_string()).unwrap().version, expected);
    }
}

#[test]
fn a_link_inside_the_project_is_followed() {
    let project = project();
    let mut manifest = minimal();
    manifest["artifacts"] = json!({ "model": "link-inside" });
    let manifest = load(&project, manifest.to_string()).unwrap();
    assert!(manifest.artifacts["model"].path.ends_with("models/model.joblib"));
}

#[test]
fn a_contract_with_a_null_default_survives_its_file() {
    let project = project();
    let manifest = load(&project, full().to_string()).unwrap();
    let text = serde_json::to_string(&manifest.endpoints).unwrap();
    let back: std::collections::BTreeMap<String, mlpack::service::Endpoint> = serde_json::from_str(&text).unwrap();
    assert_eq!(back, manifest.endpoints);
}

/// Every key of the schema stands in `full.json` or `full-r.json`, and nothing else does.
#[test]
fn the_schema_and_the_full_manifest_have_the_same_keys() {
    let (mut described, mut written) = (BTreeSet::new(), BTreeSet::new());
    schema_keys(&manifest::json_schema(), "", &mut described);
    let full_r = serde_json::from_str(include_str!("manifest/full-r.json")).unwrap();
    for manifest in [full(), full_r] {
        value_keys(&manifest::json_schema(), &manifest, "", &mut written);
    }
    assert_eq!(described, written);
}

fn schema_keys(schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
    for option in schema["anyOf"].as_array().into_iter().flatten() {
        schema_keys(option, path, keys);
    }
    for (name, value) in schema["properties"].as_object().into_iter().flatten() {
        assert!(
            value["description"].as_str().is_some_and(|text| text.ends_with('.')),
            "{path}.{name} is not described"
        );
        let path = format!("{path}.{}", unified(name));
        schema_keys(value, &path, keys);
        keys.insert(path);
    }
    if schema["additionalProperties"].is_object() {
        schema_keys(&schema["additionalProperties"], &format!("{path}.*"), keys);
    }
}

fn value_keys(schema: &Value, value: &Value, path: &str, keys: &mut BTreeSet<String>) {
    let options: Vec<&Value> = schema["anyOf"].as_array().map_or(vec![schema], |options| options.iter().collect());
    for (name, inner) in value.as_object().into_iter().flatten() {
        for option in &options {
            if !option["properties"][name].is_null() {
                let path = format!("{path}.{}", unified(name));
                value_keys(&option["properties"][name], inner, &path, keys);
                keys.insert(path);
            } else if option["additionalProperties"].is_object() {
                value_keys(&option["additionalProperties"], inner, &format!("{path}.*"), keys);
            } else if options.len() == 1 && option["type"] == "object" {
                panic!("{path}.{name} is not in the schema");
            }
        }
    }
}

/// Input and output take the same.
fn unified(name: &str) -> &str {
    if matches!(name, "input" | "output") { "data" } else { name }
}

/// No key is taken without its value being looked at.
#[test]
fn a_wrong_value_is_noticed_at_every_place() {
    let project = project();
    let mut places = Vec::new();
    pointers(&full(), "", &mut places);
    for place in places.iter().filter(|place| !place.contains("/schema/")) {
        let mut manifest = full();
        *manifest.pointer_mut(place).unwrap() = json!([[["wrong"]]]);
        assert!(load(&project, manifest.to_string()).is_err(), "{place} may be anything");
    }
}

fn pointers(value: &Value, path: &str, places: &mut Vec<String>) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        pointers(inner, &path, places);
        places.push(path);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_a_manifest_or_a_message(text in "(?s).{0,200}") {
        let project = tempfile::tempdir().unwrap();
        fs::create_dir(project.path().join("project")).unwrap();
        if let Err(error) = load(&project, text) {
            prop_assert!(!message(&project, &error, true).is_empty());
            prop_assert!(!message(&project, &error, false).is_empty());
        }
    }

    #[test]
    fn any_damage_gives_a_manifest_or_a_message(
        path in prop::sample::select(bad()),
        at in any::<prop::sample::Index>(),
        with in "[\\PC\n\r\t\"'&*!?:{}\\[\\]|>%@-]{0,4}",
    ) {
        let mut text = fs::read_to_string(path).unwrap_or_else(|_| full().to_string());
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
        let (start, end) = (at.index(places.len()), (at.index(places.len()) + 2).min(places.len() - 1));
        text.replace_range(places[start]..places[end].max(places[start]), &with);
        let project = tempfile::tempdir().unwrap();
        fs::create_dir(project.path().join("project")).unwrap();
        let error = load(&project, text).expect_err("no file of it exists");
        prop_assert!(!message(&project, &error, true).is_empty());
        prop_assert!(!message(&project, &error, false).is_empty());
    }
}
