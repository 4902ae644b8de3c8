//! What others' programs make of the example's image: skopeo, umoci, podman, Docker, and the OCI's own schemas.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::engine::Engine;
use crate::support::http::{get, post};
use crate::support::project::example;
use crate::support::registry::Registry;
use crate::support::scratch::Scratch;
use crate::support::{mlpack, succeed, text};

/// The example in all forms, with one compression.
struct Forms {
    /// The image's name in the archives, which is the compression's.
    name: String,
    digest: String,
    layout: PathBuf,
    archive: PathBuf,
    docker_archive: PathBuf,
    folder: Scratch,
}

impl Forms {
    fn build(compression: &str) -> Self {
        let (project, folder) = (example().copy(), Scratch::new());
        let (layout, archive) = (folder.join("layout"), folder.join("archive.tar"));
        let docker_archive = folder.join("docker.tar");
        let name = format!("{compression}:1");
        let mut command = project.command(example().home(), "build");
        command.args(["--offline", "--compression", compression, "--tag", &name]);
        for (kind, path) in [("oci", &layout), ("oci-archive", &archive), ("docker-archive", &docker_archive)] {
            command.args(["--output", &format!("{kind}:{}", path.display())]);
        }
        let digest = succeed(&mut command).digest();
        Self { name, digest, layout, archive, docker_archive, folder }
    }

    /// Pushes the image, and returns its name there.
    fn push(&self, registry: &Registry) -> String {
        let name = registry.name("team/b2x:1");
        let output = succeed(mlpack(example().home()).args(["push", &self.digest, &name]));
        assert_eq!(output.stdout.trim(), format!("{name}@{}", self.digest));
        name
    }
}

#[test]
fn skopeo_and_umoci_read_registry_layout_and_archive() {
    let registry = Registry::start();
    for compression in ["gzip", "zstd"] {
        let forms = Forms::build(compression);
        let sources = [
            format!("docker://{}", forms.push(&registry)),
            format!("oci:{}:{}", forms.layout.display(), forms.name),
            format!("oci-archive:{}:{}", forms.archive.display(), forms.name),
        ];
        for source in &sources {
            let digest = text("skopeo", ["inspect", "--tls-verify=false", "--format={{.Digest}}", source]);
            assert_eq!(digest.trim(), forms.digest, "{source}");
        }
        if compression == "gzip" {
            check_bundle(&forms);
        }
    }
}

/// Debian's umoci reads gzip layers only.
fn check_bundle(forms: &Forms) {
    let bundle = forms.folder.join("bundle");
    let source = format!("{}:{}", forms.layout.display(), forms.name);
    succeed(Command::new("umoci").args(["unpack", "--image", &source]).arg(&bundle));
    let root = bundle.join("rootfs");
    let service = std::fs::read_to_string(root.join("opt/mlpack/app/service.py")).unwrap();
    assert_eq!(service, example().copy().read("service.py"));
    assert_eq!(text("stat", ["-c", "%a %u", root.join("usr/bin/mlpack-server").to_str().unwrap()]), "755 0\n");
}

#[test]
fn the_documents_hold_by_the_schemas_of_the_oci() {
    let folder = Scratch::new();
    let (_, image) = example().image();
    let layout = example().home().join("images");
    let blob = |digest: String| layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
    let config = blob(image.manifest.config().digest().to_string());
    for (schema, document) in [
        ("image-layout-schema.json", layout.join("oci-layout")),
        ("image-index-schema.json", layout.join("index.json")),
        ("image-manifest-schema.json", blob(image.digest().to_string())),
        ("config-schema.json", config),
    ] {
        validate(&schemas(&folder).join(schema), &document);
    }
}

/// Brings the schemas from Debian's package of the specification (Apache-2.0).
fn schemas(folder: &Path) -> PathBuf {
    let schemas = folder.join("usr/share/gocode/src/github.com/opencontainers/image-spec/schema");
    if !schemas.exists() {
        let script = "apt-get download -qq golang-github-opencontainers-image-spec-dev && dpkg-deb -x *.deb .";
        succeed(Command::new("sh").args(["-ec", script]).current_dir(folder));
    }
    schemas
}

/// The schemas' `id`s lead into the web; without them, references stay in the folder.
const VALIDATE: &str = r#"
import json, sys
import jsonschema

