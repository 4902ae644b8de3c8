//! The subcommands for the local store, run as a user runs them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::Command;

use mlpack::image::{ImageStore, OPENAPI_LABEL, Settings, assemble};
use mlpack::layer::tree::{Content, Node, Tree, TreePath};
use mlpack::layer::{self, Compression};

/// A home with one image, `demo:1`, whose labels hold an OpenAPI document and a terminal's escape sequence.
fn home() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = ImageStore::at(&folder.path().join("images")).unwrap();
    let node = Node::file(Content::inline(*b"weights"), 0o644);
    let tree: Tree = [(TreePath::new("opt/model").unwrap(), node)].into_iter().collect();
    let layer = layer::write(store.blobs(), store.blobs(), &tree, Compression::None).unwrap();
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let settings = Settings {
        platform: "linux/amd64".parse().unwrap(),
        user: "10001".to_owned(),
        entrypoint: vec!["/usr/bin/mlpack-server".to_owned()],
        cmd: vec![],
        env: [label("PATH", "/usr/bin")].into(),
        labels: [label(OPENAPI_LABEL, r#"{"openapi":"3.1.0"}"#), label("title", "\u{1b}[2Jgone")].into(),
        annotations: [].into(),
        working_dir: "/".to_owned(),
        exposed_ports: vec![8080],
        stop_signal: None,
        created: 1_700_000_000,
    };
    let image = assemble(store.blobs(), &[("artifacts".to_owned(), layer)], &settings).unwrap();
    store.tag("demo:1", &image.descriptor).unwrap();
    folder
}

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlpack"));
    command.env("MLPACK_HOME", home).args(arguments);
    command
}

fn mlpack(home: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = command(home, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn images_are_listed_and_looked_into() {
    let home = home();
    insta::assert_snapshot!("images", mlpack(home.path(), &["images"]).1);
    insta::assert_snapshot!("inspect", mlpack(home.path(), &["inspect", "demo:1"]).1);
    insta::assert_snapshot!("inspect-json", mlpack(home.path(), &["--json", "inspect", "demo:1"]).1);
    assert_eq!(mlpack(home.path(), &["inspect", "--openapi", "demo:1"]).1, "{\"openapi\":\"3.1.0\"}\n");
}

#[test]
fn names_come_and_go_and_space_is_freed() {
    let home = home();
    let (code, tagged, _) = mlpack(home.path(), &["tag", "demo:1", "other"]);
    assert!(code == 0 && tagged.starts_with("other:latest@sha256:"), "{tagged}");
    assert_eq!(mlpack(home.path(), &["rm", "demo:1", "no-such"]).0, 1);
    assert_eq!(mlpack(home.path(), &["rm", "demo:1"]).1, "demo:1\n");
    assert_eq!(mlpack(home.path(), &["gc"]).2, "removed 0 files, 0 B\n");
    assert_eq!(mlpack(home.path(), &["rm", "other"]).1, "other:latest\n");
    assert!(mlpack(home.path(), &["gc"]).2.starts_with("removed 3 files"));
    assert_eq!(mlpack(home.path(), &["images"]), (0, String::new(), String::new()));
}

#[test]
fn mistakes_are_explained() {
    let home = home();
    for (arguments, code, message) in [
        (&["inspect", "demo:2"][..], 1, "error: no image `demo:2` in the local store\nhint: did you mean `demo:1`?\n"),
        (&["rm", "x"], 1, "error: no image `x` in the local store\nhint: `mlpack images` lists what is there\n"),
        (&["serve", "demo:2"], 1, "error: no image `demo:2` in the local store\nhint: did you mean `demo:1`?\n"),
        (&["serve", "none/manifest.yaml"], 3, "error: failed to open `none/manifest.yaml`\n"),
        (&["push", "demo:1"], 2, "error: `demo:1` names no registry to push to\nhint: name one: "),
        (&["push", "demo:1", "team/demo:1"], 2, "error: `team/demo:1` names no registry to push to\n"),
        (
            &["push", "demo:1", "https://registry.example.org/a"],
            2,
            "error: `https://registry.example.org/a` is not an image reference: it is written without a scheme\n\
             hint: leave the part with `://` out: REGISTRY/REPOSITORY:TAG\n",
        ),
        (&["login", "localhost:1", "-u", "me", "--password-stdin"], 7, "error: no password on standard input\n"),
        (
            &["call", "localhost:1", "--input", "none.csv"],
            6,
            "error: http://localhost:1/openapi.json has no OpenAPI document",
        ),
        (&["tag", "demo:1", "a//b"], 2, "error: `a//b` is not an image name: "),
    ] {
        let (found, _, errors) = mlpack(home.path(), arguments);
        assert_eq!(found, code, "{errors}");
        assert!(errors.starts_with(message), "{errors}");
    }
}

#[test]
fn a_result_that_cannot_be_printed_is_an_error_unless_nobody_reads_it() {
    let home = home();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command(home.path(), &["images"]).stdout(full).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.starts_with("error: failed to write `standard output`"), "{errors}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command(home.path(), &["images"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
