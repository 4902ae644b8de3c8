//! Other programs read what mlpack writes: skopeo, umoci, podman and tar take the images, and podman runs one.
//!
//! The image holds a static busybox, which `apt-get download` brings.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use mlpack::digest::Digest;
use mlpack::image::sink;
use mlpack::image::validate::validate;
use mlpack::image::{Image, ImageStore, Settings, assemble};
use mlpack::layer::tree::{Content, Node, Tree, TreePath};
use mlpack::layer::{self, Compression};

/// What podman needs to run in a container itself.
const RUN: [&str; 7] = [
    "run",
    "--rm",
    "--runtime=runc",
    "--network=host",
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=4096:4096",
    "--read-only",
];

/// Runs a program that must be there and succeed, and returns its standard output.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program} ({error}): apt-get install {program}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn busybox(folder: &Path) -> Vec<u8> {
    let status =
        Command::new("apt-get").args(["download", "-qq", "busybox-static"]).current_dir(folder).status().unwrap();
    assert!(status.success());
    let package = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .unwrap();
    let unpacked = folder.join("busybox");
    run("dpkg-deb", &["-x", package.to_str().unwrap(), unpacked.to_str().unwrap()]);
    ["bin/busybox", "usr/bin/busybox"].iter().find_map(|path| std::fs::read(unpacked.join(path)).ok()).unwrap()
}

struct Example {
    folder: tempfile::TempDir,
    store: ImageStore,
    image: Image,
}

impl Example {
    /// An image of two layers: busybox, and files with long and non-ASCII names.
    fn new(compression: Compression) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = ImageStore::at(&folder.path().join("images")).unwrap();
        let path = |text: &str| TreePath::new(text).unwrap();
        let file = |bytes: &[u8], mode| Node::file(Content::inline(bytes), mode);
        let programs: Tree = [
            (path("bin/busybox"), file(&busybox(folder.path()), 0o755)),
            (path("bin/sh"), Node::symlink("busybox")),
            (path("tmp"), Node { mode: 0o1777, ..Node::directory() }),
        ]
        .into_iter()
        .collect();
        let data: Tree = [
            (path("data/ąčęėįšųūž/ž"), file(b"letters", 0o640)),
            (path(&format!("data/{}/{}", "d".repeat(200), "n".repeat(200))), file(b"long", 0o644)),
            (path("data/owned"), Node { uid: 10001, gid: 10001, ..file(b"", 0o600) }),
        ]
        .into_iter()
        .collect();
        let layers = [("programs", programs), ("data", data)].map(|(name, tree)| {
            (name.to_owned(), layer::write(store.blobs(), store.blobs(), &tree, compression).unwrap())
        });
        let image = assemble(store.blobs(), &layers, &settings()).unwrap();
        validate(&store, &image.descriptor).unwrap();
        Self { folder, store, image }
    }

    /// Writes the image to `kind:path` and returns that path.
    fn write(&self, kind: &str) -> PathBuf {
        let path = self.folder.path().join(kind);
        let output = sink::parse(&format!("{kind}:{}", path.display())).unwrap();
        output.write(&self.store, &self.image.descriptor, Some("mlpack-test:1")).unwrap();
        path
    }
}

fn settings() -> Settings {
    Settings {
        platform: mlpack::platform::Platform::host().unwrap(),
        user: "10001:10001".to_owned(),
        entrypoint: vec!["/bin/busybox".to_owned()],
        cmd: vec!["id".to_owned(), "-u".to_owned()],
        env: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
        labels: BTreeMap::from([("purpose".to_owned(), "test".to_owned())]),
        annotations: BTreeMap::new(),
        working_dir: "/".to_owned(),
        exposed_ports: vec![8080],
        stop_signal: None,
        created: 1_700_000_000,
    }
}

#[test]
fn skopeo_reads_every_form() {
    for compression in Compression::ALL {
        let example = Example::new(compression);
        for kind in ["oci", "oci-archive", "docker-archive"] {
            let source = format!("{kind}:{}:mlpack-test:1", example.write(kind).display());
            let config: serde_json::Value =
                serde_json::from_str(&run("skopeo", &["inspect", "--config", &source])).unwrap();
            assert_eq!(config["config"]["User"], "10001:10001");
            assert_eq!(config["created"], "2023-11-14T22:13:20Z");
            // Copying reads every layer, and checks digests and diff IDs.
            let copy = example.folder.path().join(format!("copy-{kind}"));
            run("skopeo", &["copy", "--quiet", &source, &format!("dir:{}", copy.display())]);
            let manifest = Digest::of(&std::fs::read(copy.join("manifest.json")).unwrap());
            if kind != "docker-archive" {
                assert_eq!(manifest, example.image.digest());
            }
        }
    }
}

#[test]
fn umoci_unpacks_the_tree() {
    let example = Example::new(Compression::Gzip);
    let bundle = example.folder.path().join("bundle");
    let source = format!("{}:mlpack-test:1", example.write("oci").display());
    run("umoci", &["unpack", "--image", &source, bundle.to_str().unwrap()]);
    let list =
        run("find", &[bundle.join("rootfs").to_str().unwrap(), "-mindepth", "1", "-printf", "%M %U %G %Ts %P\n"]);
    for line in [
        "drwxrwxrwt 0 0 315532800 tmp",
        "-rwxr-xr-x 0 0 315532800 bin/busybox",
        "lrwxrwxrwx 0 0 315532800 bin/sh",
        "-rw-r----- 0 0 315532800 data/ąčęėįšųūž/ž",
        "-rw------- 10001 10001 315532800 data/owned",
    ] {
        assert!(list.lines().any(|listed| listed == line), "{line} is not in:\n{list}");
    }
}

#[test]
fn podman_runs_what_it_is_given() {
    let example = Example::new(Compression::Zstd);
    let name = "localhost/mlpack-test:1";
    let engine = sink::parse("podman").unwrap();
    engine.write(&example.store, &example.image.descriptor, Some("mlpack-test:1")).unwrap();
    assert_eq!(run("podman", &[&RUN[..], &[name]].concat()).trim(), "10001");
    assert_eq!(run("podman", &[&RUN[..], &[name, "head", "-c4", "/bin/sh"]].concat()), "\u{7f}ELF");
    run("podman", &["rmi", name]);
    let archive = example.write("oci-archive");
    run("podman", &["load", "--quiet", "--input", archive.to_str().unwrap()]);
    assert_eq!(run("podman", &[&RUN[..], &[name]].concat()).trim(), "10001");
    run("podman", &["rmi", name]);
}

#[test]
fn gnu_tar_takes_every_layer() {
    let example = Example::new(Compression::None);
    for layer in example.image.layers() {
        let path = example.store.blobs().path(&layer.digest);
        let list = run("tar", &["--list", "--file", path.to_str().unwrap()]);
        assert!(list.lines().count() >= 4, "{list}");
    }
}
