//! What `ldconfig` finds in an image: the folders to look in, the libraries there, and the links that they lack.
//!
//! Rules of glibc 2.36 and 2.41 (Debian 12 and 13) for 64-bit libraries of the image's own platform. The folders named
//! for a processor (`tls`, `haswell`), which glibc gave up after 2.36 and Debian no longer uses, are not looked into.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::links::Links;
use super::object::{Kind as ObjectKind, Object};
use crate::fetch::{BlobStore, pack};
use crate::fs;
use crate::layer::tree::{Kind, Tree, TreePath};
use crate::platform::{Architecture, Platform};

const CONFIGURATION: &str = "etc/ld.so.conf";

/// A configuration file is a few lines; a larger one is passed over.
const MAX_CONFIGURATION: u64 = 1 << 20;

/// How deep configuration files may include each other.
const MAX_DEPTH: usize = 8;

/// The folders that `ldconfig` looks into after those of its configuration.
const BUILT_IN: [&str; 2] = ["/lib", "/usr/lib"];

/// Returns the folders that a Debian image with the usual configuration searches, in order.
pub fn default_folders(platform: Platform) -> Vec<String> {
    let triplet = platform.triplet();
    let configured = ["/usr/local/lib", "/lib", "/usr/lib"];
    let mut folders = vec![configured[0].to_owned()];
    folders.extend(configured.map(|folder| format!("{folder}/{triplet}")));
    folders.extend(BUILT_IN.map(str::to_owned));
    folders
}

/// Returns the folders that an image's `/etc/ld.so.conf` names, with the files that it includes, in order.
pub fn folders(store: &BlobStore, tree: &Tree) -> fs::Result<Vec<String>> {
    let mut links = Links::new();
    links.add(tree);
    let mut folders = Vec::new();
    read_configuration(store, tree, &links, CONFIGURATION, MAX_DEPTH, &mut folders)?;
    Ok(folders)
}

fn read_configuration(
    store: &BlobStore,
    tree: &Tree,
    links: &Links,
    path: &str,
    depth: usize,
    folders: &mut Vec<String>,
) -> fs::Result<()> {
    let node = links.canonical(path).and_then(|path| tree.get(&path));
    let Some(content) = node.and_then(|node| node.content()).filter(|content| content.length <= MAX_CONFIGURATION)
    else {
        return Ok(());
    };
    let bytes = pack::read(store, content)?;
    for line in String::from_utf8_lossy(&bytes).lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.split_once([' ', '\t']) {
            Some(("include", patterns)) if depth > 0 => {
                for pattern in patterns.split_ascii_whitespace() {
                    for file in matches(tree, links, pattern) {
                        read_configuration(store, tree, links, &file, depth - 1, folders)?;
                    }
                }
            }
            Some(("include" | "hwcap", _)) => {}
            _ => folders.extend(Some(line.trim_end_matches('/').to_owned()).filter(|line| line.starts_with('/'))),
        }
    }
    Ok(())
}

/// Returns the files that a pattern names; `*` may stand in its last component.
fn matches(tree: &Tree, links: &Links, pattern: &str) -> Vec<String> {
    let Some((folder, name)) = pattern.rsplit_once('/') else { return Vec::new() };
    let Some(folder) = links.canonical(folder) else { return Vec::new() };
    let Some((start, end)) = name.split_once('*') else { return vec![format!("{folder}/{name}")] };
    let fits = |name: &str| {
        name.len() >= start.len() + end.len()
            && name.starts_with(start)
            && name.ends_with(end)
            && !(start.is_empty() && name.starts_with('.'))
    };
    children(tree, &folder).filter(|path| fits(path.file_name())).map(TreePath::to_string).collect()
}

fn children<'a>(tree: &'a Tree, folder: &str) -> impl Iterator<Item = &'a TreePath> {
    let start = folder.len() + 1;
    tree.below(folder).map(|(path, _)| path).filter(move |path| !path.as_str()[start..].contains('/'))
}

fn is_folder(tree: &Tree, path: &str) -> bool {
    tree.get(path).is_some_and(|node| matches!(node.kind, Kind::Directory)) || tree.below(path).next().is_some()
}

