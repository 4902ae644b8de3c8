//! Writes a file tree as a tar archive: the one canonical form of a layer.
//!
//! Entries stand in bytewise order of their paths, each folder before what it holds, no path twice. The archive ends
//! with two zero blocks (1024 bytes) and no further padding. Contents stream through one buffer, whatever their size.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::header::{EntryKind, Header, padding};
use super::tree::{Content, Kind, Node, Source, Tree, TreePath};
use crate::digest::Digest;
use crate::error::{Diagnose, Exit};
use crate::fetch::{BlobStore, pack};
use crate::fs;

/// A layer could not be written.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A path lies below one that is no folder.
    #[error("`{path}` lies below `{parent}`, which is not a folder")]
    Parent {
        /// The path.
        path: TreePath,
        /// What should be a folder.
        parent: TreePath,
    },
    /// The name means "deleted" to whoever unpacks the layer.
    #[error("`{path}` has a name that marks a deleted file in an image layer")]
    Whiteout {
        /// The path.
        path: TreePath,
    },
    /// An unpacked package in the content store has other bytes than it had. It was removed.
    #[error("the content of `{path}` in the cache is damaged")]
    Damaged {
        /// The file in the layer.
        path: TreePath,
        /// The pack that held it.
        pack: Digest,
        /// How it was found out.
        source: io::Error,
    },
    /// A file of the project has other bytes than it had when the build began.
    #[error("`{}` was changed while it was read", file.display())]
    Changed {
        /// The file in the project.
        file: PathBuf,
        /// How it was found out.
        source: io::Error,
    },
}

impl Diagnose for LayerError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Parent { .. } | Self::Whiteout { .. } => Exit::Failure,
            Self::Damaged { .. } | Self::Changed { .. } => Exit::Integrity,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Damaged { .. } => vec![
                "the damaged entry was removed: run the same command again, and it is made anew; if this comes back, \
                 check the disk"
                    .to_owned(),
            ],
            Self::Changed { .. } => vec!["run the command again once nothing writes to the file".to_owned()],
            Self::Parent { .. } => vec!["two packages disagree about that path: remove one of them".to_owned()],
            Self::Whiteout { .. } => vec!["rename the file: names that start with `.wh.` are reserved".to_owned()],
        }
    }
}

/// Returns the tree with each missing parent folder, or an error where it holds what no layer may.
pub(super) fn complete(tree: &Tree) -> Result<Cow<'_, Tree>, LayerError> {
    let mut missing = false;
    for (path, _) in tree.iter() {
        if path.file_name().starts_with(".wh.") {
            return Err(LayerError::Whiteout { path: path.clone() });
        }
        let Some(parent) = path.parent() else { continue };
        match tree.get(parent.as_str()) {
            Some(Node { kind: Kind::Directory, .. }) => {}
            Some(_) => return Err(LayerError::Parent { path: path.clone(), parent }),
            None => missing = true,
        }
    }
    if !missing {
        return Ok(Cow::Borrowed(tree));
    }
    let mut tree = tree.clone();
    tree.add_parents();
    // An added folder may itself lie below a file or link further up.
    complete(&tree).map(|tree| Cow::Owned(tree.into_owned()))
}

/// Writes `tree` as an archive to `out`; `target` is what errors name.
pub(super) fn write(tree: &Tree, packs: &BlobStore, out: &mut dyn Write, target: &Path) -> Result<(), LayerError> {
    let tree = complete(tree)?;
    let mut archive = Archive { out, target, packs, buffer: vec![0; 1 << 18] };
    for (path, node) in tree.iter() {
        archive.entry(path, node)?;
    }
    Ok(archive.end()?)
}

struct Archive<'a> {
    out: &'a mut dyn Write,
    target: &'a Path,
    packs: &'a BlobStore,
    buffer: Vec<u8>,
}

