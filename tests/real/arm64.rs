//! Images for another processor: resolved and built here, and their own programs run by an emulator.
//!
//! A stand-in takes the place of the server program, which needs a compiler for that processor.

use std::fs;
use std::path::Path;

use mlpack::elf::Object;
use mlpack::fetch::Home;
use mlpack::image::ImageStore;
use mlpack::platform::Platform;

use crate::program::{ARM64, static_program};
use crate::support::project::tiny;
use crate::support::scratch::Scratch;
use crate::support::{mlpack, succeed, tree};

/// From Debian's package qemu-user-static.
const EMULATOR: &str = "/usr/bin/qemu-aarch64-static";

/// Builds a service with these packages for arm64, and returns its tree.
fn build(language: &str, version: &str, packages: &str) -> Scratch {
    assert!(Path::new(EMULATOR).exists(), "cannot run programs for arm64: apt-get install qemu-user-static");
    let (folder, home) = (Scratch::new(), tiny().home());
    let service = if language == "r" { "service.R" } else { "service.py:Service" };
    let manifest = format!(
        "apiVersion: mlpack/v1\nname: other-processor\nversion: '{version}'\n\
         runtime: {{language: {language}, version: '{version}', packages: {packages}}}\nservice: {service}\n\
         endpoints: {{call: {{input: {{type: json}}, output: {{type: json}}}}}}\nplatforms: [linux/arm64]\n"
    );
    fs::write(folder.join("manifest.yaml"), manifest).unwrap();
    fs::write(folder.join(service.split(':').next().unwrap()), "").unwrap();
    fs::write(folder.join("server"), static_program(ARM64)).unwrap();
    let mut command = mlpack(home);
    command.arg("build").arg(folder.join("manifest.yaml")).env("MLPACK_SERVER", folder.join("server"));
    let digest = succeed(&mut command).digest();
    let store = ImageStore::open(&Home::below(home)).unwrap();
    let image = store.read(&store.find(&digest).unwrap().descriptor).unwrap();
    assert_eq!(image.platform(), "linux/arm64");
    tree::lay_out(home, &store, &image)
}

/// Fails where the tree has a program or library for this machine's processor.
fn assert_no_foreign_object(root: &Path) {
    let arm64: Platform = "linux/arm64".parse().unwrap();
    let mut objects = 0;
    for entry in walkdir::WalkDir::new(root).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file())
    {
        if let Some(object) = Object::parse(&fs::read(entry.path()).unwrap()) {
            assert_eq!(object.platform, Some(arm64), "{}", entry.path().display());
            objects += 1;
        }
    }
    assert!(objects > 50, "{objects}");
}

#[test]
fn python_for_arm64_runs_its_compiled_packages() {
    const PROGRAM: &str = "import platform, ssl, numpy; print(platform.machine(), ssl.OPENSSL_VERSION.split()[0], \
        numpy.linalg.solve([[2., 0.], [0., 4.]], [1., 1.]).tolist())";
    for version in ["3.11", "3.13"] {
        let root = build("python", version, "[numpy]");
        assert_no_foreign_object(&root);
        let mut python = tree::command(&root, Some(EMULATOR), &[], &format!("/usr/bin/python{version}"));
        let found = succeed(python.args(["-c", PROGRAM])).stdout;
        assert_eq!(found.trim(), "aarch64 OpenSSL [0.5, 0.25]");
    }
}

#[test]
fn r_for_arm64_runs_its_compiled_packages() {
    const PROGRAM: &str = "cat(R.version$arch, solve(diag(2) * 4, c(2, 1)), jsonlite::toJSON(1:2))";
    for version in ["4.2", "4.5"] {
        let root = build("r", version, "[]");
        assert_no_foreign_object(&root);
        // `R` is a script that starts this program; the kernel here would not know how.
        let environment = [("R_HOME", "/usr/lib/R"), ("LD_LIBRARY_PATH", "/usr/lib/R/lib")];
        let mut r = tree::command(&root, Some(EMULATOR), &environment, "/usr/lib/R/bin/exec/R");
        let found = succeed(r.args(["--no-echo", "--vanilla", "-e", PROGRAM])).stdout;
        assert_eq!(found.trim(), "aarch64 0.5 0.25 [1,2]");
    }
}
