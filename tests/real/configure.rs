//! Resolving, unpacking and configuring, against systems that Debian's own tools made.
//!
//! mmdebstrap installs a set of packages with apt and dpkg, scripts included. mlpack must choose the same packages; every
//! path of theirs must be in that system as it is here, every path in it that no package owns must be made here too, or
//! stand in `unowned.toml` with a reason, and the loader's cache must be the same to the last byte.
//!
//! The sets are in `systems.toml`. Several are installed together here, to save time; `benches/configure.sh` installs each
//! by itself: `MLPACK_SYSTEMS` names the sets, or `all`, and `MLPACK_SYSTEMS_REPORT` the file that gets a line for each.

#![allow(clippy::unwrap_used, reason = "a test says best where it fails by failing there")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use mlpack::digest::{Digest, HashingWriter};
use mlpack::ecosystem::debian::configure::{Configured, Settings, configure};
use mlpack::ecosystem::debian::deb::{Unpacked, unpack, usrmerge};
use mlpack::ecosystem::debian::sources::{APT_FOLDER, Configured as Sources, Mirrors};
use mlpack::ecosystem::debian::{Archive, Root};
use mlpack::elf::ldconfig::{self, Libraries};
use mlpack::elf::{cache, scan};
use mlpack::event::Silent;
use mlpack::fetch::Home;
use mlpack::fetch::http::Http;
use mlpack::layer::tree::{Content, Kind, Node, Tree, TreePath};
use mlpack::lock::Package;
use mlpack::platform::Platform;

/// The sets that are installed together.
const LANGUAGES: &[&str] = &["base", "python", "scientific-python", "r", "openblas", "tcl-and-tk", "locales"];
const GRAPHICS: &[&str] = &["base", "gdal", "fonts-and-cairo", "glib", "ffmpeg"];
const CLIENTS: &[&str] = &["base", "tls", "database-clients", "java"];

#[test]
fn languages_on_bookworm() {
    compare("bookworm", LANGUAGES);
}

#[test]
fn languages_on_trixie() {
    compare("trixie", LANGUAGES);
}

#[test]
fn graphics_on_bookworm() {
    compare("bookworm", GRAPHICS);
}

#[test]
fn clients_on_bookworm() {
    compare("bookworm", CLIENTS);
}

#[test]
fn graphics_and_clients_on_trixie() {
    compare("trixie", &[GRAPHICS, CLIENTS].concat());
}

#[test]
fn each_by_itself() {
    let named = std::env::var("MLPACK_SYSTEMS").unwrap_or_else(|_| "python".to_owned());
    let names: Vec<String> = match named.as_str() {
        "all" => systems().into_keys().filter(|name| name != "base").collect(),
        named => named.split(',').map(str::to_owned).collect(),
    };
    let mut failed = Vec::new();
    for (suite, name) in
        ["bookworm", "trixie"].into_iter().flat_map(|suite| names.iter().map(move |name| (suite, name)))
    {
        let outcome = std::panic::catch_unwind(|| compare(suite, &["base", name]));
        let line = outcome.unwrap_or_else(|_| {
            failed.push((suite, name));
            format!("{suite}, {name}: differs\n")
        });
        if let Ok(path) = std::env::var("MLPACK_SYSTEMS_REPORT") {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            file.write_all(line.as_bytes()).unwrap();
        }
    }
    assert!(failed.is_empty(), "{failed:?} differ");
}

/// The package sets by name: those of both releases, and those of one.
fn systems() -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    toml::from_str(include_str!("systems.toml")).unwrap()
}

/// Returns the packages of some sets in a release.
fn packages_of(suite: &str, names: &[&str]) -> Vec<String> {
    let systems = systems();
    let lists = names.iter().flat_map(|name| ["both", suite].map(|key| systems[*name].get(key)));
    let packages: BTreeSet<_> = lists.flatten().flatten().cloned().collect();
    packages.into_iter().collect()
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
    other_mode: Vec<Reason>,
}

#[derive(serde::Deserialize)]
struct Reason {
    paths: Vec<String>,
    because: String,
}

