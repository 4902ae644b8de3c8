//! The content store: files named by their SHA-256, checked when they come in and again when they are used.
//!
//! A blob is written to a temporary file of the same folder and renamed once it is whole and verified, so killed and
//! concurrent builds leave no partial or wrong blob. A machine that crashes may: it shows by its size or when it is read,
//! as all damage does, and who needs more calls [`BlobStore::sync`]. The layout is that of an OCI image layout's `blobs`
//! folder.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use tempfile::NamedTempFile;

use crate::digest::{Digest, HashingWriter, VerifyingReader};
use crate::error::{Diagnose, Exit};
use crate::fs;

/// A verified file of the store.
#[derive(Clone, Debug)]
pub struct Blob {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The number of its bytes.
    pub size: u64,
    path: PathBuf,
}

impl Blob {
    /// Returns the file, for reading at any position. Never write to it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the blob for reading at any position.
    pub fn open(&self) -> fs::Result<File> {
        fs::open(&self.path)
    }

    /// Reads the whole blob into memory.
    pub fn read(&self) -> fs::Result<Vec<u8>> {
        fs::read(&self.path)
    }
}

/// The bytes are not what they were said to be.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// Reading the source failed.
    #[error("failed to read {name}")]
    Source {
        /// What was read, such as a URL or path.
        name: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The size or the digest is not the expected one.
    #[error(
        "{name} is not what was expected: {size} bytes with {digest}, expected {expected_size} bytes with {expected}"
    )]
    Mismatch {
        /// What was read, such as a URL or path.
        name: String,
        /// The size found.
        size: u64,
        /// The digest found.
        digest: Digest,
        /// The size expected.
        expected_size: u64,
        /// The digest expected.
        expected: Digest,
    },
}

impl Diagnose for StoreError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Source { .. } => Exit::Failure,
            Self::Mismatch { .. } => Exit::Integrity,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Source { .. } => Vec::new(),
            Self::Mismatch { .. } => vec![
                "nothing of it was kept; try again, and if it stays so, the source was changed or tampered with"
                    .to_owned(),
            ],
        }
    }
}

/// A folder of blobs. Clones share what they know to be verified.
#[derive(Clone, Debug)]
pub struct BlobStore {
    root: PathBuf,
    verified: Arc<Mutex<HashSet<Digest>>>,
}

impl BlobStore {
    /// Opens the store below `root`, and creates it where it is missing.
    pub fn open(root: &Path) -> fs::Result<Self> {
        fs::create_dir_all(&root.join("blobs/sha256"))?;
        fs::create_dir_all(&root.join("tmp"))?;
        Ok(Self { root: root.to_owned(), verified: Arc::default() })
    }

    /// Returns where a blob lies, or would lie.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// Returns the store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a blob of that name is there. Its bytes are not checked: this is for what is copied with a check later.
    pub fn has(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Whether a blob of that name and size is there: one that a crash cut off is not. Its bytes are not checked.
    pub fn holds(&self, digest: &Digest, size: u64) -> bool {
        fs::metadata(&self.path(digest)).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
    }

    /// Returns the blob after checking its bytes, once in the life of this store value.
    ///
    /// A blob that no longer has its digest is removed and counts as absent: it will be fetched or made again.
    pub fn get(&self, digest: &Digest) -> fs::Result<Option<Blob>> {
        let path = self.path(digest);
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        if !self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(digest) {
            let reader = VerifyingReader::new(fs::open(&path)?, *digest, size);
            match io::copy(&mut BufReader::with_capacity(1 << 20, reader), &mut io::sink()) {
                Ok(_) => self.mark(*digest),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    fs::remove_file(&path)?;
                    return Ok(None);
                }
                Err(source) => return Err(fs::Error { action: "read", path, source }),
            }
        }
        Ok(Some(Blob { digest: *digest, size, path }))
    }

    /// Starts a blob whose digest is not known yet.
    pub fn writer(&self) -> fs::Result<BlobWriter> {
        let folder = self.root.join("tmp");
        let file = NamedTempFile::new_in(&folder).map_err(fs::Error::wrap("create a file in", &folder))?;
        Ok(BlobWriter { store: self.clone(), file: HashingWriter::new(file) })
    }

