//! The files of one layer with their sizes, and the text of those that are packages' records.

use std::collections::BTreeMap;
use std::io::{self, Read as _};

use super::{reasons, records};
use crate::error::Result;
use crate::fs;
use crate::image::{ImageError, ImageStore, LayerDescription};
use crate::layer::read::ReadError;

/// A record of this many bytes or more is not read: the largest known list of files has a tenth of it.
const LARGEST_RECORD: u64 = 16 << 20;

/// What lies in a layer.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Each regular file with its length.
    pub files: Vec<(String, u64)>,
    /// The contents of records, by path.
    pub records: BTreeMap<String, Vec<u8>>,
}

/// Reads a layer's archive.
pub(super) fn read(store: &ImageStore, layer: &LayerDescription) -> Result<Listing> {
    let blob = store.blobs().get(&layer.digest)?.ok_or(ImageError::Missing { digest: layer.digest })?;
    let plain = layer.compression.unpack(blob.open()?).map_err(fs::Error::wrap("read", blob.path()))?;
    list(plain).map_err(|source| ReadError::Archive { layer: layer.digest, source }.into())
}

fn list(plain: impl io::Read) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut archive = tar::Archive::new(plain);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        if (records::is_record(&path) || path == reasons::FILE) && entry.size() < LARGEST_RECORD {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            listing.records.insert(path.clone(), bytes);
        }
        listing.files.push((path, entry.size()));
    }
    Ok(listing)
}
