//! Layers as blobs: a tree goes in, the packed archive's blob comes out, once for each tree.
//!
//! Which trees become layers is decided elsewhere.

use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::archive::{self, LayerError};
use super::compress::{Compression, Encoder};
use super::tree::{Kind, Tree};
use crate::digest::{Digest, HashingWriter};
use crate::fetch::derived::Derived;
use crate::fetch::{Blob, BlobStore};
use crate::fs;

/// A layer whose blob is in the image store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The digest of the packed blob.
    pub digest: Digest,
    /// The packed blob's size in bytes.
    pub size: u64,
    /// The digest of the archive before it was packed.
    pub diff_id: Digest,
    /// The archive's size before it was packed, in bytes.
    pub uncompressed: u64,
    /// How it is packed.
    pub compression: Compression,
}

/// Writes `tree` as a layer into `store`; the files' contents are in `packs`. Safe to call from many threads at once.
///
/// The bytes depend on the tree and the compression alone.
pub fn write(store: &BlobStore, packs: &BlobStore, tree: &Tree, compression: Compression) -> Result<Layer, LayerError> {
    let wrap = || fs::Error::wrap("write a layer in", store.root());
    let mut encoder = Encoder::new(compression, store.writer()?).map_err(wrap())?;
    if compression == Compression::None {
        // The archive is the blob: hashing it once is enough.
        archive::write(tree, packs, &mut encoder, store.root())?;
        let Blob { digest, size, .. } = encoder.finish().map_err(wrap())?.finish()?;
        return Ok(Layer { digest, size, diff_id: digest, uncompressed: size, compression });
    }
    let mut archive = HashingWriter::new(encoder);
    archive::write(tree, packs, &mut archive, store.root())?;
    let (encoder, diff_id, uncompressed) = archive.finish();
    let Blob { digest, size, .. } = encoder.finish().map_err(wrap())?.finish()?;
    Ok(Layer { digest, size, diff_id, uncompressed, compression })
}

/// Returns the layer of `tree` where `derived` knows it and its blob is still in `store`; else writes it.
pub fn write_cached(
    store: &BlobStore,
    packs: &BlobStore,
    tree: &Tree,
    compression: Compression,
    derived: &Derived,
) -> Result<Layer, LayerError> {
    let key = key(tree, compression);
    if let Some(layer) = derived.get::<Layer>(&key).filter(|layer| store.holds(&layer.digest, layer.size)) {
        return Ok(layer);
    }
    let layer = write(store, packs, tree, compression)?;
    derived.put(&key, &layer)?;
    Ok(layer)
}

/// Returns the key of everything that a layer's bytes depend on. Where contents are stored is no part of it.
pub fn key(tree: &Tree, compression: Compression) -> Digest {
    // Bytes rather than JSON: an unchanged build computes little else, and a tree has tens of thousands of paths.
    let mut bytes = format!("layer {FORMAT} {compression}\n").into_bytes();
    for (path, node) in tree.iter() {
        put_text(&mut bytes, path.as_str());
        match &node.kind {
            Kind::Directory => bytes.push(b'd'),
            Kind::File(content) => {
                bytes.push(b'f');
                bytes.extend(content.digest.as_bytes());
            }
            Kind::Symlink(target) => {
                bytes.push(b'l');
                put_text(&mut bytes, target);
            }
        }
        for number in [node.mode, node.uid, node.gid] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(node.mtime.to_le_bytes());
    }
    Digest::of(&bytes)
}

/// Appends a text with its length, so that no two lists of texts give the same bytes.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::tree::{Content, Node, TreePath};

    fn tree() -> Tree {
        let path = |text| TreePath::new(text).unwrap();
        let words: String = (0..5000).flat_map(|number| [number.to_string(), "\n".to_owned()]).collect();
        [
            (path("usr/bin/program"), Node::file(Content::inline(words), 0o755)),
            (path("usr/lib/é"), Node::file(Content::inline(*b"accent"), 0o644)),
            (path("bin"), Node::symlink("usr/bin")),
            (path("tmp"), Node { mode: 0o1777, ..Node::directory() }),
        ]
        .into_iter()
        .collect()
    }

    fn stores() -> (tempfile::TempDir, BlobStore, Derived) {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        let derived = Derived::new(&folder.path().join("derived"));
        (folder, store, derived)
    }

    /// These digests are part of the product. When a change here is meant, raise `FORMAT`.
    #[test]
    fn layer_bytes_are_what_they_always_were() {
        let (_folder, store, _) = stores();
        let layers = Compression::ALL.map(|compression| write(&store, &store, &tree(), compression).unwrap());
        assert_eq!(FORMAT, 1);
        assert!(layers.iter().all(|layer| layer.diff_id == layers[2].digest));
        let golden = [
            "7b1a6a64d851064f1719c5b8b868a51f025fa61dbf6b5fe704dab706ce30c4fd",
            "75e29cb2ca4bb20d30bdfaff00d325dbfa44291f6e7ebf885ce30e78c7afab62",
            "b9076aac2410ffe9d1871f501e07cac57f8e6648433b332216f520eaf7694cde",
        ];
        assert_eq!(layers.map(|layer| layer.digest.hex()), golden);
    }

    #[test]
    fn a_known_layer_is_not_written_again() {
        let (folder, store, derived) = stores();
        let write = || write_cached(&store, &store, &tree(), Compression::Zstd, &derived).unwrap();
        let layer = write();
        let path = store.path(&layer.digest);
        let written = || std::fs::metadata(&path).unwrap().modified().unwrap();
        let before = written();
        assert_eq!(write(), layer);
        assert_eq!(written(), before);
        std::fs::write(&path, "cut off").unwrap();
        assert_eq!(write(), layer);
        assert_eq!(Digest::of(&std::fs::read(&path).unwrap()), layer.digest);
        drop(folder);
    }

    #[test]
    fn the_key_covers_every_attribute_and_no_location() {
        let key_of = |change: &dyn Fn(&mut Node)| {
            let path = TreePath::new("a").unwrap();
            let mut node = Node::file(Content::inline(*b"x"), 0o644);
            change(&mut node);
            key(&[(path, node)].into_iter().collect(), Compression::Zstd)
        };
        let plain = key_of(&|_| {});
        let changes: [&dyn Fn(&mut Node); 6] = [
            &|node| node.mode = 0o600,
            &|node| node.uid = 1,
            &|node| node.gid = 1,
            &|node| node.mtime = 1,
            &|node| node.kind = Kind::File(Content::inline(*b"y")),
            &|node| node.kind = Kind::Symlink("x".to_owned()),
        ];
        for change in changes {
            assert_ne!(key_of(change), plain);
        }
        let elsewhere = key_of(&|node| {
            if let Kind::File(content) = &mut node.kind {
                content.source = crate::layer::tree::Source::Project("/elsewhere".into());
            }
        });
        assert_eq!(elsewhere, plain);
        assert_ne!(key(&tree(), Compression::Zstd), key(&tree(), Compression::Gzip));
    }
}
