//! Recomputes everything that an image says of itself: digests, sizes, diff IDs, and the form of its layers.
//!
//! Made for images that mlpack built: other builders' layers need not be sorted.

use std::collections::HashSet;
use std::io;

use oci_spec::image::Descriptor;
use serde::Serialize;

use super::document::{self, Image};
use super::{ImageError, ImageStore};
use crate::digest::{Digest, HashingWriter};
use crate::layer::Compression;
use crate::layer::tree::TreePath;

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Images: one for each platform.
    pub images: usize,
    /// Layers.
    pub layers: usize,
    /// Entries of the layers' archives.
    pub entries: usize,
    /// The size of the layers' archives in bytes.
    pub bytes: u64,
}

/// Checks all of an image, or of each image of an index; the first thing that is wrong is the error.
pub fn validate(store: &ImageStore, descriptor: &Descriptor) -> Result<Summary, ImageError> {
    let mut summary = Summary::default();
    for image in store.images(descriptor)? {
        summary.images += 1;
        check_history(&image)?;
        for (layer, diff_id) in image.manifest.layers().iter().zip(image.config.rootfs().diff_ids()) {
            let (entries, bytes) = check_layer(store, layer, diff_id)?;
            summary.layers += 1;
            summary.entries += entries;
            summary.bytes += bytes;
        }
    }
    Ok(summary)
}

fn refuse(name: &(impl ToString + ?Sized), reason: impl Into<String>) -> ImageError {
    ImageError::Refused { name: name.to_string(), reason: reason.into() }
}

fn check_history(image: &Image) -> Result<(), ImageError> {
    let Some(history) = image.config.history() else { return Ok(()) };
    let with_layer = history.iter().filter(|entry| entry.empty_layer() != Some(true)).count();
    if with_layer == image.manifest.layers().len() {
        return Ok(());
    }
    Err(refuse(&image.digest(), format!("its history tells of {with_layer} layers")))
}

/// Returns the number of entries and the archive's size.
fn check_layer(store: &ImageStore, layer: &Descriptor, diff_id: &str) -> Result<(usize, u64), ImageError> {
    let name = layer.digest();
    let broken = |error: io::Error| refuse(name, error.to_string());
    let compression = Compression::of_media_type(layer.media_type())
        .ok_or_else(|| refuse(name, format!("`{}` is no layer", layer.media_type())))?;
    let mut packed = document::open(store.blobs(), layer)?;
    let mut hasher = HashingWriter::new(io::sink());
    let entries = {
        let unpacked = compression.unpack(&mut packed).map_err(broken)?;
        let mut archive = tar::Archive::new(Tee { inner: unpacked, copy: &mut hasher });
        let entries = check_entries(name.as_ref(), &mut archive)?;
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
        entries
    };
    // The codec may stop before the end of the blob: only what is read to its end is checked.
    io::copy(&mut packed, &mut io::sink()).map_err(broken)?;
    let (_, found, bytes) = hasher.finish();
    if diff_id.parse::<Digest>().ok() != Some(found) {
        return Err(refuse(name, format!("it unpacks to {found}, and the configuration says {diff_id}")));
    }
    Ok((entries, bytes))
}

/// Checks that paths are safe, sorted, listed once, and come after the folders that hold them.
fn check_entries(layer: &str, archive: &mut tar::Archive<impl io::Read>) -> Result<usize, ImageError> {
    let mut folders = HashSet::new();
    let mut last: Option<TreePath> = None;
    let mut count = 0;
    let broken = |error: io::Error| refuse(layer, error.to_string());
    for entry in archive.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let text =
            String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| refuse(layer, "a path is not UTF-8"))?;
        let path = TreePath::new(&text).map_err(|error| refuse(layer, error.to_string()))?;
        if text.trim_end_matches('/') != path.as_str() {
            return Err(refuse(layer, format!("the path `{text}` is not in its simplest form")));
        }
        if last.as_ref().is_some_and(|last| *last >= path) {
            return Err(refuse(layer, format!("`{path}` comes twice or out of order")));
        }
        if path.parent().is_some_and(|parent| !folders.contains(&parent)) {
            return Err(refuse(layer, format!("the folder of `{path}` does not come before it")));
        }
        if entry.header().entry_type().is_dir() {
            folders.insert(path.clone());
        }
        last = Some(path);
        count += 1;
    }
    Ok(count)
}

