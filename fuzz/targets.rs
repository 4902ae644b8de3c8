//! What is fuzzed: each parser of what others wrote, by its name, with inputs to begin from and what must always hold.
//!
//! `fuzz/main.rs` runs these for minutes with libFuzzer, `tests/fuzz.rs` for a moment with a mutator of its own.

use std::cell::Cell;
use std::cmp::Ordering;
use std::io::Cursor;
use std::sync::LazyLock;

use mlpack::ecosystem::debian::catalog::Catalog;
use mlpack::ecosystem::debian::contents::Sonames;
use mlpack::ecosystem::debian::control::stanzas;
use mlpack::ecosystem::debian::deb::{Control, ar, tarball};
use mlpack::ecosystem::debian::index::Index;
use mlpack::ecosystem::debian::openpgp::Keyring;
use mlpack::ecosystem::debian::release::Release;
use mlpack::ecosystem::debian::{relation, version};
use mlpack::elf::Object;
use mlpack::service::json_schema::JsonSchema;
use mlpack::service::pattern::Pattern;

/// A parser under attack.
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: &'static str,
    /// Parses any bytes; panics where something is wrong with the result.
    pub(crate) run: fn(&[u8]),
    /// Inputs that it takes.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub(crate) const TARGETS: &[Target] = &[
    Target { name: "deb822", run: deb822, seeds: || texts(&[PARAGRAPH, CONTROL]) },
    Target {
        name: "version",
        run: versions,
        seeds: || texts(&["1:2.3-4+deb12u1\n1:2.3~rc1-4\n2", "0:1.0-0\n1.0\n~~"]),
    },
    Target { name: "relation", run: relations, seeds: || texts(&[RELATION, "a"]) },
    Target { name: "ar", run: container, seeds: || vec![deb(&[b"abc", b"0123"])] },
    Target { name: "tar", run: archive, seeds: || vec![tar()] },
    Target { name: "elf", run: elf, seeds: || vec![object()] },
    Target { name: "contents", run: contents, seeds: || texts(&[CONTENTS]) },
    Target { name: "inrelease", run: in_release, seeds: || texts(&[IN_RELEASE]) },
    Target { name: "release", run: release, seeds: || texts(&[RELEASE]) },
    Target { name: "packages", run: packages, seeds: || texts(&[PACKAGES]) },
    Target { name: "json-schema", run: json_schema, seeds: || texts(&SCHEMAS) },
    Target { name: "pattern", run: pattern, seeds: || texts(&[PATTERN]) },
];

const PARAGRAPH: &str = "Package: a\n# x\nversion:1 \nDescription: b\n c\n .\n\td\nEmpty:\n\nA: 2\n";
const CONTROL: &str = "Package: demo\nVersion: 1.0-1\nArchitecture: amd64\nDescription: short\n long\n";
const RELATION: &str = "libc6 (>= 2.36), python3:any | awk, x (<< 1:2~) [amd64 !i386] <!nocheck>, a (= 1) | b (>> 2)";
const CONTENTS: &str =
    "usr/lib/x86_64-linux-gnu/libz.so.1  libs/zlib1g,libs/other\nlib/x86_64-linux-gnu/libm.so.6 libs/libc6\n";
const RELEASE: &str = "Codename: demo\nDate: Thu, 26 Nov 2026 00:00:00 UTC\nValid-Until: Fri, 27 Nov 2026 00:00:00 UTC\n\
    Acquire-By-Hash: yes\nSHA256:\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 7 main/Contents\n";
const PACKAGES: &str = "Package: a\nVersion: 1\nArchitecture: amd64\nFilename: pool/a.deb\nSize: 1\nProvides: v (= 1), w\n\
    Depends: b (>= 1) | c\nMulti-Arch: same\nEssential: yes\n\nPackage: b\nVersion: 2\nArchitecture: all\n";
/// Signed with a key that was made for this and thrown away; its public half is `key.asc`.
const IN_RELEASE: &str = include_str!("InRelease");
const KEY: &[u8] = include_bytes!("key.asc");