/// Returns the names below a folder that the loader can look up, folders among them.
fn subfolders(tree: &Tree, folder: &str) -> BTreeSet<String> {
    let start = folder.len() + 1;
    let names = tree.below(folder).filter_map(|(path, _)| path.as_str()[start..].split('/').next());
    names.filter(|name| !name.starts_with('.') && !name.contains(':')).map(str::to_owned).collect()
}

/// One library of the loader's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) soname: String,
    pub(super) path: String,
    pub(super) flags: u32,
    pub(super) isa_level: u8,
    /// The folder below `glibc-hwcaps` that it is in.
    pub(super) hwcaps: Option<String>,
}

/// The libraries in the loader's folders.
#[derive(Clone, Debug)]
pub struct Libraries {
    /// In the order of the cache.
    pub(super) entries: Vec<Entry>,
    /// All folders below `glibc-hwcaps`, whether or not they hold a library.
    pub(super) hwcaps: BTreeSet<String>,
    links: Vec<(TreePath, String)>,
}

impl Libraries {
    /// Finds the libraries of an image, of which `tree` is all and `objects` are the ELF objects, in `folders` (see
    /// [`folders`]) and in those built in.
    pub fn find(tree: &Tree, objects: &[(TreePath, Object)], folders: &[String], platform: Platform) -> Self {
        let finder = Finder::new(tree, objects, platform);
        let mut found = Self { entries: Vec::new(), hwcaps: BTreeSet::new(), links: Vec::new() };
        let mut seen = HashSet::new();
        for folder in folders.iter().map(String::as_str).chain(BUILT_IN) {
            let Some(canonical) = finder.links.canonical(folder).filter(|folder| is_folder(tree, folder)) else {
                continue;
            };
            if !seen.insert(canonical.clone()) {
                continue;
            }
            finder.folder(folder, &canonical, None, &mut found);
            for name in subfolders(tree, &format!("{canonical}/glibc-hwcaps")) {
                let folder = format!("{folder}/glibc-hwcaps/{name}");
                let Some(canonical) = finder.links.canonical(&folder) else { continue };
                if is_folder(tree, &canonical) {
                    finder.folder(&folder, &canonical, Some(&name), &mut found);
                    found.hwcaps.insert(name);
                }
            }
        }
        found.entries.sort_by(order);
        found
    }

    /// Returns the symbolic links that `ldconfig` makes: from a library's soname to its file, where the soname leads
    /// nowhere or elsewhere. Each replaces what is at its path.
    pub fn links(&self) -> &[(TreePath, String)] {
        &self.links
    }
}

/// A file of a folder, as a candidate for its soname.
#[derive(Debug)]
struct Candidate {
    name: String,
    /// Whether it only stands for another file's name.
    is_link: bool,
    flags: u32,
    isa_level: u8,
}

#[derive(Debug)]
struct Finder<'a> {
    tree: &'a Tree,
    links: Links,
    objects: HashMap<String, &'a Object>,
    platform: Platform,
}

