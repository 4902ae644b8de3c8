//! Gzip by many threads with one thread's bytes: fixed blocks of 1 MiB, each with the 32 KiB before it as dictionary,
//! joined into one deflate stream of a single member, as pigz does. RFC 1951, RFC 1952.
//!
//! The compressor's output depends on how its input is cut into calls, so every block is fed whole, in one call.

use std::io::{self, Write};
use std::panic::resume_unwind;
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

const BLOCK: usize = 1 << 20;
const DICTIONARY: usize = 32 << 10;
/// Bytes that are compressed together: enough blocks to keep many threads busy.
const BATCH: usize = 16 * BLOCK;
/// No flags, no time, no file name, unknown operating system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The final, empty deflate block.
const END: [u8; 2] = [3, 0];

/// Compresses what is written to it, on threads of its own: on a shared pool, a thread that waits could begin another
/// layer, and hold the buffers of both.
#[derive(Debug)]
pub(super) struct GzipWriter<W> {
    out: W,
    threads: usize,
    /// The dictionary of the first waiting block, then the bytes that wait.
    window: Vec<u8>,
    history: usize,
    crc: Crc,
}

impl<W: Write> GzipWriter<W> {
    /// Starts a stream in `out` that `threads` threads compress.
    pub(super) fn new(mut out: W, threads: usize) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        let window = Vec::with_capacity(DICTIONARY + BATCH);
        Ok(Self { out, threads: threads.max(1), window, history: 0, crc: Crc::new() })
    }

    /// Ends the stream and returns the inner writer.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.drain()?;
        self.out.write_all(&END)?;
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        // The length modulo 2^32, as the format has it.
        self.out.write_all(&self.crc.amount().to_le_bytes())?;
        Ok(self.out)
    }

    fn drain(&mut self) -> io::Result<()> {
        for block in self.compress()? {
            self.out.write_all(&block)?;
        }
        self.window.drain(..self.window.len().saturating_sub(DICTIONARY));
        self.history = self.window.len();
        Ok(())
    }

    /// Returns the waiting blocks, compressed, in order.
    fn compress(&self) -> io::Result<Vec<Vec<u8>>> {
        let window = &self.window;
        let starts: Vec<usize> = (self.history..window.len()).step_by(BLOCK).collect();
        let compress = |&start: &usize| {
            let end = (start + BLOCK).min(window.len());
            deflate(&window[start.saturating_sub(DICTIONARY)..start], &window[start..end])
        };
        let share = starts.len().div_ceil(self.threads).max(1);
        let shares: io::Result<Vec<Vec<_>>> = thread::scope(|scope| {
            let shares = starts.chunks(share).map(|starts| scope.spawn(move || starts.iter().map(compress).collect()));
            let threads: Vec<_> = shares.collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        Ok(shares?.into_iter().flatten().collect())
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let taken = buffer.len().min(self.history + BATCH - self.window.len());
        self.window.extend_from_slice(&buffer[..taken]);
        self.crc.update(&buffer[..taken]);
        if self.window.len() == self.history + BATCH {
            self.drain()?;
        }
        Ok(taken)
    }

    /// Does nothing: a flush would cut blocks where the caller happens to be.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn deflate(dictionary: &[u8], block: &[u8]) -> io::Result<Vec<u8>> {
    let mut compress = Compress::new(Compression::new(6), false);
    if !dictionary.is_empty() {
        compress.set_dictionary(dictionary)?;
    }
    // Room for the worst case, so that one call takes the whole block.
    let mut out = Vec::with_capacity(block.len() + block.len() / 8 + 1024);
    let status = compress.compress_vec(block, &mut out, FlushCompress::Sync)?;
    debug_assert_eq!((status, compress.total_in()), (Status::Ok, block.len() as u64));
    Ok(out)
}
