//! How layers are packed, and the codecs behind it, set so that the bytes depend on the input alone.
//!
//! Neither the number of threads nor the sizes of the writes reach the output. The codecs' versions are pinned, and
//! golden digests in the tests guard them: when one changes, [`super::FORMAT`] is raised.

use std::fmt;
use std::io::{self, BufWriter, Read, Write};
use std::str::FromStr;

use oci_spec::image::MediaType;
use serde::{Deserialize, Serialize};

use super::gzip::GzipWriter;

/// The zstd level: 4 times as fast as gzip, and smaller.
const ZSTD_LEVEL: i32 = 3;
/// Each worker holds some megabytes, and several layers are packed at the same time.
const MAX_WORKERS: usize = 4;
/// Docker's own name of [`MediaType::ImageLayerGzip`].
const DOCKER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// How a layer's archive is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Zstandard, level 3.
    #[default]
    Zstd,
    /// Gzip, level 6, for engines and registries from before 2021.
    Gzip,
    /// As it is: for contents that do not shrink.
    None,
}

/// The text names no compression.
#[derive(Debug, thiserror::Error)]
#[error("unknown compression `{0}`: expected zstd, gzip or none")]
pub struct ParseCompressionError(String);

impl Compression {
    /// Every compression.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Gzip, Self::None];

    /// Returns the media type of a layer packed this way.
    pub fn media_type(self) -> MediaType {
        match self {
            Self::Zstd => MediaType::ImageLayerZstd,
            Self::Gzip => MediaType::ImageLayerGzip,
            Self::None => MediaType::ImageLayer,
        }
    }

    /// Returns how a layer of that media type is packed, or `None` where it is not the type of a layer.
    pub fn of_media_type(media_type: &MediaType) -> Option<Self> {
        match media_type {
            MediaType::Other(name) if name == DOCKER_GZIP => Some(Self::Gzip),
            _ => Self::ALL.into_iter().find(|compression| compression.media_type() == *media_type),
        }
    }

    /// Returns a reader of what `packed` holds. Its end and its length are the caller's to check.
    pub fn unpack<'a>(self, packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(packed)?),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
            Self::None => Box::new(packed),
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::None => "none",
        })
    }
}

impl FromStr for Compression {
    type Err = ParseCompressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|compression| compression.to_string() == text)
            .ok_or_else(|| ParseCompressionError(text.to_owned()))
    }
}

/// Packs what is written to it.
pub(super) enum Encoder<W: Write> {
    Zstd(zstd::stream::write::Encoder<'static, W>),
    Gzip(GzipWriter<W>),
    None(BufWriter<W>),
}

impl<W: Write> Encoder<W> {
    /// Starts packing into `out`, with as many threads as the machine and the codec can use.
    pub(super) fn new(compression: Compression, out: W) -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_workers(compression, out, threads.min(MAX_WORKERS) as u32)
    }

    /// Starts packing with a number of workers: one at least, since zstd without workers gives other bytes.
    fn with_workers(compression: Compression, out: W, workers: u32) -> io::Result<Self> {
        Ok(match compression {
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                encoder.multithread(workers.max(1))?;
                Self::Zstd(encoder)
            }
            Compression::Gzip => Self::Gzip(GzipWriter::new(out, workers as usize)?),
            Compression::None => Self::None(BufWriter::with_capacity(1 << 18, out)),
        })
    }

    /// Ends the stream and returns the inner writer.
    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
            Self::None(writer) => writer.into_inner().map_err(io::IntoInnerError::into_error),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(encoder) => encoder.write(buffer),
            Self::Gzip(encoder) => encoder.write(buffer),
            Self::None(writer) => writer.write(buffer),
        }
    }

    /// Does nothing: a flush in the middle would change the packed bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    /// 21 MiB and a bit, compressible and not, without a pattern of the block size.
    fn sample() -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        (0..22_020_123_u32).map(|i| if i % 97 < 60 { (i / 251) as u8 } else { next() }).collect()
    }

    fn pack(compression: Compression, bytes: &[u8], workers: u32, write_size: usize) -> Vec<u8> {
        let mut encoder = Encoder::with_workers(compression, Vec::new(), workers).unwrap();
        for chunk in bytes.chunks(write_size) {
            encoder.write_all(chunk).unwrap();
            encoder.flush().unwrap();
        }
        encoder.finish().unwrap()
    }

    #[test]
    fn neither_threads_nor_write_sizes_change_the_bytes() {
        let sample = sample();
        for compression in Compression::ALL {
            let digests: Vec<_> = [(1, 512), (2, 1 << 18), (4, 70_001)]
                .map(|(workers, size)| Digest::of(&pack(compression, &sample, workers, size)))
                .to_vec();
            assert!(digests.iter().all(|digest| *digest == digests[0]), "{compression}: {digests:?}");
        }
    }

    #[test]
    fn what_was_packed_unpacks() {
        let sample = sample();
        for bytes in [&sample[..], &sample[..1 << 20], b"x", b""] {
            for compression in Compression::ALL {
                let packed = pack(compression, bytes, 2, 1 << 18);
                let mut unpacked = Vec::new();
                compression.unpack(&packed[..]).unwrap().read_to_end(&mut unpacked).unwrap();
                assert!(unpacked == bytes, "{compression}, {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn gzip_is_one_member_that_other_programs_read() {
        let packed = pack(Compression::Gzip, &sample(), 2, 1 << 18);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == sample());
        assert_eq!(&packed[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
    }

    #[test]
    fn names_survive_their_text() {
        for compression in Compression::ALL {
            assert_eq!(compression.to_string().parse::<Compression>().unwrap(), compression);
            assert_eq!(Compression::of_media_type(&compression.media_type()), Some(compression));
        }
        assert!("lz4".parse::<Compression>().is_err());
    }
}
