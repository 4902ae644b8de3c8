//! The 512-byte headers of a tar archive: POSIX ustar, with a pax extended header only where ustar cannot hold a value.
//!
//! Nothing here reads archives or writes contents. POSIX.1-2017, `pax`, "ustar Interchange Format".

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

/// The unit that headers and contents are padded to, in bytes.
pub(crate) const BLOCK: usize = 512;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind<'a> {
    /// A folder.
    Directory,
    /// A regular file, whose content follows the header.
    File,
    /// A symbolic link with its target.
    Symlink(&'a str),
}

/// One entry of an archive. Owner and group have numbers only: names would depend on the machine that unpacks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header<'a> {
    /// The path, relative, without a trailing slash.
    pub(crate) path: &'a str,
    pub(crate) kind: EntryKind<'a>,
    /// Permission bits, at most 0o7777.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
    /// The content's length in bytes; 0 for all but files.
    pub(crate) size: u64,
}

impl<'a> Header<'a> {
    /// Returns the header of a world-readable file of root.
    pub(crate) fn file(path: &'a str, size: u64) -> Self {
        let mtime = super::FIXED_MTIME;
        Self { path, kind: EntryKind::File, mode: 0o644, uid: 0, gid: 0, mtime, size }
    }

    /// Returns the header's bytes: one block, or more where a pax extended header comes before it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut records = BTreeMap::new();
        let block = self.block(&mut records);
        let mut bytes = Vec::with_capacity(BLOCK);
        if !records.is_empty() {
            bytes.extend(extended_header(&records));
        }
        bytes.extend(block);
        bytes
    }

    /// Returns the ustar block, and puts what does not fit into `records`.
    fn block(&self, records: &mut Records) -> [u8; BLOCK] {
        let (flag, link, slash) = match self.kind {
            EntryKind::Directory => (b'5', "", "/"),
            EntryKind::File => (b'0', "", ""),
            EntryKind::Symlink(target) => (b'2', target, ""),
        };
        let mut block = Block::new(flag);
        let path = format!("{}{slash}", self.path);
        match split(&path) {
            Some((prefix, name)) => {
                block.text(NAME, name);
                block.text(PREFIX, prefix);
            }
            None => block.replaced(NAME, "path", &path, records),
        }
        if link.is_ascii() && link.len() <= LINK.len() {
            block.text(LINK, link);
        } else {
            block.replaced(LINK, "linkpath", link, records);
        }
        block.number(MODE, "mode", (self.mode & 0o7777).into(), records);
        block.number(UID, "uid", self.uid.into(), records);
        block.number(GID, "gid", self.gid.into(), records);
        block.number(SIZE, "size", self.size.into(), records);
        block.number(MTIME, "mtime", self.mtime.into(), records);
        block.finish()
    }
}

/// Returns how many zero bytes follow a content of `size` bytes.
pub(crate) fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// Values for a pax extended header, by keyword.
type Records = BTreeMap<&'static str, String>;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const FLAG: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const PREFIX: Range<usize> = 345..500;

struct Block([u8; BLOCK]);

impl Block {
    fn new(flag: u8) -> Self {
        let mut block = [0; BLOCK];
        block[FLAG] = flag;
        block[MAGIC].copy_from_slice(b"ustar\x0000");
        Self(block)
    }

    fn text(&mut self, field: Range<usize>, text: &str) {
        self.0[field.start..field.start + text.len()].copy_from_slice(text.as_bytes());
    }

    /// Records a text that the field cannot hold; the field gets what old readers can show of it.
    fn replaced(&mut self, field: Range<usize>, key: &'static str, text: &str, records: &mut Records) {
        let shown: String = text.chars().map(|c| if c.is_ascii() { c } else { '_' }).take(field.len()).collect();
        self.text(field, &shown);
        records.insert(key, text.to_owned());
    }

    /// Writes octal digits and a NUL, or a zero and a record where the number does not fit.
    fn number(&mut self, field: Range<usize>, key: &'static str, number: i128, records: &mut Records) {
        let digits = field.len() - 1;
        let fits = (0..1 << (3 * digits)).contains(&number);
        if !fits {
            records.insert(key, number.to_string());
        }
        self.text(field, &format!("{:0digits$o}", if fits { number } else { 0 }));
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.0[CHECKSUM].fill(b' ');
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.text(CHECKSUM, &format!("{sum:06o}\0 "));
        self.0
    }
}