    /// Copies all of `source` into the store, and keeps it only if it has the expected digest and size.
    ///
    /// `name` says in errors what was read.
    pub fn insert(
        &self,
        name: &str,
        mut source: impl Read,
        expected: Digest,
        expected_size: u64,
    ) -> Result<Blob, StoreError> {
        let mut writer = self.writer()?;
        // One byte more than expected is enough to know that it is wrong; an endless source is not read to its end.
        writer.copy(name, &mut (&mut source).take(expected_size.saturating_add(1)))?;
        if writer.file.length() != expected_size {
            let (_, digest, size) = writer.file.finish();
            return Err(StoreError::Mismatch { name: name.to_owned(), size, digest, expected_size, expected });
        }
        writer.finish_as(name, expected, expected_size)
    }

    /// Keeps `bytes`.
    pub fn insert_bytes(&self, bytes: &[u8]) -> fs::Result<Blob> {
        let mut writer = self.writer()?;
        let path = writer.file_path();
        writer.write_all(bytes).map_err(fs::Error::wrap("write", path))?;
        writer.finish()
    }

    /// Waits until these blobs are on the disk, whoever wrote them. Those that are not there are passed over.
    pub fn sync(&self, digests: &[Digest]) -> fs::Result<()> {
        digests.par_iter().map(|digest| self.path(digest)).try_for_each(|path| match File::open(&path) {
            Ok(file) => file.sync_all().map_err(fs::Error::wrap("write", path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(fs::Error::wrap("open", path)(error)),
        })
    }

    fn mark(&self, digest: Digest) {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    }
}

/// A blob while it is written. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct BlobWriter {
    store: BlobStore,
    file: HashingWriter<NamedTempFile>,
}

impl BlobWriter {
    /// Ends the blob and gives it its name.
    pub fn finish(self) -> fs::Result<Blob> {
        let Self { store, file } = self;
        let (file, digest, size) = file.finish();
        Self::keep(&store, file, digest, size)
    }

    /// Ends the blob if it has the expected digest and size; else drops it.
    pub fn finish_as(self, name: &str, expected: Digest, expected_size: u64) -> Result<Blob, StoreError> {
        let Self { store, file } = self;
        let (file, digest, size) = file.finish();
        if (digest, size) != (expected, expected_size) {
            return Err(StoreError::Mismatch { name: name.to_owned(), size, digest, expected_size, expected });
        }
        Ok(Self::keep(&store, file, digest, size)?)
    }

    fn keep(store: &BlobStore, file: NamedTempFile, digest: Digest, size: u64) -> fs::Result<Blob> {
        let path = store.path(&digest);
        fs::set_mode(file.path(), 0o644)?;
        file.persist(&path).map_err(|error| fs::Error { action: "create", path: path.clone(), source: error.error })?;
        store.mark(digest);
        Ok(Blob { digest, size, path })
    }

    fn file_path(&self) -> PathBuf {
        self.store.root.join("tmp")
    }

    fn copy(&mut self, name: &str, source: &mut dyn Read) -> Result<(), StoreError> {
        let mut buffer = vec![0; 1 << 18];
        loop {
            let read = match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(StoreError::Source { name: name.to_owned(), source }),
            };
            let path = self.file_path();
            self.file.write_all(&buffer[..read]).map_err(fs::Error::wrap("write", path))?;
        }
    }
}

impl Write for BlobWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, BlobStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        (folder, store)
    }

    #[test]
    fn wrong_bytes_leave_nothing_behind() {
        let (folder, store) = store();
        let error = store.insert("x", &b"abc"[..], Digest::of(b"abd"), 3).unwrap_err();
        assert_eq!(error.exit(), Exit::Integrity);
        assert!(store.insert("x", io::repeat(0), Digest::of(b"abc"), 3).is_err());
        assert_eq!(std::fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
        assert_eq!(std::fs::read_dir(folder.path().join("blobs/sha256")).unwrap().count(), 0);
    }

    #[test]
    fn a_corrupted_blob_counts_as_absent() {
        let (folder, store) = store();
        let blob = store.insert_bytes(b"abc").unwrap();
        let other = BlobStore::open(folder.path()).unwrap();
        std::fs::write(blob.path(), b"abd").unwrap();
        assert!(other.get(&blob.digest).unwrap().is_none());
        assert!(!other.has(&blob.digest));
    }

    #[test]
    fn a_dropped_writer_leaves_nothing_behind() {
        let (folder, store) = store();
        store.writer().unwrap().write_all(b"half").unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    }
}
