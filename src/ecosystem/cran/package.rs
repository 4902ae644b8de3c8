//! An R package's file: a source or a binary, what it says of itself, and a binary's files as a tree.
//!
//! Repositories serve both under the same name; only the file tells. A binary is one that says `Built`.

use std::io::{BufReader, Read};

use serde::{Deserialize, Serialize};

use super::{CranError, Description, LIBRARY};
use crate::digest::Digest;
use crate::ecosystem::debian::deb::compression;
use crate::error::Result;
use crate::fetch::derived::Derived;
use crate::fetch::pack::{self, PackWriter};
use crate::fetch::{Blob, BlobStore};
use crate::fs;
use crate::layer::tree::{Kind, Node, Tree, TreePath};
use crate::lock::Package;
use crate::platform::Platform;

/// The largest DESCRIPTION, in bytes.
const DESCRIPTION_LIMIT: u64 = 1 << 20;

/// What a package's file says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// Its DESCRIPTION.
    pub description: Description,
    /// Whether it has shared objects.
    pub has_objects: bool,
}

impl Facts {
    /// Whether it is a source, to be compiled or at least to be installed by R.
    pub fn is_source(&self) -> bool {
        self.description.field("Built").is_none()
    }

    /// Why a binary does not fit the interpreter and the platform; `None` where it does, or is a source.
    pub fn misfit(&self, r: &str, platform: Platform) -> Option<String> {
        let built = self.description.field("Built")?;
        let mut parts = built.split(';').map(str::trim);
        let version = parts.next().unwrap_or_default().trim_start_matches("R ");
        let system = parts.next().unwrap_or_default();
        if minor(version) != minor(r) {
            return Some(format!("it was built for R {version}"));
        }
        // Without objects a binary is for every system.
        if !(system.is_empty() || system.starts_with(platform.machine()) && system.contains("linux")) {
            return Some(format!("it was built for {system}"));
        }
        let compiled = self.description.field("NeedsCompilation") == Some("yes");
        (compiled && !self.has_objects).then(|| "it is a binary without its shared object".to_owned())
    }
}

/// Binary packages run with the R of their minor version alone.
fn minor(version: &str) -> Option<(&str, &str)> {
    let mut parts = version.split('.');
    Some((parts.next()?, parts.next()?))
}