/// Splits a path into ustar's prefix and name; `None` where they cannot hold it.
fn split(path: &str) -> Option<(&str, &str)> {
    if !path.is_ascii() {
        return None;
    }
    if path.len() <= NAME.len() {
        return Some(("", path));
    }
    let start = path.len() - NAME.len() - 1;
    let slash = start + path[start..path.len() - 1].find('/')?;
    (slash <= PREFIX.len()).then(|| (&path[..slash], &path[slash + 1..]))
}

fn extended_header(records: &Records) -> Vec<u8> {
    let body = records.iter().fold(String::new(), |mut body, (key, value)| {
        body.push_str(&record(key, value));
        body
    });
    let mut none = Records::new();
    let mut block = Block::new(b'x');
    block.text(NAME, "././@PaxHeader");
    block.number(MODE, "mode", 0o644, &mut none);
    block.number(UID, "uid", 0, &mut none);
    block.number(GID, "gid", 0, &mut none);
    block.number(SIZE, "size", body.len() as i128, &mut none);
    block.number(MTIME, "mtime", 0, &mut none);
    let mut bytes = block.finish().to_vec();
    bytes.extend_from_slice(body.as_bytes());
    bytes.resize(bytes.len() + padding(body.len() as u64), 0);
    bytes
}

/// Returns `<length> <key>=<value>\n`, where the length counts itself.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + decimal_digits(length) {
        length = rest + decimal_digits(length);
    }
    let mut text = String::with_capacity(length);
    writeln!(text, "{length} {key}={value}").expect("writing to a String cannot fail");
    text
}

fn decimal_digits(number: usize) -> usize {
    number.to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record("path", "a"), "9 path=a\n");
        for length in 0..1200 {
            let record = record("path", &"x".repeat(length));
            let (count, _) = record.split_once(' ').unwrap();
            assert_eq!(count.parse::<usize>().unwrap(), record.len());
        }
    }

    #[test]
    fn what_ustar_holds_takes_one_block() {
        let long = format!("{}/{}", "d".repeat(155), "f".repeat(100));
        for path in ["a", &"x".repeat(100), &long] {
            assert_eq!(Header::file(path, 1).encode().len(), BLOCK, "{path}");
        }
        let header = Header { size: (8 << 30) - 1, uid: 0o777_7777, ..Header::file("a", 0) };
        assert_eq!(header.encode().len(), BLOCK);
    }

    #[test]
    fn what_ustar_cannot_hold_goes_into_records() {
        let long = format!("{}/{}", "d".repeat(156), "f".repeat(100));
        let cases = [
            (Header::file("é", 0), "11 path=é\n"),
            (Header::file("a", 8 << 30), "19 size=8589934592\n"),
            (Header { mtime: -1, ..Header::file("a", 0) }, "12 mtime=-1\n"),
            (Header { uid: u32::MAX, ..Header::file("a", 0) }, "18 uid=4294967295\n"),
            (Header::file(&long, 0), "path=ddd"),
            (Header { kind: EntryKind::Symlink("ü"), ..Header::file("a", 0) }, "15 linkpath=ü\n"),
        ];
        for (header, expected) in cases {
            let bytes = header.encode();
            let text = String::from_utf8_lossy(&bytes[BLOCK..]).into_owned();
            assert!(text.contains(expected), "{text}");
            assert_eq!(bytes.len() % BLOCK, 0);
        }
    }

    proptest::proptest! {
        #[test]
        fn the_tar_crate_reads_every_header(
            path in "[a-zé]{1,90}(/[a-z ]{1,90}){0,4}",
            target in "[a-zü/]{1,300}",
            mtime in 0..=i64::MAX,
            uid in 0..=u32::MAX,
            gid in 0..=u32::MAX,
        ) {
            let header = Header { path: &path, kind: EntryKind::Symlink(&target), mode: 0o777, uid, gid, mtime, size: 0 };
            let mut bytes = header.encode();
            bytes.resize(bytes.len() + 2 * BLOCK, 0);
            let mut archive = tar::Archive::new(&bytes[..]);
            let mut entries = archive.entries().unwrap();
            let mut entry = entries.next().unwrap().unwrap();
            assert_eq!(entry.path_bytes(), path.as_bytes());
            assert_eq!(entry.link_name_bytes().unwrap(), target.as_bytes());
            let records: Vec<_> = match entry.pax_extensions().unwrap() {
                Some(records) => records.map(|record| record.unwrap().value().unwrap().to_owned()).collect(),
                None => Vec::new(),
            };
            let has = |number: String, in_header: u64| in_header.to_string() == number || records.contains(&number);
            assert!(has(mtime.to_string(), entry.header().mtime().unwrap()));
            assert!(has(uid.to_string(), entry.header().uid().unwrap()));
            assert!(has(gid.to_string(), entry.header().gid().unwrap()));
        }
    }
}
