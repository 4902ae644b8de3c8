//! Merged `/usr`: where paths like `lib/x` really lie.
//!
//! Debian 12 packages still name `/lib`, `/bin` and their kin, which are links into `/usr` on every system, and
//! base-files ships `/var/run` as a folder that its script replaces by a link. A layer must name the real place, or it
//! would replace the link by a folder.

/// The folders that are links on every system, with the places that they lead to, sorted.
pub const ALIASES: [(&str, &str); 8] = [
    ("bin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib32", "usr/lib32"),
    ("lib64", "usr/lib64"),
    ("libx32", "usr/libx32"),
    ("sbin", "usr/sbin"),
    ("var/lock", "run/lock"),
    ("var/run", "run"),
];

/// Returns the real place of a normalised path without a leading slash.
pub fn canonical(path: &str) -> String {
    for (alias, target) in ALIASES {
        match path.strip_prefix(alias) {
            Some("") => return target.to_owned(),
            Some(rest) if rest.starts_with('/') => return format!("{target}{rest}"),
            _ => {}
        }
    }
    path.to_owned()
}

/// Whether links lead to this path.
pub fn is_target(path: &str) -> bool {
    ALIASES.iter().any(|(_, target)| *target == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_components_are_aliases() {
        let cases = [
            ("lib/x", "usr/lib/x"),
            ("bin", "usr/bin"),
            ("library/x", "library/x"),
            ("usr/lib/x", "usr/lib/x"),
            ("var/run/x", "run/x"),
            ("var/runs", "var/runs"),
        ];
        for (path, expected) in cases {
            assert_eq!(canonical(path), expected);
        }
    }
}
