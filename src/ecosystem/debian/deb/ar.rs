//! The `ar` container of a .deb, as deb(5) describes it and no wider.
//!
//! Exactly three members in this order: `debian-binary`, `control.tar*`, `data.tar*`. dpkg and apt read more than that,
//! and differ from each other in what they make of it; no package of the archive needs it.

use std::io::{Read, Seek, SeekFrom};

use super::error::ArchiveError;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: u64 = 60;

/// A member of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, such as `data.tar.xz`.
    pub name: String,
    /// The position of its first byte in the file.
    pub offset: u64,
    /// The number of its bytes.
    pub length: u64,
}

/// The two archives in a .deb.
#[derive(Clone, Debug)]
pub struct Members {
    /// `control.tar*`: the control file and the maintainer scripts.
    pub control: Member,
    /// `data.tar*`: the files.
    pub data: Member,
}

/// Reads the members of a .deb that is `length` bytes long.
pub fn members<F: Read + Seek>(file: &mut F, length: u64) -> Result<Members, ArchiveError> {
    let mut magic = [0; 8];
    read(file, &mut magic)?;
    if &magic != MAGIC {
        return Err(wrong("it does not begin as an ar archive"));
    }
    let mut position = MAGIC.len() as u64;
    let format = next(file, &mut position, length)?;
    expect(format.name == "debian-binary", || format!("`{}` stands in place of `debian-binary`", format.name))?;
    check_format(file, &format)?;
    let control = next(file, &mut position, length)?;
    expect(is_archive(&control, "control.tar"), || format!("`{}` stands in place of `control.tar`", control.name))?;
    let data = next(file, &mut position, length)?;
    expect(is_archive(&data, "data.tar"), || format!("`{}` stands in place of `data.tar`", data.name))?;
    expect(position == length, || format!("{} bytes follow `{}`", length - position, data.name))?;
    Ok(Members { control, data })
}

/// Reads the member at `position`, which then stands behind its padding.
fn next<F: Read + Seek>(file: &mut F, position: &mut u64, length: u64) -> Result<Member, ArchiveError> {
    expect(length.saturating_sub(*position) >= HEADER, || format!("it ends within a header, at byte {position}"))?;
    file.seek(SeekFrom::Start(*position)).map_err(read_error)?;
    let mut header = [0; HEADER as usize];
    read(file, &mut header)?;
    expect(header[58..] == *b"`\n", || format!("the header at byte {position} has no end mark"))?;
    let name =
        std::str::from_utf8(&header[..16]).map_err(|_| wrong("a member's name is not text"))?.trim_end_matches(' ');
    let name = name.strip_suffix('/').unwrap_or(name).to_owned();
    let size = number(&header[48..58])
        .ok_or_else(|| wrong(&format!("the size of `{}` is no number", name.escape_default())))?;
    let offset = *position + HEADER;
    let end = offset + size;
    expect(end <= length, || format!("`{}` is said to have {size} bytes, more than there are", name.escape_default()))?;
    *position = end;
    if size % 2 == 1 {
        let mut padding = [0];
        file.seek(SeekFrom::Start(end)).map_err(read_error)?;
        read(file, &mut padding)?;
        expect(padding == *b"\n", || format!("`{}` has no padding", name.escape_default()))?;
        *position += 1;
    }
    Ok(Member { name, offset, length: size })
}

/// At most ten decimal digits and then spaces: neither a sign nor an overflow is possible.
fn number(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_end_matches(' ');
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn is_archive(member: &Member, stem: &str) -> bool {
    member.name.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn check_format<F: Read + Seek>(file: &mut F, member: &Member) -> Result<(), ArchiveError> {
    expect(member.length <= 64, || "`debian-binary` is too long".to_owned())?;
    let mut text = vec![0; member.length as usize];
    file.seek(SeekFrom::Start(member.offset)).map_err(read_error)?;
    read(file, &mut text)?;
    let minor = text.strip_prefix(b"2.").and_then(|rest| rest.strip_suffix(b"\n")).unwrap_or_default();
    expect(!minor.is_empty() && minor.iter().all(u8::is_ascii_digit), || "its format is not 2.x".to_owned())
}

fn read(file: &mut impl Read, buffer: &mut [u8]) -> Result<(), ArchiveError> {
    file.read_exact(buffer).map_err(read_error)
}

fn read_error(source: std::io::Error) -> ArchiveError {
    ArchiveError::Read { member: "ar".to_owned(), source }
}

fn wrong(problem: &str) -> ArchiveError {
    ArchiveError::Container(problem.to_owned())
}

fn expect(holds: bool, problem: impl FnOnce() -> String) -> Result<(), ArchiveError> {
    if holds { Ok(()) } else { Err(ArchiveError::Container(problem())) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ar;
    use super::*;
    use std::io::Cursor;

    const FORMAT: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    const CONTROL: (&str, &[u8]) = ("control.tar.xz", b"abc");
    const DATA: (&str, &[u8]) = ("data.tar", b"0123");

    fn parse(bytes: &[u8]) -> Result<Members, ArchiveError> {
        members(&mut Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn members_are_found_behind_odd_padding() {
        let found = parse(&ar(&[FORMAT, CONTROL, DATA])).unwrap();
        assert_eq!(found.control, Member { name: "control.tar.xz".into(), offset: 132, length: 3 });
        assert_eq!(found.data, Member { name: "data.tar".into(), offset: 196, length: 4 });
    }

    #[test]
    fn another_order_number_or_format_of_members_is_refused() {
        let cases: [&[(&str, &[u8])]; 7] = [
            &[FORMAT, DATA, CONTROL],
            &[CONTROL, FORMAT, DATA],
            &[FORMAT, CONTROL],
            &[FORMAT, CONTROL, DATA, DATA],
            &[FORMAT, CONTROL, CONTROL, DATA],
            &[("debian-binary", b"3.0\n"), CONTROL, DATA],
            &[FORMAT, ("control.tarball", b"ab"), DATA],
        ];
        for case in cases {
            assert!(parse(&ar(case)).is_err(), "{case:?}");
        }
    }

    #[test]
    fn lies_about_sizes_and_trailing_bytes_are_refused() {
        let sound = ar(&[FORMAT, CONTROL, DATA]);
        for size in ["9999999999", "-4        ", "+4        ", "0x4       ", "          ", "5         "] {
            let mut bytes = sound.clone();
            bytes[196 - 12..196 - 2].copy_from_slice(size.as_bytes());
            assert!(parse(&bytes).is_err(), "{size}");
        }
        assert!(parse(&[&sound[..], b"x"].concat()).is_err());
        assert!(parse(&sound[..sound.len() - 1]).is_err());
        assert!(parse(b"!<arch>\n").is_err());
        assert!(parse(b"0.939000\n12\n").is_err());
    }
}
