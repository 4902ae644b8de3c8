//! The libraries that real wheels need of the system. Needs pip, and fetches the wheels.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mlpack::digest::Digest;
use mlpack::elf::{Closure, scan};
use mlpack::fetch::Home;
use mlpack::layer::tree::{Content, Node, Source, Tree, TreePath};
use mlpack::lock::Lock;
use mlpack::platform::Platform;

use crate::support::project::tiny;
use crate::support::scratch::Scratch;
use crate::support::{mlpack, succeed};

/// What the Debian package `libc6` has, which every wheel may rely on.
const LIBC: [&str; 7] =
    ["ld-linux-x86-64.so.2", "libc.so.6", "libdl.so.2", "libm.so.6", "libmvec.so.1", "libpthread.so.0", "librt.so.1"];

#[test]
fn a_wheel_with_all_that_it_needs_lacks_only_the_compilers_libraries() {
    assert_eq!(missing("scikit-learn==1.5.2"), ["libgcc_s.so.1", "libstdc++.so.6"]);
    assert_eq!(missing("h5py==3.11.0"), ["libz.so.1"]);
}

#[test]
fn lightgbm_lacks_openmp() {
    assert_eq!(missing("lightgbm==4.5.0"), ["libgcc_s.so.1", "libgomp.so.1", "libstdc++.so.6"]);
}

#[test]
fn opencv_lacks_the_desktop() {
    let expected = [
        "libGL.so.1",
        "libICE.so.6",
        "libSM.so.6",
        "libX11.so.6",
        "libXext.so.6",
        "libgcc_s.so.1",
        "libglib-2.0.so.0",
        "libgthread-2.0.so.0",
        "libstdc++.so.6",
        "libxcb.so.1",
        "libz.so.1",
    ];
    assert_eq!(missing("opencv-python==4.10.0.84"), expected);
}

#[test]
fn libraries_come_by_themselves_or_with_all_that_they_depend_on_or_not_at_all() {
    let found = ["elf", "depends", "none"].map(|mode| {
        let folder = Scratch::new();
        let manifest = format!(
            "apiVersion: mlpack/v1\nname: modes\nversion: 1.0.0\nservice: service.py:Service\n\
             runtime: {{language: python, version: '3.11', packages: [lightgbm==4.5.0]}}\n\
             system: {{libraries: {mode}}}\nendpoints: {{call: {{input: {{type: json}}, output: {{type: json}}}}}}\n"
        );
        fs::write(folder.join("manifest.yaml"), manifest).unwrap();
        fs::write(folder.join("service.py"), "class Service: pass\n").unwrap();
        succeed(mlpack(tiny().home()).arg("lock").arg(folder.join("manifest.yaml")));
        let path = folder.join("mlpack.lock");
        let lock = Lock::read(&path).unwrap().unwrap();
        let lock = lock.platform(Platform::host().unwrap(), &path).unwrap();
        let has = |name: &str| lock.packages.iter().any(|package| package.name == name);
        let loads = lock.libraries.iter().any(|library| {
            library.soname == "libgomp.so.1" && library.needed_by.contains(&"wheel:lightgbm".to_owned())
        });
        (has("libgomp1"), has("gcc-12-base"), loads)
    });
    assert_eq!(found, [(true, false, true), (true, true, true), (false, true, false)]);
}

/// Returns the sonames that a wheel for Python 3.11 lacks, without libc's.
fn missing(requirement: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let download = folder.path().join("download");
    let unpacked = folder.path().join("unpacked");
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version=3.11"])
        .args(["--platform=manylinux2014_x86_64", "--platform=manylinux_2_28_x86_64", requirement, "--dest"])
        .arg(&download));
    let wheel = fs::read_dir(&download).unwrap().next().unwrap().unwrap().path();
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel).arg(&unpacked));

    let tree = read_tree(&unpacked);
    let home = Home::below(&folder.path().join("home"));
    let objects = scan(&home.blobs().unwrap(), &home.derived(), &tree).unwrap();
    let mut closure = Closure::new("linux/amd64".parse().unwrap());
    closure.add(&format!("wheel:{requirement}"), objects, &tree);
    let missing = closure.resolve().missing.into_iter().map(|missing| missing.soname);
    missing.filter(|soname| !LIBC.contains(&soname.as_str())).collect()
}

fn read_tree(unpacked: &Path) -> Tree {
    let mut tree = Tree::new();
    for entry in walkdir::WalkDir::new(unpacked).into_iter().map(Result::unwrap) {
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(unpacked).unwrap().to_str().unwrap();
            let bytes = fs::read(entry.path()).unwrap();
            let source = Source::Project(PathBuf::from(entry.path()));
            let content = Content { digest: Digest::of(&bytes), length: bytes.len() as u64, source };
            let path = TreePath::new("usr/lib/python3/dist-packages").unwrap().join(name).unwrap();
            tree.insert(path, Node::file(content, 0o644));
        }
    }
    tree
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: install the program"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
