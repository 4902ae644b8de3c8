//! Inputs kept in a registry and in a folder, and the same images built from them alone.

use std::path::Path;

use super::support::project::{self, Prepared};
use super::support::registry::Registry;
use super::support::scratch::Scratch;
use super::support::{succeed, text};

/// Vendors a project's inputs to `place`, and returns what the program printed.
fn vendor(project: &Prepared, place: &str) -> String {
    let copy = project.copy();
    let mut command = super::support::mlpack(project.home());
    succeed(command.args(["vendor", place]).arg(copy.path("manifest.yaml"))).stdout
}

/// Builds in an empty home what is locked, from `place` alone: no mirror, index or server program of this machine.
fn build_from(project: &Prepared, place: &str) {
    let (copy, home) = (project.copy(), Scratch::new());
    let mut command = copy.command(&home, "build");
    command.args(["--locked", "--offline", "--vendor", place]).env_remove("MLPACK_SERVER");
    assert_eq!(succeed(&mut command).digest(), project.digest);
}

#[test]
fn a_registry_keeps_all_that_an_image_is_made_of() {
    let (registry, project) = (Registry::start(), project::example());
    let name = registry.name("team/inputs:1");
    let pinned = vendor(project, &name);
    assert!(pinned.starts_with(&format!("{name}@sha256:")), "{pinned}");
    build_from(project, pinned.trim());
    // Every package, the server program, and the empty configuration.
    assert_eq!(registry.blobs("team/inputs").len(), project.lock().packages.len() + 2);
}

#[test]
fn other_tools_move_vendored_inputs_between_registries_and_folders() {
    let (registry, project, folder) = (Registry::start(), project::tiny(), Scratch::new());
    let name = registry.name("inputs:1");
    vendor(project, &name);
    let moved = folder.join("moved");
    let target = format!("oci:{}:inputs", moved.display());
    text("skopeo", ["copy", "--quiet", "--src-tls-verify=false", &format!("docker://{name}"), &target]);
    build_from(project, moved.to_str().unwrap());
    titles_are_file_names(project, &moved);
}

/// Fails unless the artifact says the file name of every package.
fn titles_are_file_names(project: &Prepared, layout: &Path) {
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(layout.join(name)).unwrap()).unwrap()
    };
    let index = read("index.json");
    let digest = index["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
    let manifest = read(&format!("blobs/{digest}"));
    let layers = manifest["layers"].as_array().unwrap();
    for package in project.lock().packages {
        let name = package.path.rsplit('/').next().unwrap();
        let layer = layers.iter().find(|layer| layer["annotations"]["org.opencontainers.image.title"] == name);
        assert_eq!(layer.unwrap()["digest"], package.sha256.to_string(), "{name}");
    }
}
