//! The tree that every image begins with: it depends on nothing.

use crate::ecosystem::debian::deb::usrmerge;
use crate::layer::tree::{Node, Tree, TreePath};

/// Folders with their modes: mount points of the container engine, and places for temporary files.
const FOLDERS: [(&str, u32); 10] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("run/lock", 0o1777),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var/tmp", 0o1777),
];

/// Returns the tree, with the links of merged `/usr` and the folders that they lead to.
pub(super) fn tree() -> Tree {
    let folders = FOLDERS.map(|(path, mode)| (path.to_owned(), Node { mode, ..Node::directory() }));
    let links = usrmerge::ALIASES.map(|(alias, target)| {
        // As base-files writes them: relative at the top level, absolute below.
        let target = if alias.contains('/') { format!("/{target}") } else { target.to_owned() };
        (alias.to_owned(), Node::symlink(target))
    });
    let targets = usrmerge::ALIASES.map(|(_, target)| (target.to_owned(), Node::directory()));
    // The targets first: `run/lock` has a mode of its own.
    let nodes = targets.into_iter().chain(folders).chain(links);
    nodes.map(|(path, node)| (TreePath::new(&path).expect("these paths are sound"), node)).collect()
}