/// Reads what the file of the package `name` says of itself.
pub fn facts(name: &str, blob: &Blob, derived: &Derived) -> Result<Facts, CranError> {
    let key = Derived::key("r-facts-1", &(name, blob.digest));
    if let Some(facts) = derived.get(&key) {
        return Ok(facts);
    }
    let refuse = |reason: String| CranError::Empty { package: name.to_owned(), reason };
    let (mut text, mut has_objects) = (None, false);
    let mut archive = open(blob)?;
    for entry in archive.entries().map_err(|error| refuse(error.to_string()))? {
        let entry = entry.map_err(|error| refuse(error.to_string()))?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if path == format!("{name}/DESCRIPTION") {
            let mut bytes = Vec::new();
            entry.take(DESCRIPTION_LIMIT).read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
            text = Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        has_objects |= path.starts_with(&format!("{name}/libs/")) && path.ends_with(".so");
    }
    let text = text.ok_or_else(|| refuse(format!("there is no `{name}/DESCRIPTION`")))?;
    let unreadable = |source| CranError::Description { package: name.to_owned(), source };
    let facts = Facts { description: Description::parse(&text).map_err(unreadable)?, has_objects };
    derived.put(&key, &facts)?;
    Ok(facts)
}

/// Returns what [`unpack`] gave for a locked package before; whether the store still has its pack is not looked at.
pub fn known(package: &Package, derived: &Derived) -> Option<Tree> {
    derived.get(&binary_key(&package.name, &package.sha256))
}

fn binary_key(name: &str, file: &Digest) -> Digest {
    Derived::key("r-binary-1", &(name, file))
}

/// Returns the files of a binary package where images have them.
pub fn unpack(name: &str, blob: &Blob, blobs: &BlobStore, derived: &Derived) -> Result<Tree> {
    let key = binary_key(name, &blob.digest);
    if let Some(tree) = derived.get::<Tree>(&key)
        && pack::is_whole(blobs, &tree)?
    {
        return Ok(tree);
    }
    let refuse = |reason: String| CranError::Empty { package: name.to_owned(), reason };
    let mut pack = PackWriter::new(blobs)?;
    for entry in open(blob)?.entries().map_err(|error| refuse(error.to_string()))? {
        let mut entry = entry.map_err(|error| refuse(error.to_string()))?;
        let path = TreePath::new(&String::from_utf8_lossy(&entry.path_bytes()))?;
        if !path.is_below(name) {
            return Err(refuse(format!("`{path}` is not below `{name}`")).into());
        }
        let place = TreePath::new(&format!("{LIBRARY}/{path}"))?;
        let mode = entry.header().mode().unwrap_or(0);
        match entry.header().entry_type() {
            tar::EntryType::Directory => pack.add(place, Node::directory()),
            tar::EntryType::Regular => drop(
                pack.add_file(place, attributes(mode), &mut entry).map_err(fs::Error::wrap("unpack", blob.path()))?,
            ),
            _ => return Err(refuse(format!("`{path}` is neither a file nor a folder")).into()),
        }
    }
    finish(pack, &key, derived)
}

/// Returns the installed package in a folder of this machine, where images have it. Of its files' attributes only
/// whether they can be executed counts.
///
/// The package's own code wrote the folder: no link is followed out of it, and nothing opened that is no plain file.
pub fn collect(name: &str, folder: &std::path::Path, blobs: &BlobStore) -> Result<Tree> {
    let refuse = |reason: &str| CranError::Empty { package: name.to_owned(), reason: reason.to_owned() };
    let mut pack = PackWriter::new(blobs)?;
    for entry in walkdir::WalkDir::new(folder).follow_root_links(false).sort_by_file_name() {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_owned();
            fs::Error { action: "read", path, source: error.into() }
        })?;
        let below = entry.path().strip_prefix(folder).unwrap_or(entry.path()).to_string_lossy();
        let place = TreePath::new(&format!("{LIBRARY}/{name}/{below}"))?;
        let kind = entry.file_type();
        if kind.is_dir() {
            pack.add(place, Node::directory());
        } else if entry.depth() == 0 {
            return Err(refuse("what was installed is not a folder").into());
        } else if kind.is_symlink() {
            let target = std::fs::read_link(entry.path()).map_err(fs::Error::wrap("read", entry.path()))?;
            pack.add(place, Node::symlink(target.to_string_lossy()));
        } else if !kind.is_file() {
            return Err(refuse(&format!("`{below}` is neither a file, a folder nor a link")).into());
        } else {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(entry.path())?.permissions().mode();
            let mut file = fs::open(entry.path())?;
            pack.add_file(place, attributes(mode), &mut file).map_err(fs::Error::wrap("read", entry.path()))?;
        }
    }
    let mut tree = pack.finish()?;
    tree.add_parents();
    Ok(tree)
}

/// Returns a digest of a tree: of its paths, what each is, and of the files' contents.
pub fn digest(tree: &Tree) -> crate::digest::Digest {
    let nodes: Vec<_> = tree
        .iter()
        .map(|(path, node)| match &node.kind {
            Kind::Directory => (path, node.mode, None, None),
            Kind::File(content) => (path, node.mode, Some(content.digest), None),
            Kind::Symlink(target) => (path, node.mode, None, Some(target)),
        })
        .collect();
    Derived::key("r-tree-1", &nodes)
}

fn finish(pack: PackWriter, key: &crate::digest::Digest, derived: &Derived) -> Result<Tree> {
    let mut tree = pack.finish()?;
    tree.add_parents();
    derived.put(key, &tree)?;
    Ok(tree)
}

fn attributes(mode: u32) -> Node {
    Node { mode: if mode & 0o100 == 0 { 0o644 } else { 0o755 }, ..Node::directory() }
}

/// Opens the archive; no more comes out of it than of a Debian package of its size.
fn open(blob: &Blob) -> fs::Result<tar::Archive<impl Read>> {
    let plain = flate2::read::MultiGzDecoder::new(BufReader::with_capacity(1 << 17, blob.open()?));
    Ok(tar::Archive::new(compression::limited(plain, blob.size)))
}