/// Compares one system, and returns what there was to compare.
fn compare(suite: &str, names: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let platform = Platform::host().expect("Debian's tools install for this machine");
    let home = Home::below(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("shared/home"));
    let mirrors = Mirrors::find(&Sources::default(), Path::new(APT_FOLDER)).unwrap();
    let http = Http::new(Arc::new(Silent), false);
    let archive = Archive::open(suite, &[], platform, &mirrors, &home, &http, &[]).unwrap();
    let include = packages_of(suite, names);
    let (system, texts) = install(&mirrors, suite, &include, folder.path());
    let essential = archive.catalog().essential().into_iter().map(|record| record.name.to_owned());
    let root = |name: String| Root { relation: name, reason: "manifest".to_owned() };
    let chosen = archive.resolve(&essential.chain(include).map(root).collect::<Vec<_>>()).unwrap();
    let mut problems = other_packages(&chosen, &texts["var/lib/dpkg/status"]);

    let store = home.blobs().unwrap();
    let unpack = |package: Package| {
        let blob = archive.fetch(&package).unwrap();
        let unpacked = unpack(&store, &home.derived(), &package, &blob, platform);
        (package, unpacked.unwrap_or_else(|error| panic!("{error}: {error:?}")))
    };
    let unpacked: Vec<(Package, Unpacked)> = chosen.into_iter().map(unpack).collect();
    let settings = Settings { platform, user: 10001, denies_scripts: false };
    let mut configured = configure(&unpacked, &store, &settings).unwrap();
    let reasons = Reasons::read();
    problems.extend(configured.warnings.iter().map(ToString::to_string));
    match whole(&unpacked, &configured) {
        Ok(whole) => add_loader_cache(&home, &unpacked, &whole, &mut configured.top),
        Err(conflicts) => problems.extend(conflicts),
    }
    problems.extend(owned_problems(&system, &unpacked, &reasons));
    let unowned = unowned_paths(&system, &texts);
    problems.extend(unowned_problems(&unowned, &configured, &reasons));
    assert!(problems.is_empty(), "{suite}: {} problems:\n{}", problems.len(), problems.join("\n"));
    let made = unowned.keys().filter(|path| configured.top.get(path).or(configured.base.get(path)).is_some()).count();
    let owned: usize = unpacked.iter().map(|(_, unpacked)| unpacked.tree.iter().count()).sum();
    format!(
        "| {suite} | {} | {} | {owned} | {} | {made} | {} |\n",
        names.join(", "),
        unpacked.len(),
        unowned.len(),
        unowned.len() - made,
    )
}

/// Packages that only one of the two chose.
fn other_packages(chosen: &[Package], status: &str) -> Vec<String> {
    let field = |paragraph: &str, name: &str| {
        paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
    };
    let installed: BTreeSet<_> = status
        .split("\n\n")
        .filter_map(|paragraph| Some((field(paragraph, "Package")?, field(paragraph, "Version")?)))
        .collect();
    let chosen: BTreeSet<_> = chosen.iter().map(|package| (package.name.clone(), package.version.clone())).collect();
    let differing = chosen.symmetric_difference(&installed);
    differing.map(|(name, version)| format!("{name} {version} was chosen by one of the two")).collect()
}

/// Adds what `ldconfig` makes, as a build does.
fn add_loader_cache(home: &Home, unpacked: &[(Package, Unpacked)], whole: &Tree, top: &mut Tree) {
    let (store, derived) = (home.blobs().unwrap(), home.derived());
    let objects: Vec<_> =
        unpacked.iter().flat_map(|(_, unpacked)| scan(&store, &derived, &unpacked.tree).unwrap()).collect();
    let folders = ldconfig::folders(&store, whole).unwrap();
    let libraries = Libraries::find(whole, &objects, &folders, Platform::host().unwrap());
    for (path, target) in libraries.links() {
        top.insert(path.clone(), Node::symlink(target.clone()));
    }
    let libc = unpacked.iter().find(|(package, _)| package.name == "libc6").unwrap();
    let bytes = cache::encode(&libraries, &cache::generator(&libc.0.version));
    top.insert(TreePath::new("etc/ld.so.cache").unwrap(), Node::file(Content::inline(bytes), 0o644));
}

