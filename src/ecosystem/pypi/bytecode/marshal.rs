//! Compiled modules made canonical: the same source gives the same bytes, whatever the compiling process did before.
//!
//! A `.pyc` file is a header of 16 bytes and one object in CPython's marshal format, version 4. The writer marks each
//! object that is referred to from anywhere in the process, and so also orders sets: bytes depend on what else is
//! loaded. Here the object is read and written again, with a mark only where a later reference in the file needs it, and
//! sets ordered by their elements' own bytes. Reading either form gives equal objects. Knows CPython 3.11 and 3.13.

/// Why a file is not a compiled module that mlpack knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarshalError {
    /// The header names another version of Python.
    #[error("it is compiled for an unknown version of Python")]
    Version,
    /// The bytes end early.
    #[error("it is cut off")]
    Short,
    /// There are bytes after the object.
    #[error("it has more bytes than its object")]
    Long,
    /// An object of a kind that compiled modules do not have.
    #[error("it has an object of unknown type {0:#04x}")]
    Type(u8),
    /// A reference to an object that is not there yet.
    #[error("it has a reference to an object that does not exist")]
    Reference,
    /// Objects within objects, deeper than any compiler writes.
    #[error("its objects are nested too deeply or are too large")]
    Deep,
}

type Result<T> = std::result::Result<T, MarshalError>;

const HEADER: usize = 16;
/// Deeper than compilers write, and shallow enough for the stack of any thread.
const MAX_DEPTH: u32 = 200;
/// A set element written out in full is a constant, seldom longer than a line.
const MAX_KEY: usize = 1 << 20;
const FLAG_REF: u8 = 0x80;

/// The first bytes of a compiled module, by version of Python.
const MAGIC: [[u8; 4]; 2] = [[0xa7, 0x0d, 0x0d, 0x0a], [0xf3, 0x0d, 0x0d, 0x0a]];

/// Returns the canonical form of a compiled module; the header stays as it is.
pub fn canonical(compiled: &[u8]) -> Result<Vec<u8>> {
    let (header, body) = compiled.split_at_checked(HEADER).ok_or(MarshalError::Short)?;
    if !MAGIC.iter().any(|magic| header.starts_with(magic)) {
        return Err(MarshalError::Version);
    }
    let mut reader = Reader { bytes: body, nodes: Vec::new(), references: Vec::new() };
    let root = reader.object(0)?;
    if !reader.bytes.is_empty() {
        return Err(MarshalError::Long);
    }
    let mut nodes = reader.nodes;
    sort_sets(&mut nodes)?;
    let mut uses = vec![0; nodes.len()];
    count_uses(&nodes, root, &mut uses);
    let mut writer =
        Writer { nodes: &nodes, uses, written: vec![None; nodes.len()], marked: 0, bytes: header.to_vec() };
    writer.object(root);
    Ok(writer.bytes)
}

/// An object: its type, the bytes before its parts, its parts, and for code the bytes among them.
#[derive(Debug)]
struct Node {
    kind: u8,
    head: Vec<u8>,
    parts: Vec<usize>,
    /// For code: the first line's number, which stands before the last two parts.
    line: [u8; 4],
    /// How many objects lie within one another here, references followed.
    height: u32,
}