impl<'a> Finder<'a> {
    fn new(tree: &'a Tree, objects: &'a [(TreePath, Object)], platform: Platform) -> Self {
        let mut links = Links::new();
        links.add(tree);
        let library = |(path, object): &'a (TreePath, Object)| {
            let fits = object.platform == Some(platform) && object.kind == ObjectKind::Shared;
            fits.then(|| Some((links.canonical(path.as_str())?, object))).flatten()
        };
        let objects = objects.iter().filter_map(library).collect();
        Self { tree, links, objects, platform }
    }

    /// Adds the libraries of one folder, each soname once.
    fn folder(&self, folder: &str, canonical: &str, hwcaps: Option<&str>, found: &mut Libraries) {
        for (soname, candidate) in self.candidates(canonical) {
            if hwcaps.is_none() && !candidate.is_link {
                found.links.extend(self.missing_link(canonical, &soname, &candidate.name));
            }
            let file = if hwcaps.is_some() { &candidate.name } else { &soname };
            found.entries.push(Entry {
                path: format!("{folder}/{file}"),
                soname,
                flags: candidate.flags,
                isa_level: candidate.isa_level,
                hwcaps: hwcaps.map(str::to_owned),
            });
        }
    }

    fn candidates(&self, folder: &str) -> BTreeMap<String, Candidate> {
        let mut candidates: BTreeMap<String, Candidate> = BTreeMap::new();
        for path in children(self.tree, folder).filter(|path| is_library_name(path.file_name())) {
            let Some((soname, candidate)) = self.candidate(path) else { continue };
            let present = candidates.get(&soname);
            let is_better = present.is_none_or(|present| {
                (present.is_link && !candidate.is_link)
                    || (present.is_link == candidate.is_link
                        && compare_names(&present.name, &candidate.name) == Ordering::Less)
            });
            if is_better {
                candidates.insert(soname, candidate);
            }
        }
        candidates
    }

    fn candidate(&self, path: &TreePath) -> Option<(String, Candidate)> {
        let object = self.objects.get(&self.links.canonical(path.as_str())?)?;
        let name = path.file_name();
        let mut soname = object.soname.clone().unwrap_or_else(|| name.to_owned());
        let is_symlink = matches!(self.tree.get(path.as_str())?.kind, Kind::Symlink(_));
        // A link counts as such when it is the soname itself, or the `.so` that the linker looks for.
        let is_link =
            is_symlink && (name == soname || (name.strip_suffix(".so").is_some() && soname.starts_with(name)));
        if is_link {
            name.clone_into(&mut soname);
        }
        let flags = match self.platform.architecture {
            Architecture::Amd64 => 0x0303,
            Architecture::Arm64 => 0x0a03,
        };
        Some((soname, Candidate { name: name.to_owned(), is_link, flags, isa_level: object.isa_level }))
    }

    fn missing_link(&self, folder: &str, soname: &str, name: &str) -> Option<(TreePath, String)> {
        if soname.contains('/') {
            return None;
        }
        let link = TreePath::new(&format!("{folder}/{soname}")).ok()?;
        let present = self.tree.get(link.as_str());
        let is_replaceable = present.is_none_or(|node| matches!(node.kind, Kind::Symlink(_)));
        let leads_there = self.links.canonical(link.as_str()) == self.links.canonical(&format!("{folder}/{name}"));
        (is_replaceable && !leads_there).then(|| (link, name.to_owned()))
    }
}

/// Whether `ldconfig` looks at a file of this name: `lib*.so*` and the loader, without what installers leave behind.
fn is_library_name(name: &str) -> bool {
    let is_library = (name.starts_with("lib") || name.starts_with("ld-")) && name.contains(".so");
    let is_loader = name.starts_with("ld.so.") || name.starts_with("ld64.so.");
    let is_temporary = name.contains(';') || name.ends_with(".dpkg-new") || name.ends_with(".dpkg-tmp");
    (is_library || is_loader) && !is_temporary && !name.contains(".#prelink#")
}

/// The order of the cache, which the loader's binary search relies on.
fn order(a: &Entry, b: &Entry) -> Ordering {
    compare_names(&b.soname, &a.soname)
        .then_with(|| b.flags.cmp(&a.flags))
        .then_with(|| b.hwcaps.is_some().cmp(&a.hwcaps.is_some()))
        .then_with(|| a.hwcaps.cmp(&b.hwcaps))
}

/// Compares library names as the loader does: bytewise, but digits as numbers, which come after all else.
fn compare_names(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.first().copied(), b.first().copied()) {
            (None, None) => return Ordering::Equal,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (first, second) = (take_number(&mut a), take_number(&mut b));
                if first != second {
                    return first.cmp(&second);
                }
            }
            (Some(x), _) if x.is_ascii_digit() => return Ordering::Greater,
            (Some(_), Some(y)) if y.is_ascii_digit() => return Ordering::Less,
            (x, y) if x != y => return x.cmp(&y),
            _ => (a, b) = (&a[1..], &b[1..]),
        }
    }
}

