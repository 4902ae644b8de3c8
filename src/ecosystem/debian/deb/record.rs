//! The record of an installed package for scanners: `var/lib/dpkg/status.d/<package>` and `<package>.md5sums`.
//!
//! It is the form that distroless images introduced, which trivy, grype and syft read. It lies in the package's own
//! tree, so each layer describes itself and no file lists the whole image. dpkg itself does not read it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::error::ArchiveError;
use super::unpack::Unpacked;
use super::usrmerge;
use crate::layer::tree::{Content, Node, PathError, TreePath};

/// The folder of the records.
pub const FOLDER: &str = "var/lib/dpkg/status.d";

/// Adds the package's record to its tree.
///
/// The checksums are those that the package came with, for the files that the tree has: scanners take the paths for files
/// that the distribution owns. A package without a list of them gets none.
/// Fails where the package's name is no file name.
pub fn add(unpacked: &mut Unpacked) -> Result<(), PathError> {
    let records = [("", status(unpacked)), (".md5sums", md5sums(unpacked))];
    for (ending, text) in records.into_iter().filter(|(_, text)| !text.is_empty()) {
        let path = TreePath::new(&format!("{FOLDER}/{}{ending}", unpacked.control.package()))?;
        unpacked.tree.insert(path, Node::file(Content::inline(text), 0o644));
    }
    unpacked.tree.add_parents();
    Ok(())
}

/// The control paragraph as dpkg's status file has it.
fn status(unpacked: &Unpacked) -> String {
    let mut text = String::new();
    for (name, value) in unpacked.control.fields() {
        let space = if value.is_empty() || value.starts_with('\n') { "" } else { " " };
        writeln!(text, "{name}:{space}{value}").expect("writing to a String cannot fail");
        if name.eq_ignore_ascii_case("Package") {
            text.push_str("Status: install ok installed\n");
        }
    }
    text
}

fn md5sums(unpacked: &Unpacked) -> String {
    let kept = unpacked.md5sums.iter().filter(|(path, _)| unpacked.tree.contains(path));
    kept.fold(String::new(), |mut text, (path, sum)| {
        writeln!(text, "{sum}  {path}").expect("writing to a String cannot fail");
        text
    })
}

/// Reads a package's `md5sums` file: checksums by the file's place in the merged tree. Lines of another form are left out.
pub(super) fn parse_md5sums(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once("  "))
        .filter(|(sum, _)| sum.len() == 32 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .map(|(sum, path)| (usrmerge::canonical(path.trim_start_matches("./")), sum.to_owned()))
        .collect()
}

/// Refuses a name that policy does not allow: it becomes a file name.
pub(super) fn check_name(name: &str) -> Result<(), ArchiveError> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.');
    let sound = name.len() > 1 && name.as_bytes()[0].is_ascii_alphanumeric() && name.bytes().all(allowed);
    if sound { Ok(()) } else { Err(ArchiveError::Control(format!("`{}` is no package name", name.escape_default()))) }
}
