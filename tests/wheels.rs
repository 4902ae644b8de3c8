//! Unpacking wheels: what a sound one becomes, and that each kind of hostile one is refused.
//!
//! The archives are written here byte by byte, so that every field can lie.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error;
use std::io::Write as _;

use base64::Engine as _;
use mlpack::digest::Digest;
use mlpack::ecosystem::pypi::{notices, unpack};
use mlpack::fetch::home::Home;
use mlpack::fetch::pack;
use mlpack::layer::tree::Tree;
use mlpack::lock::{Package, PackageKind};

/// An entry of an archive, with what its headers say.
#[derive(Clone)]
struct Entry {
    name: Vec<u8>,
    local_name: Vec<u8>,
    packed: Vec<u8>,
    size: u32,
    local_size: u32,
    crc: u32,
    method: u16,
    flags: u16,
    mode: u32,
    /// Bytes after the data, for gaps and descriptors.
    after: Vec<u8>,
    extra: Vec<u8>,
}

impl Entry {
    fn stored(name: &str, bytes: &[u8]) -> Self {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        Self {
            name: name.into(),
            local_name: name.into(),
            packed: bytes.to_vec(),
            size: bytes.len() as u32,
            local_size: bytes.len() as u32,
            crc: crc.sum(),
            method: 0,
            flags: 0,
            mode: 0o100_644,
            after: Vec::new(),
            extra: Vec::new(),
        }
    }

    fn deflated(name: &str, bytes: &[u8]) -> Self {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(bytes).unwrap();
        Self { packed: encoder.finish().unwrap(), method: 8, ..Self::stored(name, bytes) }
    }

    fn header(&self, local: bool, offset: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |value: u32, width: usize| bytes.extend(&value.to_le_bytes()[..width]);
        put(if local { 0x0403_4b50 } else { 0x0201_4b50 }, 4);
        if !local {
            put(0x0314, 2);
        }
        put(20, 2);
        put(self.flags.into(), 2);
        put(self.method.into(), 2);
        put(0, 4);
        put(self.crc, 4);
        put(self.packed.len() as u32, 4);
        put(if local { self.local_size } else { self.size }, 4);
        let name = if local { &self.local_name } else { &self.name };
        put(name.len() as u32, 2);
        put(if local { 0 } else { self.extra.len() as u32 }, 2);
        if !local {
            put(0, 4);
            put(0, 2);
            put(self.mode << 16, 4);
            put(offset, 4);
        }
        bytes.extend(name);
        if !local {
            bytes.extend(&self.extra);
        }
        bytes
    }
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let (mut bytes, mut central) = (Vec::new(), Vec::new());
    for entry in entries {
        central.extend(entry.header(false, bytes.len() as u32));
        bytes.extend(entry.header(true, 0));
        bytes.extend(&entry.packed);
        bytes.extend(&entry.after);
    }
    let start = bytes.len() as u32;
    bytes.extend(&central);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend((entries.len() as u16).to_le_bytes());
    bytes.extend((entries.len() as u16).to_le_bytes());
    bytes.extend((central.len() as u32).to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

const METADATA: &str = "Metadata-Version: 2.1\nName: Demo\nVersion: 1.0\n\nText\n";
const WHEEL: &str = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";

fn row(name: &str, bytes: &[u8]) -> String {
    let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Digest::of(bytes).as_bytes());
    format!("{name},sha256={hash},{}\n", bytes.len())
}

/// A wheel with the files and a true RECORD, before `change` makes it a lie.
fn wheel_with(files: &[(&str, &str)], change: impl FnOnce(&mut Vec<Entry>, &mut String)) -> Vec<u8> {
    let own = [("demo-1.0.dist-info/METADATA", METADATA), ("demo-1.0.dist-info/WHEEL", WHEEL)];
    let all = || files.iter().chain(own.iter().filter(|(name, _)| !files.iter().any(|(other, _)| other == name)));
    let mut entries: Vec<_> = all().map(|(name, text)| Entry::deflated(name, text.as_bytes())).collect();
    let mut record: String = all().map(|(name, text)| row(name, text.as_bytes())).collect();
    record += "demo-1.0.dist-info/RECORD,,\n";
    change(&mut entries, &mut record);
    entries.push(Entry::deflated("demo-1.0.dist-info/RECORD", record.as_bytes()));
    archive(&entries)
}

fn wheel(files: &[(&str, &str)]) -> Vec<u8> {
    wheel_with(files, |_, _| {})
}

struct Bench {
    _folder: tempfile::TempDir,
    home: Home,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::below(folder.path());
        Self { _folder: folder, home }
    }

