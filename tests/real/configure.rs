//! Unpacking and configuring, against systems that Debian's own tools made.
//!
//! mmdebstrap installs a set of packages with apt and dpkg, scripts included. Every path of the packages' trees must be
//! in that system as it is here, and every path in it that no package owns must be made here too, or stand in
//! `unowned.toml` with a reason.

#![allow(clippy::unwrap_used, reason = "a test says best where it fails by failing there")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use mlpack::digest::{Digest, HashingWriter};
use mlpack::ecosystem::debian::configure::{Configured, Settings, configure};
use mlpack::ecosystem::debian::deb::{Unpacked, unpack, usrmerge};
use mlpack::fetch::Home;
use mlpack::layer::tree::{Kind, Node, TreePath};
use mlpack::lock::{Package, PackageKind};
use mlpack::platform::Platform;

const PYTHON: [&str; 5] = ["ca-certificates", "tzdata", "netbase", "libc-bin", "base-passwd"];
const NUMERIC: [&str; 6] = ["libgomp1", "libstdc++6", "zlib1g", "libopenblas0-pthread", "libblas3", "liblapack3"];
const R: [&str; 3] = ["r-base-core", "r-cran-jsonlite", "libopenblas0-pthread"];

#[test]
fn python_on_bookworm() {
    compare("bookworm", &[&["python3.11"][..], &PYTHON].concat());
}

#[test]
fn python_on_trixie() {
    compare("trixie", &[&["python3.13"][..], &PYTHON].concat());
}

#[test]
fn numeric_python_on_bookworm() {
    compare("bookworm", &[&["python3.11"][..], &PYTHON, &NUMERIC].concat());
}

#[test]
fn numeric_python_on_trixie() {
    compare("trixie", &[&["python3.13"][..], &PYTHON, &NUMERIC].concat());
}

#[test]
fn r_on_bookworm() {
    compare("bookworm", &[&R[..], &PYTHON].concat());
}

#[test]
fn r_on_trixie() {
    compare("trixie", &[&R[..], &PYTHON].concat());
}

/// A path of the system that Debian's tools made.
#[derive(Debug, PartialEq)]
struct Entry {
    kind: Is,
    mode: u32,
    uid: u64,
    gid: u64,
}

#[derive(Debug, PartialEq)]
enum Is {
    Directory,
    File(Digest),
    Symlink(String),
    Other,
}

#[derive(serde::Deserialize)]
struct Reasons {
    left_out: Vec<Reason>,
    other_content: Vec<Reason>,
}

#[derive(serde::Deserialize)]
struct Reason {
    paths: Vec<String>,
    because: String,
}

