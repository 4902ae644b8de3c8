//! The official test suite of JSON Schema, draft 2020-12, from the source archive of the Python package that brings it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use mlpack::service::json_schema::JsonSchema;
use serde_json::{Value, json};

const PACKAGE: &str = "jsonschema==4.26.0";
/// Where the suite's own documents are said to be.
const ADDRESS: &str = "http://localhost:1234/";
const METASCHEMA: &str = "https://json-schema.org/draft/2020-12/schema";

/// What does not do as the suite says, by file and what `group: test` contains, and why that is so.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("format.json", "only an annotation by default", "formats are asserted here, not only noted"),
    ("vocabulary.json", "custom metaschema", "other metaschemas are refused"),
    ("vocabulary.json", "unrecognized optional vocabulary", "other metaschemas are refused"),
    ("optional/format-assertion.json", "custom metaschema", "other metaschemas are refused"),
];

/// The optional parts that are not promised at all.
const LEFT_OUT: &[(&str, &str)] = &[
    ("optional/cross-draft.json", "other drafts are refused"),
    ("optional/dependencies-compatibility.json", "`dependencies` is no keyword of this draft"),
];

/// The folder `json` of the package's sources.
static SUITE: LazyLock<PathBuf> = LazyLock::new(download);

fn download() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("json-schema-suite");
    let (name, version) = PACKAGE.split_once("==").unwrap();
    let archive = folder.join(format!("{name}-{version}.tar.gz"));
    if !archive.exists() {
        let options =
            ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", name];
        run(Command::new("python3").args(options).arg("--dest").arg(&folder).arg(PACKAGE));
    }
    run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&folder));
    folder.join(format!("{name}-{version}/json"))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// All JSON files below a folder, by their paths from it.
fn files(folder: &Path) -> Vec<(String, Value)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(place) = folders.pop() {
        for entry in std::fs::read_dir(&place).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.push((name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()));
            }
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

/// Whether a schema says of each value of a group what the suite says of it.
fn results(group: &Value, documents: &[(String, Value)]) -> Vec<(String, bool)> {
    let schema = JsonSchema::with_documents(&group["schema"], documents);
    let tests = group["tests"].as_array().unwrap().iter();
    let result = |test: &Value| {
        let fits = schema.as_ref().ok().map(|schema| schema.problems(&test["data"], 1).is_empty());
        let name = format!("{}: {}", group["description"].as_str().unwrap(), test["description"].as_str().unwrap());
        (name, fits == test["valid"].as_bool())
    };
    tests.map(result).collect()
}

#[test]
fn the_official_suite_of_json_schema_is_passed() {
    let documents: Vec<(String, Value)> = files(&SUITE.join("remotes"))
        .into_iter()
        .map(|(name, document)| (format!("{ADDRESS}{name}"), document))
        .collect();
    let (mut passed, mut wrong, mut used) = (0, Vec::new(), vec![false; EXCEPTIONS.len()]);
    for (file, groups) in files(&SUITE.join("tests/draft2020-12")) {
        if LEFT_OUT.iter().any(|(left_out, _)| *left_out == file) {
            continue;
        }
        for (test, is_right) in groups.as_array().unwrap().iter().flat_map(|group| results(group, &documents)) {
            let mut exceptions = EXCEPTIONS.iter();
            match (is_right, exceptions.position(|(place, part, _)| *place == file && test.contains(part))) {
                (true, None) => passed += 1,
                (false, Some(exception)) => used[exception] = true,
                (true, Some(_)) => wrong.push(format!("{file}: {test} is no exception any more")),
                (false, None) => wrong.push(format!("{file}: {test}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), passed + wrong.len(), wrong.join("\n"));
    assert!(used.iter().all(|used| *used), "exceptions without a test: {used:?}");
    assert!(passed > 1800, "only {passed} tests were there");
}

#[test]
fn every_schema_of_the_suite_fits_the_metaschema_as_the_compiler_says() {
    let metaschema = JsonSchema::new(&json!({"$ref": METASCHEMA})).unwrap().unwrap();
    let mut compared = 0;
    for (_, groups) in files(&SUITE.join("tests/draft2020-12")) {
        for schema in groups.as_array().unwrap().iter().map(|group| &group["schema"]) {
            assert_eq!(metaschema.problems(schema, 3), [], "{schema}");
            compared += 1;
        }
    }
    assert!(compared > 350, "only {compared} schemas were there");
}