    fn unpack_as(&self, bytes: &[u8], name: &str, path: &str) -> Result<Tree, String> {
        let store = self.home.blobs().unwrap();
        let blob = store.insert_bytes(bytes).unwrap();
        let package = Package {
            kind: PackageKind::Wheel,
            name: name.to_owned(),
            version: "1.0".to_owned(),
            architecture: None,
            source: None,
            release: None,
            path: path.to_owned(),
            size: blob.size,
            sha256: blob.digest,
            reasons: Vec::new(),
        };
        let (python, platform) = ("3.11".parse().unwrap(), "linux/amd64".parse().unwrap());
        unpack(&store, &self.home.derived(), &package, &blob, &python, platform).map_err(|error| {
            let source = error.source().map(ToString::to_string).unwrap_or_default();
            let cause = error.source().and_then(Error::source).map(ToString::to_string).unwrap_or_default();
            format!("{error}: {source}: {cause}")
        })
    }

    fn unpack(&self, bytes: &[u8]) -> Result<Tree, String> {
        self.unpack_as(bytes, "demo", "demo-1.0-py3-none-any.whl")
    }

    fn read(&self, tree: &Tree, path: &str) -> String {
        let content = tree.get(path).unwrap_or_else(|| panic!("no {path}")).content().unwrap();
        String::from_utf8(pack::read(&self.home.blobs().unwrap(), content).unwrap()).unwrap()
    }
}

fn assert_refused(bytes: &[u8], reason: &str) {
    let error = Bench::new().unpack(bytes).expect_err(reason);
    assert!(error.contains(reason), "expected `{reason}`, found: {error}");
}

const SITE: &str = "usr/local/lib/python3.11/dist-packages";

