//! What the dynamic loader reads of one ELF file: its name, its needs and where it looks for them.
//!
//! Like the loader, this follows the program headers and never looks at section headers, which may be stripped. Only
//! 64-bit little-endian objects are read further than their kind: mlpack builds for no other platform.

use std::io;

use object::elf;
use serde::{Deserialize, Serialize};

use super::bytes::{Bytes, Reader, damaged, u16_at, u32_at, u64_at};
use super::notes::Notes;
pub use super::notes::{DlopenNote, Priority};
use crate::platform::{Architecture, Platform};

const HEADER_LENGTH: u64 = 64;
const SEGMENT_LENGTH: usize = 56;
const DYNAMIC_LENGTH: usize = 16;

/// More than any linker writes.
const MAX_SEGMENTS: u16 = 1024;

/// What kind of object a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A shared library, an extension module, or a position-independent program.
    Shared,
    /// A program with a fixed address.
    Executable,
    /// Nothing that the loader loads: a relocatable object, debug information, or a damaged file.
    #[default]
    Other,
}

/// What the dynamic loader reads of one ELF file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Object {
    /// The platform that it is for; `None` for one that mlpack does not build for, and then all else is empty.
    pub platform: Option<Platform>,
    /// Whether the loader can load it.
    pub kind: Kind,
    /// `DT_SONAME`: the name by which others need it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soname: Option<String>,
    /// `DT_NEEDED`: the libraries that are loaded with it, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needed: Vec<String>,
    /// `DT_RPATH`: folders that are searched for its needs and for those of what it loads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpath: Option<String>,
    /// `DT_RUNPATH`: folders that are searched for its own needs; its RPATH is void where it has this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runpath: Option<String>,
    /// `PT_INTERP`: the loader that a program is started with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// The symbol versions that its needs must have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub version_needs: Vec<VersionNeed>,
    /// The symbol versions that it has; empty where it has none at all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub version_definitions: Vec<String>,
    /// The libraries that it says it opens at run time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dlopen: Vec<DlopenNote>,
    /// The x86-64 level that it needs, less one: 0 for the baseline, 2 for x86-64-v3.
    pub isa_level: u8,
}

/// The symbol versions that one library must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionNeed {
    /// The library's soname.
    pub file: String,
    /// The versions without which the loader gives up. Weak ones are left out.
    pub versions: Vec<String>,
}

impl Object {
    /// Reads an object from memory; `None` where the bytes are not an ELF file.
    ///
    /// A damaged ELF file gives an object of [`Kind::Other`].
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Self::read(Bytes::Memory(bytes)).ok().flatten()
    }

    /// Reads an object from where its bytes are. Fails only where reading itself does.
    pub(super) fn read(bytes: Bytes<'_>) -> io::Result<Option<Self>> {
        let reader = Reader::new(bytes);
        match reader.range(0, 4) {
            Ok(magic) if magic == elf::ELFMAG => {}
            Ok(_) => return Ok(None),
            Err(error) => return unless_damaged(error).map(|()| None),
        }
        match read_object(&reader) {
            Ok(object) => Ok(Some(object)),
            Err(error) => unless_damaged(error).map(|()| Some(Self::default())),
        }
    }

    /// Whether the loader of `platform` can load it.
    pub fn is_loadable(&self, platform: Platform) -> bool {
        self.platform == Some(platform) && self.kind != Kind::Other
    }
}

fn unless_damaged(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Ok(()),
        _ => Err(error),
    }
}