impl Archive<'_> {
    fn entry(&mut self, path: &TreePath, node: &Node) -> Result<(), LayerError> {
        let kind = match &node.kind {
            Kind::Directory => EntryKind::Directory,
            Kind::File(_) => EntryKind::File,
            Kind::Symlink(target) => EntryKind::Symlink(target),
        };
        let size = node.content().map_or(0, |content| content.length);
        let Node { mode, uid, gid, mtime, .. } = *node;
        let header = Header { path: path.as_str(), kind, mode, uid, gid, mtime, size };
        self.put(&header.encode())?;
        if let Some(content) = node.content() {
            self.content(path, content)?;
            self.put(&[0; super::header::BLOCK][..padding(size)])?;
        }
        Ok(())
    }

    fn content(&mut self, path: &TreePath, content: &Content) -> Result<(), LayerError> {
        let mut reader = pack::open(self.packs, content).map_err(|error| self.unreadable(path, content, error))?;
        loop {
            match reader.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => self.out.write_all(&self.buffer[..read]).map_err(fs::Error::wrap("write", self.target))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let file = fs::Error { action: "read", path: location(self.packs, path, content), source };
                    return Err(self.unreadable(path, content, file));
                }
            }
        }
    }

    /// Says what a failed read means. A pack that is not what it was goes, so that the next build makes it again.
    fn unreadable(&self, path: &TreePath, content: &Content, error: fs::Error) -> LayerError {
        use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
        match &content.source {
            Source::Pack { pack, .. } if matches!(error.source.kind(), InvalidData | NotFound | UnexpectedEof) => {
                match fs::remove_file(&self.packs.path(pack)) {
                    Ok(()) => LayerError::Damaged { path: path.clone(), pack: *pack, source: error.source },
                    Err(error) => error.into(),
                }
            }
            Source::Project(file) if matches!(error.source.kind(), InvalidData | UnexpectedEof) => {
                LayerError::Changed { file: file.clone(), source: error.source }
            }
            _ => error.into(),
        }
    }

    fn end(&mut self) -> fs::Result<()> {
        self.put(&[0; 2 * super::header::BLOCK])
    }

    fn put(&mut self, bytes: &[u8]) -> fs::Result<()> {
        self.out.write_all(bytes).map_err(fs::Error::wrap("write", self.target))
    }
}

