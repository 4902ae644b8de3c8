//! Reads a layer's tar archive back into a tree, to lay an image out from its own bytes.
//!
//! Layers of other tools may come this way too: names and links are checked as those of any archive. Whiteouts, devices
//! and links to files of other layers are refused: an image that mlpack runs has none.

use std::collections::HashMap;
use std::io::{self, Read};

use crate::digest::Digest;
use crate::error::{Diagnose, Exit};
use crate::fetch::BlobStore;
use crate::fetch::pack::PackWriter;
use crate::fs;
use crate::layer::tree::{Content, Kind, Node, PathError, Tree, TreePath};

/// A layer cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The archive is damaged.
    #[error("layer {layer} cannot be read")]
    Archive {
        /// The layer.
        layer: Digest,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A path that an image may not have.
    #[error("layer {layer} has an unsafe path")]
    Path {
        /// The layer.
        layer: Digest,
        /// The path.
        source: PathError,
    },
    /// An entry that cannot be laid out.
    #[error("`{path}` in layer {layer} is {kind}")]
    Kind {
        /// The layer.
        layer: Digest,
        /// The entry.
        path: TreePath,
        /// What it is.
        kind: &'static str,
    },
}

impl Diagnose for ReadError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Archive { .. } => Exit::Integrity,
            _ => Exit::CannotRun,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Archive { .. } => vec!["build or pull the image again".to_owned()],
            _ => vec!["`mlpack serve` runs images that mlpack built; run others with a container engine".to_owned()],
        }
    }
}

/// Reads the unpacked archive of `layer`; the files' contents go into a pack in `packs`.
pub fn read(packs: &BlobStore, layer: Digest, plain: impl Read) -> Result<Tree, ReadError> {
    let damaged = |source| unreadable(layer, packs, source);
    let mut archive = tar::Archive::new(plain);
    let mut pack = PackWriter::new(packs)?;
    let mut contents: HashMap<TreePath, Content> = HashMap::new();
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if matches!(name.as_str(), "." | "./" | "/") {
            continue;
        }
        let path = TreePath::new(&name).map_err(|source| ReadError::Path { layer, source })?;
        let refuse = |kind| Err(ReadError::Kind { layer, path: path.clone(), kind });
        if path.file_name().starts_with(".wh.") {
            return refuse("a whiteout");
        }
        let node = attributes(entry.header()).map_err(damaged)?;
        let target = entry.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned());
        match (entry.header().entry_type(), target) {
            (tar::EntryType::Directory, _) => pack.add(path, node),
            (tar::EntryType::Symlink, Some(target)) => pack.add(path, Node { kind: Kind::Symlink(target), ..node }),
            (tar::EntryType::Regular | tar::EntryType::Continuous, _) => {
                let content = pack.add_file(path.clone(), node, &mut entry).map_err(damaged)?;
                contents.insert(path, content);
            }
            (tar::EntryType::Link, Some(target)) => {
                let target = TreePath::new(&target).map_err(|source| ReadError::Path { layer, source })?;
                let Some(content) = contents.get(&target).cloned() else {
                    return refuse("a link to a file of another layer");
                };
                contents.insert(path.clone(), content.clone());
                pack.add_link(path, node, content);
            }
            _ => return refuse("neither a file, a folder nor a link"),
        }
    }
    Ok(pack.finish()?)
}

/// Says what a failure means. Contents are read and written in one step: a full disk says nothing of the layer.
fn unreadable(layer: Digest, packs: &BlobStore, source: io::Error) -> ReadError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            fs::Error { action: "write in", path: packs.root().to_owned(), source }.into()
        }
        _ => ReadError::Archive { layer, source },
    }
}

