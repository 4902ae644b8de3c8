//! What the user should know about unpacked packages, although nothing is wrong with any of them.

use std::collections::BTreeMap;

use super::Python;
use crate::digest::Digest;
use crate::layer::tree::{Tree, TreePath};

/// Returns the files that Python reads as code whenever it starts, whether the package is used or not.
pub fn startup_files<'a>(tree: &'a Tree, python: &Python) -> Vec<&'a TreePath> {
    let site = python.site();
    let is_direct = |path: &TreePath| path.parent().is_some_and(|parent| parent.as_str() == site);
    let starts = |path: &TreePath| {
        path.file_name().rsplit_once('.').is_some_and(|(_, end)| end == "pth")
            || matches!(path.file_name(), "sitecustomize.py" | "usercustomize.py")
    };
    tree.below(&site).map(|(path, _)| path).filter(|path| is_direct(path) && starts(path)).collect()
}

/// A file that two packages bring; the later one's is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The file.
    pub path: TreePath,
    /// The packages, in the order given.
    pub packages: [String; 2],
}

/// Returns the files that two of the packages bring with different content, in order of path.
pub fn shared_files<'a>(packages: impl IntoIterator<Item = (&'a str, &'a Tree)>) -> Vec<Shared> {
    let mut owners: BTreeMap<&TreePath, (&str, Digest)> = BTreeMap::new();
    let mut shared = Vec::new();
    for (name, tree) in packages {
        for (path, content) in tree.iter().filter_map(|(path, node)| Some((path, node.content()?))) {
            match owners.insert(path, (name, content.digest)) {
                Some((first, digest)) if digest != content.digest => {
                    shared.push(Shared { path: path.clone(), packages: [first.to_owned(), name.to_owned()] });
                }
                _ => {}
            }
        }
    }
    shared.sort_by(|first, second| first.path.cmp(&second.path));
    shared
}