/// Paths of packages that are something else in the system.
fn owned_problems(
    system: &BTreeMap<String, Entry>,
    unpacked: &[(Package, Unpacked)],
    reasons: &Reasons,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (package, unpacked) in unpacked {
        for (path, node) in unpacked.tree.iter().filter(|(path, _)| !path.is_below("var/lib/dpkg")) {
            let found = system.get(path.as_str());
            if found.map(|entry| &entry.kind) != Some(&entry(node).kind) {
                problems.push(format!("{path} of {}: {node:?}, in the system {found:?}", package.name));
            } else if !matches!(node.kind, Kind::Directory)
                && found != Some(&entry(node))
                && !is_listed(&reasons.other_mode, path.as_str())
            {
                problems.push(format!("{path} of {}: mode {:o}, in the system {found:?}", package.name, node.mode));
            }
        }
    }
    problems
}

/// Paths of no package that configuring does not make as they are.
fn unowned_problems(unowned: &BTreeMap<&String, &Entry>, configured: &Configured, reasons: &Reasons) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, expected) in unowned {
        let made = configured.top.get(path).or_else(|| configured.base.get(path)).map(entry);
        let differs = match &made {
            None => !is_byproduct(path) && !is_listed(&reasons.left_out, path),
            Some(made) => made != *expected && !is_listed(&reasons.other_content, path),
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

impl Reasons {
    fn read() -> Self {
        let reasons: Self = toml::from_str(include_str!("unowned.toml")).unwrap();
        let lists = [&reasons.left_out, &reasons.other_content, &reasons.other_mode];
        assert!(lists.into_iter().flatten().all(|reason| !reason.because.is_empty()));
        reasons
    }
}

/// Whether a pattern stands for a path; its `*` stands for any text.
fn is_listed(reasons: &[Reason], path: &str) -> bool {
    reasons.iter().flat_map(|reason| &reason.paths).any(|pattern| match pattern.split_once('*') {
        Some((start, end)) => path.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
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

/// The whole system; else the paths that two trees want to be different things, and paths below a link.
fn whole(unpacked: &[(Package, Unpacked)], configured: &Configured) -> Result<Tree, Vec<String>> {
    let mut whole = configured.base.clone();
    let trees = unpacked.iter().map(|(_, unpacked)| &unpacked.tree).chain([&configured.top]);
    let merge = |tree: &Tree| Some(whole.merge(tree.clone()).err()?.to_string());
    let mut problems: Vec<String> = trees.filter_map(merge).collect();
    whole.add_parents();
    let is_folder = |path: &TreePath| whole.get(path.as_str()).is_some_and(|node| matches!(node.kind, Kind::Directory));
    let astray = whole.iter().filter(|(path, _)| path.parent().is_some_and(|parent| !is_folder(&parent)));
    problems.extend(astray.map(|(path, _)| format!("{path} lies below a link or a file")));
    if problems.is_empty() { Ok(whole) } else { Err(problems) }
}

/// The paths that no package's list names, in their place in the merged tree.
fn unowned_paths<'a>(
    system: &'a BTreeMap<String, Entry>,
    texts: &BTreeMap<String, String>,
) -> BTreeMap<&'a String, &'a Entry> {
    let lists = texts.iter().filter(|(path, _)| path.strip_suffix(".list").is_some());
    let owned: BTreeSet<_> =
        lists.flat_map(|(_, text)| text.lines()).map(|path| usrmerge::canonical(path.trim_matches('/'))).collect();
    system.iter().filter(|(path, _)| !path.is_empty() && !owned.contains(*path)).collect()
}

/// Installs packages with Debian's tools; returns the system, and the texts of dpkg's database.
fn install(
    mirrors: &Mirrors,
    suite: &str,
    include: &[String],
    folder: &Path,
) -> (BTreeMap<String, Entry>, BTreeMap<String, String>) {
    let path = folder.join("system.tar");
    let include = format!("--include={}", include.join(","));
    let releases = [suite.to_owned(), format!("{suite}-updates"), format!("{suite}-security")];
    let sources = releases.map(|release| format!("deb {} {release} main", mirrors.of(&release)));
    let mut command = Command::new("mmdebstrap");
    // dpkg need not wait for the disk after each package.
    command.args(["--quiet", "--variant=essential", "--dpkgopt=force-unsafe-io", &include, suite]);
    run(command.arg(&path).args(sources));
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

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; install it with `apt-get install mmdebstrap apt debian-archive-keyring`")
    });
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
}
