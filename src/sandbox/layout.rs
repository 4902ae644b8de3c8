//! Writes a file tree to disk, from verified content, as nothing but a sandbox reads it.
//!
//! Folders come first, then files, links last: while anything is written there is no link that could be followed.
//! Owners are left out, and so are set-user-ID bits: the tree belongs to the user who runs mlpack.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use rayon::prelude::*;

use crate::digest::Digest;
use crate::error::{Diagnose, Exit};
use crate::fetch::{BlobStore, pack};
use crate::fs;
use crate::layer::tree::{Content, Kind, Node, Tree, TreePath};

/// A tree could not be written to disk.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file operation failed, or a file's bytes are not what they must be.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A path lies below something that is no folder, such as a symbolic link that leads elsewhere.
    #[error("`{path}` cannot be written: `{parent}` is not a folder")]
    Parent {
        /// The path.
        path: TreePath,
        /// What it lies below.
        parent: TreePath,
    },
}

impl Diagnose for LayoutError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) if error.source.kind() == io::ErrorKind::InvalidData => Exit::Integrity,
            Self::File(error) => error.exit(),
            Self::Parent { .. } => Exit::CannotRun,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) if error.source.kind() == io::ErrorKind::InvalidData => {
                vec!["the damaged entry was removed from the cache: run the same command again".to_owned()]
            }
            Self::File(error) => error.hints(),
            Self::Parent { .. } => Vec::new(),
        }
    }
}

/// The result of writing a tree.
pub type Result<T> = std::result::Result<T, LayoutError>;

/// Returns the folder below `trees` with the tree that `key` stands for, and writes it there where it is missing.
///
/// `key` must cover the whole tree. The folder is never to be written to. It is complete or absent, however a run
/// ended: it is written beside its place and renamed, and after a restart of the machine, which may have lost what was
/// not yet on the disk, it is written again.
pub fn cached(trees: &Path, key: &Digest, packs: &BlobStore, tree: &Tree) -> Result<PathBuf> {
    if let Some(root) = find(trees, key) {
        return Ok(root);
    }
    let place = trees.join(key.hex());
    let boot = boot_id();
    fs::create_dir_all(trees)?;
    // An image's world-writable folders must not be reachable for other users of this machine.
    fs::set_mode(trees, 0o700)?;
    let temporary = tempfile::Builder::new()
        .prefix("tmp-")
        .tempdir_in(trees)
        .map_err(fs::Error::wrap("create a folder in", trees))?;
    layout(packs, tree, &temporary.path().join("root"))?;
    let path = temporary.path().join("boot");
    std::fs::write(&path, &boot).map_err(fs::Error::wrap("write", path))?;
    // Another run may have been faster, and use its tree already: only a stale one may be replaced.
    let lock = fs::open(trees)?;
    lock.lock().map_err(fs::Error::wrap("lock", trees))?;
    if let Some(root) = find(trees, key) {
        fs::remove_tree(temporary.path())?;
        return Ok(root);
    }
    fs::remove_tree(&place)?;
    std::fs::rename(temporary.path(), &place).map_err(fs::Error::wrap("create", &place))?;
    Ok(place.join("root"))
}

/// Returns the folder of the tree that `key` stands for, where [`cached`] wrote it.
pub fn find(trees: &Path, key: &Digest) -> Option<PathBuf> {
    let place = trees.join(key.hex());
    let whole = std::fs::read_to_string(place.join("boot")).is_ok_and(|found| found == boot_id());
    whole.then(|| place.join("root"))
}

/// Identifies the time since this machine was started.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// Writes `tree` to `folder`, which must not exist yet; its parent must.
pub fn layout(packs: &BlobStore, tree: &Tree, folder: &Path) -> Result<()> {
    check_parents(tree)?;
    let mut whole = tree.clone();
    whole.add_parents();
    create_folder(folder)?;
    let nodes: Vec<_> = whole.iter().map(|(path, node)| (folder.join(path.as_str()), node)).collect();
    for (path, _) in nodes.iter().filter(|(_, node)| matches!(node.kind, Kind::Directory)) {
        create_folder(path)?;
    }
    nodes.par_iter().try_for_each(|(path, node)| match &node.kind {
        Kind::File(content) => write_file(packs, path, content, node),
        _ => Ok(()),
    })?;
    for (path, node) in &nodes {
        if let Kind::Symlink(target) = &node.kind {
            std::os::unix::fs::symlink(target, path).map_err(fs::Error::wrap("create", path))?;
            set_time(path, node.mtime)?;
        }
    }
    // Deepest first: a folder's time changes with what is put into it, and its mode may forbid that.
    for (path, node) in nodes.iter().rev().filter(|(_, node)| matches!(node.kind, Kind::Directory)) {
        fs::set_mode(path, kept_mode(node))?;
        set_time(path, node.mtime)?;
    }
    Ok(())
}

fn check_parents(tree: &Tree) -> Result<()> {
    for (path, _) in tree.iter() {
        let mut parent = path.parent();
        while let Some(folder) = parent {
            if tree.get(folder.as_str()).is_some_and(|node| !matches!(node.kind, Kind::Directory)) {
                return Err(LayoutError::Parent { path: path.clone(), parent: folder });
            }
            parent = folder.parent();
        }
    }
    Ok(())
}

