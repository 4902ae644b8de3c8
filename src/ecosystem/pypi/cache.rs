//! Trees made from packages, remembered for as long as the blobs that hold their files are there.

use crate::digest::Digest;
use crate::fetch::derived::Derived;
use crate::fetch::{BlobStore, pack};
use crate::fs;
use crate::layer::tree::Tree;

/// Returns the tree of `key` where it is known and all of its blobs are there, undamaged.
pub(super) fn get(derived: &Derived, store: &BlobStore, key: &Digest) -> fs::Result<Option<Tree>> {
    match derived.get::<Tree>(key) {
        Some(tree) if pack::is_whole(store, &tree)? => Ok(Some(tree)),
        _ => Ok(None),
    }
}
