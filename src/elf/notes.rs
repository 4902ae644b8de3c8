//! The notes of an ELF object that matter here: libraries that it opens at run time, and the processor that it needs.
//!
//! Formats: the UAPI group's "ELF dlopen metadata", and the x86-64 psABI's `.note.gnu.property`. Notes only advise, so
//! a damaged one is passed over, as the loader does.

use object::elf;
use serde::{Deserialize, Serialize};

use super::bytes::u32_at;

/// The type of a note with owner `FDO` that lists libraries to open.
const FDO_DLOPEN: u32 = 0x407c_0c0a;

/// Libraries that an object opens at run time, by name, without needing them to be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DlopenNote {
    /// The sonames; the first one that is there will do.
    pub soname: Vec<String>,
    /// What they are good for, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// How much it is missed when absent.
    #[serde(default)]
    pub priority: Priority,
}

/// How much a library that is opened at run time is missed when absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// The object is of no use without it.
    Required,
    /// Most users want it.
    #[default]
    Recommended,
    /// Some users want it.
    Suggested,
}

/// What the notes of one object say.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) dlopen: Vec<DlopenNote>,
    pub(super) isa_level: u8,
}

impl Notes {
    /// Adds what the notes of one segment say, which are aligned to `align` bytes.
    pub(super) fn read(&mut self, segment: &[u8], align: u64) {
        let align = if align == 8 { 8 } else { 4 };
        let mut rest = segment;
        while let Some((kind, name, description, end)) = split_note(rest, align) {
            match (name, kind) {
                (b"FDO\0", FDO_DLOPEN) => self.dlopen.extend(dlopen(description)),
                (b"GNU\0", kind) if kind == elf::NT_GNU_PROPERTY_TYPE_0.0 => {
                    self.isa_level = self.isa_level.max(isa_level(description).unwrap_or(0));
                }
                _ => {}
            }
            rest = rest.get(end..).unwrap_or_default();
        }
    }
}

/// Returns the first note's type, name, description and length.
fn split_note(bytes: &[u8], align: usize) -> Option<(u32, &[u8], &[u8], usize)> {
    let name_length = u32_at(bytes, 0).ok()? as usize;
    let description_length = u32_at(bytes, 4).ok()? as usize;
    let kind = u32_at(bytes, 8).ok()?;
    let name_end = 12usize.checked_add(name_length)?;
    let start = name_end.checked_next_multiple_of(align)?;
    let end = start.checked_add(description_length)?;
    let description = bytes.get(start..end)?;
    Some((kind, bytes.get(12..name_end)?, description, end.checked_next_multiple_of(align)?))
}

fn dlopen(description: &[u8]) -> Vec<DlopenNote> {
    let text = description.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut notes: Vec<DlopenNote> = serde_json::from_slice(text).unwrap_or_default();
    let is_text = |text: &String| !text.is_empty() && !text.chars().any(char::is_control);
    notes.retain(|note| !note.soname.is_empty() && note.soname.iter().chain(&note.feature).all(is_text));
    notes
}

/// Returns the highest instruction set level that a list of GNU properties needs: 0 for the baseline.
fn isa_level(mut properties: &[u8]) -> Option<u8> {
    loop {
        let length = u32_at(properties, 4).ok()? as usize;
        if u32_at(properties, 0).ok()? == elf::GNU_PROPERTY_X86_ISA_1_NEEDED.0 {
            return u32_at(properties, 8).ok()?.checked_ilog2().map(|level| level as u8);
        }
        properties = properties.get(length.checked_add(8)?.checked_next_multiple_of(8)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: [u8; 4], kind: u32, description: &[u8]) -> Vec<u8> {
        let numbers = [4, description.len() as u32, kind, u32::from_le_bytes(name)];
        let mut note: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        note.extend(description);
        note.resize(note.len().next_multiple_of(8), 0);
        note
    }

    fn read(segment: &[u8]) -> Notes {
        let mut notes = Notes::default();
        notes.read(segment, 8);
        notes
    }

    #[test]
    fn the_level_is_the_highest_that_is_needed() {
        let words = [0xc000_0002u32, 4, 3, 0, 0xc000_8002, 4, 0b111, 0];
        let properties: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut segment = note(*b"GNU\0", 3, b"build id");
        segment.extend(note(*b"GNU\0", 5, &properties));
        assert_eq!(read(&segment).isa_level, 2);
        assert_eq!(read(&segment[..segment.len() - 1]).isa_level, 0);
    }

    #[test]
    fn a_damaged_dlopen_note_is_passed_over() {
        let good = br#"[{"soname":["libz.so.1"]}]"#;
        for bad in [&b"[{"[..], br#"[{"soname":[]}]"#, br#"[{"soname":["a\u001b"]}]"#, br#"{"soname":"x"}"#, b""] {
            let mut segment = note(*b"FDO\0", FDO_DLOPEN, bad);
            segment.extend(note(*b"FDO\0", FDO_DLOPEN, good));
            let notes = read(&segment).dlopen;
            assert_eq!(notes.len(), 1, "{}", String::from_utf8_lossy(bad));
            assert_eq!((&*notes[0].soname[0], notes[0].priority), ("libz.so.1", Priority::Recommended));
        }
    }
}
