//! Paths of the project: they name what exists, and lead out of the project folder in no way.
//!
//! A later step may find something else at a path than was checked here; it checks digests for that.

use std::fs::FileType;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};

use super::reader::{Cursor, Read};
use super::text::{nearest, shown};

/// How many names of a folder are looked through for a suggestion.
const MAX_SUGGESTIONS: usize = 4096;

/// Reads the path of a file; gives it with all links resolved.
pub(super) fn file(cursor: Cursor<'_>) -> Read<PathBuf> {
    let written = cursor.line()?;
    file_named(cursor, written)
}

/// The same, where the path is only a part of the value.
pub(super) fn file_named(cursor: Cursor<'_>, written: &str) -> Read<PathBuf> {
    let path = inside(cursor, written)?;
    if path.is_file() {
        return Ok(path);
    }
    cursor.refuse(format!("{} is not a file", shown(written)), "name a file")
}

/// Reads the path of a file or folder, whose links all stay in the project; gives it with its own links resolved.
pub(super) fn file_or_folder(cursor: Cursor<'_>) -> Read<PathBuf> {
    let written = cursor.line()?;
    let path = inside(cursor, written)?;
    if path == cursor.reader.root {
        return cursor.refuse(format!("{} is the whole project", shown(written)), "name a file or folder inside it");
    }
    for entry in walkdir::WalkDir::new(&path).sort_by_file_name() {
        match entry {
            Ok(entry) => contained(cursor, written, entry.path(), entry.file_type())?,
            Err(error) => return unreadable(cursor, written, &io::Error::from(error)),
        }
    }
    Ok(path)
}

/// Checks one entry of a folder that is going to be shipped.
fn contained(cursor: Cursor<'_>, written: &str, path: &Path, kind: FileType) -> Read<()> {
    let entry = || shown(&path.strip_prefix(cursor.reader.root).unwrap_or(path).to_string_lossy());
    if kind.is_symlink() && !path.canonicalize().is_ok_and(|target| target.starts_with(cursor.reader.root)) {
        let message = format!("{} holds a link that leads nowhere or out of the project: {}", shown(written), entry());
        return cursor.refuse(message, "put the file itself in its place");
    }
    if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
        return cursor.refuse(format!("{} is neither a file nor a folder", entry()), "remove it, or name another path");
    }
    Ok(())
}

/// Resolves a path as written, and checks that it stays in the project.
fn inside(cursor: Cursor<'_>, written: &str) -> Read<PathBuf> {
    relative(cursor, written)?;
    let root = cursor.reader.root;
    match root.join(written).canonicalize() {
        Ok(path) if path.starts_with(root) => Ok(path),
        Ok(_) => cursor.refuse(
            format!("{} is a link that leads out of the project", shown(written)),
            "put the file itself into the project folder",
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => missing(cursor, written),
        Err(error) => unreadable(cursor, written, &error),
    }
}

/// Checks a path by its text alone.
fn relative(cursor: Cursor<'_>, written: &str) -> Read<()> {
    let path = Path::new(written);
    if written.is_empty() || written.contains('\\') || written.ends_with(' ') {
        let hint = "write it as `folder/file`, relative to the manifest's folder";
        return cursor.refuse(format!("{} is not a valid path", shown(written)), hint);
    }
    if path.is_absolute() || written.starts_with('~') {
        let hint = "copy the file into the project, and write its path relative to the manifest's folder";
        return cursor.refuse(format!("{} is not relative to the project", shown(written)), hint);
    }
    if path.components().any(|component| component == Component::ParentDir) {
        let hint = "copy the file into the project folder, and name it without `..`";
        return cursor.refuse(format!("{} holds `..`", shown(written)), hint);
    }
    Ok(())
}

fn missing(cursor: Cursor<'_>, written: &str) -> Read<PathBuf> {
    let message = format!("{} does not exist", shown(written));
    match neighbour(cursor.reader.root, Path::new(written)) {
        Some(near) => cursor.refuse(
            format!("{message}, did you mean {}?", shown(&near)),
            "paths are relative to the manifest's folder",
        ),
        None => cursor.refuse(message, "paths are relative to the manifest's folder"),
    }
}

/// Returns the path with its first missing name replaced by one that is there and looks like it.
fn neighbour(root: &Path, written: &Path) -> Option<String> {
    let mut known = PathBuf::new();
    for component in written.components() {
        let next = known.join(component);
        if root.join(&next).exists() {
            known = next;
            continue;
        }
        let mut names: Vec<String> = std::fs::read_dir(root.join(&known))
            .ok()?
            .take(MAX_SUGGESTIONS)
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        let near = nearest(component.as_os_str().to_str()?, names.iter().map(String::as_str))?;
        return known.join(near).into_os_string().into_string().ok();
    }
    None
}

fn unreadable<T>(cursor: Cursor<'_>, written: &str, error: &io::Error) -> Read<T> {
    cursor.refuse(format!("{} cannot be read: {}", shown(written), error.kind()), "check the path and its permissions")
}
