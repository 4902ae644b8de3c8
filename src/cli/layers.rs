//! The table of an image's layers: what each is called, how large it is, and what is in it for what.

use serde::Serialize;

use super::text::{bytes, short_digest, table};
use crate::image::LayerDescription;
use crate::inventory::{LayerInventory, Share};

/// Packages with fewer bytes than this in a layer are counted together.
const SMALL: u64 = 500_000;

/// A layer, with what it holds where that was asked for.
#[derive(Serialize)]
pub(super) struct Layer {
    #[serde(flatten)]
    pub description: LayerDescription,
    #[serde(flatten)]
    pub inventory: Option<LayerInventory>,
}

/// Returns the table, with a line for each package where inventories are given.
pub(super) fn layers_table(layers: &[Layer]) -> String {
    let mut head = ["LAYER", "PACKED", "UNPACKED", "DIGEST"].map(str::to_owned).to_vec();
    if layers.iter().any(|layer| layer.inventory.is_some()) {
        head.push("NEEDED BY".to_owned());
    }
    let rows = layers.iter().flat_map(|layer| {
        let inventory = layer.inventory.as_ref().map(inventory).unwrap_or_default();
        std::iter::once(row(&layer.description)).chain(inventory)
    });
    let packed = layers.iter().map(|layer| layer.description.size).sum();
    let unpacked: Option<u64> = layers.iter().map(|layer| layer.description.uncompressed).sum();
    let total = vec!["total".to_owned(), bytes(packed), unpacked.map_or_else(|| "-".to_owned(), bytes)];
    table(std::iter::once(head).chain(rows).chain([total]))
}

fn row(layer: &LayerDescription) -> Vec<String> {
    vec![
        layer.name.clone().unwrap_or_else(|| "-".to_owned()),
        bytes(layer.size),
        layer.uncompressed.map_or_else(|| "-".to_owned(), bytes),
        short_digest(&layer.digest.to_string()),
    ]
}

/// The packages of a layer, the largest first, then what is too small to be told, and what no package owns.
fn inventory(layer: &LayerInventory) -> Vec<Vec<String>> {
    let large = layer.packages.iter().take_while(|share| share.bytes >= SMALL);
    let mut rows: Vec<_> = large.map(share).collect();
    let small = &layer.packages[rows.len()..];
    if !small.is_empty() {
        let size = small.iter().map(|share| share.bytes).sum();
        let name = match small {
            [_] => "1 other package".to_owned(),
            small => format!("{} other packages", small.len()),
        };
        rows.push(inner(&name, size, ""));
    }
    if !layer.packages.is_empty() && layer.other > 0 {
        rows.push(inner("files of no package", layer.other, ""));
    }
    rows
}

fn share(share: &Share) -> Vec<String> {
    let reason = share.reason.as_ref().map(ToString::to_string).unwrap_or_default();
    inner(&format!("{} {}", share.name, share.version), share.bytes, &reason)
}

fn inner(name: &str, size: u64, reason: &str) -> Vec<String> {
    vec![format!("  {name}"), String::new(), bytes(size), String::new(), reason.to_owned()]
}
