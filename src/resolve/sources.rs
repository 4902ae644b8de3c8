//! Libraries that Python sources open by name, as `ctypes` does: they are only told of, with the line to add to the
//! manifest. Whether the code is ever reached, nobody can say.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::providers::Providers;
use crate::elf::host;
use crate::error::Result;
use crate::fetch::derived::Derived;
use crate::fetch::{BlobStore, pack};
use crate::fs;
use crate::layer::tree::{Content, Tree, TreePath};

/// The calls that open a library by name.
const CALLS: [&str; 4] = ["find_library(", "CDLL(", "LoadLibrary(", "dlopen("];

/// The largest source file that is scanned; larger ones are generated.
const LARGEST_SOURCE: u64 = 4 << 20;

/// A library that a source file opens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Opened {
    /// The library: `libx.so.1` where the source names the file, `libx.so` where it names `x`.
    pub(super) library: String,
    /// The source file.
    pub(super) path: TreePath,
}

/// Returns what the Python sources of a tree open by a literal name, sorted.
pub(super) fn scan(store: &BlobStore, derived: &Derived, tree: &Tree) -> Result<Vec<Opened>> {
    let sources: Vec<_> = tree
        .iter()
        .filter(|(path, _)| path.as_str().ends_with(".py"))
        .filter_map(|(path, node)| Some((path, node.content()?)))
        .filter(|(_, content)| content.length <= LARGEST_SOURCE)
        .collect();
    let digests: Vec<_> = sources.iter().map(|(path, content)| (path, content.digest)).collect();
    let key = Derived::key("opened-1", &digests);
    if let Some(known) = derived.get(&key) {
        return Ok(known);
    }
    let read = |&(path, content): &(&TreePath, &Content)| {
        let text = pack::read(store, content)?;
        let libraries = literals(&String::from_utf8_lossy(&text));
        Ok(libraries.into_iter().map(|library| Opened { library, path: path.clone() }).collect())
    };
    let opened: fs::Result<Vec<Vec<Opened>>> = sources.par_iter().map(read).collect();
    let mut opened = opened?.concat();
    opened.sort();
    opened.dedup();
    derived.put(&key, &opened)?;
    Ok(opened)
}

/// Returns the libraries that calls in a source open.
fn literals(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for call in CALLS {
        for (at, _) in source.match_indices(call) {
            let rest = source[at + call.len()..].trim_start();
            let Some(quote) = rest.chars().next().filter(|first| matches!(first, '"' | '\'')) else { continue };
            let Some((name, _)) = rest[1..].split_once(quote) else { continue };
            found.extend(library(name, call == CALLS[0]));
        }
    }
    found
}

/// Returns the library that a call's argument stands for; none where it is one of another system.
fn library(name: &str, is_stem: bool) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    if is_stem && !name.contains(".so") {
        return Some(format!("lib{name}.so"));
    }
    let (stem, version) = name.split_once(".so")?;
    (stem.starts_with("lib") && (version.is_empty() || version.starts_with('.'))).then(|| name.to_owned())
}

/// Returns the packages that have opened libraries which are not among `present`, each with a source that opens one.
pub(super) fn absent<'a>(
    providers: &Providers<'_>,
    opened: &'a [Opened],
    present: &BTreeSet<String>,
) -> BTreeMap<String, &'a Opened> {
    let is_there = |library: &str| {
        let mut from = present.range(library.to_owned()..);
        from.next().is_some_and(|name| {
            name.strip_prefix(library).is_some_and(|rest| matches!(rest.chars().next(), None | Some('.')))
        })
    };
    let absent = opened.iter().filter(|opened| !is_there(&opened.library) && host::reason(&opened.library).is_none());
    absent.filter_map(|opened| Some((providers.likeliest(&opened.library)?, opened))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_names_of_libraries_are_found_in_calls() {
        let source = r#"
            path = ctypes.util.find_library("magic") or find_library('magic1')
            a, b = ctypes.CDLL("libfoo.so.1"), cdll.LoadLibrary( 'libbar-2.so' )
            c = ffi.dlopen(
                "libbaz.so.3.1", 2)
            CDLL(name), CDLL("foo.dll"), find_library("lib/x"), CDLL("libc.dylib"), find_library("
        "#;
        let found: Vec<_> = literals(source).into_iter().collect();
        assert_eq!(found, ["libbar-2.so", "libbaz.so.3.1", "libfoo.so.1", "libmagic.so", "libmagic1.so"]);
    }
}
