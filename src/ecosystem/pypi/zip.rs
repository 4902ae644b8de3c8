//! A strict reader of zip archives, for wheels.
//!
//! Different readers see different files in a malformed archive: by the central directory, by the local headers, by the
//! first or the last end record. This one accepts only archives in which all agree: one end record at the very end, a
//! central directory right before it, entries side by side from the first byte, each local header equal to its central
//! one. (The `zip` crate keeps entries by name, so that duplicates vanish, and does not look at most of the above.)
//! Supported are stored and deflated entries up to 4 GiB; encryption, links, several disks and larger archives are not.

mod reader;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;

pub(super) use reader::EntryReader;

const MAX_ENTRIES: usize = 60_000;
/// More than this many bytes for one packed byte, over the whole archive, is an attack.
const MAX_RATIO: u64 = 200;
const RATIO_FREE: u64 = 64 << 20;

const END_LENGTH: u64 = 22;
const CENTRAL_LENGTH: usize = 46;
const LOCAL_LENGTH: usize = 30;

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    /// Reading failed.
    #[error("the archive cannot be read")]
    Read(#[from] io::Error),
    /// The archive as a whole is wrong.
    #[error("the archive is malformed: {0}")]
    Malformed(&'static str),
    /// One entry is wrong.
    #[error("entry `{}` is refused: {problem}", name.escape_debug())]
    Entry {
        /// The entry's name as far as it is readable.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// A file of the archive.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The path: relative, normal, UTF-8.
    pub(super) name: String,
    /// The number of unpacked bytes.
    pub(super) size: u64,
    /// Whether some execute permission is set.
    pub(super) executable: bool,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    header: u64,
    data: u64,
    directory: bool,
}

/// An archive whose structure was checked as a whole.
#[derive(Debug)]
pub(super) struct Archive {
    file: File,
    entries: Vec<Entry>,
}

impl Archive {
    /// Reads and checks the structure; no entry is unpacked yet.
    pub(super) fn open(file: File) -> Result<Self, ZipError> {
        let length = file.metadata()?.len();
        let (central, count) = read_end(&file, length)?;
        let mut entries = read_central(&central.bytes, count)?;
        entries.sort_by_key(|entry| entry.header);
        let mut position = 0;
        for entry in &mut entries {
            position = check_local(&file, entry, position, central.start)?;
        }
        if position != central.start {
            return Err(ZipError::Malformed("there are bytes that belong to no entry"));
        }
        let unpacked: u64 = entries.iter().map(|entry| entry.size).sum();
        if unpacked > length.saturating_mul(MAX_RATIO).saturating_add(RATIO_FREE) {
            return Err(ZipError::Malformed("it claims to unpack to far more than its size"));
        }
        check_names(&entries)?;
        entries.retain(|entry| !entry.directory);
        entries.sort_by(|first, second| first.name.cmp(&second.name));
        Ok(Self { file, entries })
    }

    /// Returns the files, in order of name.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Finds a file by name.
    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        let index = self.entries.binary_search_by(|entry| entry.name.as_str().cmp(name)).ok()?;
        Some(&self.entries[index])
    }

    /// Opens a file; reading to its end fails unless length and checksum are right.
    pub(super) fn reader(&self, entry: &Entry) -> io::Result<EntryReader> {
        EntryReader::new(&self.file, entry)
    }

    /// Reads a whole file of at most `limit` bytes.
    pub(super) fn read(&self, entry: &Entry, limit: u64) -> Result<Vec<u8>, ZipError> {
        if entry.size > limit {
            return Err(entry.refuse("it is larger than such a file may be"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(entry.size).unwrap_or(0));
        self.reader(entry)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Entry {
    pub(super) fn refuse(&self, problem: &'static str) -> ZipError {
        ZipError::Entry { name: self.name.clone(), problem }
    }
}

struct Central {
    start: u64,
    bytes: Vec<u8>,
}

/// Finds the end record at the very end of the file, and reads the central directory before it.
fn read_end(file: &File, length: u64) -> Result<(Central, usize), ZipError> {
    let start = length.checked_sub(END_LENGTH).ok_or(ZipError::Malformed("it is too short"))?;
    let mut end = [0; END_LENGTH as usize];
    file.read_exact_at(&mut end, start)?;
    if &end[..4] != b"PK\x05\x06" {
        return Err(ZipError::Malformed("it does not end with an end record without a comment"));
    }
    let count = u16_at(&end, 10);
    let (size, offset) = (u64::from(u32_at(&end, 12)), u64::from(u32_at(&end, 16)));
    if u32_at(&end, 4) != 0 || u16_at(&end, 8) != count || u16_at(&end, 20) != 0 {
        return Err(ZipError::Malformed("its end record names several disks or a comment"));
    }
    if offset + size != start || usize::from(count) > MAX_ENTRIES {
        return Err(ZipError::Malformed("its central directory is not where the end record says, or too large"));
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| ZipError::Malformed("it is too large"))?];
    file.read_exact_at(&mut bytes, offset)?;
    Ok((Central { start: offset, bytes }, usize::from(count)))
}

fn read_central(mut bytes: &[u8], count: usize) -> Result<Vec<Entry>, ZipError> {
    let short = || ZipError::Malformed("its central directory is cut off or has something else in it");
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let (head, rest) = bytes.split_at_checked(CENTRAL_LENGTH).ok_or_else(short)?;
        if &head[..4] != b"PK\x01\x02" || u16_at(head, 34) != 0 {
            return Err(short());
        }
        let lengths = [28, 30, 32].map(|at| usize::from(u16_at(head, at)));
        let (name, rest) = rest.split_at_checked(lengths[0]).ok_or_else(short)?;
        let (extra, rest) = rest.split_at_checked(lengths[1]).ok_or_else(short)?;
        let (_comment, rest) = rest.split_at_checked(lengths[2]).ok_or_else(short)?;
        entries.push(central_entry(head, name, extra)?);
        bytes = rest;
    }
    if bytes.is_empty() { Ok(entries) } else { Err(short()) }
}

fn central_entry(head: &[u8], name: &[u8], extra: &[u8]) -> Result<Entry, ZipError> {
    let shown = String::from_utf8_lossy(name).into_owned();
    let refuse = |problem| ZipError::Entry { name: shown.clone(), problem };
    let (directory, mode) = (name.ends_with(b"/"), u32_at(head, 38) >> 16);
    let entry = Entry {
        name: String::from_utf8(name.to_vec()).map_err(|_| refuse("its name is not UTF-8"))?,
        flags: u16_at(head, 8),
        method: u16_at(head, 10),
        crc: u32_at(head, 16),
        packed: u64::from(u32_at(head, 20)),
        size: u64::from(u32_at(head, 24)),
        header: u64::from(u32_at(head, 42)),
        executable: mode & 0o111 != 0,
        data: 0,
        directory,
    };
    // Bit 3: sizes follow the data; bit 11: the name is UTF-8; bits 1 and 2: how hard the compressor tried.
    if entry.flags & !0b1000_0000_1110 != 0 {
        return Err(refuse("it is encrypted or patched"));
    }
    if !matches!(entry.method, 0 | 8) {
        return Err(refuse("its compression method is not supported"));
    }
    let expected_kind = if directory { 0o040_000 } else { 0o100_000 };
    if mode & 0o170_000 != 0 && mode & 0o170_000 != expected_kind {
        return Err(refuse("it is neither a regular file nor a folder"));
    }
    if entry.packed == 0xffff_ffff || entry.size == 0xffff_ffff || entry.header == 0xffff_ffff {
        return Err(refuse("it is larger than 4 GiB"));
    }
    if directory && entry.size != 0 || entry.method == 0 && entry.size != entry.packed {
        return Err(refuse("its sizes contradict each other"));
    }
    if fields(extra).ok_or_else(|| refuse("its extra fields are cut off"))?.any(|(id, _)| id == 0x7075) {
        return Err(refuse("it has a second name"));
    }
    Ok(entry)
}

/// Compares the local header with the central one, and returns where the entry ends.
fn check_local(file: &File, entry: &mut Entry, start: u64, limit: u64) -> Result<u64, ZipError> {
    if entry.header != start {
        return Err(entry.refuse("it overlaps another one, or leaves a gap"));
    }
    let mut head = [0; LOCAL_LENGTH];
    file.read_exact_at(&mut head, start)?;
    let lengths = [26, 28].map(|at| usize::from(u16_at(&head, at)));
    let mut rest = vec![0; lengths[0] + lengths[1]];
    file.read_exact_at(&mut rest, start + LOCAL_LENGTH as u64)?;
    let (name, extra) = rest.split_at(lengths[0]);
    let known = (u32_at(&head, 14), local_sizes(&head, extra).ok_or_else(|| entry.refuse("its sizes are cut off"))?);
    let expected = (entry.crc, (entry.packed, entry.size));
    let streamed = entry.flags & 0b1000 != 0;
    let same = known == expected || streamed && known == (0, (0, 0));
    if &head[..4] != b"PK\x03\x04"
        || name != entry.name.as_bytes()
        || (u16_at(&head, 6), u16_at(&head, 8)) != (entry.flags, entry.method)
        || !same
    {
        return Err(entry.refuse("its local header differs from the central directory"));
    }
    entry.data = start + (LOCAL_LENGTH + rest.len()) as u64;
    let end = entry.data + entry.packed;
    let end = if streamed { end + descriptor_length(file, entry, end)? } else { end };
    if end > limit { Err(entry.refuse("it reaches into the central directory")) } else { Ok(end) }
}

/// Returns packed and unpacked size, from the zip64 field where the header refers to it.
fn local_sizes(head: &[u8], extra: &[u8]) -> Option<(u64, u64)> {
    let (packed, size) = (u32_at(head, 18), u32_at(head, 22));
    if packed != u32::MAX && size != u32::MAX {
        return Some((u64::from(packed), u64::from(size)));
    }
    let (_, field) = fields(extra)?.find(|(id, _)| *id == 1)?;
    let number = |bytes: &[u8]| Some(u64::from_le_bytes(bytes.try_into().ok()?));
    Some((number(field.get(8..16)?)?, number(field.get(..8)?)?))
}

/// Returns the length of the record after streamed data, which must repeat the central header's values.
fn descriptor_length(file: &File, entry: &Entry, start: u64) -> Result<u64, ZipError> {
    let crc = entry.crc.to_le_bytes();
    let narrow = [crc, (entry.packed as u32).to_le_bytes(), (entry.size as u32).to_le_bytes()].concat();
    let wide = [&crc[..], &entry.packed.to_le_bytes(), &entry.size.to_le_bytes()].concat();
    for record in [narrow, wide] {
        for expected in [[b"PK\x07\x08", &record[..]].concat(), record] {
            let mut found = vec![0; expected.len()];
            if file.read_exact_at(&mut found, start).is_ok() && found == expected {
                return Ok(expected.len() as u64);
            }
        }
    }
    Err(entry.refuse("the sizes after its data differ from the central directory"))
}

/// Splits extra fields into numbers and bytes; `None` where they do not fill their space.
fn fields(mut extra: &[u8]) -> Option<impl Iterator<Item = (u16, &[u8])>> {
    let mut found = Vec::new();
    while !extra.is_empty() {
        let (head, rest) = extra.split_at_checked(4)?;
        let (field, rest) = rest.split_at_checked(usize::from(u16_at(head, 2)))?;
        found.push((u16_at(head, 0), field));
        extra = rest;
    }
    Some(found.into_iter())
}

/// Refuses names that escape, that are not normal, that come twice, or that lie below a file.
fn check_names(entries: &[Entry]) -> Result<(), ZipError> {
    let mut files = std::collections::BTreeSet::new();
    let mut folders = std::collections::BTreeSet::new();
    for entry in entries {
        let name = entry.name.strip_suffix('/').unwrap_or(&entry.name);
        let component = |part: &str| {
            !matches!(part, "" | "." | "..")
                && !part.starts_with(".wh.")
                && !part.contains(|c: char| c.is_control() || c == '\\')
        };
        if !name.split('/').all(component) {
            return Err(entry.refuse("its name is not a plain relative path"));
        }
        if entry.directory {
            folders.insert(name);
        } else if !files.insert(name) {
            return Err(entry.refuse("it is there twice"));
        }
        for (end, _) in name.match_indices('/') {
            folders.insert(&name[..end]);
        }
    }
    match entries.iter().find(|entry| folders.contains(entry.name.as_str())) {
        Some(entry) => Err(entry.refuse("it is a file and a folder at once")),
        None => Ok(()),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
