//! What nobody asked for and everybody should know of the chosen packages: files that two of them bring, of which the image has
//! one, and code that runs whenever Python starts.

use std::collections::BTreeMap;

use super::owner;
use crate::ecosystem::pypi::{Python, notices};
use crate::ecosystem::{Unpacked, Worlds};
use crate::error::Result;
use crate::event::Event;
use crate::lock::PackageKind;
use crate::runtime::Runtime;

/// Warns of files that differ between packages, and tells in detail of files that Python runs at each start.
pub(super) fn tell(worlds: &Worlds, runtime: &Runtime, unpacked: &[Unpacked]) -> Result<()> {
    let owners: Vec<String> = unpacked.iter().map(|unpacked| owner(&unpacked.package)).collect();
    let trees = owners.iter().map(String::as_str).zip(unpacked.iter().map(|unpacked| &unpacked.tree));
    let mut pairs: BTreeMap<[String; 2], Vec<String>> = BTreeMap::new();
    for shared in notices::shared_files(trees.clone()) {
        pairs.entry(shared.packages).or_default().push(shared.path.to_string());
    }
    for ([first, second], paths) in pairs {
        let message = format!("{first} and {second} differ in {}: the image has those of one of them", listed(&paths));
        worlds.report().warn(message, Some("leave one of the two packages out, if both are not needed".to_owned()));
    }
    if runtime.language == "python" {
        let python: Python = runtime.version.parse()?;
        for (unpacked, owner) in unpacked.iter().zip(&owners).filter(|(of, _)| of.package.kind == PackageKind::Wheel) {
            for path in notices::startup_files(&unpacked.tree, &python) {
                let message = format!("`{path}` of {owner} runs whenever Python starts");
                worlds.report().event(Event::Detail { message });
            }
        }
    }
    Ok(())
}

/// Names the first of some files, and says how many there are.
fn listed(paths: &[String]) -> String {
    match paths {
        [one] => format!("`{one}`"),
        [first, ..] => format!("{} files such as `{first}`", paths.len()),
        [] => String::new(),
    }
}