fn compare(suite: &str, include: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let (system, texts) = install(suite, include, folder.path());
    let platform = Platform::host().expect("Debian's tools install for this machine");
    let home = Home::below(&folder.path().join("home"));
    let store = home.blobs().unwrap();
    let unpacked: Vec<(Package, Unpacked)> = download(suite, &texts["var/lib/dpkg/status"], folder.path())
        .into_iter()
        .map(|(mut package, file)| {
            let bytes = std::fs::read(file).unwrap();
            (package.sha256, package.size) = (Digest::of(&bytes), bytes.len() as u64);
            let blob = store.insert_bytes(&bytes).unwrap();
            let unpacked = unpack(&store, &home.derived(), &package, &blob, platform)
                .unwrap_or_else(|error| panic!("{error}: {error:?}"));
            (package, unpacked)
        })
        .collect();
    let configured = configure(&unpacked, &store, &Settings { platform, user: 10001, denies_scripts: false }).unwrap();
    let mut problems: Vec<String> = configured.warnings.iter().map(ToString::to_string).collect();
    problems.extend(owned_problems(&system, &unpacked));
    problems.extend(unowned_problems(&system, &texts, &configured));
    problems.extend(conflicts(unpacked, configured));
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// Paths of packages that are something else in the system.
fn owned_problems(system: &BTreeMap<String, Entry>, unpacked: &[(Package, Unpacked)]) -> Vec<String> {
    let mut problems = Vec::new();
    for (package, unpacked) in unpacked {
        for (path, node) in unpacked.tree.iter().filter(|(path, _)| !path.is_below("var/lib/dpkg")) {
            let found = system.get(path.as_str());
            if found.map(|entry| &entry.kind) != Some(&entry(node).kind) {
                problems.push(format!("{path} of {}: {node:?}, in the system {found:?}", package.name));
            } else if !matches!(node.kind, Kind::Directory) && found != Some(&entry(node)) {
                problems.push(format!("{path} of {}: mode {:o}, in the system {found:?}", package.name, node.mode));
            }
        }
    }
    problems
}

/// Paths of no package that configuring does not make as they are.
fn unowned_problems(
    system: &BTreeMap<String, Entry>,
    texts: &BTreeMap<String, String>,
    configured: &Configured,
) -> Vec<String> {
    let reasons: Reasons = toml::from_str(include_str!("unowned.toml")).unwrap();
    assert!(reasons.left_out.iter().chain(&reasons.other_content).all(|reason| !reason.because.is_empty()));
    let owned = owned_paths(texts);
    let mut problems = Vec::new();
    for (path, expected) in system.iter().filter(|(path, _)| !path.is_empty() && !owned.contains(*path)) {
        let made = configured.top.get(path).or_else(|| configured.base.get(path)).map(entry);
        let differs = match &made {
            None => !is_byproduct(path) && !is_listed(&reasons.left_out, path),
            Some(made) => made != expected && !is_listed(&reasons.other_content, path),
        };
        if differs {
            problems.push(format!("{path}: {made:?}, in the system {expected:?}"));
        }
    }
    problems
}

/// Bytecode has a layer of its own; certificates by hashed names, and links to manuals, are left out by design.
fn is_byproduct(path: &str) -> bool {
    let hashed = |name: &str| matches!(name.as_bytes(), [hash @ .., b'.', b'0'..=b'9'] if hash.len() == 8 && hash.iter().all(u8::is_ascii_hexdigit));
    path.contains("__pycache__")
        || path.strip_prefix("etc/ssl/certs/").is_some_and(hashed)
        || path.starts_with("usr/share/man/")
        || (path.starts_with("etc/alternatives/") && path.strip_suffix(".gz").is_some())
}

fn is_listed(reasons: &[Reason], path: &str) -> bool {
    reasons.iter().flat_map(|reason| &reason.paths).any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => path == pattern,
    })
}

fn entry(node: &Node) -> Entry {
    let kind = match &node.kind {
        Kind::Directory => Is::Directory,
        Kind::File(content) => Is::File(content.digest),
        Kind::Symlink(target) => Is::Symlink(target.clone()),
    };
    Entry { kind, mode: node.mode, uid: node.uid.into(), gid: node.gid.into() }
}

/// Paths that two trees want to be different things, and paths below a link.
fn conflicts(unpacked: Vec<(Package, Unpacked)>, configured: Configured) -> Vec<String> {
    let Configured { base: mut whole, top, .. } = configured;
    let trees = unpacked.into_iter().map(|(_, unpacked)| unpacked.tree).chain([top]);
    let mut problems: Vec<String> = trees.filter_map(|tree| Some(whole.merge(tree).err()?.to_string())).collect();
    whole.add_parents();
    let is_folder = |path: &TreePath| whole.get(path.as_str()).is_some_and(|node| matches!(node.kind, Kind::Directory));
    let astray = whole.iter().filter(|(path, _)| path.parent().is_some_and(|parent| !is_folder(&parent)));
    problems.extend(astray.map(|(path, _)| format!("{path} lies below a link or a file")));
    problems
}

/// Every path that a package's list names, in its place in the merged tree.
fn owned_paths(texts: &BTreeMap<String, String>) -> BTreeSet<String> {
    let lists = texts.iter().filter(|(path, _)| path.strip_suffix(".list").is_some());
    lists.flat_map(|(_, text)| text.lines()).map(|path| usrmerge::canonical(path.trim_matches('/'))).collect()
}

