//! Packs: the contents of an unpacked package's files, one after the other in one blob, with the tree that names them.
//!
//! Decompressing a package is slow and its files are many; a pack is decompressed once, is one file on disk, and gives
//! each file's bytes by position.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Cursor, Read, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use super::store::{BlobStore, BlobWriter};
use crate::digest::{Digest, HashingWriter, VerifyingReader};
use crate::fs;
use crate::layer::tree::{Content, Kind, Node, Source, Tree, TreePath};

/// Collects an unpacked package: nodes into a tree, file contents into a blob.
#[derive(Debug)]
pub struct PackWriter {
    blob: BlobWriter,
    position: u64,
    nodes: Vec<(TreePath, Node)>,
}

impl PackWriter {
    /// Starts a pack in `store`.
    pub fn new(store: &BlobStore) -> fs::Result<Self> {
        Ok(Self { blob: store.writer()?, position: 0, nodes: Vec::new() })
    }

    /// Adds a folder or a symbolic link.
    pub fn add(&mut self, path: TreePath, node: Node) {
        self.nodes.push((path, node));
    }

    /// Adds a regular file with all that `bytes` gives, and returns its content, whose pack is named at the end.
    ///
    /// `attributes` gives mode, owner and time; its kind is ignored.
    pub fn add_file(&mut self, path: TreePath, attributes: Node, bytes: &mut dyn Read) -> io::Result<Content> {
        let offset = self.position;
        let mut writer = HashingWriter::new(&mut self.blob);
        io::copy(bytes, &mut writer)?;
        writer.flush()?;
        let (_, digest, length) = writer.finish();
        self.position += length;
        let content = Content { digest, length, source: Source::Pack { pack: Digest::of(b""), offset } };
        self.nodes.push((path, Node { kind: Kind::File(content.clone()), ..attributes }));
        Ok(content)
    }

    /// Adds another path with the content of a file added before: a hard link of the archive.
    pub fn add_link(&mut self, path: TreePath, attributes: Node, content: Content) {
        self.nodes.push((path, Node { kind: Kind::File(content), ..attributes }));
    }

    /// Returns the nodes so far, in the order they were added.
    pub fn nodes(&self) -> &[(TreePath, Node)] {
        &self.nodes
    }

    /// Ends the pack and returns its tree.
    pub fn finish(self) -> fs::Result<Tree> {
        let blob = self.blob.finish()?;
        let name = |(path, mut node): (TreePath, Node)| {
            if let Kind::File(Content { source: Source::Pack { pack, .. }, .. }) = &mut node.kind {
                *pack = blob.digest;
            }
            (path, node)
        };
        Ok(self.nodes.into_iter().map(name).collect())
    }
}

/// Whether all packs that hold a tree's contents are in the store, undamaged. A damaged one is removed.
pub fn is_whole(store: &BlobStore, tree: &Tree) -> fs::Result<bool> {
    for pack in packs(tree).keys() {
        if store.get(pack)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether all packs that hold a tree's contents are in the store and long enough. Damage within shows when they are read.
pub fn is_there(store: &BlobStore, tree: &Tree) -> fs::Result<bool> {
    let is_there = |(pack, length): (&Digest, &u64)| {
        fs::metadata(&store.path(pack)).is_ok_and(|metadata| metadata.is_file() && metadata.len() >= *length)
    };
    Ok(packs(tree).iter().all(is_there))
}

/// Returns the packs that hold a tree's contents, with how long each must be.
fn packs(tree: &Tree) -> BTreeMap<Digest, u64> {
    let mut packs = BTreeMap::new();
    for content in tree.iter().filter_map(|(_, node)| node.content()) {
        if let Source::Pack { pack, offset } = content.source {
            let length: &mut u64 = packs.entry(pack).or_default();
            *length = (*length).max(offset + content.length);
        }
    }
    packs
}

/// Reads a file's content. A pack whose bytes turn out to be others is removed: the next build makes it again.
pub struct ContentReader {
    inner: VerifyingReader<Box<dyn Read>>,
    pack: Option<PathBuf>,
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.read(buffer);
        if let (Err(error), Some(pack)) = (&result, &self.pack)
            && matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        {
            // What is reported is the damage; where removing fails too, the next read finds it again.
            let _ = fs::remove_file(pack);
        }
        result
    }
}

/// Opens a file's content. Reading to the end fails unless the bytes have the content's digest.
pub fn open(store: &BlobStore, content: &Content) -> fs::Result<ContentReader> {
    let reader: Box<dyn Read> = match &content.source {
        Source::Inline(bytes) => Box::new(Cursor::new(bytes.clone())),
        Source::Project(path) => Box::new(fs::open(path)?),
        Source::Pack { pack, offset } => {
            let path = store.path(pack);
            let mut file = fs::open(&path)?;
            file.seek(SeekFrom::Start(*offset)).map_err(fs::Error::wrap("read", &path))?;
            // Small files dominate: a buffer no larger than the file avoids reading its neighbours.
            let capacity = usize::try_from(content.length).unwrap_or(usize::MAX).clamp(1, 1 << 18);
            Box::new(BufReader::with_capacity(capacity, file))
        }
    };
    let pack = match &content.source {
        Source::Pack { pack, .. } => Some(store.path(pack)),
        _ => None,
    };
    Ok(ContentReader { inner: VerifyingReader::new(reader, content.digest, content.length), pack })
}

/// Reads a file's whole content into memory, verified.
pub fn read(store: &BlobStore, content: &Content) -> fs::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(content.length).unwrap_or(0));
    let path = match &content.source {
        Source::Inline(_) => PathBuf::from("generated content"),
        Source::Project(path) => path.clone(),
        Source::Pack { pack, .. } => store.path(pack),
    };
    open(store, content)?.read_to_end(&mut bytes).map_err(fs::Error::wrap("read", path))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_come_back_and_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        let mut pack = PackWriter::new(&store).unwrap();
        for (name, bytes) in [("a", "first"), ("b", ""), ("c", "third")] {
            let path = TreePath::new(name).unwrap();
            pack.add_file(path, Node::directory(), &mut bytes.as_bytes()).unwrap();
        }
        let tree = pack.finish().unwrap();
        let content = |name| tree.get(name).unwrap().content().unwrap();
        assert_eq!(read(&store, content("c")).unwrap(), b"third");
        assert_eq!(read(&store, content("b")).unwrap(), b"");
        let Source::Pack { pack, .. } = content("a").source else { panic!("not in a pack") };
        std::fs::write(store.path(&pack), b"firstthirX").unwrap();
        assert_eq!(read(&store, content("a")).unwrap(), b"first");
        assert!(read(&store, content("c")).is_err());
        assert!(!store.has(&pack), "it counts as absent from now on");
    }
}