struct Reader<'a> {
    bytes: &'a [u8],
    nodes: Vec<Node>,
    /// The objects that may be referred to, by number; `None` while one is still being read.
    references: Vec<Option<usize>>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(MarshalError::Short)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| MarshalError::Short)?))
    }

    /// Reads a length that `width` bytes hold, then that many units; returns all of it.
    fn counted(&mut self, width: usize, unit: usize) -> Result<Vec<u8>> {
        let start = self.bytes;
        let count = if width == 1 { u32::from(self.take(1)?[0]) } else { self.u32()? };
        // Long integers have their sign in the count.
        let count = if unit == 2 { (count as i32).unsigned_abs() } else { count };
        let length =
            usize::try_from(count).ok().and_then(|count| count.checked_mul(unit)).ok_or(MarshalError::Short)?;
        self.take(length)?;
        Ok(start[..width + length].to_vec())
    }

    /// Reads one object and returns its place in `nodes`.
    fn object(&mut self, depth: u32) -> Result<usize> {
        if depth > MAX_DEPTH {
            return Err(MarshalError::Deep);
        }
        let code = self.take(1)?[0];
        let kind = code & !FLAG_REF;
        if kind == b'r' {
            let number = self.u32()? as usize;
            return self.references.get(number).copied().flatten().ok_or(MarshalError::Reference);
        }
        // Numbers are given before the parts are read, in every kind of container.
        let number = (code & FLAG_REF != 0).then(|| {
            self.references.push(None);
            self.references.len() - 1
        });
        let mut node = self.node(kind, depth)?;
        node.height = node.parts.iter().map(|part| self.nodes[*part].height + 1).max().unwrap_or(0);
        if node.height > MAX_DEPTH {
            return Err(MarshalError::Deep);
        }
        self.nodes.push(node);
        let place = self.nodes.len() - 1;
        if let Some(number) = number {
            self.references[number] = Some(place);
        }
        Ok(place)
    }

    fn node(&mut self, kind: u8, depth: u32) -> Result<Node> {
        let mut node = Node { kind, head: Vec::new(), parts: Vec::new(), line: [0; 4], height: 0 };
        match kind {
            b'0' | b'N' | b'F' | b'T' | b'S' | b'.' => {}
            b'i' => node.head = self.take(4)?.to_vec(),
            b'g' => node.head = self.take(8)?.to_vec(),
            b'y' => node.head = self.take(16)?.to_vec(),
            b'l' => node.head = self.counted(4, 2)?,
            b's' | b't' | b'u' | b'a' | b'A' => node.head = self.counted(4, 1)?,
            b'z' | b'Z' => node.head = self.counted(1, 1)?,
            b')' => {
                node.head = self.take(1)?.to_vec();
                node.parts = self.parts(u32::from(node.head[0]), depth)?;
            }
            b'(' | b'<' | b'>' => {
                let count = self.u32()?;
                node.head = count.to_le_bytes().to_vec();
                node.parts = self.parts(count, depth)?;
            }
            b'c' => {
                // Five numbers, eight objects, the first line's number, two objects.
                node.head = self.take(20)?.to_vec();
                node.parts = self.parts(8, depth)?;
                node.line = self.u32()?.to_le_bytes();
                node.parts.extend(self.parts(2, depth)?);
            }
            other => return Err(MarshalError::Type(other)),
        }
        node.kind = interned(kind, &node.head);
        Ok(node)
    }

    fn parts(&mut self, count: u32, depth: u32) -> Result<Vec<usize>> {
        // Each takes at least one byte, so a false count ends with the bytes.
        (0..count).map(|_| self.object(depth + 1)).collect()
    }
}

/// Returns the kind of a string of at most one character as that of an interned one; other kinds as they are.
///
/// CPython keeps each such string once in the process: whether it is interned depends on who else used it.
fn interned(kind: u8, head: &[u8]) -> u8 {
    let short = |text: &[u8]| std::str::from_utf8(text).is_ok_and(|text| text.chars().count() <= 1);
    match kind {
        b'z' if short(&head[1..]) => b'Z',
        b'a' if short(&head[4..]) => b'A',
        b'u' if short(&head[4..]) => b't',
        _ => kind,
    }
}

/// Orders each set's elements by their bytes. Parts come before what they are part of, so inner sets are ordered first.
fn sort_sets(nodes: &mut [Node]) -> Result<()> {
    for place in 0..nodes.len() {
        if matches!(nodes[place].kind, b'<' | b'>') {
            let keyed: Result<Vec<_>> = nodes[place].parts.iter().map(|part| Ok((key(nodes, *part)?, *part))).collect();
            let mut keyed = keyed?;
            keyed.sort();
            nodes[place].parts = keyed.into_iter().map(|(_, part)| part).collect();
        }
    }
    Ok(())
}

/// Returns an object written out in full, without references.
fn key(nodes: &[Node], place: usize) -> Result<Vec<u8>> {
    fn write(nodes: &[Node], place: usize, bytes: &mut Vec<u8>) -> Result<()> {
        if bytes.len() > MAX_KEY {
            return Err(MarshalError::Deep);
        }
        let node = &nodes[place];
        bytes.push(node.kind);
        bytes.extend(&node.head);
        node.parts.iter().try_for_each(|part| write(nodes, *part, bytes))
    }
    let mut bytes = Vec::new();
    write(nodes, place, &mut bytes)?;
    Ok(bytes)
}

/// Counts how often each object is met when the parts of each are visited once.
fn count_uses(nodes: &[Node], place: usize, uses: &mut [u32]) {
    uses[place] += 1;
    if uses[place] == 1 {
        for part in &nodes[place].parts {
            count_uses(nodes, *part, uses);
        }
    }
}

struct Writer<'a> {
    nodes: &'a [Node],
    uses: Vec<u32>,
    /// The reference number of each object that is written already and is used again.
    written: Vec<Option<u32>>,
    marked: u32,
    bytes: Vec<u8>,
}

