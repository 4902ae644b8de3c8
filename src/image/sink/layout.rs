//! An OCI image layout in a folder of its own, which holds the one image.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use oci_spec::image::Descriptor;

use super::{Sink, SinkError, blob_name, copy_blob, layout_files, parent};
use crate::fs;
use crate::image::{ImageStore, is_layout};

/// Writes a folder. One that is there is replaced where it is an image layout or empty, else left alone.
#[derive(Clone, Debug)]
pub struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// Returns the sink for `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Fails unless the folder is an image layout, empty, or not there.
    pub fn check_place(&self) -> Result<(), SinkError> {
        let occupied = || SinkError::Occupied { path: self.folder.clone() };
        match std::fs::read_dir(&self.folder) {
            Ok(mut entries) => {
                let free = is_layout(&self.folder) || entries.next().is_none();
                if free { Ok(()) } else { Err(occupied()) }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Err(occupied()),
            Err(source) => Err(fs::Error { action: "read", path: self.folder.clone(), source }.into()),
        }
    }

    /// Moves the finished folder into place; what was there is moved aside first, and removed last.
    fn move_into_place(&self, finished: &Path, aside: &Path) -> Result<(), SinkError> {
        if self.folder.exists() {
            std::fs::rename(&self.folder, aside).map_err(fs::Error::wrap("replace", &self.folder))?;
        }
        Ok(std::fs::rename(finished, &self.folder).map_err(fs::Error::wrap("create", &self.folder))?)
    }
}

impl Sink for Layout {
    fn write(&self, store: &ImageStore, descriptor: &Descriptor, reference: Option<&str>) -> Result<(), SinkError> {
        self.check_place()?;
        let beside = parent(&self.folder);
        fs::create_dir_all(beside)?;
        let temporary = tempfile::Builder::new().prefix(".mlpack-").tempdir_in(beside);
        let temporary = temporary.map_err(fs::Error::wrap("create a folder in", beside))?;
        let finished = temporary.path().join("new");
        fs::create_dir_all(&finished.join("blobs/sha256"))?;
        for part in store.parts(descriptor)? {
            let path = finished.join(blob_name(&part)?);
            let mut file = BufWriter::new(File::create(&path).map_err(fs::Error::wrap("create", &path))?);
            copy_blob(store, &part, &mut file, &path)?;
            file.into_inner().map_err(|error| fs::Error { action: "write", path, source: error.into_error() })?;
        }
        for (name, bytes) in layout_files(descriptor, reference) {
            fs::write_atomic(&finished.join(name), &bytes)?;
        }
        self.move_into_place(&finished, &temporary.path().join("old"))
    }
}
