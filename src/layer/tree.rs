//! A file tree in memory: what packages, models and generated files become before they are written as layers.
//!
//! Package paths are never written to disk by unpacking. A tree holds names, modes and *where the content is*; the
//! content itself stays in the content store. Nothing here reads or writes files.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::FIXED_MTIME;
use crate::digest::Digest;
use crate::error::{Diagnose, Exit};

/// A path inside an image: relative to its root, `/`-separated, without empty, `.` or `..` components.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreePath(Arc<str>);

/// The text is not a path that may stand in an image.
#[derive(Debug, thiserror::Error)]
#[error("unsafe path `{}` in an archive or manifest: it must be relative, without `..`, NUL or control characters", .0.escape_default())]
pub struct PathError(String);

impl TreePath {
    /// Normalises an archive's path: a leading `./` or `/`, a trailing `/`, double slashes and `.` components go.
    ///
    /// Refuses `..`, NUL and other control characters and the empty path: none of them has a place in a package.
    pub fn new(path: &str) -> Result<Self, PathError> {
        let mut parts = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => return Err(PathError(path.to_owned())),
                _ if part.chars().any(char::is_control) => return Err(PathError(path.to_owned())),
                _ => parts.push(part),
            }
        }
        if parts.is_empty() {
            return Err(PathError(path.to_owned()));
        }
        Ok(Self(parts.join("/").into()))
    }

    /// Returns the path as text, without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the folder that holds this path, or `None` at the top level.
    pub fn parent(&self) -> Option<Self> {
        self.0.rfind('/').map(|end| Self(self.0[..end].into()))
    }

    /// Returns the last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Returns the path below this one. `name` may have several components.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        Self::new(&format!("{}/{name}", self.0))
    }

    /// Whether this path is `folder` or lies below it.
    pub fn is_below(&self, folder: &str) -> bool {
        self.0.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl TryFrom<String> for TreePath {
    type Error = PathError;

    fn try_from(path: String) -> Result<Self, Self::Error> {
        Self::new(&path)
    }
}

impl From<TreePath> for String {
    fn from(path: TreePath) -> Self {
        path.0.to_string()
    }
}

impl Diagnose for PathError {
    fn exit(&self) -> Exit {
        Exit::Integrity
    }
}

/// The content of a file: its identity, and where its bytes are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Content {
    /// The digest of the bytes; checked whenever they are read.
    pub digest: Digest,
    /// The number of bytes.
    pub length: u64,
    /// Where they are.
    pub source: Source,
}

/// Where a file's bytes are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// In memory: generated files.
    Inline(Vec<u8>),
    /// In a blob of the content store that holds many files' bytes one after the other: an unpacked package.
    Pack {
        /// The blob.
        pack: Digest,
        /// The first byte's position in it.
        offset: u64,
    },
    /// In the user's project: artifacts, datasets, service code.
    Project(PathBuf),
}

impl Content {
    /// Returns the content that is `bytes`.
    pub fn inline(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::of(&bytes), length: bytes.len() as u64, source: Source::Inline(bytes) }
    }
}

/// What a path is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A folder.
    Directory,
    /// A regular file. Hard links of an archive are files with the same content: an image needs no other kind.
    File(Content),
    /// A symbolic link with its target, as written.
    Symlink(String),
}

/// A path's kind and attributes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Modification time in seconds since 1970.
    pub mtime: i64,
}

impl Node {
    /// Returns a folder with mode 0755, owned by root.
    pub fn directory() -> Self {
        Self { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0, mtime: FIXED_MTIME }
    }

    /// Returns a file owned by root.
    pub fn file(content: Content, mode: u32) -> Self {
        Self { kind: Kind::File(content), mode, uid: 0, gid: 0, mtime: FIXED_MTIME }
    }

    /// Returns a symbolic link.
    pub fn symlink(target: impl Into<String>) -> Self {
        Self { kind: Kind::Symlink(target.into()), mode: 0o777, uid: 0, gid: 0, mtime: FIXED_MTIME }
    }

    /// Returns the content where this is a regular file.
    pub fn content(&self) -> Option<&Content> {
        match &self.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }
}

/// A set of paths with their nodes, in bytewise order of path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tree {
    nodes: BTreeMap<TreePath, Node>,
}

/// Two inputs want the same path to be different things.
#[derive(Debug, thiserror::Error)]
#[error("`{path}` is {first} in one package and {second} in another")]
pub struct ConflictError {
    /// The path.
    pub path: TreePath,
    /// What it was first.
    pub first: &'static str,
    /// What it was to become.
    pub second: &'static str,
}

impl Diagnose for ConflictError {
    fn exit(&self) -> Exit {
        Exit::Resolution
    }

    fn hints(&self) -> Vec<String> {
        vec!["the two packages cannot be in one image: leave one of them out".to_owned()]
    }
}

