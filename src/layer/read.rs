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
