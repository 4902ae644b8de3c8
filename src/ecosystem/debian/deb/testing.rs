//! Small packages for tests, sound and hostile ones: headers are written as told, whatever a real archiver would do.

use crate::fetch::Blob;
use crate::lock::{Package, PackageKind};

/// A tar archive in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
    /// The position of the last header.
    last: usize,
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds an entry of any type.
    pub(crate) fn raw(mut self, flag: u8, name: &[u8], target: &[u8], content: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
        header.set_entry_type(tar::EntryType::new(flag));
        header.set_mode(if flag == b'5' { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.last = self.bytes.len();
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        self.raw(b'5', name.as_bytes(), b"", b"")
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.raw(b'0', name.as_bytes(), b"", content.as_bytes())
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(b'2', name.as_bytes(), target.as_bytes(), b"")
    }

    pub(crate) fn link(self, name: &str, target: &str) -> Self {
        self.raw(b'1', name.as_bytes(), target.as_bytes(), b"")
    }

    /// Changes the header of the last entry, whose checksum stays right.
    pub(crate) fn patched(mut self, change: impl FnOnce(&mut tar::Header)) -> Self {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&self.bytes[self.last..self.last + 512]);
        change(&mut header);
        header.set_cksum();
        self.bytes[self.last..self.last + 512].copy_from_slice(header.as_bytes());
        self
    }

    /// Returns the archive with its end.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.bytes[..], &[0; 1024]].concat()
    }
}

/// Returns the content of a GNU long-name entry.
pub(crate) fn gnu_long_name(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

/// Returns an `ar` container with these members.
pub(crate) fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes());
        bytes.extend(*content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// Returns a .deb with these archives in it.
pub(crate) fn deb(control: &Tar, data: &Tar) -> Vec<u8> {
    let control = liblzma::encode_all(&control.bytes()[..], 0).expect("encoding into memory cannot fail");
    let data = zstd::encode_all(&data.bytes()[..], 1).expect("encoding into memory cannot fail");
    ar(&[("debian-binary", b"2.0\n"), ("control.tar.xz", &control), ("data.tar.zst", &data)])
}

/// Returns the lock's entry for a package in `blob`.
pub(crate) fn package(name: &str, version: &str, architecture: &str, blob: &Blob) -> Package {
    Package {
        kind: PackageKind::Deb,
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: Some(architecture.to_owned()),
        source: None,
        release: None,
        path: format!("pool/{name}.deb"),
        size: blob.size,
        sha256: blob.digest,
        reasons: Vec::new(),
    }
}
