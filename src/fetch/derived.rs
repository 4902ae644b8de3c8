//! Values computed from verified inputs, remembered by a key over all of those inputs.
//!
//! Losing an entry costs time, never correctness: a damaged one counts as absent.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Digest;
use crate::fs;

/// A folder of derived values.
#[derive(Clone, Debug)]
pub struct Derived {
    root: PathBuf,
}

impl Derived {
    /// Returns the store in `root`, which is created with the first value.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Returns the key of a value: what kind it is, and everything that it is computed from.
    pub fn key(kind: &str, inputs: &impl Serialize) -> Digest {
        let inputs = serde_json::to_vec(&(kind, inputs)).expect("keys are plain data, which JSON can hold");
        Digest::of(&inputs)
    }

    /// Returns the value of `key`, where it is known and undamaged.
    pub fn get<T: DeserializeOwned>(&self, key: &Digest) -> Option<T> {
        let bytes = fs::read(&self.path(key)).ok()?;
        // The first line is the digest of the rest.
        let (expected, value) = bytes.split_at_checked(64)?;
        if Digest::of(value).hex().as_bytes() != expected {
            return None;
        }
        serde_json::from_slice(value).ok()
    }

    /// Remembers the value of `key`.
    pub fn put(&self, key: &Digest, value: &impl Serialize) -> fs::Result<()> {
        let value = serde_json::to_vec(value).expect("derived values are plain data, which JSON can hold");
        let mut bytes = Digest::of(&value).hex().into_bytes();
        bytes.extend(value);
        fs::write_cache(&self.path(key), &bytes)
    }

    fn path(&self, key: &Digest) -> PathBuf {
        let hex = key.hex();
        self.root.join(&hex[..2]).join(&hex[2..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_value_counts_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let derived = Derived::new(folder.path());
        let key = Derived::key("test", &["a", "b"]);
        assert_eq!(derived.get::<u32>(&key), None);
        derived.put(&key, &7).unwrap();
        assert_eq!(derived.get::<u32>(&key), Some(7));
        let path = derived.path(&key);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() = b'8';
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(derived.get::<u32>(&key), None);
    }
}