fn read_object(reader: &Reader<'_>) -> io::Result<Object> {
    let ident = reader.range(0, 16)?;
    if (ident[4], ident[5]) != (elf::ELFCLASS64.0, elf::ELFDATA2LSB.0) {
        return Ok(Object::default());
    }
    let header = reader.range(0, HEADER_LENGTH)?;
    let architecture = match u16_at(&header, 18)? {
        machine if machine == elf::EM_X86_64.0 => Architecture::Amd64,
        machine if machine == elf::EM_AARCH64.0 => Architecture::Arm64,
        _ => return Ok(Object::default()),
    };
    let mut object = Object { platform: Some(Platform { architecture }), ..Object::default() };
    let kind = match u16_at(&header, 16)? {
        kind if kind == elf::ET_DYN.0 => Kind::Shared,
        kind if kind == elf::ET_EXEC.0 => Kind::Executable,
        _ => return Ok(object),
    };
    let segments = read_segments(reader, &header)?;
    let dynamic = Dynamic::read(reader, &segments)?;
    if kind == Kind::Shared && dynamic.is_none() {
        return Ok(object);
    }
    object.kind = kind;
    if let Some(dynamic) = dynamic {
        dynamic.fill(&mut object)?;
    }
    fill_from_segments(reader, &segments, &mut object)?;
    Ok(object)
}

/// A program header.
#[derive(Debug)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    length: u64,
    align: u64,
}

fn read_segments(reader: &Reader<'_>, header: &[u8]) -> io::Result<Vec<Segment>> {
    let count = u16_at(header, 56)?;
    if count > MAX_SEGMENTS || (count > 0 && usize::from(u16_at(header, 54)?) != SEGMENT_LENGTH) {
        return Err(damaged());
    }
    let table = reader.range(u64_at(header, 32)?, u64::from(count) * SEGMENT_LENGTH as u64)?;
    let segment = |bytes: &[u8]| {
        Ok(Segment {
            kind: u32_at(bytes, 0)?,
            offset: u64_at(bytes, 8)?,
            address: u64_at(bytes, 16)?,
            length: u64_at(bytes, 32)?,
            align: u64_at(bytes, 48)?,
        })
    };
    table.chunks_exact(SEGMENT_LENGTH).map(segment).collect()
}

fn fill_from_segments(reader: &Reader<'_>, segments: &[Segment], object: &mut Object) -> io::Result<()> {
    let mut notes = Notes::default();
    for segment in segments {
        match segment.kind {
            kind if kind == elf::PT_INTERP.0 => object.interpreter = Some(reader.string(segment.offset)?),
            kind if kind == elf::PT_NOTE.0 => match reader.range(segment.offset, segment.length) {
                Ok(bytes) => notes.read(&bytes, segment.align),
                Err(error) => unless_damaged(error)?,
            },
            _ => {}
        }
    }
    object.dlopen = notes.dlopen;
    object.isa_level = notes.isa_level;
    Ok(())
}

/// The dynamic table, with what is needed to follow its addresses.
#[derive(Debug)]
struct Dynamic<'a> {
    reader: &'a Reader<'a>,
    segments: &'a [Segment],
    entries: Vec<(i64, u64)>,
    strings: u64,
}

impl<'a> Dynamic<'a> {
    /// Reads the table; `None` where there is none, as in debug information and static programs.
    fn read(reader: &'a Reader<'a>, segments: &'a [Segment]) -> io::Result<Option<Self>> {
        let Some(segment) = segments.iter().find(|segment| segment.kind == elf::PT_DYNAMIC.0 && segment.length > 0)
        else {
            return Ok(None);
        };
        let table = reader.range(segment.offset, segment.length)?;
        let entry = |bytes: &[u8]| Ok((u64_at(bytes, 0)? as i64, u64_at(bytes, 8)?));
        let entries: Vec<_> = table.chunks_exact(DYNAMIC_LENGTH).map(entry).collect::<io::Result<_>>()?;
        let end = entries.iter().position(|(tag, _)| *tag == elf::DT_NULL.0).unwrap_or(entries.len());
        let mut dynamic = Self { reader, segments, entries: entries[..end].to_vec(), strings: 0 };
        match dynamic.value(elf::DT_STRTAB) {
            Some(address) => dynamic.strings = dynamic.offset(address)?,
            None => return Ok(None),
        }
        Ok(Some(dynamic))
    }

