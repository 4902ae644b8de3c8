//! The compressions that deb(5) allows, with a limit on what comes out.
//!
//! What an index says about installed sizes is no limit: it is as hostile as the package.

use std::io::{self, BufRead, Read};

use super::ar::Member;
use super::error::ArchiveError;

/// No package unpacks to more.
const MAXIMUM: u64 = 8 << 30;
/// Real packages stay far below this many bytes for each packed one.
const RATIO: u64 = 1000;
/// Small members may expand further: a megabyte of zeros packs to nothing.
const MINIMUM: u64 = 64 << 20;
/// What dpkg's strongest presets need to unpack is 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// Returns the most bytes that so many packed ones may expand to.
fn limit(packed: u64) -> u64 {
    packed.saturating_mul(RATIO).clamp(MINIMUM, MAXIMUM)
}

/// Returns a reader of `plain` that fails after the most bytes which so many packed ones may expand to.
pub fn limited<R: Read>(plain: R, packed: u64) -> impl Read {
    Limited { inner: plain, remaining: limit(packed) }
}

/// Returns a reader of the member's plain bytes; `packed` gives its packed ones, and the name's ending the compression.
///
/// All of `packed` must belong to the compressed stream, and at most [`limit`] bytes come out; else a read fails.
pub fn reader<'a>(member: &Member, packed: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>, ArchiveError> {
    let stem_end = member.name.find(".tar").map_or(0, |start| start + ".tar".len());
    let plain: Box<dyn Read> = match &member.name[stem_end..] {
        "" => Box::new(packed),
        ".gz" => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        ".xz" => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)
                .map_err(|error| read_error(member, error.into()))?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
        }
        ".zst" => Box::new(zstd::Decoder::with_buffer(packed).map_err(|error| read_error(member, error))?),
        _ => return Err(ArchiveError::Container(format!("the compression of `{}` is unknown", member.name))),
    };
    Ok(Box::new(limited(plain, member.length)))
}

fn read_error(member: &Member, source: io::Error) -> ArchiveError {
    ArchiveError::Read { member: member.name.clone(), source }
}

/// Fails, in place of ending, when more than the allowed bytes come.
struct Limited<R> {
    inner: R,
    remaining: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.remaining = self
            .remaining
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, "it expands to more than it may"))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(name: &str, packed: &[u8]) -> Result<u64, String> {
        let member = Member { name: name.into(), offset: 0, length: packed.len() as u64 };
        let mut plain = reader(&member, packed).map_err(|error| error.to_string())?;
        io::copy(&mut plain, &mut io::sink()).map_err(|error| error.to_string())
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        liblzma::encode_all(bytes, 0).unwrap()
    }

    fn zst(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).unwrap()
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        flate2::bufread::GzEncoder::new(bytes, flate2::Compression::best()).read_to_end(&mut packed).unwrap();
        packed
    }

    #[test]
    fn each_compression_of_deb_5_is_read() {
        let bytes = b"some bytes".repeat(100);
        for (name, packed) in [
            ("data.tar", bytes.clone()),
            ("data.tar.xz", xz(&bytes)),
            ("data.tar.zst", zst(&bytes)),
            ("data.tar.gz", gz(&bytes)),
        ] {
            assert_eq!(expand(name, &packed), Ok(1000), "{name}");
        }
        assert!(expand("data.tar.lzma", &bytes).is_err());
        assert!(expand("data.tar.xz", &zst(&bytes)).is_err());
    }

    #[test]
    fn a_bomb_is_stopped() {
        let zeros = vec![0; MINIMUM as usize + 1];
        for (name, packed) in [("data.tar.xz", xz(&zeros)), ("data.tar.zst", zst(&zeros)), ("data.tar.gz", gz(&zeros))]
        {
            assert!(expand(name, &packed).unwrap_err().contains("more than it may"), "{name}");
        }
        assert_eq!((limit(0), limit(u64::MAX)), (MINIMUM, MAXIMUM));
    }

    #[test]
    fn a_stream_that_wants_gigabytes_of_memory_is_refused() {
        // A frame of zstd whose window is 2 GiB, and the first block of which is still to come.
        let window = [&b"\x28\xb5\x2f\xfd"[..], &[0x00, 0xa8], &[0x09, 0x00, 0x00, b'x']].concat();
        assert!(expand("data.tar.zst", &window).unwrap_err().contains("too much memory"));
        let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
        options.dict_size(1 << 30);
        let mut filters = liblzma::stream::Filters::new();
        filters.lzma2(&options);
        let stream = liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc64).unwrap();
        let mut packed = Vec::new();
        liblzma::bufread::XzEncoder::new_stream(&b"x"[..], stream).read_to_end(&mut packed).unwrap();
        assert!(expand("data.tar.xz", &packed).is_err());
    }

    #[test]
    fn a_stream_without_its_end_or_with_something_behind_it_is_refused() {
        let bytes = b"some bytes".repeat(100);
        for (name, packed) in [("data.tar.xz", xz(&bytes)), ("data.tar.zst", zst(&bytes)), ("data.tar.gz", gz(&bytes))]
        {
            assert!(expand(name, &packed[..packed.len() - 1]).is_err(), "{name} cut");
            assert!(expand(name, &[&packed[..], b"trailing"].concat()).is_err(), "{name} with more");
            // A stream in four parts is one stream; empty frames without end give nothing, and end with the member.
            assert_eq!(expand(name, &packed.repeat(4)), Ok(4000), "{name} repeated");
        }
        assert_eq!(expand("data.tar.zst", &zst(b"").repeat(10_000)), Ok(0));
    }
}
