//! `/etc/ld.so.cache`, byte for byte as `ldconfig` of glibc 2.32 and later writes it.
//!
//! The format, `glibc-ld.so.cache1.1`: a header, the entries, a table of strings, and a directory of extensions with the
//! writer's name and the names of the `glibc-hwcaps` folders. All numbers are little-endian. The file's mode is 0644.

use std::collections::{BTreeSet, HashMap};

use super::ldconfig::{Entry, Libraries};

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER_LENGTH: usize = 48;
const ENTRY_LENGTH: usize = 24;
const LITTLE_ENDIAN: u8 = 2;

const EXTENSION_MAGIC: u32 = 0xeaa4_2174;
const EXTENSION_HEADER_LENGTH: usize = 8;
const SECTION_LENGTH: usize = 16;
const SECTION_GENERATOR: u32 = 0;
const SECTION_HWCAPS: u32 = 1;

/// Marks an entry whose lower half is the index of a `glibc-hwcaps` folder.
const HWCAP_EXTENSION: u64 = 1 << 62;

/// Returns the writer's name that `ldconfig` of Debian's package `libc-bin` of this version puts into the cache.
pub fn generator(libc_bin: &str) -> String {
    let upstream = libc_bin.rsplit_once('-').map_or(libc_bin, |(upstream, _)| upstream);
    format!("ldconfig (Debian GLIBC {libc_bin}) stable release version {upstream}")
}

/// Returns the bytes of the cache.
pub fn encode(libraries: &Libraries, generator: &str) -> Vec<u8> {
    let entries = &libraries.entries;
    let start = HEADER_LENGTH + entries.len() * ENTRY_LENGTH;
    let strings = Strings::new(libraries, start);
    let extensions = (start + strings.bytes.len()).next_multiple_of(4);
    // Only folders that hold a library have a number; the names of the others stay in the strings all the same.
    let hwcaps: BTreeSet<&str> = entries.iter().filter_map(|entry| entry.hwcaps.as_deref()).collect();

    let mut cache = MAGIC.to_vec();
    push(&mut cache, &[entries.len() as u32, strings.bytes.len() as u32, LITTLE_ENDIAN.into(), extensions as u32]);
    cache.resize(HEADER_LENGTH, 0);
    for entry in entries {
        push(&mut cache, &[entry.flags, strings.offset(&entry.soname), strings.offset(&entry.path), 0]);
        cache.extend(hwcap(entry, &hwcaps).to_le_bytes());
    }
    cache.extend(&strings.bytes);
    cache.resize(extensions, 0);
    let hwcaps: Vec<_> = hwcaps.into_iter().map(|name| strings.offset(name)).collect();
    write_extensions(&mut cache, &hwcaps, generator);
    cache
}

fn hwcap(entry: &Entry, hwcaps: &BTreeSet<&str>) -> u64 {
    let Some(name) = entry.hwcaps.as_deref() else { return 0 };
    let index = hwcaps.range(..name).count() as u64;
    HWCAP_EXTENSION | u64::from(entry.isa_level) << 32 | index
}

fn write_extensions(cache: &mut Vec<u8>, hwcaps: &[u32], generator: &str) {
    let sections = if hwcaps.is_empty() { 1 } else { 2 };
    let hwcaps_start = cache.len() + EXTENSION_HEADER_LENGTH + sections * SECTION_LENGTH;
    let generator_start = hwcaps_start + hwcaps.len() * 4;
    push(cache, &[EXTENSION_MAGIC, sections as u32]);
    push(cache, &[SECTION_GENERATOR, 0, generator_start as u32, generator.len() as u32]);
    if !hwcaps.is_empty() {
        push(cache, &[SECTION_HWCAPS, 0, hwcaps_start as u32, hwcaps.len() as u32 * 4]);
        push(cache, hwcaps);
    }
    cache.extend(generator.bytes());
}

fn push(bytes: &mut Vec<u8>, numbers: &[u32]) {
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

/// The table of strings, in which a string that ends another one shares its bytes.
#[derive(Debug)]
struct Strings<'a> {
    bytes: Vec<u8>,
    offsets: HashMap<&'a str, usize>,
    start: usize,
}