    fn fill(&self, object: &mut Object) -> io::Result<()> {
        object.soname = self.value(elf::DT_SONAME).map(|name| self.string(name)).transpose()?;
        object.rpath = self.value(elf::DT_RPATH).map(|path| self.string(path)).transpose()?;
        object.runpath = self.value(elf::DT_RUNPATH).map(|path| self.string(path)).transpose()?;
        let needed = self.entries.iter().filter(|(tag, _)| *tag == elf::DT_NEEDED.0);
        object.needed = needed.map(|(_, name)| self.string(*name)).collect::<io::Result<_>>()?;
        object.version_needs = self.version_needs()?;
        object.version_definitions = self.version_definitions()?;
        Ok(())
    }

    fn value(&self, wanted: elf::DynamicTag) -> Option<u64> {
        self.entries.iter().find(|(tag, _)| *tag == wanted.0).map(|(_, value)| *value)
    }

    /// Returns the position in the file of what is loaded at `address`.
    fn offset(&self, address: u64) -> io::Result<u64> {
        let holds = |segment: &&Segment| {
            segment.kind == elf::PT_LOAD.0
                && address.checked_sub(segment.address).is_some_and(|distance| distance < segment.length)
        };
        let segment = self.segments.iter().find(holds).ok_or_else(damaged)?;
        segment.offset.checked_add(address - segment.address).ok_or_else(damaged)
    }

    fn string(&self, index: u64) -> io::Result<String> {
        self.reader.string(self.strings.checked_add(index).ok_or_else(damaged)?)
    }

    /// Reads the table of version needs: a list of files, each with a list of versions.
    fn version_needs(&self) -> io::Result<Vec<VersionNeed>> {
        let Some(address) = self.value(elf::DT_VERNEED) else { return Ok(Vec::new()) };
        let mut position = self.offset(address)?;
        let mut needs = Vec::new();
        for _ in 0..self.value(elf::DT_VERNEEDNUM).unwrap_or(0) {
            let need = self.reader.range(position, 16)?;
            let first = advance(position, u32_at(&need, 8)?)?;
            let versions = self.versions(first, u16_at(&need, 2)?)?;
            needs.push(VersionNeed { file: self.string(u32_at(&need, 4)?.into())?, versions });
            match u32_at(&need, 12)? {
                0 => break,
                next => position = advance(position, next)?,
            }
        }
        Ok(needs)
    }

    fn versions(&self, mut position: u64, count: u16) -> io::Result<Vec<String>> {
        let mut versions = Vec::new();
        for _ in 0..count {
            let version = self.reader.range(position, 16)?;
            if u16_at(&version, 4)? & elf::VER_FLG_WEAK.0 == 0 {
                versions.push(self.string(u32_at(&version, 8)?.into())?);
            }
            match u32_at(&version, 12)? {
                0 => break,
                next => position = advance(position, next)?,
            }
        }
        Ok(versions)
    }

    /// Reads the table of version definitions, without the one that names the library itself.
    fn version_definitions(&self) -> io::Result<Vec<String>> {
        let Some(address) = self.value(elf::DT_VERDEF) else { return Ok(Vec::new()) };
        let mut position = self.offset(address)?;
        let mut definitions = Vec::new();
        for _ in 0..self.value(elf::DT_VERDEFNUM).unwrap_or(0) {
            let definition = self.reader.range(position, 20)?;
            if u16_at(&definition, 2)? & elf::VER_FLG_BASE.0 == 0 {
                let name = self.reader.range(advance(position, u32_at(&definition, 12)?)?, 8)?;
                definitions.push(self.string(u32_at(&name, 0)?.into())?);
            }
            match u32_at(&definition, 16)? {
                0 => break,
                next => position = advance(position, next)?,
            }
        }
        Ok(definitions)
    }
}

