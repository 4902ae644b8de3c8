//! Bounded, checked reads of an ELF file's bytes, so that a huge object is never read whole and a hostile one never
//! makes the reader panic or use much memory.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// How many bytes may be read of one object in all: many times what the largest ones need.
const BUDGET: u64 = 8 << 20;

/// The lengths tried in turn when a string is read; none may be longer than the last.
const STRING_LENGTHS: [u64; 3] = [64, 1024, 65_536];

/// Where an object's bytes are.
#[derive(Debug)]
pub(super) enum Bytes<'a> {
    /// In memory.
    Memory(&'a [u8]),
    /// In a part of a file.
    File {
        /// The open file.
        file: &'a File,
        /// The position of the object's first byte.
        offset: u64,
        /// The number of the object's bytes.
        length: u64,
    },
}

impl Bytes<'_> {
    /// Returns the number of bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// Returns a range of the bytes; `UnexpectedEof` where they do not have it.
    fn range(&self, start: u64, length: u64) -> io::Result<Vec<u8>> {
        let end = start.checked_add(length).filter(|end| *end <= self.length()).ok_or(io::ErrorKind::UnexpectedEof)?;
        match self {
            Self::Memory(bytes) => Ok(bytes[start as usize..end as usize].to_vec()),
            Self::File { file, offset, .. } => {
                let mut buffer = vec![0; length as usize];
                file.read_exact_at(&mut buffer, offset + start)?;
                Ok(buffer)
            }
        }
    }
}

/// Reads an object's bytes within [`BUDGET`].
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: Bytes<'a>,
    budget: Cell<u64>,
}

/// The error of an object that breaks its format.
pub(super) fn damaged() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

impl<'a> Reader<'a> {
    /// Reads `bytes`.
    pub(super) fn new(bytes: Bytes<'a>) -> Self {
        Self { bytes, budget: Cell::new(BUDGET) }
    }

    /// Returns a range of the object's bytes.
    pub(super) fn range(&self, start: u64, length: u64) -> io::Result<Vec<u8>> {
        let left = self.budget.get().checked_sub(length.max(1)).ok_or_else(damaged)?;
        self.budget.set(left);
        self.bytes.range(start, length)
    }

    /// Returns the string at `start`, which ends with NUL and must be text without control characters.
    pub(super) fn string(&self, start: u64) -> io::Result<String> {
        let available = self.bytes.length().saturating_sub(start);
        for length in STRING_LENGTHS {
            let mut bytes = self.range(start, length.min(available))?;
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                bytes.truncate(end);
                let text = String::from_utf8(bytes).map_err(|_| damaged())?;
                return if text.chars().any(char::is_control) { Err(damaged()) } else { Ok(text) };
            }
        }
        Err(damaged())
    }
}

/// Returns the little-endian number at `offset`, where `bytes` are long enough.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> io::Result<u16> {
    number(bytes, offset).map(u16::from_le_bytes)
}

/// Returns the little-endian number at `offset`, where `bytes` are long enough.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> io::Result<u32> {
    number(bytes, offset).map(u32::from_le_bytes)
}

/// Returns the little-endian number at `offset`, where `bytes` are long enough.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> io::Result<u64> {
    number(bytes, offset).map(u64::from_le_bytes)
}

fn number<const N: usize>(bytes: &[u8], offset: usize) -> io::Result<[u8; N]> {
    bytes.get(offset..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or_else(damaged)
}
