//! Tests of the repository itself: what the documents promise about the code.
#![allow(clippy::unwrap_used, reason = "a test that cannot look has failed")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    assert!(!files.is_empty(), "no sources in {folder}");
    files
}

#[test]
fn the_server_imports_no_build_module() {
    let allowed = ["crate::server", "crate::service", "crate::digest"];
    for (path, text) in sources("src/server") {
        for line in text.lines().filter(|line| line.trim_start().starts_with("use crate::")) {
            let is_allowed = allowed.iter().any(|module| line.contains(module));
            assert!(is_allowed, "{}: {line}", path.display());
        }
    }
}

#[test]
fn only_the_command_line_prints_or_reads_the_environment() {
    for (path, text) in sources("src") {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        if ["cli", "server", "bin"].iter().any(|allowed| inside.starts_with(allowed)) {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in ["println!", "std::env::var", "env::var_os"] {
            assert!(!code.contains(word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    for (path, text) in sources("src") {
        assert!(text.starts_with("//!"), "{} does not say what it is for", path.display());
        assert!(text.lines().count() <= 500, "{} is too long", path.display());
    }
}

#[test]
fn readme_explains_every_key_of_the_manifest() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut missing = Vec::new();
    let mut waiting = vec![mlpack::manifest::json_schema()];
    while let Some(schema) = waiting.pop() {
        if let Some(properties) = schema.get("properties").and_then(|properties| properties.as_object()) {
            missing.extend(properties.keys().filter(|key| !readme.contains(key.as_str())).cloned());
        }
        match schema {
            serde_json::Value::Object(map) => waiting.extend(map.into_iter().map(|(_, value)| value)),
            serde_json::Value::Array(list) => waiting.extend(list),
            _ => {}
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn no_file_names_a_mirror_of_this_machine() {
    let mut hosts: Vec<String> = Vec::new();
    let folder = Path::new("/etc/apt/sources.list.d");
    let listed = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in listed.chain([PathBuf::from("/etc/apt/sources.list")]) {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let addresses = text.split_whitespace().filter_map(|word| word.split_once("://"));
        hosts.extend(addresses.map(|(_, rest)| rest.split('/').next().unwrap_or(rest).to_owned()));
    }
    hosts.retain(|host| host.contains('.'));
    for host in hosts {
        let found = Command::new("git").args(["grep", "-lF", &host]).current_dir(root()).output().unwrap();
        assert!(found.stdout.is_empty(), "{host} stands in {}", String::from_utf8_lossy(&found.stdout));
    }
}

#[test]
fn the_changelog_knows_this_version() {
    let changelog = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    assert!(changelog.contains(&format!("## {}", env!("CARGO_PKG_VERSION"))));
}