#[test]
fn a_wheel_is_installed_where_python_finds_it() {
    let bytes = wheel(&[
        ("demo/__init__.py", "x = 1\n"),
        ("demo/__pycache__/__init__.cpython-311.pyc", "old"),
        ("demo-1.0.data/scripts/tool", "#!python -E\nprint()\n"),
        ("demo-1.0.data/scripts/shell", "#!/bin/sh\n"),
        ("demo-1.0.data/data/share/demo.txt", "data"),
        ("demo-1.0.data/headers/demo.h", "int x;"),
        ("demo-1.0.data/purelib/pure.py", ""),
        ("demo-1.0.dist-info/entry_points.txt", "[console_scripts]\ndemo = demo:main\n"),
    ]);
    let bench = Bench::new();
    let tree = bench.unpack(&bytes).unwrap();
    assert_eq!(bench.read(&tree, "usr/local/bin/tool"), "#!/usr/bin/python3.11\nprint()\n");
    assert_eq!(bench.read(&tree, "usr/local/bin/shell"), "#!/bin/sh\n");
    assert!(bench.read(&tree, "usr/local/bin/demo").starts_with("#!/usr/bin/python3.11\n"));
    assert_eq!(bench.read(&tree, "usr/local/share/demo.txt"), "data");
    assert_eq!(bench.read(&tree, "usr/local/include/python3.11/demo/demo.h"), "int x;");
    assert_eq!(bench.read(&tree, &format!("{SITE}/demo-1.0.dist-info/INSTALLER")), "mlpack\n");
    let listed: Vec<_> = tree
        .iter()
        .filter(|(_, node)| node.content().is_some())
        .map(|(path, node)| format!("{path} {:o} {}", node.mode, node.mtime))
        .collect();
    insta::assert_snapshot!(listed.join("\n"), @r"
    usr/local/bin/demo 755 315532800
    usr/local/bin/shell 755 315532800
    usr/local/bin/tool 755 315532800
    usr/local/include/python3.11/demo/demo.h 644 315532800
    usr/local/lib/python3.11/dist-packages/demo-1.0.dist-info/INSTALLER 644 315532800
    usr/local/lib/python3.11/dist-packages/demo-1.0.dist-info/METADATA 644 315532800
    usr/local/lib/python3.11/dist-packages/demo-1.0.dist-info/RECORD 644 315532800
    usr/local/lib/python3.11/dist-packages/demo-1.0.dist-info/WHEEL 644 315532800
    usr/local/lib/python3.11/dist-packages/demo-1.0.dist-info/entry_points.txt 644 315532800
    usr/local/lib/python3.11/dist-packages/demo/__init__.py 644 315532800
    usr/local/lib/python3.11/dist-packages/pure.py 644 315532800
    usr/local/share/demo.txt 644 315532800
    ");
    let record = bench.read(&tree, &format!("{SITE}/demo-1.0.dist-info/RECORD"));
    insta::assert_snapshot!(record, @r"
    ../../../bin/demo,sha256=QAP4y1VkOy2MOOLjDyhW-Vl6vFnLYHCcBuZ4JwmR9bQ,105
    ../../../bin/shell,sha256=qAdtPSjSHgIBKyDq99v3VAmmJ3E0Q5Al8oLjaOMwWr8,10
    ../../../bin/tool,sha256=cAmVfZxiQcPPnqXCV1k9BgieICVVgxKL7QXOd18F8Hw,30
    ../../../include/python3.11/demo/demo.h,sha256=4T4zK9COE8viruCU4TDtI4eLO1VL5bmmZag-Y8qph64,6
    demo-1.0.dist-info/INSTALLER,sha256=aZRveK1DFBghze-YY-oev3RraVKfzzIXnDQvwY4-A3g,7
    demo-1.0.dist-info/METADATA,sha256=dq36RtX43Qzmu9gJ_DPwJwsiDA_JqsVdBGSlbx1jkNs,52
    demo-1.0.dist-info/WHEEL,sha256=GOJWfGKy_s7ZRMtmrMyJFvIHxzo0gLZVhGWWyTqB6uo,75
    demo-1.0.dist-info/entry_points.txt,sha256=cB9_KZ99Q1zeK186yD_neftGZdvOT61tblgHJXTEFUw,35
    demo/__init__.py,sha256=nia_NpkRxFwkPGhBR7I_yeHc_PJX0pmhxjIBam_NM_Q,6
    pure.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0
    ../../../share/demo.txt,sha256=Om6weQ85rIfJTzhWst0sXREOaBFgImGpqSPTuyOtyLc,4
    demo-1.0.dist-info/RECORD,,
    ");
}

#[test]
fn unpacking_twice_gives_the_same_and_a_lost_pack_is_made_again() {
    let (bench, bytes) = (Bench::new(), wheel(&[("demo.py", "x = 1\n")]));
    let first = bench.unpack(&bytes).unwrap();
    for blob in std::fs::read_dir(bench.home.cache().join("blobs/sha256")).unwrap() {
        std::fs::remove_file(blob.unwrap().path()).unwrap();
    }
    let second = bench.unpack(&bytes).unwrap();
    assert_eq!(bench.read(&second, &format!("{SITE}/demo.py")), "x = 1\n");
    assert_eq!(serde_json::to_string(&first).unwrap(), serde_json::to_string(&second).unwrap());
}

#[test]
fn the_result_of_one_package_is_not_taken_for_another() {
    let (bench, bytes) = (Bench::new(), wheel(&[]));
    bench.unpack(&bytes).unwrap();
    let error = bench.unpack_as(&bytes, "other", "other-1.0-py3-none-any.whl").unwrap_err();
    assert!(error.contains("names the package `Demo`, expected `other`"), "{error}");
    let error = bench.unpack_as(&bytes, "demo", "demo-1.0-cp312-cp312-linux_x86_64.whl").unwrap_err();
    assert!(error.contains("is not for Python 3.11"), "{error}");
}

#[test]
fn headers_that_disagree_are_refused() {
    let demo = [("demo.py", "x = 1\n")];
    let refused = |reason: &str, change: &dyn Fn(&mut Entry)| {
        assert_refused(&wheel_with(&demo, |entries, _| change(&mut entries[0])), reason);
    };
    let differs = "its local header differs";
    refused(differs, &|entry| entry.local_name = b"evil.py".to_vec());
    refused(differs, &|entry| entry.local_size = 0);
    refused("overlaps another one, or leaves a gap", &|entry| entry.after = b"gap".to_vec());
    refused("encrypted", &|entry| entry.flags = 1);
    refused("compression method", &|entry| entry.method = 12);
    refused("not UTF-8", &|entry| entry.name = b"\xff.py".to_vec());
    refused("neither a regular file nor a folder", &|entry| entry.mode = 0o120_777);
    refused("neither a regular file nor a folder", &|entry| entry.mode = 0o020_666);
    refused("second name", &|entry| entry.extra = b"\x75\x70\x01\0x".to_vec());
    refused("extra fields are cut off", &|entry| entry.extra = b"\x75\x70\xff\0x".to_vec());
    refused("another checksum", &|entry| entry.crc ^= 1);
    refused("larger than 4 GiB", &|entry| (entry.size, entry.local_size) = (u32::MAX, u32::MAX));
    refused("far more than its size", &|entry| (entry.size, entry.local_size) = (1 << 31, 1 << 31));
    refused("is longer than its header says", &|entry| (entry.size, entry.local_size) = (5, 5));
    refused("is shorter than its header says", &|entry| (entry.size, entry.local_size) = (7, 7));
    refused("bytes after the end of its data", &|entry| entry.packed.extend(b"hidden"));
    refused("sizes after its data differ", &|entry| {
        entry.flags = 8;
        entry.after = b"PK\x07\x08\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    });
}

#[test]
fn streamed_entries_with_true_sizes_are_read() {
    let bytes = wheel_with(&[("demo.py", "x = 1\n")], |entries, _| {
        let entry = &mut entries[0];
        entry.flags = 8;
        let sizes = [entry.crc, entry.packed.len() as u32, entry.size].map(u32::to_le_bytes).concat();
        entry.after = [b"PK\x07\x08", &sizes[..]].concat();
    });
    Bench::new().unpack(&bytes).unwrap();
}

#[test]
fn names_that_are_not_plain_are_refused() {
    for name in ["../x", "/x", "a/../../x", "a\\x", "a\0x", "a\nx", "./x", "a//x", "a/.wh.x", ".wh..wh..opq", ""] {
        let change = |entries: &mut Vec<Entry>, _: &mut String| entries.push(Entry::stored(name, b""));
        assert_refused(&wheel_with(&[], change), "its name is not a plain relative path");
    }
    let twice = |entries: &mut Vec<Entry>, _: &mut String| entries.push(Entry::stored("demo.py", b"other"));
    assert_refused(&wheel_with(&[("demo.py", "x")], twice), "it is there twice");
    let both = [("demo", "x"), ("demo/__init__.py", "x")];
    assert_refused(&wheel(&both), "a file and a folder at once");
}

#[test]
fn only_one_archive_can_be_read_out_of_a_file() {
    let sound = wheel(&[("demo.py", "x = 1\n")]);
    let malformed = "the archive is malformed";
    assert_refused(&[&b"#!/bin/sh\n"[..], &sound].concat(), malformed);
    assert_refused(&[&sound[..], b"more"].concat(), malformed);
    assert_refused(&[&sound[..], &sound].concat(), malformed);
    assert_refused(&sound[..sound.len() - 1], malformed);
    assert_refused(b"", malformed);
    // A second, hidden archive in the comment of the first one.
    let mut commented = sound.clone();
    let end = commented.len() - 2;
    commented[end..].copy_from_slice(&22_u16.to_le_bytes());
    commented.extend(&sound[sound.len() - 22..]);
    assert_refused(&commented, malformed);
    // Two entries of the directory share one place in the file.
    let mut shared = sound;
    let first = shared.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    let second = first + 4 + shared[first + 4..].windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    shared.copy_within(first + 42..first + 46, second + 42);
    assert_refused(&shared, "overlaps another one");
}

#[test]
fn a_record_that_lies_is_refused() {
    let demo = [("demo.py", "x = 1\n")];
    let refused = |reason: &str, change: &dyn Fn(&mut Vec<Entry>, &mut String)| {
        assert_refused(&wheel_with(&demo, |entries, record| change(entries, record)), reason);
    };
    refused("RECORD lists `gone.py`", &|_, record| record.push_str(&row("gone.py", b"")));
    refused("RECORD lists `../../../../etc/passwd`", &|_, record| record.push_str("../../../../etc/passwd,,\n"));
    refused("RECORD has no hash for `extra.py`", &|entries, _| entries.push(Entry::stored("extra.py", b"")));
    refused("RECORD has no hash for `demo.py`", &|_, record| {
        *record = record.replace(&row("demo.py", b"x = 1\n"), "demo.py,,\n");
    });
    refused("`demo.py` is not what RECORD says", &|_, record| {
        *record = record.replace(&row("demo.py", b"x = 1\n"), &row("demo.py", b"x = 2\n"));
    });
    refused("two different rows", &|_, record| record.push_str(&row("demo.py", b"other")));
    refused("not SHA-256", &|_, record| record.push_str("x,md5=abc,1\n"));
}

#[test]
fn a_wheel_that_is_another_package_is_refused() {
    let metadata = "demo-1.0.dist-info/METADATA";
    assert_refused(&wheel(&[(metadata, "Name: evil\nVersion: 1.0\n\n")]), "names the package `evil`");
    assert_refused(&wheel(&[(metadata, "Name: demo\nVersion: 2.0\n\n")]), "gives version `2.0`");
    assert_refused(&wheel(&[(metadata, "\nName: demo\nVersion: 1.0\n")]), "names the package ``");
    assert_refused(&wheel(&[("demo-1.0.dist-info/WHEEL", "Wheel-Version: 2.0\n")]), "format version 1");
    assert_refused(&wheel(&[("evil-1.0.dist-info/METADATA", METADATA)]), "exactly one `.dist-info` folder");
    assert_refused(&archive(&[]), "exactly one `.dist-info` folder");
}

#[test]
fn relocation_and_programs_stay_in_their_place() {
    assert_refused(&wheel(&[("demo-1.0.data/evil/x", "")]), "unknown part of its data folder");
    assert_refused(&wheel(&[("demo-1.0.data/data/../../etc/passwd", "")]), "not a plain relative path");
    let points = "demo-1.0.dist-info/entry_points.txt";
    for point in ["../x = a:b", "x = a:b;import os", "/bin/sh = a:b"] {
        let text = format!("[console_scripts]\n{point}\n");
        assert_refused(&wheel(&[(points, &text)]), "an entry point is not");
    }
    let collision = [("demo.py", "x"), ("demo-1.0.data/purelib/demo.py", "y")];
    assert_refused(&wheel(&collision), "two of its files go to");
}

#[test]
fn files_that_run_at_start_and_files_of_two_packages_are_told() {
    let bench = Bench::new();
    let first = bench.unpack(&wheel(&[("demo.pth", "import os\n"), ("shared.py", "1"), ("sub/x.pth", "")])).unwrap();
    let second = bench.unpack(&wheel(&[("shared.py", "2")])).unwrap();
    let startup = notices::startup_files(&first, &"3.11".parse().unwrap());
    assert_eq!(startup.iter().map(|path| path.as_str()).collect::<Vec<_>>(), [format!("{SITE}/demo.pth")]);
    let shared = notices::shared_files([("first", &first), ("second", &second)]);
    assert_eq!(shared.iter().filter(|shared| shared.path.file_name() == "shared.py").count(), 1);
    assert_eq!(shared[0].packages, ["first".to_owned(), "second".to_owned()]);
}
