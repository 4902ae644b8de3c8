//! Several versions of a model in one image: adding one sends its layer alone, and each answers, in Python and in R.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::http::{Answer, client, get, post, try_get, try_post};
use crate::support::process::{Running, free_port, wait_until};
use crate::support::project::{Prepared, Project, tiny, tiny_r};
use crate::support::registry::Registry;
use crate::support::{mlpack, succeed};

/// Adds a version whose artifact `factor` is this text.
fn add_version(project: &Project, version: &str, label: &str, text: &str) {
    let file = format!("factor-{version}.txt");
    project.write(&file, text);
    let manifest = project.read("manifest.yaml");
    let section = if manifest.contains("versions:") { "" } else { "versions:\n" };
    let entry = format!("{section}  {version}: {{artifacts: {{factor: {file}}}, labels: [{label}]}}\n");
    project.write("manifest.yaml", &(manifest + &entry));
}

fn serve(project: &Project, prepared: &Prepared) -> (Running, String) {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let mut command = project.command(prepared.home(), "serve");
    let mut process = Running::start(command.args(["--offline", "--watch", "--port", &port.to_string()]));
    process.wait_until("every version is ready", || {
        try_get(&format!("{url}/readyz")).filter(|answer| answer.status == 200)
    });
    (process, url)
}

#[test]
fn adding_a_version_sends_its_layer_alone() {
    let registry = Registry::start();
    let project = tiny().copy();
    // Random bytes do not shrink: what is sent then tells what was new.
    let noise = |seed: u64| -> String {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + ((state >> 33) % 90) as u8)
        };
        (0..500_000).map(|_| next()).collect()
    };
    project.edit("service.py", ".read())", ".readline())");
    project.write("factor.txt", &format!("2\n{}", noise(1)));
    let push = |tag: &str| {
        let built = succeed(project.command(tiny().home(), "build").arg("--offline"));
        assert!(
            built.stdout.starts_with(&format!("tiny:{tag}.0.0@")),
            "called by the latest version: {}",
            built.stdout
        );
        let name = registry.name(&format!("team/tiny:{tag}"));
        let known: BTreeSet<String> = registry.blobs("team/tiny").into_iter().collect();
        let said = succeed(mlpack(tiny().home()).args(["push", built.stdout.trim(), &name])).stderr;
        let new: Vec<u64> = registry
            .blobs("team/tiny")
            .into_iter()
            .filter(|blob| !known.contains(blob))
            .map(|blob| registry.size(&blob))
            .collect();
        eprintln!("version {tag}: {} blobs of {new:?} bytes are new: {}", new.len(), said.trim());
        new
    };
    let first: u64 = push("1").iter().sum();
    for version in [2, 3] {
        add_version(
            &project,
            &format!("{version}.0.0"),
            &format!("label{version}"),
            &format!("{version}\n{}", noise(version)),
        );
        let mut new = push(&version.to_string());
        new.sort_unstable();
        let [service, configuration, artifact] = new.as_slice() else { panic!("{new:?}") };
        assert!(*artifact > 400_000, "{new:?}");
        assert!(service + configuration < 20_000, "the contract and what names the layers: {new:?}");
        assert!(first > 10 * artifact, "{first} bytes were sent at first");
    }
}

#[test]
fn versions_of_a_python_model_answer_and_are_followed() {
    let project = tiny().copy();
    add_version(&project, "2.0.0", "stable", "30\n");
    let (_process, url) = serve(&project, tiny());
    let call = |path: &str| post(&format!("{url}{path}"), &json!(7)).json();
    assert_eq!(["/call", "/v/1.0.0/call", "/v/1/call", "/v/stable/call"].map(call), [210, 14, 14, 210]);
    let tensor = json!({"inputs": [{"name": "input", "shape": [1], "datatype": "BYTES", "data": ["7"]}]});
    let answer: Answer = post(&format!("{url}/v2/models/tiny/versions/1.0.0/infer"), &tensor);
    assert_eq!(
        (&answer.json()["model_version"], &answer.json()["outputs"][0]["data"]),
        (&json!("1.0.0"), &json!(["14"]))
    );
    assert_eq!(get(&format!("{url}/v2/models/tiny")).json()["versions"], json!(["1.0.0", "2.0.0"]));
    project.write("factor-2.0.0.txt", "5\n");
    let client = client();
    wait_until("the new artifact is served", || {
        let answer = try_post(&client, &format!("{url}/v/2/call"), &json!(7)).filter(|answer| answer.status == 200)?;
        (answer.json() == 35).then_some(())
    });
    assert_eq!(call("/v/1/call"), 14);
}

#[test]
fn versions_of_an_r_model_answer() {
    let project = tiny_r().copy();
    project.edit("service.R", "  list()\n", "  list(bundle$version, readLines(bundle$artifact(\"factor\")))\n");
    project.edit("service.R", "return(value$echo)", "return(state)");
    project.write("factor.txt", "two\n");
    project.edit("manifest.yaml", "endpoints:", "artifacts: {factor: factor.txt}\nendpoints:");
    add_version(&project, "1.1.0", "stable", "thirty\n");
    let (_process, url) = serve(&project, tiny_r());
    let call = |path: &str| -> Value { post(&format!("{url}{path}"), &json!({"echo": 1})).json() };
    assert_eq!(call("/v/1.0.0/call"), json!(["1.0.0", "two"]));
    assert_eq!(call("/v/stable/call"), json!(["1.1.0", "thirty"]));
    assert_eq!(call("/call"), json!(["1.1.0", "thirty"]));
}