/// Schemas, each with a value.
const SCHEMAS: [&str; 3] = [
    r##"[{"type":"object","required":["a"],"properties":{"a":{"$ref":"#/$defs/n"}},"unevaluatedProperties":false,
        "$defs":{"n":{"multipleOf":0.1,"maximum":1e3}}},{"a":0.3,"b":[1]}]"##,
    r#"[{"prefixItems":[{"const":1}],"contains":{"enum":[null,"x"]},"uniqueItems":true,"unevaluatedItems":{"format":"time"},
        "anyOf":[{"items":{"pattern":"^a"}},{"minItems":2}]},[1.0,null,"12:00:00Z"]]"#,
    r##"[{"$id":"a:b","$dynamicAnchor":"x","patternProperties":{"^.":{"$dynamicRef":"#x"}},"if":{"minProperties":1},
        "then":{"propertyNames":{"maxLength":2}},"not":{"$anchor":"y","type":["null","string"]}},{"~":{"/":{}}}]"##,
];
const PATTERN: &str = r"^(?:[^\d\]a-z&&]|\p{L}{1,3}?)(?<n>\u{41}|\x41|\cA)*\b.[]$|(?i:ß)\0";

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A control file that is taken reads the same when it is written anew.
fn deb822(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for (name, value) in stanzas(&text).flat_map(mlpack::ecosystem::debian::control::Stanza::fields) {
        assert!(text.contains(name) && text.contains(value) && !name.contains('\n'));
    }
    if let Ok(control) = Control::parse(&text) {
        let written: String = control.fields().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let again = Control::parse(&written).expect("what was read can be read again");
        assert!(again.fields().eq(control.fields()), "{written:?}");
    }
}

/// The order is one: each version equals itself, pairs agree from both sides, and three of them in both directions.
fn versions(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let versions: Vec<_> = text.splitn(3, '\n').collect();
    for one in &versions {
        assert_eq!(version::compare(one, one), Ordering::Equal);
        for other in &versions {
            assert_eq!(version::compare(one, other), version::compare(other, one).reverse(), "{one:?} {other:?}");
        }
    }
    if let [a, b, c] = versions[..]
        && version::compare(a, b).is_le()
        && version::compare(b, c).is_le()
    {
        assert!(version::compare(a, c).is_le(), "{a:?} {b:?} {c:?}");
    }
}

/// A field of relations that is taken reads the same when it is written anew.
fn relations(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(groups) = relation::parse(&text) else { return };
    for group in groups {
        let written = relation::show(&group);
        let again = relation::parse_alternatives(&written).expect("what was read can be read again");
        assert_eq!(again, group, "{written:?}");
    }
}

/// Members lie in the file, one behind the other.
fn container(data: &[u8]) {
    let length = data.len() as u64;
    let Ok(ar::Members { control, data }) = ar::members(&mut Cursor::new(data), length) else { return };
    assert!(control.offset + control.length <= data.offset && data.offset + data.length <= length);
}

/// Paths stay in the tree, and no more comes out than went in.
fn archive(data: &[u8]) {
    let total = Cell::new(0);
    let _ = tarball::read("data.tar", &mut &data[..], &mut |entry, content| {
        if let Some(path) = &entry.path {
            assert!(
                !path.as_str().starts_with('/')
                    && path.as_str().split('/').all(|part| !matches!(part, "" | "." | ".."))
            );
        }
        let mut bytes = Vec::new();
        if content.read_to_end(&mut bytes).is_ok() {
            total.set(total.get() + bytes.len());
        }
        assert!(entry.mode <= 0o7777);
        Ok(())
    });
    assert!(total.get() <= data.len());
}

/// Names come out of the file: no more text than it has bytes.
fn elf(data: &[u8]) {
    if let Some(object) = Object::parse(data) {
        assert!(object.needed.iter().all(|name| name.len() <= data.len()));
        for machine in ["linux/amd64", "linux/arm64"] {
            let _ = object.is_loadable(machine.parse().expect("the platform is known"));
        }
    }
}

/// Every library that is found has a package.
fn contents(data: &[u8]) {
    if let Ok(sonames) = Sonames::scan(data, "x86_64-linux-gnu") {
        assert!(sonames.versions("libz.so").all(|(_, packages)| !packages.is_empty()));
    }
}

/// What the key did not sign is never taken for signed.
fn in_release(data: &[u8]) {
    static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
        let mut keyring = Keyring::default();
        keyring.add(KEY).expect("the key is sound");
        keyring
    });
    static SIGNED: LazyLock<String> = LazyLock::new(|| verify(IN_RELEASE).expect("the seed is signed"));
    fn verify(message: &str) -> Option<String> {
        // A day after it was signed.
        KEYRING.verify("seed", message, 1_795_776_000).ok().map(|signed| signed.text)
    }
    if let Some(text) = verify(&String::from_utf8_lossy(data)) {
        assert_eq!(text.trim_end(), SIGNED.trim_end());
    }
}