fn location(packs: &BlobStore, path: &TreePath, content: &Content) -> PathBuf {
    match &content.source {
        Source::Inline(_) => path.as_str().into(),
        Source::Pack { pack, .. } => packs.path(pack),
        Source::Project(file) => file.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::pack::PackWriter;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn archive(tree: &Tree, packs: &BlobStore) -> Result<Vec<u8>, LayerError> {
        let mut bytes = Vec::new();
        write(tree, packs, &mut bytes, Path::new("memory"))?;
        Ok(bytes)
    }

    fn store() -> (tempfile::TempDir, BlobStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        (folder, store)
    }

    /// A tree with everything that needs a special form.
    fn odd_tree() -> Tree {
        let file = |text: &str| Node::file(Content::inline(text.as_bytes()), 0o640);
        let long = format!("{}/{}", "directory/".repeat(30), "n".repeat(120));
        [
            (path("a/b"), file("b")),
            (path("a-c"), file("")),
            (path("a/é"), Node { uid: 3_000_000, gid: 7, mtime: -5, ..file("accent") }),
            (path(&long), file(&"x".repeat(1000))),
            (path("link"), Node::symlink("t/".repeat(80))),
            (path("run"), Node { mode: 0o1777, ..Node::directory() }),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn the_tar_crate_reads_back_what_was_written() {
        let (_folder, packs) = store();
        let bytes = archive(&odd_tree(), &packs).unwrap();
        let expected = complete(&odd_tree()).unwrap().into_owned();
        let mut reader = tar::Archive::new(&bytes[..]);
        let mut entries = reader.entries().unwrap();
        for (path, node) in expected.iter() {
            let mut entry = entries.next().unwrap().unwrap();
            assert_eq!(entry.path().unwrap().to_str().unwrap().trim_end_matches('/'), path.as_str());
            assert_eq!(entry.header().mode().unwrap(), node.mode);
            if path.as_str() != "a/é" {
                assert_eq!(entry.header().mtime().unwrap() as i64, node.mtime);
            }
            match &node.kind {
                Kind::Directory => assert!(entry.header().entry_type().is_dir()),
                Kind::Symlink(target) => {
                    assert_eq!(entry.link_name().unwrap().unwrap().to_str().unwrap(), target);
                }
                Kind::File(content) => {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes).unwrap();
                    assert_eq!(Digest::of(&bytes), content.digest);
                }
            }
        }
        assert!(entries.next().is_none());
    }

    #[test]
    fn the_tar_program_lists_what_was_written() {
        let (folder, packs) = store();
        let file = folder.path().join("layer.tar");
        std::fs::write(&file, archive(&odd_tree(), &packs).unwrap()).unwrap();
        let list = std::process::Command::new("tar")
            .args(["--list", "--verbose", "--numeric-owner", "--full-time", "--quoting-style=literal", "--utc", "-f"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(list.status.success() && list.stderr.is_empty(), "{}", String::from_utf8_lossy(&list.stderr));
        let lines = String::from_utf8(list.stdout).unwrap();
        assert!(lines.starts_with("drwxr-xr-x 0/0 "), "{lines}");
        assert!(lines.contains("-rw-r----- 3000000/7"), "{lines}");
        assert!(lines.contains("1969-12-31 23:59:55 a/é"), "{lines}");
        assert!(lines.contains("drwxrwxrwt 0/0               0 1980-01-01 00:00:00 run/"), "{lines}");
        assert_eq!(lines.lines().count(), complete(&odd_tree()).unwrap().len());
    }

    #[test]
    fn an_archive_ends_with_two_blocks() {
        let (_folder, packs) = store();
        assert_eq!(archive(&Tree::new(), &packs).unwrap(), [0; 1024]);
        let tree: Tree = [(path("a"), Node::file(Content::inline(*b"x"), 0o644))].into_iter().collect();
        assert_eq!(archive(&tree, &packs).unwrap().len(), 512 + 512 + 1024);
    }

    #[test]
    fn files_below_links_and_whiteouts_are_refused() {
        let (_folder, packs) = store();
        let file = || Node::file(Content::inline(*b"x"), 0o644);
        let below = |parent: Node| [(path("a"), parent), (path("a/b/c"), file())].into_iter().collect::<Tree>();
        for parent in [Node::symlink("/etc"), file()] {
            assert!(matches!(archive(&below(parent), &packs), Err(LayerError::Parent { .. })));
        }
        for name in [".wh.passwd", "etc/.wh..wh..opq", ".wh."] {
            let tree: Tree = [(path(name), file())].into_iter().collect();
            assert!(matches!(archive(&tree, &packs), Err(LayerError::Whiteout { .. })), "{name}");
        }
    }

    #[test]
    fn a_damaged_pack_is_removed_and_named() {
        let (_folder, packs) = store();
        let mut pack = PackWriter::new(&packs).unwrap();
        pack.add_file(path("usr/x"), Node::directory(), &mut &b"content"[..]).unwrap();
        let tree = pack.finish().unwrap();
        let Source::Pack { pack, .. } = tree.get("usr/x").unwrap().content().unwrap().source else { panic!() };
        for damage in [&b"c0ntent"[..], b"con"] {
            std::fs::write(packs.path(&pack), damage).unwrap();
            let error = archive(&tree, &packs).unwrap_err();
            assert_eq!(error.to_string(), "the content of `usr/x` in the cache is damaged");
            assert_eq!(error.exit(), Exit::Integrity);
            assert!(!packs.has(&pack));
        }
        assert!(matches!(archive(&tree, &packs), Err(LayerError::Damaged { .. })));
    }

    #[test]
    fn a_project_file_that_changes_is_named_and_stays() {
        let (folder, packs) = store();
        let file = folder.path().join("model.bin");
        std::fs::write(&file, "other").unwrap();
        let content = Content { digest: Digest::of(b"model"), length: 5, source: Source::Project(file.clone()) };
        let tree: Tree = [(path("model.bin"), Node::file(content, 0o644))].into_iter().collect();
        assert!(matches!(archive(&tree, &packs), Err(LayerError::Changed { .. })));
        assert!(file.exists());
    }
}
