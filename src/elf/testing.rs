//! Writes small ELF files for tests.

/// A 64-bit little-endian x86-64 shared object with a dynamic table, and nothing else.
#[derive(Clone, Debug, Default)]
pub(super) struct Elf {
    entries: Vec<(i64, String)>,
    interpreter: Option<String>,
    version_needs: Vec<(String, String)>,
    version_definitions: Vec<String>,
    note: Option<String>,
}

const HEADERS: usize = 64 + 4 * 56;

impl Elf {
    /// A library with a soname.
    pub(super) fn library(soname: &str) -> Self {
        Self { entries: vec![(14, soname.to_owned())], ..Self::default() }
    }

    /// A module without a soname.
    pub(super) fn module() -> Self {
        Self::default()
    }

    pub(super) fn needs(mut self, soname: &str) -> Self {
        self.entries.push((1, soname.to_owned()));
        self
    }

    pub(super) fn rpath(mut self, path: &str) -> Self {
        self.entries.push((15, path.to_owned()));
        self
    }

    pub(super) fn runpath(mut self, path: &str) -> Self {
        self.entries.push((29, path.to_owned()));
        self
    }

    pub(super) fn interpreter(mut self, path: &str) -> Self {
        self.interpreter = Some(path.to_owned());
        self
    }

    pub(super) fn needs_version(mut self, file: &str, version: &str) -> Self {
        self.version_needs.push((file.to_owned(), version.to_owned()));
        self
    }

    pub(super) fn defines_version(mut self, version: &str) -> Self {
        self.version_definitions.push(version.to_owned());
        self
    }

    pub(super) fn dlopen_note(mut self, json: &str) -> Self {
        self.note = Some(json.to_owned());
        self
    }

    /// Returns the file's bytes. Addresses equal positions.
    pub(super) fn build(&self) -> Vec<u8> {
        let mut strings = vec![0];
        let mut add = |text: &str| {
            let index = strings.len() as u32;
            strings.extend(text.bytes().chain([0]));
            index
        };
        let mut dynamic: Vec<(i64, u64)> =
            self.entries.iter().map(|(tag, text)| (*tag, u64::from(add(text)))).collect();
        let needs: Vec<_> = self.version_needs.iter().map(|(file, version)| (add(file), add(version))).collect();
        let definitions: Vec<_> = self.version_definitions.iter().map(|version| add(version)).collect();
        let interpreter = self.interpreter.as_deref().map(&mut add);

        let mut body = strings;
        body.resize(body.len().next_multiple_of(8), 0);
        let need_table = HEADERS + body.len();
        for (index, (file, version)) in needs.iter().enumerate() {
            let next = if index + 1 == needs.len() { 0 } else { 32 };
            for number in [1 | 1 << 16, *file, 16, next, 0, 0, *version, 0] {
                body.extend(u32::to_le_bytes(number));
            }
        }
        let definition_table = HEADERS + body.len();
        for (index, version) in definitions.iter().enumerate() {
            let next = if index + 1 == definitions.len() { 0 } else { 28 };
            for number in [1, 2 | 1 << 16, 0, 20, next, *version, 0] {
                body.extend(u32::to_le_bytes(number));
            }
        }
        body.resize(body.len().next_multiple_of(8), 0);
        let note = HEADERS + body.len();
        if let Some(json) = &self.note {
            for number in [4, json.len() as u32 + 1, 0x407c_0c0a, u32::from_le_bytes(*b"FDO\0")] {
                body.extend(u32::to_le_bytes(number));
            }
            body.extend(json.bytes().chain([0]));
        }
        let note_length = HEADERS + body.len() - note;
        body.resize(body.len().next_multiple_of(8), 0);
        let table = HEADERS + body.len();
        dynamic.push((5, HEADERS as u64));
        if !needs.is_empty() {
            dynamic.extend([(0x6fff_fffe, need_table as u64), (0x6fff_ffff, needs.len() as u64)]);
        }
        if !definitions.is_empty() {
            dynamic.extend([(0x6fff_fffc, definition_table as u64), (0x6fff_fffd, definitions.len() as u64)]);
        }
        dynamic.push((0, 0));
        for (tag, value) in &dynamic {
            body.extend(tag.to_le_bytes());
            body.extend(value.to_le_bytes());
        }

        let mut file = header();
        let end = HEADERS + body.len();
        file.extend(segment(1, 0, end));
        file.extend(segment(2, table, dynamic.len() * 16));
        file.extend(segment(if self.note.is_some() { 4 } else { 0 }, note, note_length));
        let name = interpreter.map_or(0, |index| HEADERS + index as usize);
        file.extend(segment(if interpreter.is_some() { 3 } else { 0 }, name, 0));
        file.extend(body);
        file
    }
}

fn header() -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    header.extend([3, 0, 62, 0, 1, 0, 0, 0]);
    header.extend(0u64.to_le_bytes());
    header.extend(64u64.to_le_bytes());
    header.resize(54, 0);
    header.extend([56, 0, 4, 0]);
    header.resize(64, 0);
    header
}

fn segment(kind: u32, offset: usize, length: usize) -> Vec<u8> {
    let mut segment = kind.to_le_bytes().to_vec();
    segment.extend([0; 4]);
    for number in [offset, offset, offset, length, length, 8] {
        segment.extend((number as u64).to_le_bytes());
    }
    segment
}
