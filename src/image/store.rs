//! The local store of images: an OCI image layout, so that any OCI program can read it as it lies there.
//!
//! `index.json` names the images by the annotation `org.opencontainers.image.ref.name`, which holds `name:tag`. It is
//! changed under a lock and replaced in one step. OCI image specification 1.1, "Image Layout".

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, ImageIndex, ImageIndexBuilder, MediaType, SCHEMA_VERSION};

use super::document::{self, Image, digest_of, to_json};
use super::name::normalize;
use super::{ImageError, REF_NAME};
use crate::digest::Digest;
use crate::fetch::{BlobStore, Home};
use crate::fs;

/// The file that marks a layout, and what stands in it.
pub(super) const LAYOUT_FILE: &str = "oci-layout";
pub(super) const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// The file that names a layout's images.
pub(super) const INDEX_FILE: &str = "index.json";

/// The local store of images.
#[derive(Clone, Debug)]
pub struct ImageStore {
    root: PathBuf,
    blobs: BlobStore,
}

/// An image or index of the store, as its index names it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// `name:tag`, where it has one.
    pub reference: Option<String>,
    /// What it points to: a manifest, or an index of several platforms.
    pub descriptor: Descriptor,
}

/// While this lives, no garbage is collected: hold it from the first blob until the image has its tag.
#[derive(Debug)]
pub struct Protection {
    _lock: File,
}

impl ImageStore {
    /// Opens the store of `home`, and creates it where it is missing.
    pub fn open(home: &Home) -> Result<Self, ImageError> {
        Self::at(home.images())
    }

    /// Opens the store in the folder `root`.
    pub fn at(root: &Path) -> Result<Self, ImageError> {
        let blobs = BlobStore::open(root)?;
        fs::create_dir_all(&root.join("locks"))?;
        let store = Self { root: root.to_owned(), blobs };
        if !root.join(LAYOUT_FILE).exists() {
            fs::write_atomic(&root.join(LAYOUT_FILE), LAYOUT.as_bytes())?;
        }
        if !root.join(INDEX_FILE).exists() {
            // Another process may just have written it: under the lock it is looked at again.
            store.change(|_| ())?;
        }
        Ok(store)
    }

    /// Returns the store of the images' blobs.
    pub fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// Returns the store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps blobs that no image refers to yet from being collected as garbage; waits while garbage is collected.
    pub fn protect(&self) -> Result<Protection, ImageError> {
        let (file, path) = self.lock_file("blobs")?;
        file.lock_shared().map_err(fs::Error::wrap("lock", path))?;
        Ok(Protection { _lock: file })
    }

