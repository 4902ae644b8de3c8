//! What an image's layers hold, package by package: read from the image's own files, so that any image will do.
//!
//! [`records`] finds the packages by the records that they leave (dpkg's, `.dist-info`, `DESCRIPTION`) and the files that
//! each owns; [`reasons`] is the file by which an image of mlpack says what each is there for.

mod listing;
pub mod reasons;
mod records;

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::fetch::derived::Derived;
use crate::image::{Image, ImageStore};
use crate::lock::PackageKind;
use listing::Listing;
use reasons::Reason;
use records::Owners;

/// What one layer holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInventory {
    /// The packages with files in it, the largest first.
    pub packages: Vec<Share>,
    /// The bytes of files that no package owns.
    pub other: u64,
}

/// What a package has in a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The packaging world.
    pub kind: PackageKind,
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The bytes of its files in the layer, unpacked.
    pub bytes: u64,
    /// What it is in the image for, where the image says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Returns what each of an image's layers holds, lowest first. It is remembered: reading a whole image takes a while.
pub fn take(store: &ImageStore, derived: &Derived, image: &Image) -> Result<Vec<LayerInventory>> {
    let key = Derived::key("inventory-1", &image.digest());
    if let Some(known) = derived.get(&key) {
        return Ok(known);
    }
    let layers = image.layers();
    let listings: Vec<_> = layers.par_iter().map(|layer| listing::read(store, layer)).collect::<Result<_>>()?;
    let taken = count(&listings);
    derived.put(&key, &taken)?;
    Ok(taken)
}

/// Gives each file to the package that owns it, in whichever layer that package's record is.
fn count(listings: &[Listing]) -> Vec<LayerInventory> {
    let owners = Owners::find(listings);
    let reasons = listings.iter().rev().find_map(|listing| listing.records.get(reasons::FILE));
    let reasons = reasons.map(|bytes| reasons::read(bytes)).unwrap_or_default();
    listings.iter().map(|listing| layer(listing, &owners, &reasons)).collect()
}

fn layer(listing: &Listing, owners: &Owners, reasons: &BTreeMap<String, Reason>) -> LayerInventory {
    let mut sizes: BTreeMap<Option<usize>, u64> = BTreeMap::new();
    // What a package leaves out of its own list, such as files of configuration, is its own where it has the layer alone.
    let only = owners.only(listing);
    for (path, size) in &listing.files {
        *sizes.entry(owners.of(path).or(only)).or_default() += size;
    }
    let other = sizes.remove(&None).unwrap_or_default();
    let share = |(owner, bytes): (Option<usize>, u64)| {
        let package = &owners.packages[owner?];
        let reason = reasons.get(&format!("{}:{}", package.kind.name(), package.name)).cloned();
        let (kind, name, version) = (package.kind, package.name.clone(), package.version.clone());
        Some(Share { kind, name, version, bytes, reason })
    };
    let mut packages: Vec<_> = sizes.into_iter().filter_map(share).collect();
    packages.sort_by(|one, other| other.bytes.cmp(&one.bytes).then_with(|| one.name.cmp(&other.name)));
    LayerInventory { packages, other }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(files: &[(&str, u64)], records: &[(&str, &str)]) -> Listing {
        let record = |(path, text): &(&str, &str)| ((*path).to_owned(), text.as_bytes().to_vec());
        let files = files.iter().map(|(path, size)| ((*path).to_owned(), *size));
        let sizes = records.iter().map(|(path, text)| ((*path).to_owned(), text.len() as u64));
        Listing { files: files.chain(sizes).collect(), records: records.iter().map(record).collect() }
    }

    /// `name bytes`, for each package of a layer, and what is left.
    fn shown(layer: &LayerInventory) -> (Vec<String>, u64) {
        (layer.packages.iter().map(|share| format!("{} {}", share.name, share.bytes)).collect(), layer.other)
    }

    #[test]
    fn files_belong_to_packages_by_their_records() {
        let status = |name: &str| format!("Package: {name}\nStatus: install ok installed\nVersion: 1\n");
        let sum = "0".repeat(32);
        let (a, b) = (status("aa"), status("bb"));
        let (list_a, list_b) = (format!("{sum}  usr/lib/a\n"), format!("{sum}  usr/lib/python3/b.py\n"));
        let debs = listing(
            &[("usr/lib/a", 100_000), ("usr/lib/python3/b.py", 200_000), ("etc/conf", 7)],
            &[
                ("var/lib/dpkg/status.d/aa", &a),
                ("var/lib/dpkg/status.d/aa.md5sums", &list_a),
                ("var/lib/dpkg/status.d/bb", &b),
                ("var/lib/dpkg/status.d/bb.md5sums", &list_b),
            ],
        );
        let records = (a.len() + list_a.len(), b.len() + list_b.len());
        let bytecode = listing(&[("usr/lib/python3/__pycache__/b.cpython-311.pyc", 50)], &[]);
        let taken = count(&[debs, bytecode]);
        let expected = vec![format!("bb {}", 200_000 + records.1), format!("aa {}", 100_000 + records.0)];
        assert_eq!(shown(&taken[0]), (expected, 7));
        assert_eq!(shown(&taken[1]), (vec!["bb 50".to_owned()], 0));
    }

    #[test]
    fn wheels_and_r_packages_are_known_and_so_are_reasons() {
        let site = "usr/local/lib/python3.11/dist-packages";
        let (metadata, record) = (format!("{site}/x-1.dist-info/METADATA"), format!("{site}/x-1.dist-info/RECORD"));
        let wheel = listing(
            &[(&format!("{site}/x/a,b.so"), 10), ("usr/local/bin/x", 5), (&format!("{site}/x.pth"), 3)],
            &[
                (&metadata, "Name: X\nVersion: 2\n\nVersion: 3\n"),
                (&record, "\"x/a,b.so\",,\n../../../bin/x,,\n../../../../../../../etc/passwd,,\n"),
            ],
        );
        let reason = r#"{"wheel:x": {"chain": ["wheel:y"]}}"#;
        let r = listing(
            &[("usr/lib/R/site-library/ranger/libs/ranger.so", 40), ("srv/other", 1)],
            &[
                ("usr/lib/R/site-library/ranger/DESCRIPTION", "Package: ranger\nVersion: 0.17\n"),
                (reasons::FILE, reason),
            ],
        );
        let taken = count(&[wheel, r]);
        assert_eq!((taken[0].packages.len(), taken[0].other), (1, 0));
        let share = &taken[0].packages[0];
        assert_eq!((share.kind, share.name.as_str(), share.version.as_str()), (PackageKind::Wheel, "x", "2"));
        assert_eq!(share.reason.as_ref().unwrap().to_string(), "y");
        assert_eq!((taken[1].packages[0].name.as_str(), taken[1].packages[0].kind), ("ranger", PackageKind::R));
    }
}