fn create_folder(path: &Path) -> Result<()> {
    Ok(DirBuilder::new().mode(0o700).create(path).map_err(fs::Error::wrap("create folder", path))?)
}

fn write_file(packs: &BlobStore, path: &Path, content: &Content, node: &Node) -> Result<()> {
    let mut source = pack::open(packs, content)?;
    let wrap = || fs::Error::wrap("write", path);
    // Creating refuses what is there already, a link included.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(wrap())?;
    copy(&mut source, &mut file, content.length).map_err(wrap())?;
    file.set_permissions(Permissions::from_mode(kept_mode(node))).map_err(wrap())?;
    set_time(path, node.mtime)
}

/// Copies to the end, which is where wrong bytes are noticed.
fn copy(source: &mut impl io::Read, file: &mut File, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; usize::try_from(length).unwrap_or(usize::MAX).clamp(1, 1 << 18)];
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        file.write_all(&buffer[..read])?;
    }
}

fn kept_mode(node: &Node) -> u32 {
    node.mode & 0o1777
}

fn set_time(path: &Path, seconds: i64) -> Result<()> {
    let time = TimeSpec::new(seconds, 0);
    utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)
        .map_err(|error| fs::Error::wrap("set the time of", path)(error.into()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn tree(nodes: impl IntoIterator<Item = (&'static str, Node)>) -> Tree {
        nodes.into_iter().map(|(path, node)| (TreePath::new(path).unwrap(), node)).collect()
    }

    fn file(text: &str, mode: u32) -> Node {
        Node::file(Content::inline(text.as_bytes()), mode)
    }

    fn places() -> (tempfile::TempDir, BlobStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&folder.path().join("cache")).unwrap();
        (folder, store)
    }

    #[test]
    fn modes_times_and_links_arrive() {
        let (folder, store) = places();
        let given = tree([
            ("bin/run", Node { mtime: 1_000, ..file("#!", 0o4755) }),
            ("locked", Node { mode: 0o555, mtime: 2_000, ..Node::directory() }),
            ("locked/file", file("x", 0o444)),
            ("link", Node { mtime: 3_000, ..Node::symlink("/etc/passwd") }),
        ]);
        let root = folder.path().join("root");
        layout(&store, &given, &root).unwrap();
        let found = |path: &str| std::fs::symlink_metadata(root.join(path)).unwrap();
        assert_eq!((found("bin/run").mode() & 0o7777, found("bin/run").mtime()), (0o755, 1_000));
        assert_eq!((found("locked").mode() & 0o7777, found("locked").mtime()), (0o555, 2_000));
        assert_eq!(found("link").mtime(), 3_000);
        assert_eq!(std::fs::read_link(root.join("link")).unwrap(), Path::new("/etc/passwd"));
        assert_eq!(std::fs::read_to_string(root.join("locked/file")).unwrap(), "x");
        fs::remove_tree(&root).unwrap();
        assert!(!root.exists());
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let (folder, store) = places();
        let outside = folder.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        for hostile in [
            tree([("a", Node::symlink(outside.to_str().unwrap())), ("a/x", file("x", 0o644))]),
            tree([("a", Node::symlink("../outside")), ("a/b/c/x", file("x", 0o644))]),
            tree([("a", Node::symlink(".")), ("a/x", Node::directory())]),
            tree([("a", file("", 0o644)), ("a/x", Node::symlink("/"))]),
        ] {
            let root = folder.path().join("root");
            assert!(matches!(layout(&store, &hostile, &root), Err(LayoutError::Parent { .. })));
            assert!(!root.exists());
        }
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn wrong_bytes_leave_no_tree() {
        let (folder, store) = places();
        let content = Content { digest: Digest::of(b"other"), ..Content::inline(*b"bytes") };
        let given = tree([("file", Node::file(content, 0o644))]);
        let error = cached(&folder.path().join("trees"), &Digest::of(b"key"), &store, &given).unwrap_err();
        assert_eq!(error.exit(), Exit::Integrity);
        assert_eq!(std::fs::read_dir(folder.path().join("trees")).unwrap().count(), 0);
    }

    #[test]
    fn a_cached_tree_is_used_again_unless_it_is_unfinished() {
        let (folder, store) = places();
        let (trees, key) = (folder.path().join("trees"), Digest::of(b"key"));
        let lay_out = |text| cached(&trees, &key, &store, &tree([("file", file(text, 0o644))])).unwrap();
        let read = |root: PathBuf| std::fs::read_to_string(root.join("file")).unwrap();
        assert_eq!(read(lay_out("first")), "first");
        assert_eq!(read(lay_out("second")), "first");
        std::fs::write(trees.join(key.hex()).join("boot"), "before").unwrap();
        assert_eq!(read(lay_out("third")), "third");
    }

    #[test]
    fn a_tree_that_one_run_uses_is_not_replaced_by_another() {
        use std::os::unix::fs::MetadataExt as _;
        let (folder, store) = places();
        let (trees, key) = (folder.path().join("trees"), Digest::of(b"key"));
        let given = tree([("file", file("text", 0o644))]);
        let lay_out = || std::fs::metadata(cached(&trees, &key, &store, &given).unwrap()).unwrap().ino();
        let found = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..8).map(|_| scope.spawn(lay_out)).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(found.iter().all(|inode| *inode == found[0]), "{found:?}");
        assert_eq!(std::fs::read_dir(&trees).unwrap().count(), 1);
    }
}