    /// Makes sure that nobody writes blobs while the result lives.
    pub(super) fn exclude_writers(&self) -> Result<File, ImageError> {
        let (file, path) = self.lock_file("blobs")?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(ImageError::Busy),
            Err(TryLockError::Error(source)) => Err(fs::Error { action: "lock", path, source }.into()),
        }
    }

    /// Gives what `descriptor` names a name, and takes the name from what had it. Returns the full `name:tag`.
    pub fn tag(&self, reference: &str, descriptor: &Descriptor) -> Result<String, ImageError> {
        let reference = normalize(reference)?;
        self.enter(Some(&reference), descriptor)?;
        Ok(reference)
    }

    /// Puts what `descriptor` names into the index, under a name or without one.
    pub(super) fn enter(&self, reference: Option<&str>, descriptor: &Descriptor) -> Result<(), ImageError> {
        let digest = digest_of(descriptor)?;
        if !self.blobs.has(&digest) {
            return Err(ImageError::Missing { digest });
        }
        let mut descriptor = descriptor.clone();
        descriptor.set_annotations(reference.map(|reference| [(REF_NAME.to_owned(), reference.to_owned())].into()));
        // What has a name is whole, even after a crash: also what an earlier run wrote, which may have been cut short.
        let parts: Vec<Digest> = self.parts(&descriptor)?.iter().map(digest_of).collect::<Result<_, _>>()?;
        self.blobs.sync(&parts)?;
        self.change(|entries| {
            let same = |entry: &Descriptor| reference.is_some() || entry.digest() == descriptor.digest();
            entries.retain(|entry| name_of(entry).map(String::as_str) != reference || !same(entry));
            entries.push(descriptor);
        })
    }

    /// Returns all images, in order of name.
    pub fn list(&self) -> Result<Vec<Stored>, ImageError> {
        Ok(self.entries()?.into_iter().map(stored).collect())
    }

    /// Returns the image with that name, digest, `name@digest`, or unique beginning of a digest's hex digits.
    pub fn find(&self, reference: &str) -> Result<Stored, ImageError> {
        let images = self.list()?;
        if let Ok(name) = normalize(reference)
            && let Some(image) = images.iter().find(|image| image.reference.as_ref() == Some(&name))
        {
            return Ok(image.clone());
        }
        let digits = reference.rsplit('@').next().unwrap_or(reference);
        let digits = digits.strip_prefix("sha256:").unwrap_or(digits);
        let by_digest = |image: &&Stored| digits.len() >= 4 && image.descriptor.digest().digest().starts_with(digits);
        let mut found: Vec<_> = images.iter().filter(by_digest).collect();
        found.dedup_by_key(|image| image.descriptor.digest().clone());
        match found[..] {
            [image] => Ok(image.clone()),
            [] => Err(ImageError::NotFound { reference: reference.to_owned(), similar: similar(reference, &images) }),
            _ => Err(ImageError::Ambiguous {
                prefix: reference.to_owned(),
                candidates: found.iter().map(|image| image.descriptor.digest().to_string()).collect(),
            }),
        }
    }

    /// Takes a name away, or all names of the image with that digest, and returns them. The blobs stay until garbage
    /// is collected.
    pub fn remove(&self, reference: &str) -> Result<Vec<String>, ImageError> {
        let found = self.find(reference)?;
        let by_name = normalize(reference).ok().filter(|name| found.reference.as_ref() == Some(name));
        let goes = |entry: &Descriptor| match &by_name {
            Some(name) => name_of(entry) == Some(name),
            None => entry.digest() == found.descriptor.digest(),
        };
        let mut removed = Vec::new();
        self.change(|entries| {
            removed.extend(entries.iter().filter(|entry| goes(entry)).filter_map(|entry| name_of(entry).cloned()));
            entries.retain(|entry| !goes(entry));
        })?;
        Ok(removed)
    }

    /// Reads the image for one platform that `descriptor` names; manifest and configuration are checked.
    pub fn read(&self, descriptor: &Descriptor) -> Result<Image, ImageError> {
        Image::read(&self.blobs, descriptor)
    }

    /// Reads all images that `descriptor` names: one, or each of an index. Attestations in an index are left out.
    pub fn images(&self, descriptor: &Descriptor) -> Result<Vec<Image>, ImageError> {
        if !document::is_index(descriptor.media_type()) {
            return Ok(vec![self.read(descriptor)?]);
        }
        let index = document::read_index(&self.blobs, descriptor)?;
        let is_image = |entry: &&Descriptor| {
            let os = entry.platform().as_ref().map(|platform| platform.os().to_string());
            document::is_manifest(entry.media_type()) && os.as_deref() != Some("unknown")
        };
        index.manifests().iter().filter(is_image).map(|entry| self.read(entry)).collect()
    }

    /// Returns the descriptors of everything that an image or index is made of, each once, in order of digest, with
    /// its own. Fails where a manifest of it is missing.
    pub fn parts(&self, descriptor: &Descriptor) -> Result<Vec<Descriptor>, ImageError> {
        let mut parts = BTreeMap::new();
        let mut waiting = vec![descriptor.clone()];
        while let Some(part) = waiting.pop() {
            let digest = digest_of(&part)?;
            if let Entry::Vacant(place) = parts.entry(digest) {
                waiting.extend(document::references(&self.blobs, &part)?);
                place.insert(part);
            }
        }
        Ok(parts.into_values().collect())
    }

    pub(super) fn entries(&self) -> Result<Vec<Descriptor>, ImageError> {
        let path = self.root.join(INDEX_FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let index: ImageIndex = serde_json::from_slice(&bytes).map_err(|source| ImageError::Document {
            name: path.display().to_string(),
            expected: "the index of an image layout",
            source,
        })?;
        Ok(index.manifests().clone())
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Descriptor>)) -> Result<(), ImageError> {
        let (file, path) = self.lock_file("index")?;
        file.lock().map_err(fs::Error::wrap("lock", path))?;
        let mut entries = self.entries()?;
        change(&mut entries);
        entries.sort_by(|one, other| {
            (name_of(one), one.digest().digest()).cmp(&(name_of(other), other.digest().digest()))
        });
        Ok(fs::write_atomic(&self.root.join(INDEX_FILE), &to_json(&layout_index(entries)))?)
    }

    fn lock_file(&self, name: &str) -> Result<(File, PathBuf), ImageError> {
        let path = self.root.join("locks").join(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        Ok((file.map_err(fs::Error::wrap("open", &path))?, path))
    }
}

