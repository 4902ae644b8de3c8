//! The tar archives in a .deb, read as dpkg reads them: v7, ustar and GNU headers, GNU long names, nothing else.
//!
//! The `tar` crate finds the blocks and checks their sums; every decision about names, types and links is made here, on
//! raw entries. Pax headers are refused as dpkg refuses them, so no second size or name of an entry can exist.

use std::io::{self, Read};

use super::error::ArchiveError;
use super::usrmerge;
use crate::layer::tree::TreePath;

/// The longest name or link target that a GNU long-name entry may give; the kernel's own limit.
const LONGEST_NAME: u64 = 4096;
/// The last second of the year 9999.
const LATEST: u64 = 253_402_300_799;

/// One entry of the archive.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the merged tree; `None` for the root itself.
    pub path: Option<TreePath>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, setuid, setgid and sticky included.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Modification time in seconds since 1970.
    pub mtime: i64,
    /// The number of content bytes.
    pub length: u64,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link with its target, as written.
    Symlink(String),
    /// Another name of a file that came before.
    HardLink(TreePath),
}

/// Calls `visit` with each entry and its content. `member` names the archive in errors.
pub fn read(
    member: &str,
    plain: &mut dyn Read,
    visit: &mut dyn FnMut(Entry, &mut dyn Read) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let reading = |source| ArchiveError::Read { member: member.to_owned(), source };
    let mut archive = tar::Archive::new(&mut *plain);
    let mut long = LongNames::default();
    for raw in archive.entries().map_err(reading)?.raw(true) {
        let mut raw = raw.map_err(reading)?;
        match raw.header().entry_type().as_byte() {
            b'L' => long.set_name(member, &mut raw)?,
            b'K' => long.set_target(member, &mut raw)?,
            _ => {
                let entry = entry(member, raw.header(), std::mem::take(&mut long))?;
                let length = entry.length;
                let mut content = Counted { inner: &mut raw, length: 0 };
                visit(entry, &mut content)?;
                io::copy(&mut content, &mut io::sink()).map_err(reading)?;
                if content.length != length {
                    return Err(tar_error(member, "an end within a file".to_owned()));
                }
            }
        }
    }
    if long.name.is_some() || long.target.is_some() {
        return Err(tar_error(member, "a long name without an entry".to_owned()));
    }
    read_end(member, plain)
}

/// Reads what follows the last entry: it may be zeros only, and reading it checks the compression's own sums.
fn read_end(member: &str, plain: &mut dyn Read) -> Result<(), ArchiveError> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match plain.read(&mut buffer).map_err(|source| ArchiveError::Read { member: member.to_owned(), source })? {
            0 => return Ok(()),
            read if buffer[..read].iter().all(|byte| *byte == 0) => {}
            _ => return Err(tar_error(member, "data behind its end".to_owned())),
        }
    }
}

/// Names too long for a header, given by entries of their own ahead of it.
#[derive(Default)]
struct LongNames {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl LongNames {
    fn set_name(&mut self, member: &str, raw: &mut tar::Entry<'_, impl Read>) -> Result<(), ArchiveError> {
        let bytes = long_name(member, raw)?;
        set_once(member, &mut self.name, bytes)
    }

