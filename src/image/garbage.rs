//! Removes from the local store what no image needs.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use oci_spec::image::Descriptor;
use serde::Serialize;
use walkdir::{DirEntry, WalkDir};

use super::document::{self, digest_of};
use super::{ImageError, ImageStore};
use crate::digest::Digest;
use crate::fetch::Home;
use crate::fs;

/// The age at which a temporary file belongs to no running program any more.
const STALE: Duration = Duration::from_hours(1);

/// What is cleaned up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What no image needs; the cache of downloads and unpacked packages stays, as the next build wants it.
    Images,
    /// The cache as well. The next build downloads what it needs.
    ImagesAndCache,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// Files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl ImageStore {
    /// Removes blobs that no named image needs, layers laid out on disk for running them, and what programs left behind
    /// when they were killed.
    ///
    /// Fails with [`ImageError::Busy`] while anyone holds a [`super::Protection`].
    pub fn collect_garbage(&self, home: &Home, scope: Scope) -> Result<Freed, ImageError> {
        let _lock = self.exclude_writers()?;
        let mut needed = HashSet::new();
        for entry in self.entries()? {
            self.mark(&entry, &mut needed);
        }
        let mut freed = Freed::default();
        sweep(&self.root().join("blobs/sha256"), &mut freed, |name, _| {
            Digest::from_hex(name).is_ok_and(|digest| !needed.contains(&digest))
        })?;
        // What has another name was being laid out when its program was killed.
        sweep(&home.trees(), &mut freed, |name, _| {
            Digest::from_hex(name).map_or(true, |digest| !needed.contains(&digest))
        })?;
        let stale = |_: &str, age: Duration| age > STALE;
        sweep(&self.root().join("tmp"), &mut freed, stale)?;
        sweep(&home.temporary()?, &mut freed, stale)?;
        if scope == Scope::ImagesAndCache {
            for folder in ["blobs/sha256", "derived", "tmp", "trees"] {
                sweep(&home.cache().join(folder), &mut freed, |_, _| true)?;
            }
        }
        Ok(freed)
    }

    /// Adds what `descriptor` names, and all that it refers to. A part that is missing refers to nothing.
    fn mark(&self, descriptor: &Descriptor, needed: &mut HashSet<Digest>) {
        let Ok(digest) = digest_of(descriptor) else { return };
        if !needed.insert(digest) {
            return;
        }
        let parts = document::references(self.blobs(), descriptor).unwrap_or_default();
        for part in &parts {
            self.mark(part, needed);
        }
    }
}

/// Removes what lies in a folder, files and whole folders, for whose name and age `goes` holds.
fn sweep(folder: &Path, freed: &mut Freed, goes: impl Fn(&str, Duration) -> bool) -> fs::Result<()> {
    let now = SystemTime::now();
    for entry in WalkDir::new(folder).min_depth(1).max_depth(1).into_iter().filter_map(Result::ok) {
        let Ok(metadata) = entry.metadata() else { continue };
        let age = metadata.modified().ok().and_then(|time| now.duration_since(time).ok()).unwrap_or_default();
        if goes(&entry.file_name().to_string_lossy(), age) {
            remove(&entry, freed)?;
        }
    }
    Ok(())
}

/// Removes a file, or a folder with all that is in it, and counts its files.
fn remove(entry: &DirEntry, freed: &mut Freed) -> fs::Result<()> {
    let inside = WalkDir::new(entry.path()).follow_root_links(false).into_iter().filter_map(Result::ok);
    for metadata in inside.filter_map(|entry| entry.metadata().ok()).filter(|metadata| !metadata.is_dir()) {
        freed.files += 1;
        freed.bytes += metadata.len();
    }
    if entry.file_type().is_dir() { fs::remove_tree(entry.path()) } else { fs::remove_file(entry.path()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::validate::tests::example;
    use crate::image::validate::validate;

    #[test]
    fn only_what_no_image_needs_goes() {
        let (folder, store, image) = example();
        let home = Home::below(&folder.path().join("home"));
        store.tag("model:1", &image.descriptor).unwrap();
        let unneeded = store.blobs().insert_bytes(b"unneeded").unwrap();
        let freed = store.collect_garbage(&home, Scope::Images).unwrap();
        assert_eq!(freed, Freed { files: 1, bytes: 8 });
        assert!(!store.blobs().has(&unneeded.digest));
        validate(&store, &image.descriptor).unwrap();
        store.remove("model:1").unwrap();
        let freed = store.collect_garbage(&home, Scope::Images).unwrap();
        assert_eq!(freed.files, 2 + image.layers().len() as u64);
    }

    #[test]
    fn blobs_of_a_running_build_stay() {
        let (folder, store, _image) = example();
        let home = Home::below(&folder.path().join("home"));
        let protection = store.protect().unwrap();
        let again = store.protect().unwrap();
        assert!(matches!(store.collect_garbage(&home, Scope::Images), Err(ImageError::Busy)));
        drop((protection, again));
        store.collect_garbage(&home, Scope::Images).unwrap();
    }

    #[test]
    fn temporary_files_go_when_they_are_old() {
        let (folder, store, _image) = example();
        let home = Home::below(&folder.path().join("home"));
        let (old, young) = (store.root().join("tmp/old"), store.root().join("tmp/young"));
        std::fs::write(&young, "x").unwrap();
        let file = std::fs::File::create(&old).unwrap();
        file.set_modified(SystemTime::now() - 2 * STALE).unwrap();
        store.collect_garbage(&home, Scope::Images).unwrap();
        assert!(young.exists() && !old.exists());
    }

    #[test]
    fn what_runs_left_behind_goes_unless_an_image_needs_it() {
        let (folder, store, image) = example();
        let home = Home::below(&folder.path().join("home"));
        store.tag("model:1", &image.descriptor).unwrap();
        let needed = home.trees().join(image.layers()[0].digest.hex());
        let others = [home.trees().join(Digest::of(b"other").hex()), home.trees().join("tmp-killed")];
        for place in others.iter().chain([&needed]) {
            std::fs::create_dir_all(place.join("root/etc")).unwrap();
            std::fs::write(place.join("root/etc/file"), "12345").unwrap();
        }
        fs::set_mode(&others[0].join("root/etc"), 0o555).unwrap();
        let freed = store.collect_garbage(&home, Scope::Images).unwrap();
        assert_eq!(freed, Freed { files: 2, bytes: 10 });
        assert!(needed.exists() && others.iter().all(|place| !place.exists()));
    }

    #[test]
    fn the_cache_goes_only_when_asked() {
        let (folder, store, _image) = example();
        let home = Home::below(&folder.path().join("home"));
        let blob = home.blobs().unwrap().insert_bytes(b"download").unwrap();
        store.collect_garbage(&home, Scope::Images).unwrap();
        assert!(blob.path().exists());
        store.collect_garbage(&home, Scope::ImagesAndCache).unwrap();
        assert!(!blob.path().exists());
    }
}
