//! Essential packages, which others use without depending on them (Debian policy section 3.8): which an image has.
//!
//! `auto` follows the scripts that were asked for, those of the packages in folders of programs and those of the project:
//! the interpreter of each, and the commands that a shell script names. What a package of the base or a library's
//! package could run is not followed: nobody runs it. What the runtime needs is known, and stands in its `runtime.yaml`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};

use serde::Deserialize;

use super::Request;
use crate::ecosystem::Unpacked;
use crate::ecosystem::debian::{Archive, Root, shell};
use crate::error::Result;
use crate::fetch::{BlobStore, pack};
use crate::fs;
use crate::layer::tree::{Content, Node, Tree};
use crate::lock::PackageKind;

/// The programs of the essential packages.
const PROGRAMS: &str = include_str!("essential.toml");

/// Where programs lie that are run by name.
const FOLDERS: [&str; 5] = ["usr/bin", "usr/sbin", "usr/games", "usr/local/bin", "usr/local/sbin"];

/// The largest script that is read; larger ones are archives with a script in front.
const LARGEST_SCRIPT: u64 = 1 << 20;

/// Returns all essential packages of the archive.
pub(super) fn all(archive: &Archive) -> Vec<Root> {
    let essential = archive.catalog().essential().into_iter();
    essential.map(|record| Root { relation: record.name.to_owned(), reason: "essential".to_owned() }).collect()
}

/// Returns the essential packages whose programs the scripts of packages and of the project's `code` use.
pub(super) fn used(request: &Request<'_>, unpacked: &[Unpacked], code: &Tree) -> Result<Vec<Root>> {
    let programs = Programs::new();
    let blobs = request.worlds.blobs();
    let own = ["base", "runtime"];
    let is_asked_for = |unpacked: &&Unpacked| unpacked.package.reasons.iter().any(|reason| !own.contains(&&**reason));
    let mut roots = Vec::new();
    for Unpacked { package, tree } in unpacked.iter().filter(is_asked_for) {
        let nodes = FOLDERS.iter().flat_map(|folder| tree.below(folder)).map(|(_, node)| node);
        roots.extend(programs.used_by(&package.name, nodes, blobs)?);
    }
    roots.extend(programs.used_by("service", code.iter().map(|(_, node)| node), blobs)?);
    let debs = unpacked.iter().filter(|unpacked| unpacked.package.kind == PackageKind::Deb);
    let present: BTreeSet<_> = debs.map(|deb| deb.package.name.as_str()).collect();
    roots.retain(|root| !present.contains(&*root.relation) && is_essential(request, &root.relation));
    Ok(roots)
}

fn is_essential(request: &Request<'_>, package: &str) -> bool {
    request.archive.catalog().candidate(package).is_some_and(|record| record.is_essential())
}

/// Which package has a program.
struct Programs(BTreeMap<String, String>);

impl Programs {
    fn new() -> Self {
        #[derive(Deserialize)]
        struct Table {
            programs: BTreeMap<String, Vec<String>>,
        }
        let table: Table = toml::from_str(PROGRAMS).expect("the table is a constant that a test reads");
        let pairs = table.programs.into_iter().flat_map(|(package, programs)| {
            programs.into_iter().map(move |program| (program, package.clone())).collect::<Vec<_>>()
        });
        Self(pairs.collect())
    }

    /// Returns the packages whose programs the executable scripts among `nodes` use; `owner` is the reason.
    fn used_by<'a>(
        &self,
        owner: &str,
        nodes: impl Iterator<Item = &'a Node>,
        blobs: &BlobStore,
    ) -> fs::Result<Vec<Root>> {
        let mut packages = BTreeSet::new();
        for content in nodes.filter(|node| node.mode & 0o111 != 0).filter_map(Node::content) {
            if let Some(script) = read_script(blobs, content)? {
                packages.extend(commands(&script).iter().filter_map(|command| self.0.get(command)));
            }
        }
        let root = |package: &String| Root { relation: package.clone(), reason: owner.to_owned() };
        Ok(packages.into_iter().map(root).collect())
    }
}

/// Returns a file's text where it begins with the line that names an interpreter.
fn read_script(blobs: &BlobStore, content: &Content) -> fs::Result<Option<String>> {
    if content.length > LARGEST_SCRIPT {
        return Ok(None);
    }
    let mut reader = BufReader::with_capacity(2, pack::open(blobs, content)?);
    if !reader.fill_buf().is_ok_and(|start| start == b"#!") {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&pack::read(blobs, content)?).into_owned()))
}

/// Returns the names of the programs that a script runs: its interpreter and, where that is a shell, its commands.
fn commands(script: &str) -> BTreeSet<String> {
    let first = script.lines().next().unwrap_or_default().trim_start_matches("#!");
    let words = first.split_ascii_whitespace().map(program).filter(|word| *word != "env" && !word.starts_with('-'));
    let Some(interpreter) = words.into_iter().next() else { return BTreeSet::new() };
    let mut found = BTreeSet::from([interpreter.to_owned()]);
    if first.contains("/env ") {
        found.insert("env".to_owned());
    }
    if matches!(interpreter, "sh" | "bash" | "dash") {
        let lines = shell::lines(script);
        let commands = lines.iter().flat_map(|line| shell::commands(&line.text));
        found.extend(commands.filter_map(|words| words.first().map(|word| program(word).to_owned())));
    }
    found
}

/// Returns a program's name without its folder.
fn program(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    fn used(script: &str, mode: u32) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        let node = Node::file(Content::inline(script.as_bytes()), mode);
        let roots = Programs::new().used_by("x", [&node].into_iter(), &store).unwrap();
        assert!(roots.iter().all(|root| root.reason == "x"));
        roots.into_iter().map(|root| root.relation).collect()
    }

    #[test]
    fn scripts_need_their_interpreter_and_a_shell_script_its_commands() {
        assert_eq!(used("#!/bin/sh\nset -e\nexec java -jar \"$(dirname \"$0\")/x.jar\"\n", 0o755), ["dash"]);
        assert_eq!(
            used("#! /bin/bash -e\nif grep -q a /b; then\n  /bin/sed s/a/b/ c | sort\nfi\n", 0o755),
            ["bash", "coreutils", "grep", "sed"]
        );
        assert_eq!(used("#!/usr/bin/env perl\nls\n", 0o755), ["coreutils", "perl-base"]);
        assert_eq!(used("#!/usr/bin/python3.11\nimport sed\n", 0o755), [""; 0]);
    }

    #[test]
    fn what_is_no_program_needs_nothing() {
        assert_eq!(used("#!/bin/sh\n", 0o644), [""; 0]);
        assert_eq!(used("\x7fELF #!/bin/sh", 0o755), [""; 0]);
        assert_eq!(used("#!\n", 0o755), [""; 0]);
        assert_eq!(used("", 0o755), [""; 0]);
    }
}
