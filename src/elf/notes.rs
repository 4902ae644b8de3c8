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
    notes.retain(|note| note.soname.first().is_some() && note.soname.iter().chain(&note.feature).all(is_text));
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
