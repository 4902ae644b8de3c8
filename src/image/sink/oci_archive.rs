//! An OCI image layout as one tar archive, the same bytes each time.

use std::path::PathBuf;

use oci_spec::image::Descriptor;

use super::{Sink, SinkError, TarWriter, blob_name, copy_blob, layout_files, replace_file};
use crate::image::ImageStore;

/// Writes an archive.
#[derive(Clone, Debug)]
pub struct OciArchive {
    file: PathBuf,
}

impl OciArchive {
    /// Returns the sink for `file`.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into() }
    }
}

impl Sink for OciArchive {
    fn write(&self, store: &ImageStore, descriptor: &Descriptor, reference: Option<&str>) -> Result<(), SinkError> {
        let parts = store.parts(descriptor)?;
        replace_file(&self.file, |out| {
            let mut archive = TarWriter { out, target: &self.file };
            // What tells the archive's kind comes first, for readers that look at the start only.
            for (name, bytes) in layout_files(descriptor, reference) {
                archive.bytes(name, &bytes)?;
            }
            for part in &parts {
                archive.entry(&blob_name(part)?, part.size(), |out, target| copy_blob(store, part, out, target))?;
            }
            archive.end()
        })
    }
}
