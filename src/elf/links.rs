//! Paths of an image as the kernel sees them: symbolic links followed, wherever packages say a file is.

use std::collections::HashMap;

use crate::layer::tree::{Kind, Tree};

/// As many links in one path as the kernel follows.
const MAX_LINKS: usize = 40;

/// The top-level folders of which Debian keeps the contents below `/usr` (merged `/usr`), whatever a package says.
const MERGED: [&str; 6] = ["bin", "lib", "lib32", "lib64", "libx32", "sbin"];

/// The symbolic links of an image, by path.
#[derive(Clone, Debug)]
pub(super) struct Links {
    targets: HashMap<String, String>,
}

impl Links {
    /// Returns the links that every image has.
    pub(super) fn new() -> Self {
        Self { targets: MERGED.map(|folder| (folder.to_owned(), format!("usr/{folder}"))).into() }
    }

    /// Adds the links of a tree.
    pub(super) fn add(&mut self, tree: &Tree) {
        for (path, node) in tree.iter() {
            if let Kind::Symlink(target) = &node.kind {
                self.targets.insert(path.as_str().to_owned(), target.clone());
            }
        }
        for folder in MERGED {
            self.targets.insert(folder.to_owned(), format!("usr/{folder}"));
        }
    }

    /// Returns the paths that are links and name a shared library.
    pub(super) fn libraries(&self) -> impl Iterator<Item = &str> {
        self.targets.keys().map(String::as_str).filter(|path| file_name(path).contains(".so"))
    }

    /// Returns the path without links, relative to the root; `None` where the links form a loop.
    ///
    /// `path` may start with `/`, and may hold `.`, `..` and double slashes. That it exists is not checked.
    pub(super) fn canonical<'a>(&'a self, path: &'a str) -> Option<String> {
        let mut pending: Vec<&'a str> = path.split('/').rev().collect();
        let mut canonical = String::with_capacity(path.len() + 4);
        let mut followed = 0;
        while let Some(part) = pending.pop() {
            match part {
                "" | "." => continue,
                ".." => {
                    canonical.truncate(canonical.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let parent = canonical.len();
            if parent > 0 {
                canonical.push('/');
            }
            canonical.push_str(part);
            if let Some(target) = self.targets.get(&canonical) {
                followed += 1;
                if followed > MAX_LINKS {
                    return None;
                }
                canonical.truncate(if target.starts_with('/') { 0 } else { parent });
                pending.extend(target.split('/').rev());
            }
        }
        Some(canonical)
    }
}

/// Returns a path's last component.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Returns a path's folder, empty at the top level.
pub(super) fn folder(path: &str) -> &str {
    path.rfind('/').map_or("", |end| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::tree::{Node, TreePath};

    fn links(pairs: &[(&str, &str)]) -> Links {
        let node = |(path, target): &(&str, &str)| (TreePath::new(path).unwrap(), Node::symlink(*target));
        let mut links = Links::new();
        links.add(&pairs.iter().map(node).collect());
        links
    }

    #[test]
    fn links_of_files_and_folders_are_followed() {
        let links = links(&[
            ("usr/lib/x/libblas.so.3", "/etc/alternatives/blas"),
            ("etc/alternatives/blas", "../../lib/x/blas/libblas.so.3"),
        ]);
        assert_eq!(links.canonical("/lib/x/libblas.so.3").unwrap(), "usr/lib/x/blas/libblas.so.3");
        assert_eq!(links.canonical("a//./b/../c").unwrap(), "a/c");
        assert_eq!(links.canonical("../../a").unwrap(), "a");
    }

    #[test]
    fn a_loop_of_links_ends() {
        let links = links(&[("a", "b/x"), ("b", "a")]);
        assert_eq!(links.canonical("a/y"), None);
    }
}
