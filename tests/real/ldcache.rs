//! The loader's cache against each Debian release's own `ldconfig`, byte for byte.
//!
//! Needs mmdebstrap and bubblewrap, and fetches a few packages.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use mlpack::digest::Digest;
use mlpack::elf::ldconfig::{self, Libraries};
use mlpack::elf::{cache, scan};
use mlpack::fetch::Home;
use mlpack::layer::tree::{Content, Kind, Node, Source, Tree, TreePath};
use mlpack::platform::Platform;

const PACKAGES: &str =
    "libc6,libc-bin,libstdc++6,libgomp1,libgl1,libglib2.0-0,libssl3,libopenblas0-pthread,python3-minimal";

#[test]
fn the_cache_of_bookworm_is_that_of_its_ldconfig() {
    compare_with_ldconfig("bookworm", PACKAGES);
}

#[test]
fn the_cache_of_trixie_is_that_of_its_ldconfig() {
    compare_with_ldconfig(
        "trixie",
        &PACKAGES.replace("libglib2.0-0", "libglib2.0-0t64").replace("libssl3", "libssl3t64"),
    );
}

fn compare_with_ldconfig(suite: &str, packages: &str) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    run(Command::new("mmdebstrap")
        .args(["--quiet", "--variant=extract"])
        .arg(format!("--include={packages}"))
        .args([suite, root.to_str().unwrap()]));
    merge_usr(&root);
    add_odd_cases(&root);

    let platform = Platform::host().unwrap();
    let tree = read_tree(&root);
    let home = Home::below(&folder.path().join("home"));
    let store = home.blobs().unwrap();
    let objects = scan(&store, &home.derived(), &tree).unwrap();
    let folders = ldconfig::folders(&store, &tree).unwrap();
    let libraries = Libraries::find(&tree, &objects, &folders, platform);
    let found = cache::encode(&libraries, &cache::generator(&libc_bin_version(&root)));

    run(Command::new("bwrap").arg("--bind").arg(&root).args(["/", "/sbin/ldconfig"]));
    assert_eq!(links(libraries.links()), new_links(&tree, &read_tree(&root)));
    let expected = fs::read(root.join("etc/ld.so.cache")).unwrap();
    assert!(expected.len() > 4000, "ldconfig found the libraries");
    if found != expected {
        let file = folder.path().join("found");
        fs::write(&file, &found).unwrap();
        assert_eq!(print_cache(&file), print_cache(&root.join("etc/ld.so.cache")));
        panic!("the entries are the same, the bytes are not");
    }
}

/// Moves the top-level folders below `usr`, as an installed system has them.
fn merge_usr(root: &Path) {
    for name in ["bin", "sbin", "lib", "lib64"] {
        let (top, merged) = (root.join(name), root.join("usr").join(name));
        fs::create_dir_all(&merged).unwrap();
        if top.is_dir() && !top.is_symlink() {
            run(Command::new("cp").arg("-a").arg(top.join(".")).arg(&merged));
            fs::remove_dir_all(&top).unwrap();
        }
        if !top.is_symlink() {
            symlink(Path::new("usr").join(name), &top).unwrap();
        }
    }
}

/// Adds what the packages do not have: folders for processors, alternatives, a missing and a wrong link, other files.
fn add_odd_cases(root: &Path) {
    let libraries = root.join("usr/lib").join(Platform::host().unwrap().triplet());
    let hwcaps = libraries.join("glibc-hwcaps");
    for level in ["x86-64-v3", "x86-64-v2", "empty"] {
        fs::create_dir_all(hwcaps.join(level)).unwrap();
    }
    let libgomp = fs::canonicalize(libraries.join("libgomp.so.1")).unwrap();
    fs::copy(&libgomp, hwcaps.join("x86-64-v3/libgomp.so.1.0.0")).unwrap();
    fs::copy(&libgomp, hwcaps.join("x86-64-v2/libgomp.so.1")).unwrap();
    fs::remove_file(libraries.join("libgomp.so.1")).unwrap();
    fs::copy(&libgomp, libraries.join("libgomp.so.1.0.10")).unwrap();

    fs::create_dir_all(root.join("etc/alternatives")).unwrap();
    symlink(
        libraries
            .strip_prefix(root)
            .map(|path| Path::new("/").join(path))
            .unwrap()
            .join("openblas-pthread/libblas.so.3"),
        root.join("etc/alternatives/blas"),
    )
    .unwrap();
    symlink("/etc/alternatives/blas", libraries.join("libblas.so.3")).unwrap();
    symlink("libblas.so.3", libraries.join("libblas.so")).unwrap();

    fs::create_dir_all(root.join("opt/lib")).unwrap();
    fs::write(root.join("etc/ld.so.conf.d/opt.conf"), "# ours\n/opt/lib/ \n/nowhere\n").unwrap();
    fs::copy(libraries.join("libstdc++.so.6"), root.join("opt/lib/libstdc++.so.6")).unwrap();
    fs::write(root.join("opt/lib/libscript.so"), "/* GNU ld script */ GROUP ( libx.so )").unwrap();
    fs::write(root.join("opt/lib/libshort.so.1"), b"\x7fELF").unwrap();
}

fn read_tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry.unwrap();
        let Ok(path) = TreePath::new(entry.path().strip_prefix(root).unwrap().to_str().unwrap()) else { continue };
        let kind = entry.file_type();
        let node = if kind.is_symlink() {
            Node::symlink(fs::read_link(entry.path()).unwrap().to_str().unwrap())
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            let source = Source::Project(PathBuf::from(entry.path()));
            Node::file(Content { digest: Digest::of(&bytes), length: bytes.len() as u64, source }, 0o644)
        } else if kind.is_dir() {
            Node::directory()
        } else {
            continue;
        };
        tree.insert(path, node);
    }
    tree
}

fn links(links: &[(TreePath, String)]) -> BTreeMap<String, String> {
    links.iter().map(|(path, target)| (path.to_string(), target.clone())).collect()
}

/// Returns the links of `after` that `before` has not, or has with another target.
fn new_links(before: &Tree, after: &Tree) -> BTreeMap<String, String> {
    let target = |node: &Node| if let Kind::Symlink(target) = &node.kind { Some(target.clone()) } else { None };
    let mut links = BTreeMap::new();
    for (path, node) in after.iter() {
        let old = before.get(path.as_str()).and_then(target);
        links.extend(target(node).filter(|new| old.as_ref() != Some(new)).map(|target| (path.to_string(), target)));
    }
    links
}

fn libc_bin_version(root: &Path) -> String {
    let output =
        Command::new("bwrap").arg("--bind").arg(root).args(["/", "/sbin/ldconfig", "--version"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let start = text.find("GLIBC ").unwrap() + "GLIBC ".len();
    text[start..].split(')').next().unwrap().to_owned()
}

fn print_cache(path: &Path) -> String {
    let output = Command::new("/sbin/ldconfig").arg("-p").arg("-C").arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // The first line names the file.
    text.lines().skip(1).collect::<Vec<_>>().join("\n")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: install the program"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
