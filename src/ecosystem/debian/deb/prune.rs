//! What an image leaves out of a package: documentation, manual pages and translations.
//!
//! Copyright files stay, as licences demand and scanners expect. Headers and static libraries stay as well: they come in
//! packages of their own, which are there only when somebody asked for them.

use crate::layer::tree::{Kind, Tree, TreePath};

/// Folders that are left out whole.
const LEFT_OUT: [&str; 8] = [
    "usr/share/bug",
    "usr/share/doc-base",
    "usr/share/gtk-doc",
    "usr/share/help",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
];
/// Libraries read this one for the names of locales.
const LOCALE_ALIASES: &str = "usr/share/locale/locale.alias";
const DOCUMENTATION: &str = "usr/share/doc";

/// Removes what an image does not need, and the folders that are empty without it.
pub fn prune(tree: &mut Tree) {
    let needed: Vec<TreePath> =
        tree.iter().filter(|(path, node)| is_kept(path.as_str(), &node.kind)).map(|(path, _)| path.clone()).collect();
    let leads_to_needed = |folder: &TreePath| {
        let after = needed.partition_point(|path| path <= folder);
        // `a-b` sorts between `a` and `a/b`, so what lies below may not be the very next one.
        needed[after..]
            .iter()
            .take_while(|path| path.as_str().starts_with(folder.as_str()))
            .any(|path| path.is_below(folder.as_str()))
    };
    tree.retain(|path, node| match node.kind {
        _ if is_kept(path.as_str(), &node.kind) => true,
        Kind::Directory => leads_to_needed(path),
        _ => false,
    });
}

/// Whether an image has the path; folders in which nothing may stay are not kept for themselves.
fn is_kept(path: &str, kind: &Kind) -> bool {
    let below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if below(DOCUMENTATION) {
        return is_licence(path.trim_start_matches(DOCUMENTATION), kind);
    }
    path == LOCALE_ALIASES || !LEFT_OUT.iter().any(|folder| below(folder))
}

/// Whether `/<package>/copyright`, or a link `/<package>` to the package that has it.
fn is_licence(path: &str, kind: &Kind) -> bool {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts[..] {
        [_] => matches!(kind, Kind::Symlink(_)),
        [_, "copyright"] => !matches!(kind, Kind::Directory),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::tree::{Content, Node};

    #[test]
    fn licences_and_locale_names_stay_and_their_folders_with_them() {
        let file = || Node::file(Content::inline(*b"x"), 0o644);
        let nodes = [
            ("usr", Node::directory()),
            ("usr/bin", Node::directory()),
            ("usr/share", Node::directory()),
            ("usr/share/doc", Node::directory()),
            ("usr/share/doc/a", Node::directory()),
            ("usr/share/doc/a-b", Node::symlink("a")),
            ("usr/share/doc/a/README", file()),
            ("usr/share/doc/a/copyright", file()),
            ("usr/share/doc/a/examples", Node::directory()),
            ("usr/share/doc/a/examples/copyright", file()),
            ("usr/share/doc/empty", Node::directory()),
            ("usr/share/locale", Node::directory()),
            ("usr/share/locale/de/x.mo", file()),
            ("usr/share/locale/locale.alias", file()),
            ("usr/share/man", Node::directory()),
            ("usr/share/man/man1/a.1.gz", Node::symlink("b.1.gz")),
            ("usr/share/manual", file()),
        ];
        let mut tree: Tree = nodes.into_iter().map(|(path, node)| (TreePath::new(path).unwrap(), node)).collect();
        prune(&mut tree);
        let left: Vec<_> = tree.iter().map(|(path, _)| path.as_str()).collect();
        let expected = [
            "usr",
            "usr/bin",
            "usr/share",
            "usr/share/doc",
            "usr/share/doc/a",
            "usr/share/doc/a-b",
            "usr/share/doc/a/copyright",
            "usr/share/locale",
            "usr/share/locale/locale.alias",
            "usr/share/manual",
        ];
        assert_eq!(left, expected);
    }
}