/// Copies what is read from `inner` to a hash.
struct Tee<'a, R> {
    inner: R,
    copy: &'a mut HashingWriter<io::Sink>,
}

impl<R: io::Read> io::Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        io::Write::write_all(self.copy, &buffer[..read])?;
        Ok(read)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::image::{Settings, assemble};
    use crate::layer;
    use crate::layer::tree::{Content, Node, Tree};

    /// Settings with something in each field.
    pub(crate) fn settings() -> Settings {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        Settings {
            platform: "linux/amd64".parse().unwrap(),
            user: "10001:10001".to_owned(),
            entrypoint: vec!["/usr/bin/program".to_owned()],
            cmd: vec!["serve".to_owned()],
            env: map(&[("PATH", "/usr/bin"), ("LANG", "C.UTF-8")]),
            labels: map(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]),
            annotations: map(&[("z", "26"), ("y", "25"), ("x", "24")]),
            working_dir: "/".to_owned(),
            exposed_ports: vec![8080, 9090],
            stop_signal: Some("SIGTERM".to_owned()),
            created: 1_795_450_171,
        }
    }

    /// A store with an image of three layers, one for each compression.
    pub(crate) fn example() -> (tempfile::TempDir, ImageStore, Image) {
        let folder = tempfile::tempdir().unwrap();
        let store = ImageStore::at(&folder.path().join("images")).unwrap();
        let layers = Compression::ALL.map(|compression| {
            let name = format!("packed-{compression}");
            let path = TreePath::new(&format!("usr/share/{name}")).unwrap();
            let node = Node::file(Content::inline(name.repeat(100)), 0o644);
            let tree: Tree = [(path, node)].into_iter().collect();
            (name, layer::write(store.blobs(), store.blobs(), &tree, compression).unwrap())
        });
        let image = assemble(store.blobs(), &layers, &settings()).unwrap();
        (folder, store, image)
    }

    #[test]
    fn a_built_image_is_valid() {
        let (_folder, store, image) = example();
        let summary = validate(&store, &image.descriptor).unwrap();
        assert_eq!((summary.images, summary.layers, summary.entries), (1, 3, 9));
    }

    #[test]
    fn a_changed_layer_is_seen() {
        let (_folder, store, image) = example();
        for layer in image.layers() {
            let path = store.blobs().path(&layer.digest);
            let bytes = std::fs::read(&path).unwrap();
            let mut changed = bytes.clone();
            changed[600 % bytes.len()] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            assert!(validate(&store, &image.descriptor).is_err(), "{:?}", layer.name);
            std::fs::write(&path, &bytes).unwrap();
        }
        validate(&store, &image.descriptor).unwrap();
    }

    #[test]
    fn wrong_diff_ids_and_bad_archives_are_seen() {
        let (_folder, store, _image) = example();
        let archive = |paths: &[&str]| {
            let mut bytes = Vec::new();
            for path in paths {
                bytes.extend(crate::layer::header::Header::file(path, 0).encode());
            }
            bytes.resize(bytes.len() + 1024, 0);
            bytes
        };
        let check = |bytes: &[u8], diff_id: Digest| {
            let blob = store.blobs().insert_bytes(bytes).unwrap();
            let layer = document::descriptor(oci_spec::image::MediaType::ImageLayer, blob.digest, blob.size);
            check_layer(&store, &layer, &diff_id.to_string())
        };
        let good = archive(&["a", "b"]);
        assert_eq!(check(&good, Digest::of(&good)).unwrap(), (2, 2048));
        assert!(check(&good, Digest::of(b"")).is_err());
        for paths in [&["b", "a"][..], &["a", "a"], &["a/b"], &["../a"], &["/a"], &["a", "a/b"]] {
            let bytes = archive(paths);
            assert!(check(&bytes, Digest::of(&bytes)).is_err(), "{paths:?}");
        }
    }
}