def bare(value):
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items() if key != "id" or not isinstance(item, str)}
    return [bare(item) for item in value] if isinstance(value, list) else value

def load(address):
    return bare(json.load(open(address.removeprefix("file://"))))

schema, document = load(sys.argv[1]), json.load(open(sys.argv[2]))
resolver = jsonschema.RefResolver("file://" + sys.argv[1], schema, handlers={"file": load})
jsonschema.Draft4Validator(schema, resolver=resolver).validate(document)
"#;

fn validate(schema: &Path, document: &Path) {
    succeed(Command::new("/usr/bin/python3").args(["-c", VALIDATE]).args([schema, document]));
}

#[test]
fn layers_are_sorted_and_name_no_path_twice() {
    let (store, image) = example().image();
    let layers = image.layers();
    assert!((5..=25).contains(&layers.len()), "{} layers", layers.len());
    for layer in layers {
        let blob = store.blobs().get(&layer.digest).unwrap().unwrap();
        let mut archive = tar::Archive::new(layer.compression.unpack(blob.open().unwrap()).unwrap());
        let mut before = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path_bytes().strip_suffix(b"/").unwrap_or(&entry.path_bytes()).to_vec();
            let shown = String::from_utf8_lossy(&path).into_owned();
            assert!(before < path, "{:?}: `{shown}` after `{}`", layer.name, String::from_utf8_lossy(&before));
            assert!(!path.starts_with(b"/") && !path.starts_with(b"./"), "{shown}");
            let parent = path.iter().rposition(|&byte| byte == b'/').map_or(&b""[..], |end| &path[..end]);
            assert!(before.starts_with(parent), "`{shown}` comes without its folder");
            assert_eq!(entry.header().uid().unwrap(), 0, "{shown}");
            std::io::copy(&mut entry.by_ref().take(0), &mut std::io::sink()).unwrap();
            before = path;
        }
    }
}

#[test]
fn podman_runs_both_archives() {
    let (podman, forms) = (Engine::podman(), Forms::build("zstd"));
    for archive in [&forms.archive, &forms.docker_archive] {
        let name = podman.load(archive);
        check_service(&podman, &name);
    }
}

#[test]
fn docker_runs_what_is_in_the_registry_and_in_archives() {
    let (docker, registry, forms) = (Engine::docker(), Registry::start(), Forms::build("gzip"));
    let pulled = forms.push(&registry);
    docker.pull(&pulled);
    check_service(&docker, &pulled);
    let loaded = docker.load(&forms.docker_archive);
    check_service(&docker, &loaded);
    // Docker of that age reads no OCI archive: skopeo hands it over.
    let copied = forms.folder.join("copied.tar");
    let from = format!("oci-archive:{}:{}", forms.archive.display(), forms.name);
    let to = format!("docker-archive:{}:copied:1", copied.display());
    succeed(Command::new("skopeo").args(["copy", "--quiet", &from, &to]));
    let copied = docker.load(&copied);
    check_service(&docker, &copied);
}

/// Runs the image with a read-only root, as its own user, without capabilities, and asks it all there is to ask.
fn check_service(engine: &Engine, image: &str) {
    let user = engine.output(image, &[], &["/usr/bin/python3.11", "-c", "import os; print(os.getuid(), os.getgid())"]);
    assert_eq!(user, "10001 10001\n");
    let container = engine.serve(image);
    let url = |path: &str| format!("{}{path}", container.url);
    let rows = json!({"rows": [{"name": "UAB Baltijos Prekyba"}, {"name": "Ona Petrauskaitė"}]});
    let answer = post(&url("/classify"), &rows);
    let label = |row: usize| answer.json()["rows"][row]["label"].clone();
    assert_eq!((answer.status, label(0), label(1)), (200, json!("B2B"), json!("B2C")), "{answer:?}");
    assert_eq!(post(&url("/classify"), &json!({"rows": [{"nam": "x"}]})).status, 422);
    assert_eq!(get(&url("/livez")).status, 200);
    assert_eq!(get(&url("/openapi.json")).json()["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
    let docs = get(&url("/docs"));
    assert!(docs.status == 200 && !docs.body.contains("https://"), "{docs:?}");
    assert_eq!(container.stop(), "0", "{}", container.logs());
}