/// Dates are compared without overflow.
fn release(data: &[u8]) {
    if let Ok(release) = Release::parse("demo", &String::from_utf8_lossy(data)) {
        let _ = release.check(1_795_776_000, Some(1_795_000_000));
        let _ = release.file("main/Contents");
    }
}

/// An index that is taken can be asked.
fn packages(data: &[u8]) {
    let Ok(index) = Index::parse("demo", data.to_vec()) else { return };
    let catalog = Catalog::new(vec![index]);
    for record in catalog.names().filter_map(|name| catalog.candidate(name)) {
        assert!(!record.name.contains('\n'));
        for field in ["Depends", "Provides"] {
            let _ = record.relations(field);
        }
    }
}

/// A schema that is taken can be held against any value, and what is wrong has a place in it.
fn json_schema(data: &[u8]) {
    let Ok((schema, value)) = serde_json::from_slice::<(serde_json::Value, serde_json::Value)>(data) else { return };
    let Ok(Some(schema)) = JsonSchema::new(&schema) else { return };
    for problem in schema.problems(&value, 10) {
        // Long names are cut: an answer should not be as long as the question.
        let is_cut = problem.pointer.split('/').any(|name| name.chars().count() >= 100);
        assert!(is_cut || value.pointer(&problem.pointer).is_some(), "{problem:?}");
    }
}

/// What can be used is a pattern.
fn pattern(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(pattern) = Pattern::new(&text) {
        assert!(Pattern::is_pattern(&text) && pattern.to_string() == text);
        let _ = pattern.is_match(&text);
    }
}

/// A container with two members, as deb(5) says.
fn deb(archives: &[&[u8]; 2]) -> Vec<u8> {
    let members = [("debian-binary", &b"2.0\n"[..]), ("control.tar.xz", archives[0]), ("data.tar", archives[1])];
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

/// A folder, a file, a long name, a symbolic and a hard link.
fn tar() -> Vec<u8> {
    let long = [&b"d/".repeat(60)[..], b"end\0"].concat();
    let entries: [(u8, &str, &str, &[u8]); 6] = [
        (b'5', "./a/", "", b""),
        (b'0', "./a/b", "", b"text"),
        (b'L', "././@LongLink", "", &long),
        (b'0', "cut", "", b"x"),
        (b'2', "c", "a", b""),
        (b'1', "d", "a/b", b""),
    ];
    let mut bytes = Vec::new();
    for (kind, name, target, content) in entries {
        let start = bytes.len();
        bytes.resize(start + 512, 0);
        let header = &mut bytes[start..];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, "0000644");
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{:011o}", content.len()));
        put(136, "14717217640");
        put(148, "        ");
        put(157, target);
        put(257, "ustar  ");
        header[156] = kind;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// A shared object for amd64 with one load and one dynamic segment, that needs `libz.so.1`.
fn object() -> Vec<u8> {
    let strings = b"\0libz.so.1\0libdemo.so.1\0$ORIGIN\0";
    let (dynamic, table) = (64 + 2 * 56_u64, 64 + 2 * 56 + 6 * 16_u64);
    let size = table + strings.len() as u64;
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    let mut put = |number: u64, width: usize| bytes.extend(&number.to_le_bytes()[..width]);
    for (number, width) in [(3, 2), (62, 2), (1, 4), (0, 8), (64, 8), (0, 8), (0, 4), (64, 2), (56, 2), (2, 2)] {
        put(number, width);
    }
    for _ in 0..3 {
        put(0, 2);
    }
    for (kind, offset, length) in [(1, 0, size), (2, dynamic, 6 * 16)] {
        for (number, width) in
            [(kind, 4), (4, 4), (offset, 8), (offset, 8), (offset, 8), (length, 8), (length, 8), (8, 8)]
        {
            put(number, width);
        }
    }
    for (tag, value) in [(1, 1), (14, 11), (29, 24), (5, table), (10, strings.len() as u64), (0, 0)] {
        put(tag, 8);
        put(value, 8);
    }
    bytes.extend(strings);
    bytes
}
