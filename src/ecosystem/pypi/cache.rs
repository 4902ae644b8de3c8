//! Trees made from packages, remembered for as long as the blobs that hold their files are there.

use std::collections::BTreeSet;

use crate::digest::Digest;
use crate::fetch::BlobStore;
use crate::fetch::derived::Derived;
use crate::fs;
use crate::layer::tree::{Source, Tree};

/// Returns the tree of `key` where it is known and all of its blobs are there, undamaged.
pub(super) fn get(derived: &Derived, store: &BlobStore, key: &Digest) -> fs::Result<Option<Tree>> {
    let Some(tree) = derived.get::<Tree>(key) else { return Ok(None) };
    let packs: BTreeSet<_> = tree
        .iter()
        .filter_map(|(_, node)| match node.content()?.source {
            Source::Pack { pack, .. } => Some(pack),
            _ => None,
        })
        .collect();
    for pack in packs {
        if store.get(&pack)?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(tree))
}
