//! Merged `/usr`: where paths like `lib/x` really lie.
//!
//! Debian 12 packages still name `/lib`, `/bin` and their kin, which are links into `/usr` on every system. A layer must
//! name the real place, or it would replace the link by a folder.

/// The top-level links into `usr`, sorted.
pub const ALIASES: [&str; 6] = ["bin", "lib", "lib32", "lib64", "libx32", "sbin"];

/// Returns the real place of a normalised path without a leading slash.
pub fn canonical(path: &str) -> String {
    let first = path.split('/').next().unwrap_or(path);
    if ALIASES.contains(&first) { format!("usr/{path}") } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_first_components_are_aliases() {
        let cases =
            [("lib/x", "usr/lib/x"), ("bin", "usr/bin"), ("library/x", "library/x"), ("usr/lib/x", "usr/lib/x")];
        for (path, expected) in cases {
            assert_eq!(canonical(path), expected);
        }
    }
}