/// Whether a folder is an image layout.
pub fn is_layout(folder: &Path) -> bool {
    folder.join(LAYOUT_FILE).is_file()
}

/// Returns the index of a layout.
pub(super) fn layout_index(entries: Vec<Descriptor>) -> ImageIndex {
    ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests(entries)
        .build()
        .expect("every required field is set")
}

fn name_of(entry: &Descriptor) -> Option<&String> {
    entry.annotations().as_ref().and_then(|annotations| annotations.get(REF_NAME))
}

fn stored(entry: Descriptor) -> Stored {
    Stored { reference: name_of(&entry).cloned(), descriptor: entry }
}

/// Returns the name that looks most like the one asked for, where one does.
fn similar(reference: &str, images: &[Stored]) -> Option<String> {
    let likeness = |name: &String| {
        let whole = strsim::jaro_winkler(name, reference);
        let untagged = strsim::jaro_winkler(super::name::split_tag(name).0, reference);
        whole.max(untagged)
    };
    let rated = images.iter().filter_map(|image| image.reference.as_ref()).map(|name| (likeness(name), name));
    rated
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::assemble;
    use crate::image::validate::tests::{example, settings};

    #[test]
    fn an_image_is_found_by_name_and_digest() {
        let (_folder, store, image) = example();
        assert_eq!(store.tag("model", &image.descriptor).unwrap(), "model:latest");
        store.tag("model:1", &image.descriptor).unwrap();
        let digest = image.digest();
        let pinned = format!("model@{digest}");
        for reference in ["model", "model:1", &digest.to_string(), &digest.hex(), &digest.hex()[..6], &pinned] {
            assert_eq!(store.find(reference).unwrap().descriptor.digest(), image.descriptor.digest(), "{reference}");
        }
        let error = store.find("modle:1").unwrap_err();
        assert!(
            matches!(error, ImageError::NotFound { similar: Some(ref name), .. } if name == "model:1"),
            "{error:?}"
        );
    }

    #[test]
    fn a_name_moves_and_goes() {
        let (_folder, store, image) = example();
        let other = assemble(store.blobs(), &[], &settings()).unwrap();
        store.tag("model:1", &image.descriptor).unwrap();
        store.tag("model:1", &other.descriptor).unwrap();
        assert_eq!(store.list().unwrap().len(), 1);
        store.tag("model:2", &other.descriptor).unwrap();
        assert_eq!(store.remove("model:1").unwrap(), ["model:1"]);
        store.tag("model:3", &other.descriptor).unwrap();
        assert_eq!(store.remove(&other.digest().to_string()).unwrap(), ["model:2", "model:3"]);
        assert!(store.list().unwrap().is_empty());
    }

    #[test]
    fn tags_set_at_the_same_time_all_stay() {
        let (_folder, store, image) = example();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (store, image) = (&store, &image);
                scope.spawn(move || store.tag(&format!("model:{number}"), &image.descriptor).unwrap());
            }
        });
        assert_eq!(store.list().unwrap().len(), 8);
    }

    #[test]
    fn changed_and_ambiguous_documents_are_refused() {
        let (_folder, store, image) = example();
        let put = |text: &str| {
            let blob = store.blobs().insert_bytes(text.as_bytes()).unwrap();
            document::descriptor(MediaType::ImageManifest, blob.digest, blob.size)
        };
        let both = String::from_utf8(to_json(&image.manifest)).unwrap().replacen('{', r#"{"manifests":[],"#, 1);
        assert!(matches!(store.read(&put(&both)), Err(ImageError::Refused { .. })));
        let wrong_type = both.replace(r#""manifests":[],"#, "").replace("manifest.v1", "index.v1");
        assert!(matches!(store.read(&put(&wrong_type)), Err(ImageError::Refused { .. })));
        let mut too_large = image.descriptor.clone();
        too_large.set_size(1 << 40);
        assert!(matches!(store.read(&too_large), Err(ImageError::Refused { .. })));
        let path = store.blobs().path(&image.digest());
        let changed = std::fs::read_to_string(&path).unwrap().replace("layer", "lajer");
        std::fs::write(&path, changed).unwrap();
        assert!(matches!(store.read(&image.descriptor), Err(ImageError::Missing { .. })));
    }
}