fn attributes(header: &tar::Header) -> io::Result<Node> {
    Ok(Node {
        kind: Kind::Directory,
        mode: header.mode()? & 0o7777,
        uid: u32::try_from(header.uid()?).unwrap_or(0),
        gid: u32::try_from(header.gid()?).unwrap_or(0),
        mtime: i64::try_from(header.mtime()?).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds an entry whose name and target are written as they are, which the crate itself refuses to do.
    fn entry(archive: &mut Vec<u8>, kind: u8, name: &str, target: &str, content: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let fields = header.as_old_mut();
        fields.name[..name.len()].copy_from_slice(name.as_bytes());
        fields.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        archive.extend(header.as_bytes());
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }

    fn read_all(entries: &[(u8, &str, &str, &[u8])]) -> Result<Tree, ReadError> {
        let folder = tempfile::tempdir().unwrap();
        let packs = BlobStore::open(folder.path()).unwrap();
        let mut archive = Vec::new();
        for (kind, name, target, content) in entries {
            entry(&mut archive, *kind, name, target, content);
        }
        archive.extend([0; 1024]);
        read(&packs, Digest::of(b"layer"), &archive[..])
    }

    #[test]
    fn unsafe_names_in_a_layer_are_refused() {
        for name in ["../x", "a/../../x", "./../x", "a\nb"] {
            let error = read_all(&[(b'0', name, "", b"x")]).unwrap_err();
            assert!(matches!(error, ReadError::Path { .. }), "{name:?}: {error}");
            let link = read_all(&[(b'1', "a", name, b"")]).unwrap_err();
            assert!(matches!(link, ReadError::Path { .. }), "{name:?}: {link}");
        }
        assert_eq!(read_all(&[(b'0', "/etc/x", "", b"x")]).unwrap().iter().next().unwrap().0.as_str(), "etc/x");
    }

    #[test]
    fn what_cannot_be_laid_out_is_refused() {
        for (kind, name) in
            [(b'3', "a"), (b'4', "a"), (b'6', "a"), (b'0', "a/.wh.b"), (b'0', ".wh..wh..opq"), (b'0', ".wh.")]
        {
            assert!(matches!(read_all(&[(kind, name, "", b"")]), Err(ReadError::Kind { .. })), "{name}");
        }
        for target in ["later", "link", "a"] {
            let entries: [(u8, &str, &str, &[u8]); 3] =
                [(b'2', "link", "/etc/passwd", b""), (b'1', "a", target, b""), (b'0', "later", "", b"x")];
            assert!(matches!(read_all(&entries), Err(ReadError::Kind { .. })), "{target}");
        }
    }

    #[test]
    fn a_size_in_a_pax_header_counts_for_header_and_content_alike() {
        let inner = {
            let mut inner = Vec::new();
            entry(&mut inner, b'0', "smuggled", "", b"");
            inner
        };
        // Whoever goes by the header's own size, 0, finds another entry in the content (CVE-2025-62518).
        let record = format!("12 size={}\n", inner.len());
        assert_eq!(record.len(), 12);
        let mut archive = Vec::new();
        entry(&mut archive, b'x', "pax", "", record.as_bytes());
        entry(&mut archive, b'0', "file", "", b"");
        archive.extend(&inner);
        archive.extend([0; 1024]);
        let folder = tempfile::tempdir().unwrap();
        let packs = BlobStore::open(folder.path()).unwrap();
        let tree = read(&packs, Digest::of(b"layer"), &archive[..]).unwrap();
        let found: Vec<_> = tree.iter().map(|(path, node)| (path.as_str(), node.content().unwrap().length)).collect();
        assert_eq!(found, [("file", inner.len() as u64)]);
    }

    #[test]
    fn a_cut_layer_is_damaged() {
        let mut archive = Vec::new();
        entry(&mut archive, b'0', "a", "", &[7; 600]);
        let folder = tempfile::tempdir().unwrap();
        let packs = BlobStore::open(folder.path()).unwrap();
        for length in [100, 512, 1000] {
            let error = read(&packs, Digest::of(b"layer"), &archive[..length]).unwrap_err();
            assert_eq!(error.exit(), Exit::Integrity, "{length}: {error}");
        }
    }
}
