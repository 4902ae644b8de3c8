//! The files of Swagger UI (Apache-2.0), from the archive that its crate embeds.
//!
//! They are taken out of the archive when the server is compiled, so that the rest of it does not reach the program. Its members are
//! deflated already and become gzip: the same data between a header and a trailer (RFC 1952). Nothing is inflated here.

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

const STYLE: Member = find(SWAGGER_UI_VENDORED, b"/dist/swagger-ui.css");
const SCRIPT: Member = find(SWAGGER_UI_VENDORED, b"/dist/swagger-ui-bundle.js");
static STYLE_GZIP: [u8; STYLE.gzip_length()] = STYLE.gzip(SWAGGER_UI_VENDORED);
static SCRIPT_GZIP: [u8; SCRIPT.gzip_length()] = SCRIPT.gzip(SWAGGER_UI_VENDORED);

/// The files by name, as gzip, with their media types.
pub(super) static ASSETS: [(&str, &[u8], &str); 2] =
    [("swagger-ui.css", &STYLE_GZIP, super::STYLE), ("swagger-ui-bundle.js", &SCRIPT_GZIP, super::SCRIPT)];

/// Deflate, no flags, no time, no hint, system unknown.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// The checksum and the length before compression.
const TRAILER_LENGTH: usize = 8;

/// A deflated member of a ZIP archive.
struct Member {
    /// Where its entry in the central directory is.
    entry: usize,
    /// Where its data is.
    data: usize,
    length: usize,
}

impl Member {
    const fn gzip_length(&self) -> usize {
        HEADER.len() + self.length + TRAILER_LENGTH
    }

    const fn gzip<const LENGTH: usize>(&self, archive: &[u8]) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let (header, rest) = bytes.split_at_mut(HEADER.len());
        let (data, trailer) = rest.split_at_mut(self.length);
        header.copy_from_slice(&HEADER);
        data.copy_from_slice(archive.split_at(self.data).1.split_at(self.length).0);
        // Checksum, compressed length, length: the second is not wanted.
        let (checksum, length) = trailer.split_at_mut(4);
        checksum.copy_from_slice(archive.split_at(self.entry + 16).1.split_at(4).0);
        length.copy_from_slice(archive.split_at(self.entry + 24).1.split_at(4).0);
        bytes
    }
}

/// Finds the deflated member whose name ends in `suffix`, through the archive's central directory (APPNOTE 4.3). The folder in the
/// archive starts with the version. An archive without it does not compile.
const fn find(archive: &[u8], suffix: &[u8]) -> Member {
    let mut end = archive.len() - 4;
    while number(archive, end, 4) != 0x0605_4b50 {
        end -= 1;
    }
    let mut entry = number(archive, end + 16, 4);
    while number(archive, entry, 4) == 0x0201_4b50 {
        let name_length = number(archive, entry + 28, 2);
        if ends_with(archive, entry + 46 + name_length, suffix) && number(archive, entry + 10, 2) == 8 {
            let start = number(archive, entry + 42, 4);
            let data = start + 30 + number(archive, start + 26, 2) + number(archive, start + 28, 2);
            return Member { entry, data, length: number(archive, entry + 20, 4) };
        }
        entry += 46 + name_length + number(archive, entry + 30, 2) + number(archive, entry + 32, 2);
    }
    panic!("the archive has no such file");
}

/// Returns whether the bytes before `end` are these.
const fn ends_with(archive: &[u8], end: usize, suffix: &[u8]) -> bool {
    let mut at = 0;
    while at < suffix.len() && archive[end - 1 - at] == suffix[suffix.len() - 1 - at] {
        at += 1;
    }
    at == suffix.len()
}

/// Reads a number, the least byte first.
const fn number(archive: &[u8], at: usize, length: usize) -> usize {
    let (mut number, mut byte) = (0, length);
    while byte > 0 {
        byte -= 1;
        number = number << 8 | archive[at + byte] as usize;
    }
    number
}