impl<'a> Strings<'a> {
    fn new(libraries: &'a Libraries, start: usize) -> Self {
        let names = libraries.entries.iter().flat_map(|entry| [&*entry.soname, &*entry.path]);
        let mut names: Vec<&str> = names.chain(libraries.hwcaps.iter().map(String::as_str)).collect();
        // From the last character on, largest first: each string follows those that end with it.
        names.sort_unstable_by(|a, b| b.bytes().rev().cmp(a.bytes().rev()));
        names.dedup();
        let mut strings = Self { bytes: Vec::new(), offsets: HashMap::new(), start };
        let mut previous = "";
        for name in names {
            if !previous.ends_with(name) || previous.is_empty() {
                strings.bytes.extend(name.bytes().chain([0]));
            }
            previous = name;
            // The bytes written last end with this name and its NUL.
            strings.offsets.insert(name, strings.bytes.len() - 1 - name.len());
        }
        strings
    }

    /// Returns a string's position, counted from the start of the file.
    fn offset(&self, name: &str) -> u32 {
        (self.start + self.offsets[name]) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::object::{Kind, Object};
    use crate::layer::tree::{Content, Node, Tree, TreePath};
    use crate::platform::Platform;

    fn number(bytes: &[u8], offset: usize) -> usize {
        u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap()) as usize
    }

    fn text(bytes: &[u8], offset: usize) -> &str {
        std::str::from_utf8(bytes[offset..].split(|byte| *byte == 0).next().unwrap()).unwrap()
    }

    fn libraries(paths: &[&str]) -> Libraries {
        let platform = Platform::ALL[0];
        let path = |path: &&str| TreePath::new(path).unwrap();
        let tree: Tree = paths.iter().map(|name| (path(name), Node::file(Content::inline(*b""), 0o644))).collect();
        let object = Object { platform: Some(platform), kind: Kind::Shared, isa_level: 2, ..Object::default() };
        let objects: Vec<_> = paths.iter().map(|name| (path(name), object.clone())).collect();
        Libraries::find(&tree, &objects, &["/usr/lib/x".to_owned()], platform)
    }

    #[test]
    fn the_cache_has_the_recorded_structure() {
        let found = libraries(&["usr/lib/x/liba.so.1", "usr/lib/x/libb.so.2", "usr/lib/x/glibc-hwcaps/v3/liba.so.1"]);
        let cache = encode(&found, "test");
        assert_eq!(&cache[..20], b"glibc-ld.so.cache1.1");
        assert_eq!((number(&cache, 20), cache[28]), (3, 2));
        let entry = |index: usize| {
            let at = 48 + index * 24;
            let hwcap = u64::from_le_bytes(cache[at + 16..at + 24].try_into().unwrap());
            assert_eq!(number(&cache, at), 0x303);
            (text(&cache, number(&cache, at + 4)), text(&cache, number(&cache, at + 8)), hwcap)
        };
        assert_eq!(entry(0), ("libb.so.2", "/usr/lib/x/libb.so.2", 0));
        assert_eq!(entry(1), ("liba.so.1", "/usr/lib/x/glibc-hwcaps/v3/liba.so.1", 1 << 62 | 2 << 32));
        assert_eq!(entry(2), ("liba.so.1", "/usr/lib/x/liba.so.1", 0));
        let extensions = number(&cache, 32);
        assert_eq!((number(&cache, extensions), number(&cache, extensions + 4)), (0xeaa4_2174, 2));
        let hwcaps = number(&cache, extensions + 32);
        assert_eq!(text(&cache, number(&cache, hwcaps)), "v3");
        assert!(cache.ends_with(b"test"));
    }

    #[test]
    fn strings_share_their_ends() {
        let cache = encode(&libraries(&["usr/lib/x/liba.so.1"]), "");
        assert_eq!(number(&cache, 24), "/usr/lib/x/liba.so.1\0".len());
        assert_eq!(number(&cache, 48 + 4), number(&cache, 48 + 8) + "/usr/lib/x/".len());
    }

    #[test]
    fn an_image_without_libraries_has_an_empty_cache() {
        let cache = encode(&libraries(&[]), "test");
        assert_eq!((number(&cache, 20), number(&cache, 24), number(&cache, 32)), (0, 0, 48));
    }

    #[test]
    fn the_generator_is_debians() {
        let expected = "ldconfig (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36";
        assert_eq!(generator("2.36-9+deb12u14"), expected);
    }
}
