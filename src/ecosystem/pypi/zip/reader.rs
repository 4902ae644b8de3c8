//! Reads the bytes of one entry, and checks them against its header at the end.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::Entry;

/// A part of a file, read by position.
struct Window {
    file: File,
    position: u64,
    remaining: u64,
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..limit], self.position)?;
        self.position += read as u64;
        self.remaining -= read as u64;
        Ok(read)
    }
}

/// An entry's bytes as they are read.
enum Body {
    Stored(BufReader<Window>),
    Deflated(DeflateDecoder<BufReader<Window>>),
}

/// Reads an entry's bytes, and checks them when it reaches the end.
pub(in crate::ecosystem::pypi) struct EntryReader {
    body: Body,
    entry: Entry,
    remaining: u64,
    crc: Crc,
}

impl EntryReader {
    pub(super) fn new(file: &File, entry: &Entry) -> io::Result<Self> {
        // Clones of a file share their position: the data is read by explicit offsets instead.
        let window = Window { file: file.try_clone()?, position: entry.data, remaining: entry.packed };
        let packed = BufReader::with_capacity(1 << 16, window);
        let body = if entry.method == 0 { Body::Stored(packed) } else { Body::Deflated(DeflateDecoder::new(packed)) };
        Ok(Self { body, entry: entry.clone(), remaining: entry.size, crc: Crc::new() })
    }

    fn read_body(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.body {
            Body::Stored(bytes) => bytes.read(buffer),
            Body::Deflated(bytes) => bytes.read(buffer),
        }
    }

    fn check_end(&mut self) -> io::Result<()> {
        let wrong = |problem| Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        if self.read_body(&mut [0])? != 0 {
            return wrong("an entry is longer than its header says");
        }
        if matches!(&self.body, Body::Deflated(bytes) if bytes.total_in() != self.entry.packed) {
            return wrong("an entry has bytes after the end of its data");
        }
        if self.crc.sum() != self.entry.crc {
            return wrong("an entry has another checksum than its header says");
        }
        Ok(())
    }
}

impl Read for EntryReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.remaining == 0 {
            self.check_end()?;
            return Ok(0);
        }
        let limit = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.read_body(&mut buffer[..limit])?;
        if read == 0 && limit > 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an entry is shorter than its header says"));
        }
        self.crc.update(&buffer[..read]);
        self.remaining -= read as u64;
        Ok(read)
    }
}