impl Writer<'_> {
    fn object(&mut self, place: usize) {
        if let Some(number) = self.written[place] {
            self.bytes.push(b'r');
            self.bytes.extend(number.to_le_bytes());
            return;
        }
        let node = &self.nodes[place];
        let shared = self.uses[place] > 1;
        if shared {
            self.written[place] = Some(self.marked);
            self.marked += 1;
        }
        self.bytes.push(node.kind | if shared { FLAG_REF } else { 0 });
        self.bytes.extend(&node.head);
        for (index, part) in node.parts.iter().enumerate() {
            if node.kind == b'c' && index == 8 {
                self.bytes.extend(node.line);
            }
            self.object(*part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made for these tests: one source each, dumped from a fresh compilation and from one whose constants were also held
    // elsewhere in the process.
    const PAIRS: [[&[u8]; 2]; 2] = [
        [include_bytes!("testdata/fresh-311.pyc"), include_bytes!("testdata/held-311.pyc")],
        [include_bytes!("testdata/fresh-313.pyc"), include_bytes!("testdata/held-313.pyc")],
    ];

    fn module(body: &[u8]) -> Vec<u8> {
        [&MAGIC[0][..], &[0; 12], body].concat()
    }

    #[test]
    fn what_else_the_process_held_does_not_matter() {
        for [fresh, held] in PAIRS {
            assert_ne!(fresh, held);
            let canonical_fresh = canonical(fresh).unwrap();
            assert_eq!(canonical_fresh, canonical(held).unwrap());
            assert_eq!(canonical(&canonical_fresh).unwrap(), canonical_fresh);
            assert!(canonical_fresh.len() <= fresh.len());
        }
    }

    #[test]
    fn marks_stay_only_where_they_are_used_and_are_numbered_anew() {
        // ("a", "b", second of the two again): the first mark goes, the second becomes number 0.
        let given = module(b"\xa9\x03\xda\x01a\xda\x01br\x02\0\0\0");
        assert_eq!(canonical(&given).unwrap(), module(b")\x03Z\x01a\xda\x01br\0\0\0\0"));
    }

    #[test]
    fn whether_a_character_is_interned_does_not_matter() {
        for (given, expected) in [(&b"z\x01,"[..], &b"Z\x01,"[..]), (b"z\0", b"Z\0"), (b"z\x02a,", b"z\x02a,")] {
            assert_eq!(canonical(&module(given)).unwrap(), module(expected));
        }
        let accented = "é".as_bytes();
        let given = [&b"u\x02\0\0\0"[..], accented].concat();
        assert_eq!(canonical(&module(&given)).unwrap(), module(&[&b"t\x02\0\0\0"[..], accented].concat()));
    }

    #[test]
    fn sets_are_ordered_by_their_elements() {
        let given = module(b">\x02\0\0\0\xda\x01bZ\x01a");
        assert_eq!(canonical(&given).unwrap(), module(b">\x02\0\0\0Z\x01aZ\x01b"));
    }

    #[test]
    fn hostile_modules_are_refused() {
        let refused = |body: &[u8]| canonical(&module(body)).unwrap_err();
        assert_eq!(refused(b""), MarshalError::Short);
        assert_eq!(refused(b"NN"), MarshalError::Long);
        assert_eq!(refused(b"["), MarshalError::Type(b'['));
        assert_eq!(refused(b"(\xff\xff\xff\xff"), MarshalError::Short);
        assert_eq!(refused(b"s\xff\xff\xff\x7f"), MarshalError::Short);
        assert_eq!(refused(b"l\0\0\0\x80"), MarshalError::Short);
        assert_eq!(refused(b"r\0\0\0\0"), MarshalError::Reference);
        assert_eq!(refused(b"\xa9\x01r\0\0\0\0"), MarshalError::Reference);
        assert_eq!(refused(&b")\x01".repeat(5000)), MarshalError::Deep);
        // Each tuple names the one before twice: written out in full as the key of a set, it would fill the memory.
        let mut doubling = b">\x01\0\0\0".to_vec();
        doubling.extend(b")\x28\xa9\x02NN");
        (0_u8..39).for_each(|number| doubling.extend([0xa9, 2, b'r', number, 0, 0, 0, b'r', number, 0, 0, 0]));
        assert_eq!(refused(&doubling), MarshalError::Deep);
        // A chain of references is as deep as objects within objects.
        let mut chain = b"(\xff\xff\0\0\xa9\0".to_vec();
        (0_u32..5000).for_each(|number| chain.extend([&b"\xa9\x01r"[..], &number.to_le_bytes()].concat()));
        assert_eq!(refused(&chain), MarshalError::Deep);
        assert_eq!(canonical(&[0; 20]).unwrap_err(), MarshalError::Version);
        assert_eq!(canonical(b"x").unwrap_err(), MarshalError::Short);
    }

    proptest::proptest! {
        #[test]
        fn damaged_modules_never_panic(at in 16_usize..300, value: u8, cut in 16_usize..400) {
            for [fresh, _] in PAIRS {
                let mut bytes = fresh.to_vec();
                let length = bytes.len();
                bytes[at % length] = value;
                let _ = canonical(&bytes[..cut.min(length)]);
                let _ = canonical(&bytes);
            }
        }
    }
}