impl Tree {
    /// Returns an empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a path, and returns what it was before.
    pub fn insert(&mut self, path: TreePath, node: Node) -> Option<Node> {
        self.nodes.insert(path, node)
    }

    /// Removes a path; what lies below it stays.
    pub fn remove(&mut self, path: &TreePath) -> Option<Node> {
        self.nodes.remove(path)
    }

    /// Returns the node at `path`; links are not followed.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(&TreePath(path.into()))
    }

    /// Whether the path is in the tree.
    pub fn contains(&self, path: &str) -> bool {
        self.get(path).is_some()
    }

    /// Returns the number of paths.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no path.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns all paths with their nodes, in bytewise order of path.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Node)> {
        self.nodes.iter()
    }

    /// Returns the paths below `folder`, with their nodes, in order.
    pub fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a TreePath, &'a Node)> {
        let prefix = format!("{folder}/");
        let start = TreePath(prefix.as_str().into());
        self.nodes.range(start..).take_while(move |(path, _)| path.as_str().starts_with(&prefix))
    }

    /// Keeps the paths for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&TreePath, &Node) -> bool) {
        self.nodes.retain(|path, node| keep(path, node));
    }

    /// Adds all of `other`; a path of both must be of the same kind in both, and `other`'s node is kept.
    pub fn merge(&mut self, other: Self) -> Result<(), ConflictError> {
        for (path, node) in other.nodes {
            if let Some(present) = self.nodes.get(&path) {
                let (first, second) = (kind_name(present), kind_name(&node));
                if first != second {
                    return Err(ConflictError { path, first, second });
                }
            }
            self.nodes.insert(path, node);
        }
        Ok(())
    }

    /// Adds each missing parent folder with mode 0755, as a layer must name them.
    pub fn add_parents(&mut self) {
        let paths: Vec<_> = self.nodes.keys().cloned().collect();
        for path in paths {
            let mut parent = path.parent();
            while let Some(folder) = parent {
                if self.nodes.contains_key(&folder) {
                    break;
                }
                parent = folder.parent();
                self.nodes.insert(folder, Node::directory());
            }
        }
    }

    /// Returns the sum of the files' lengths, in bytes.
    pub fn content_length(&self) -> u64 {
        self.nodes.values().filter_map(Node::content).map(|content| content.length).sum()
    }
}

impl FromIterator<(TreePath, Node)> for Tree {
    fn from_iter<I: IntoIterator<Item = (TreePath, Node)>>(nodes: I) -> Self {
        Self { nodes: nodes.into_iter().collect() }
    }
}

impl IntoIterator for Tree {
    type Item = (TreePath, Node);
    type IntoIter = std::collections::btree_map::IntoIter<TreePath, Node>;

    fn into_iter(self) -> Self::IntoIter {
        self.nodes.into_iter()
    }
}

fn kind_name(node: &Node) -> &'static str {
    match node.kind {
        Kind::Directory => "a folder",
        Kind::File(_) => "a file",
        Kind::Symlink(_) => "a symbolic link",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_and_hostile_ones_refused() {
        for (given, expected) in [("./usr/bin/", "usr/bin"), ("/etc//x", "etc/x"), ("a/./b", "a/b")] {
            assert_eq!(TreePath::new(given).unwrap().as_str(), expected);
        }
        for hostile in ["", ".", "/", "../x", "a/../../x", "a/..", "a\0b", "a\nb"] {
            assert!(TreePath::new(hostile).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn parents_are_added_once_and_keep_their_own_attributes() {
        let mut tree = Tree::new();
        tree.insert(TreePath::new("tmp").unwrap(), Node { mode: 0o1777, ..Node::directory() });
        tree.insert(TreePath::new("tmp/a/b").unwrap(), Node::file(Content::inline(*b"x"), 0o644));
        tree.add_parents();
        let listed: Vec<_> = tree.iter().map(|(path, node)| (path.as_str(), node.mode)).collect();
        assert_eq!(listed, [("tmp", 0o1777), ("tmp/a", 0o755), ("tmp/a/b", 0o644)]);
    }

    #[test]
    fn merging_refuses_a_file_where_a_folder_is() {
        let path = || TreePath::new("a").unwrap();
        let mut tree: Tree = [(path(), Node::directory())].into_iter().collect();
        let other: Tree = [(path(), Node::symlink("b"))].into_iter().collect();
        assert!(tree.merge(other).is_err());
    }

    #[test]
    fn below_lists_the_folder_only() {
        let tree: Tree = ["a", "a/b", "a/c/d", "ab", "b"]
            .into_iter()
            .map(|path| (TreePath::new(path).unwrap(), Node::directory()))
            .collect();
        let listed: Vec<_> = tree.below("a").map(|(path, _)| path.as_str()).collect();
        assert_eq!(listed, ["a/b", "a/c/d"]);
    }
}