/// Writes a package's file as R does, for tests.
#[cfg(test)]
pub(super) fn tarball(files: &[(&str, &str)]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best()));
    for (path, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, path, text.as_bytes())?;
    }
    archive.into_inner()?.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(files: &[(&str, &str)]) -> (tempfile::TempDir, BlobStore, Derived, Blob) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::open(folder.path()).unwrap();
        let blob = blobs.insert_bytes(&tarball(files).unwrap()).unwrap();
        let derived = Derived::new(&folder.path().join("derived"));
        (folder, blobs, derived, blob)
    }

    #[test]
    fn a_binary_fits_one_minor_version_of_r_and_one_processor() {
        let facts = |built: &str, has_objects| {
            let text = format!("Package: a\nNeedsCompilation: yes\nBuilt: {built}\n");
            Facts { description: Description::parse(&text).unwrap(), has_objects }
        };
        let platform = "linux/amd64".parse().unwrap();
        let misfit = |built: &str, has_objects| facts(built, has_objects).misfit("4.2.2.20221110", platform);
        assert_eq!(misfit("R 4.2.0; x86_64-pc-linux-gnu; 2026-11-23; unix", true), None);
        assert_eq!(misfit("R 4.3.1; x86_64-pc-linux-gnu; 2026; unix", true).unwrap(), "it was built for R 4.3.1");
        assert!(misfit("R 4.2.0; aarch64-pc-linux-gnu; 2026; unix", true).is_some());
        assert!(misfit("R 4.2.0; x86_64-apple-darwin20; 2026; unix", true).is_some());
        assert!(misfit("R 4.2.0; x86_64-pc-linux-gnu; 2026; unix", false).unwrap().contains("shared object"));
    }

    #[test]
    fn what_package_code_leaves_behind_leads_nowhere_and_blocks_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::open(&folder.path().join("store")).unwrap();
        let place = |name: &str| folder.path().join(name);
        std::fs::create_dir(place("a")).unwrap();
        std::fs::write(place("a/DESCRIPTION"), "Package: a\n").unwrap();
        std::os::unix::fs::symlink("a", place("link")).unwrap();
        assert!(collect("a", &place("a"), &blobs).is_ok());
        let error = collect("a", &place("link"), &blobs).unwrap_err().to_string();
        assert_eq!(error, "`a` has no R package in it: what was installed is not a folder");
        nix::unistd::mkfifo(&place("a/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = collect("a", &place("a"), &blobs).unwrap_err().to_string();
        assert_eq!(error, "`a` has no R package in it: `pipe` is neither a file, a folder nor a link");
    }

    #[test]
    fn a_binary_becomes_a_tree_and_its_description_is_read() {
        let text = "Package: a\nVersion: 1\nBuilt: R 4.2.0; ; 2026; unix\n";
        let (_folder, blobs, derived, blob) = look(&[("a/DESCRIPTION", text), ("a/libs/a.so", "x")]);
        let found = facts("a", &blob, &derived).unwrap();
        assert!(!found.is_source() && found.has_objects);
        let tree = unpack("a", &blob, &blobs, &derived).unwrap();
        assert!(tree.contains("usr/local/lib/R/site-library/a/libs/a.so"));
        assert!(facts("b", &blob, &derived).is_err());
    }

    #[test]
    fn a_bomb_in_an_r_package_is_stopped() {
        let zeros = "\0".repeat(64 << 20);
        let (_folder, blobs, derived, blob) = look(&[("a/DESCRIPTION", "Package: a\nVersion: 1\n"), ("a/x", &zeros)]);
        let error = facts("a", &blob, &derived).unwrap_err().to_string();
        assert!(error.contains("more than it may"), "{error}");
        assert!(unpack("a", &blob, &blobs, &derived).is_err());
    }

    #[test]
    fn a_file_beside_the_package_is_refused() {
        let (_folder, blobs, derived, blob) = look(&[("a/DESCRIPTION", "Package: a\n"), ("b/x", "")]);
        assert!(unpack("a", &blob, &blobs, &derived).unwrap_err().to_string().contains("`b/x` is not below `a`"));
    }
}