/// Splits a number off, with the overflow of the loader's 32-bit arithmetic.
fn take_number(text: &mut &[u8]) -> i32 {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    digits.iter().fold(0i32, |number, digit| number.wrapping_mul(10).wrapping_add(i32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::tree::{Content, Node};

    pub(super) fn tree(paths: &[(&str, Option<&str>)]) -> Tree {
        let node = |target: Option<&str>| match target {
            Some(target) => Node::symlink(target),
            None => Node::file(Content::inline(*b""), 0o644),
        };
        paths.iter().map(|(path, target)| (TreePath::new(path).unwrap(), node(*target))).collect()
    }

    pub(super) fn library(path: &str, soname: &str) -> (TreePath, Object) {
        let soname = Some(soname.to_owned()).filter(|soname| !soname.is_empty());
        let platform = Some(Platform::ALL[0]);
        (TreePath::new(path).unwrap(), Object { platform, kind: ObjectKind::Shared, soname, ..Object::default() })
    }

    #[test]
    fn names_compare_as_the_loader_does() {
        let ordered = ["liba.so", "liba.so.2", "liba.so.10", "liba1.so", "liba11.so"];
        for pair in ordered.windows(2) {
            assert_eq!(compare_names(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
        assert_eq!(compare_names("lib01.so", "lib1.so"), Ordering::Equal);
    }

    #[test]
    fn the_newest_file_gets_the_soname_and_a_link() {
        let tree = tree(&[("usr/lib/libx.so.1.9", None), ("usr/lib/libx.so.1.10", None), ("usr/lib/notes.txt", None)]);
        let objects = [library("usr/lib/libx.so.1.9", "libx.so.1"), library("usr/lib/libx.so.1.10", "libx.so.1")];
        let found = Libraries::find(&tree, &objects, &[], Platform::ALL[0]);
        assert_eq!(found.links(), [(TreePath::new("usr/lib/libx.so.1").unwrap(), "libx.so.1.10".to_owned())]);
        let paths: Vec<_> = found.entries.iter().map(|entry| &*entry.path).collect();
        assert_eq!(paths, ["/lib/libx.so.1"]);
    }

    #[test]
    fn links_that_fit_are_left_alone_and_files_never_replaced() {
        let tree = tree(&[
            ("usr/lib/liba.so", Some("liba.so.1")),
            ("usr/lib/liba.so.1", Some("/etc/alternatives/liba")),
            ("etc/alternatives/liba", Some("/lib/a/liba.so.1.0")),
            ("usr/lib/a/liba.so.1.0", None),
            ("usr/lib/libb.so.1", None),
            ("usr/lib/libb-2.so", None),
            ("usr/lib/libgone.so.1", Some("nowhere")),
        ]);
        let objects = [
            library("usr/lib/a/liba.so.1.0", "liba.so.1"),
            library("usr/lib/libb.so.1", "libb.so.1"),
            library("usr/lib/libb-2.so", "libb.so.1"),
        ];
        let found = Libraries::find(&tree, &objects, &[], Platform::ALL[0]);
        assert_eq!(found.links(), []);
        let sonames: Vec<_> = found.entries.iter().map(|entry| &*entry.soname).collect();
        assert_eq!(sonames, ["libb.so.1", "liba.so.1", "liba.so"]);
    }

    #[test]
    fn a_soname_with_a_path_makes_no_link() {
        let tree = tree(&[("usr/lib/libx.so", None)]);
        let objects = [library("usr/lib/libx.so", "../../etc/passwd")];
        assert_eq!(Libraries::find(&tree, &objects, &[], Platform::ALL[0]).links(), []);
    }

    #[test]
    fn configuration_files_include_others_in_order_and_loops_end() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        let file = |path, text: &str| (TreePath::new(path).unwrap(), Node::file(Content::inline(text), 0o644));
        let tree = [
            file("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n/opt/last/ # comment\n"),
            file("etc/ld.so.conf.d/b.conf", "/opt/b\n\tinclude /etc/ld.so.conf\nrelative\nhwcap 1 x\n"),
            file("etc/ld.so.conf.d/a.conf", "# none\n/opt/a\n"),
            file("etc/ld.so.conf.d/.hidden.conf", "/opt/hidden\n"),
        ];
        let folders = folders(&store, &tree.into_iter().collect()).unwrap();
        assert_eq!(folders[..2], ["/opt/a", "/opt/b"]);
        assert_eq!(folders.last().unwrap(), "/opt/last");
        assert!(!folders.iter().any(|folder| folder.contains("hidden") || !folder.starts_with('/')));
    }
}