/// Installs packages with Debian's tools; returns the system, and the texts of dpkg's database.
fn install(suite: &str, include: &[&str], folder: &Path) -> (BTreeMap<String, Entry>, BTreeMap<String, String>) {
    let path = folder.join("system.tar");
    let include = format!("--include={}", include.join(","));
    let source = format!("deb {} {suite} main", mirror());
    run(Command::new("mmdebstrap").args(["--quiet", "--variant=essential", &include, suite]).arg(&path).arg(source));
    let mut archive = tar::Archive::new(std::fs::File::open(&path).unwrap());
    let (mut system, mut texts) = (BTreeMap::new(), BTreeMap::new());
    for file in archive.entries().unwrap() {
        let mut file = file.unwrap();
        let name = String::from_utf8(file.path_bytes().into_owned()).unwrap();
        let name = name.trim_start_matches("./").trim_end_matches('/').to_owned();
        let link = file.link_name_bytes().map(|link| String::from_utf8(link.into_owned()).unwrap());
        let kind = match file.header().entry_type() {
            tar::EntryType::Directory => Is::Directory,
            tar::EntryType::Symlink => Is::Symlink(link.unwrap()),
            tar::EntryType::Link => match system.get(link.unwrap().trim_start_matches("./")) {
                Some(Entry { kind: Is::File(digest), .. }) => Is::File(*digest),
                _ => Is::Other,
            },
            tar::EntryType::Regular if name.starts_with("var/lib/dpkg/") => {
                let mut text = Vec::new();
                file.read_to_end(&mut text).unwrap();
                let digest = Digest::of(&text);
                texts.insert(name.clone(), String::from_utf8_lossy(&text).into_owned());
                Is::File(digest)
            }
            tar::EntryType::Regular => {
                let mut hash = HashingWriter::new(std::io::sink());
                std::io::copy(&mut file, &mut hash).unwrap();
                Is::File(hash.finish().1)
            }
            _ => Is::Other,
        };
        let header = file.header();
        let mode = header.mode().unwrap() & 0o7777;
        system.insert(name, Entry { kind, mode, uid: header.uid().unwrap(), gid: header.gid().unwrap() });
    }
    (system, texts)
}

/// Downloads the packages of a dpkg status file with an apt that knows the suite alone.
fn download(suite: &str, status: &str, folder: &Path) -> Vec<(Package, PathBuf)> {
    let root = folder.join("apt");
    for name in ["lists/partial", "cache/archives/partial", "debs", "parts"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    std::fs::write(root.join("sources.list"), format!("deb [signed-by={keyring}] {} {suite} main\n", mirror()))
        .unwrap();
    std::fs::write(root.join("status"), "").unwrap();
    let apt = |arguments: &[String]| {
        let set = |option: &str, name: &str| format!("-oDir::{option}={}", root.join(name).display());
        let mut command = Command::new("apt-get");
        command.current_dir(root.join("debs")).arg("-q").arg("-oAPT::Sandbox::User=root").args([
            set("State::lists", "lists"),
            set("State::status", "status"),
            set("Cache", "cache"),
            set("Etc::sourcelist", "sources.list"),
            set("Etc::sourceparts", "parts"),
            set("Etc::preferencesparts", "parts"),
        ]);
        run(command.args(arguments));
    };
    apt(&["update".to_owned()]);
    let packages: Vec<Package> = status.split("\n\n").filter_map(package).collect();
    let wanted = packages.iter().map(|package| format!("{}={}", package.name, package.version));
    apt(&["download".to_owned()].into_iter().chain(wanted).collect::<Vec<_>>());
    packages
        .into_iter()
        .map(|package| {
            let version = package.version.replace(':', "%3a");
            let name = format!("{}_{version}_{}.deb", package.name, package.architecture.as_ref().unwrap());
            (package, root.join("debs").join(name))
        })
        .collect()
}

fn package(paragraph: &str) -> Option<Package> {
    let field =
        |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned));
    Some(Package {
        kind: PackageKind::Deb,
        name: field("Package")?,
        version: field("Version")?,
        architecture: field("Architecture"),
        source: field("Source"),
        release: None,
        path: String::new(),
        size: 0,
        sha256: Digest::of(b""),
        reasons: Vec::new(),
    })
}

/// The mirror that this machine's apt uses for Debian's main archive.
fn mirror() -> String {
    let output =
        run(Command::new("apt-get").args(["indextargets", "--format", "$(LABEL) $(REPO_URI)", "Identifier: Packages"]));
    let mirror = output.lines().find_map(|line| line.strip_prefix("Debian "));
    mirror.expect("apt knows no archive of Debian: run `apt-get update`").to_owned()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; install it with `apt-get install mmdebstrap apt debian-archive-keyring`")
    });
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
