//! The table of what maintainer scripts do: `scripts.toml`, read once.

use std::sync::LazyLock;

use serde::Deserialize;

/// The table. Its text is part of the program, so a mistake in it is one of the program's.
pub(super) static TABLE: LazyLock<Table> =
    LazyLock::new(|| toml::from_str(include_str!("scripts.toml")).expect("the table is checked by a test"));

/// Everything that is known of maintainer scripts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// Packages whose scripts are known as a whole.
    pub(super) script: Vec<Script>,
    /// Sections that debhelper adds to scripts.
    pub(super) section: Vec<Known>,
    /// Commands that do nothing an image needs.
    pub(super) command: Vec<Known>,
    /// Parts of commands by which they are known to do nothing that an image needs.
    pub(super) fragment: Vec<Known>,
}

/// Names that need no emulation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    /// The names; a `*` at the end stands for any ending.
    pub(super) names: Vec<String>,
    /// Why nothing need be done.
    #[allow(dead_code, reason = "for the table's readers; a test demands it")]
    pub(super) because: String,
}

/// What the scripts of a package do on its first installation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    /// The package; one `*` stands for what differs between releases, and `{}` in a path for what it matched.
    pub(super) package: String,
    /// What is not done, and why.
    #[serde(default)]
    #[allow(dead_code, reason = "for the table's readers; a test demands it")]
    pub(super) left_out: Option<String>,
    /// Folders that they create.
    #[serde(default)]
    pub(super) folders: Vec<Folder>,
    /// Files that they copy.
    #[serde(default)]
    pub(super) copies: Vec<Copy>,
    /// Files that they write.
    #[serde(default)]
    pub(super) files: Vec<Text>,
    /// Symbolic links that they make.
    #[serde(default)]
    pub(super) links: Vec<Link>,
    /// Alternatives that they offer in a way that is not read from their lines.
    #[serde(default)]
    pub(super) alternatives: Vec<Offer>,
}

/// An alternative for a generic name, such as `/usr/bin/java`. `{}` stands for what the package's `*` matched, `{arch}` for
/// the Debian architecture.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Offer {
    /// The generic name, whose file name is also the alternative's.
    pub(super) public: String,
    /// What can stand for it.
    pub(super) target: String,
    /// How much it is preferred, a number.
    pub(super) priority: String,
}

/// A folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Folder {
    /// Where.
    pub(super) path: String,
    /// Its permission bits.
    #[serde(default = "folder_mode")]
    pub(super) mode: u32,
    /// Its group's number.
    #[serde(default)]
    pub(super) gid: u32,
}

/// A copy of a file that a package holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Copy {
    /// The package's file.
    pub(super) from: String,
    /// Where the copy goes.
    pub(super) to: String,
    /// What is replaced in it, and by what.
    #[serde(default)]
    pub(super) replace: Option<(String, String)>,
}

/// A small file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    /// Where.
    pub(super) path: String,
    /// What is in it.
    pub(super) text: String,
}

/// A symbolic link. One into `/usr` is made only where its target is in the image.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    /// Where.
    pub(super) path: String,
    /// Where it leads, as the script writes it.
    pub(super) target: String,
    /// A file of a later release whose scripts make another link in its place.
    #[serde(default)]
    pub(super) unless: Option<String>,
}

fn folder_mode() -> u32 {
    0o755
}

impl Table {
    /// Returns what is known of a package's scripts, with what the `*` in its name stands for.
    pub(super) fn script<'a>(&'a self, package: &'a str) -> Option<(&'a Script, &'a str)> {
        self.script.iter().find_map(|script| Some((script, matched(&script.package, package)?)))
    }

    /// Whether a debhelper section needs no emulation.
    pub(super) fn knows_section(&self, helper: &str) -> bool {
        knows(&self.section, helper)
    }

    /// Whether a command needs no emulation.
    pub(super) fn knows_command(&self, command: &str) -> bool {
        knows(&self.command, command)
    }

    /// Whether a command with its arguments has a part that tells that it needs no emulation.
    pub(super) fn knows_fragment(&self, command: &str) -> bool {
        self.fragment.iter().flat_map(|known| &known.names).any(|fragment| command.contains(fragment))
    }
}

fn knows(known: &[Known], name: &str) -> bool {
    known.iter().flat_map(|known| &known.names).any(|pattern| matched(pattern, name).is_some())
}

/// Returns what the `*` of the pattern stands for in `name`; nothing where the pattern has none and is the name.
fn matched<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    match pattern.split_once('*') {
        None => (pattern == name).then_some(""),
        Some((start, end)) => name.strip_prefix(start)?.strip_suffix(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read_and_says_why_for_each_thing_left_out() {
        assert!(
            TABLE.section.iter().chain(&TABLE.command).chain(&TABLE.fragment).all(|known| known.because.len() > 10)
        );
        for script in &TABLE.script {
            let effects = script.folders.len() + script.copies.len() + script.files.len() + script.links.len();
            let effects = effects + script.alternatives.len();
            assert!(effects > 0 || script.left_out.is_some(), "{}", script.package);
        }
    }

    #[test]
    fn a_star_matches_what_differs() {
        assert_eq!(TABLE.script("python3.13-minimal").map(|(_, matched)| matched), Some("13"));
        assert!(TABLE.script("no-such-package").is_none());
        assert!(TABLE.knows_command("db_get") && !TABLE.knows_command("curl"));
    }
}