    fn set_target(&mut self, member: &str, raw: &mut tar::Entry<'_, impl Read>) -> Result<(), ArchiveError> {
        let bytes = long_name(member, raw)?;
        set_once(member, &mut self.target, bytes)
    }
}

fn set_once(member: &str, slot: &mut Option<Vec<u8>>, bytes: Vec<u8>) -> Result<(), ArchiveError> {
    match slot.replace(bytes) {
        None => Ok(()),
        Some(_) => Err(tar_error(member, "two long names for one entry".to_owned())),
    }
}

fn long_name(member: &str, raw: &mut tar::Entry<'_, impl Read>) -> Result<Vec<u8>, ArchiveError> {
    let length = raw.header().entry_size().unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    if length <= LONGEST_NAME + 1 {
        raw.read_to_end(&mut bytes).map_err(|source| ArchiveError::Read { member: member.to_owned(), source })?;
    }
    if bytes.pop() != Some(0) || bytes.len() as u64 + 1 != length {
        return Err(tar_error(member, "a long name that is cut, too long or without its end".to_owned()));
    }
    Ok(bytes)
}

fn entry(member: &str, header: &tar::Header, long: LongNames) -> Result<Entry, ArchiveError> {
    let name = long.name.unwrap_or_else(|| header.path_bytes().into_owned());
    let name = text(member, name)?;
    let target = long.target.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
    let malformed = |_: io::Error| tar_error(member, format!("a malformed header for `{}`", name.escape_default()));
    let number = |value: io::Result<u64>, limit: u64| match value.map_err(malformed)? {
        value if value <= limit => Ok(value),
        _ => Err(tar_error(member, format!("a number out of range for `{}`", name.escape_default()))),
    };
    let kind = kind(member, &name, header.entry_type().as_byte(), target)?;
    let length = header.entry_size().map_err(malformed)?;
    if kind != EntryKind::File && length != 0 {
        return Err(tar_error(member, format!("content in `{}`, which is no file", name.escape_default())));
    }
    Ok(Entry {
        path: path(member, &name, &kind)?,
        mode: header.mode().map_err(malformed)? & 0o7777,
        uid: number(header.uid(), u64::from(u32::MAX - 1))? as u32,
        gid: number(header.gid(), u64::from(u32::MAX - 1))? as u32,
        mtime: number(header.mtime(), LATEST)? as i64,
        kind,
        length,
    })
}

fn kind(member: &str, name: &str, flag: u8, target: Option<Vec<u8>>) -> Result<EntryKind, ArchiveError> {
    let refuse = |what: &str| Err(tar_error(member, format!("{what} at `{}`", name.escape_default())));
    let target = || text(member, target.unwrap_or_default());
    match flag {
        // The oldest archives have no mark for folders but a slash at the end of the name.
        b'0' | b'\0' if name.ends_with('/') => Ok(EntryKind::Directory),
        b'0' | b'\0' | b'7' => Ok(EntryKind::File),
        b'5' => Ok(EntryKind::Directory),
        b'1' => {
            let target = target()?;
            Ok(EntryKind::HardLink(merged(member, &target)?))
        }
        b'2' => match target()? {
            target if target.is_empty() || target.chars().any(char::is_control) => refuse("an unsafe link target"),
            target => Ok(EntryKind::Symlink(target)),
        },
        b'3' | b'4' => refuse("a device node"),
        b'6' => refuse("a named pipe"),
        b'S' => refuse("a sparse file"),
        b'x' | b'g' | b'X' => refuse("a pax header, which dpkg refuses as well,"),
        flag => refuse(&format!("an entry of type `{}`", flag.escape_ascii())),
    }
}

/// Returns where an entry lies in the merged tree, or `None` for the root, which can only be a folder.
fn path(member: &str, name: &str, kind: &EntryKind) -> Result<Option<TreePath>, ArchiveError> {
    let is_root = !name.is_empty() && name.split('/').all(|part| matches!(part, "" | "."));
    if is_root && *kind == EntryKind::Directory {
        return Ok(None);
    }
    let path = merged(member, name)?;
    if path.file_name().starts_with(".wh.") {
        // In a layer this name would delete files of the layers below.
        return Err(tar_error(member, format!("a whiteout at `{path}`")));
    }
    Ok(Some(path))
}

/// Normalises a path of the archive and moves it to its place in the merged tree.
fn merged(member: &str, name: &str) -> Result<TreePath, ArchiveError> {
    let unsafe_path = |source| ArchiveError::Path { member: member.to_owned(), source };
    if name.starts_with('/') {
        return Err(tar_error(member, format!("the absolute path `{}`", name.escape_default())));
    }
    let path = TreePath::new(name).map_err(unsafe_path)?;
    TreePath::new(&usrmerge::canonical(path.as_str())).map_err(unsafe_path)
}

fn text(member: &str, bytes: Vec<u8>) -> Result<String, ArchiveError> {
    String::from_utf8(bytes).map_err(|error| {
        tar_error(member, format!("the name `{}`, which is not UTF-8", error.as_bytes().escape_ascii()))
    })
}

/// Returns the error that `member` has `problem`.
pub(super) fn tar_error(member: &str, problem: String) -> ArchiveError {
    ArchiveError::Tar { member: member.to_owned(), problem }
}

struct Counted<R> {
    inner: R,
    length: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.length += read as u64;
        Ok(read)
    }
}
