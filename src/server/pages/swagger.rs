//! The files of Swagger UI (Apache-2.0), from the archive that its crate embeds.
//!
//! The archive's members are deflated already. They are sent as gzip: the same data between a gzip header and a trailer
//! (RFC 1952), so that nothing needs to be inflated here.

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

/// The files by name, with their media types. The folder in the archive starts with the version; members are found by how their
/// names end.
pub(super) const ASSETS: [(&str, &str); 2] =
    [("swagger-ui.css", super::STYLE), ("swagger-ui-bundle.js", super::SCRIPT)];

/// Returns one of the files, as gzip.
pub(super) fn gzip(name: &str) -> Vec<u8> {
    member(SWAGGER_UI_VENDORED, &format!("/dist/{name}")).map(Member::gzip).unwrap_or_default()
}

/// A deflated member of a ZIP archive.
struct Member<'a> {
    deflated: &'a [u8],
    crc: [u8; 4],
    size: [u8; 4],
}

impl Member<'_> {
    fn gzip(self) -> Vec<u8> {
        // Deflate, no flags, no time, no hint, system unknown.
        const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        [&HEADER, self.deflated, &self.crc, &self.size].concat()
    }
}

/// Finds the first deflated member whose name ends in `suffix`, through the archive's central directory (APPNOTE 4.3).
fn member<'a>(archive: &'a [u8], suffix: &str) -> Option<Member<'a>> {
    let end = archive.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let mut at = number(archive, end + 16, 4)?;
    while archive.get(at..at + 4)? == b"PK\x01\x02" {
        let name_length = number(archive, at + 28, 2)?;
        let name = archive.get(at + 46..at + 46 + name_length)?;
        if name.ends_with(suffix.as_bytes()) && number(archive, at + 10, 2)? == 8 {
            let start = number(archive, at + 42, 4)?;
            let data = start + 30 + number(archive, start + 26, 2)? + number(archive, start + 28, 2)?;
            let deflated = archive.get(data..data + number(archive, at + 20, 4)?)?;
            let field = |offset: usize| archive.get(at + offset..at + offset + 4)?.try_into().ok();
            return Some(Member { deflated, crc: field(16)?, size: field(24)? });
        }
        at += 46 + name_length + number(archive, at + 30, 2)? + number(archive, at + 32, 2)?;
    }
    None
}

fn number(archive: &[u8], at: usize, length: usize) -> Option<usize> {
    let bytes = archive.get(at..at + length)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_is_in_the_archive() {
        for (name, _) in ASSETS {
            let member = member(SWAGGER_UI_VENDORED, &format!("/dist/{name}")).expect(name);
            assert!(member.deflated.len() > 10_000, "{name}");
        }
    }

    #[test]
    fn a_broken_archive_has_no_members() {
        assert!(member(b"PK\x05\x06", "x").is_none());
        assert!(member(&[b"PK\x05\x06".as_slice(), &[255; 18]].concat(), "x").is_none());
    }
}