fn advance(position: u64, distance: u32) -> io::Result<u64> {
    position.checked_add(distance.into()).ok_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::elf::testing::Elf;

    fn rich() -> Elf {
        Elf::library("libx.so.1")
            .needs("libc.so.6")
            .needs("libm.so.6")
            .rpath("$ORIGIN")
            .runpath("/opt/lib")
            .interpreter("/lib64/ld-linux-x86-64.so.2")
            .needs_version("libc.so.6", "GLIBC_2.38")
            .needs_version("libm.so.6", "GLIBC_2.2.5")
            .defines_version("X_1")
            .defines_version("X_2")
            .dlopen_note(r#"[{"soname":["libz.so.1"],"feature":"gzip","priority":"required"}]"#)
    }

    #[test]
    fn all_that_the_loader_reads_is_read() {
        let object = Object::parse(&rich().build()).unwrap();
        assert_eq!(object.platform.unwrap().debian(), "amd64");
        assert_eq!(object.kind, Kind::Shared);
        assert_eq!(object.soname.as_deref(), Some("libx.so.1"));
        assert_eq!(object.needed, ["libc.so.6", "libm.so.6"]);
        assert_eq!((object.rpath.as_deref(), object.runpath.as_deref()), (Some("$ORIGIN"), Some("/opt/lib")));
        assert_eq!(object.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        let needs: Vec<_> = object.version_needs.iter().map(|need| (&*need.file, &*need.versions[0])).collect();
        assert_eq!(needs, [("libc.so.6", "GLIBC_2.38"), ("libm.so.6", "GLIBC_2.2.5")]);
        assert_eq!(object.version_definitions, ["X_1", "X_2"]);
        assert_eq!(object.dlopen[0].soname, ["libz.so.1"]);
        assert_eq!(object.dlopen[0].priority, Priority::Required);
    }

    #[test]
    fn an_object_survives_the_cache() {
        let object = Object::parse(&rich().build()).unwrap();
        let text = serde_json::to_string(&object).unwrap();
        assert_eq!(serde_json::from_str::<Object>(&text).unwrap(), object);
    }

    #[test]
    fn what_is_not_an_object_for_a_known_platform_is_not_loadable() {
        assert_eq!(Object::parse(b""), None);
        assert_eq!(Object::parse(b"#!/bin/sh"), None);
        assert_eq!(Object::parse(b"\x7fELF").unwrap(), Object::default());
        let mut foreign = rich().build();
        foreign[18] = 8;
        assert_eq!(Object::parse(&foreign).unwrap(), Object::default());
        let mut relocatable = rich().build();
        relocatable[16] = 1;
        assert_eq!(Object::parse(&relocatable).unwrap().kind, Kind::Other);
    }

    #[test]
    fn names_with_control_characters_make_an_object_damaged() {
        let object = Object::parse(&Elf::library("lib\x1b[2J.so").build()).unwrap();
        assert_eq!(object.kind, Kind::Other);
    }

    #[test]
    fn repeated_tables_do_not_read_without_end() {
        let mut elf = Elf::module();
        for _ in 0..200_000 {
            elf = elf.needs("libc.so.6");
        }
        let object = Object::parse(&elf.build()).unwrap();
        assert!(object.needed.is_empty(), "the budget ends it");
    }

    #[test]
    fn every_truncation_is_survived() {
        let bytes = rich().build();
        for length in 0..bytes.len() {
            Object::parse(&bytes[..length]);
        }
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
            let mut bytes = rich().build();
            for (index, value) in changes {
                let index = index.index(bytes.len());
                bytes[index] = value;
            }
            Object::parse(&bytes);
        }

        #[test]
        fn any_bytes_after_the_magic_never_panic(rest in prop::collection::vec(any::<u8>(), 0..512)) {
            let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0".to_vec();
            bytes.extend(rest);
            Object::parse(&bytes);
        }
    }
}
