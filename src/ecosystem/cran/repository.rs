//! CRAN-like repositories: what their lists of packages say, and their files.
//!
//! The form is that of R's "Creating a package repository" (R Installation and Administration, section 6.6): `PACKAGES`
//! in `src/contrib`, with package files beside it and older versions in `Archive`. Lists are not signed: what they name is
//! trusted when the lock is made, as R does, and from then on by the digest in the lock.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::PathBuf;

use md5::{Digest as _, Md5};
use url::Url;

use super::{CranError, requirement};
use crate::ecosystem::debian::control;
use crate::ecosystem::debian::pool::{check_path, join};
use crate::error::Result;
use crate::fetch::http::{self, Http};
use crate::fetch::{Blob, BlobStore};
use crate::fs;
use crate::lock::Package;
use crate::manifest::{Manifest, Place, Repository as Named};

/// Where a repository keeps packages for all systems.
const FOLDER: &str = "src/contrib";
/// The largest list of packages, in bytes; CRAN's has some ten million.
const LIST_LIMIT: u64 = 256 << 20;
/// The largest package file, in bytes.
const FILE_LIMIT: u64 = 1 << 30;

/// A repository that was found.
#[derive(Clone, Debug)]
pub struct Repository {
    name: String,
    place: Address,
}

#[derive(Clone, Debug)]
enum Address {
    Url(Url),
    Folder(PathBuf),
}

/// A package as a repository's list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its version.
    pub version: String,
    /// Its file's path in the repository.
    pub path: String,
    /// The file's MD5 digest in hex digits, where the list has it.
    pub md5: Option<String>,
}

/// A repository's list of packages.
#[derive(Debug, Default)]
pub struct Index(HashMap<String, Vec<Entry>>);

impl Repository {
    /// Returns the repositories that a manifest names and those that are configured, by name.
    ///
    /// A configured address is used in place of the manifest's, and this in place of one that is `listed` with the
    /// packages.
    pub fn find(
        manifest: &Manifest,
        listed: &[(String, String)],
        configured: &[(String, String)],
    ) -> Result<Vec<Self>, CranError> {
        let mut named: Vec<(&String, Named)> =
            manifest.runtime.repositories.iter().map(|(name, named)| (name, named.clone())).collect();
        for (name, address) in listed.iter().filter(|(name, _)| !manifest.runtime.repositories.contains_key(name)) {
            named.push((name, Named { place: Some(Place::Address(address.clone())), date: None }));
        }
        for (name, address) in configured {
            let place = Some(Place::Address(address.clone()));
            match named.iter_mut().find(|(other, _)| *other == name) {
                Some((_, named)) => named.place = place,
                None => named.push((name, Named { place, date: None })),
            }
        }
        named.into_iter().map(|(name, named)| Self::open(name, &named)).collect()
    }

    fn open(name: &str, named: &Named) -> Result<Self, CranError> {
        let place = match &named.place {
            None => return Err(CranError::Unplaced { repository: name.to_owned() }),
            Some(Place::Folder(folder)) => Address::Folder(folder.clone()),
            Some(Place::Address(text)) => {
                let text = text.replace("{date}", named.date.as_deref().unwrap_or("{date}"));
                address(&text).ok_or_else(|| CranError::Address { repository: name.to_owned() })?
            }
        };
        Ok(Self { name: name.to_owned(), place })
    }

    /// Returns the repository's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads the list of packages.
    pub fn index(&self, http: &Http) -> Result<Index> {
        for name in ["PACKAGES.gz", "PACKAGES"] {
            let Some(bytes) = self.bytes(&format!("{FOLDER}/{name}"), LIST_LIMIT, http)? else { continue };
            let mut text = Vec::new();
            let mut packed = flate2::read::MultiGzDecoder::new(&bytes[..]);
            let plain: &mut dyn std::io::Read = if name.ends_with(".gz") { &mut packed } else { &mut &bytes[..] };
            let path = PathBuf::from(format!("{name} of the repository `{}`", self.name));
            plain.take(LIST_LIMIT).read_to_end(&mut text).map_err(fs::Error::wrap("read", path))?;
            return Ok(Index::parse(&String::from_utf8_lossy(&text)));
        }
        Err(CranError::NoIndex { repository: self.name.clone(), place: self.show(FOLDER) }.into())
    }

    /// Returns the file of an entry, checked by the list's digest where it has one; `None` where there is no such file.
    pub fn fetch(&self, entry: &Entry, blobs: &BlobStore, http: &Http) -> Result<Option<Blob>> {
        check_path(&self.name, &entry.path)?;
        let Some(bytes) = self.bytes(&entry.path, FILE_LIMIT, http)? else { return Ok(None) };
        if let Some(expected) = &entry.md5 {
            let found: String = Md5::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            if !expected.eq_ignore_ascii_case(&found) {
                return Err(CranError::Mismatch { repository: self.name.clone(), path: entry.path.clone() }.into());
            }
        }
        Ok(Some(blobs.insert_bytes(&bytes)?))
    }

    /// Returns the file of a locked package. Its size and digest are the lock's.
    ///
    /// A repository moves a source to `Archive` when there is a newer version, so that one is looked for there as well.
    pub fn fetch_locked(&self, package: &Package, blobs: &BlobStore, http: &Http) -> Result<Blob> {
        let archived = archived(&package.name, &package.version).path;
        for path in [&package.path, &archived] {
            check_path(&package.name, path)?;
        }
        match &self.place {
            Address::Url(url) => {
                let download = |path: &str| http.download(blobs, &join(url, path), package.sha256, package.size);
                let found = match download(&package.path) {
                    Err(error) if error.is_not_found() => {
                        download(&archived).map_err(|other| if other.is_not_found() { error } else { other })
                    }
                    found => found,
                };
                Ok(found?)
            }
            Address::Folder(folder) => {
                let (usual, moved) = (folder.join(&package.path), folder.join(&archived));
                let path = if !usual.exists() && moved.exists() { moved } else { usual };
                let file = fs::open(&path)?;
                Ok(blobs.insert(&format!("`{}`", path.display()), file, package.sha256, package.size)?)
            }
        }
    }

    /// Reads a file of at most `limit` bytes; `None` where there is none.
    fn bytes(&self, path: &str, limit: u64, http: &Http) -> Result<Option<Vec<u8>>> {
        match &self.place {
            Address::Url(url) => match http.get(&join(url, path), None, limit) {
                Err(error) if error.is_not_found() => Ok(None),
                result => Ok(Some(result?)),
            },
            Address::Folder(folder) => match fs::read(&folder.join(path)) {
                Err(error) if error.is_not_found() => Ok(None),
                result => Ok(Some(result?)),
            },
        }
    }

    fn show(&self, path: &str) -> String {
        match &self.place {
            Address::Url(url) => http::display(&join(url, path)),
            Address::Folder(folder) => folder.join(path).display().to_string(),
        }
    }
}

/// Reads an address as options have it: of the web, or of a folder.
fn address(text: &str) -> Option<Address> {
    let url = Url::parse(text).ok().filter(|_| !text.contains(['{', '}']))?;
    match url.scheme() {
        "http" | "https" => Some(Address::Url(url)),
        "file" => url.to_file_path().ok().map(Address::Folder),
        _ => None,
    }
}

impl Index {
    /// Reads the list's text. A stanza without a name or version that R would take is passed over.
    pub fn parse(text: &str) -> Self {
        let mut entries: HashMap<String, Vec<Entry>> = HashMap::new();
        for stanza in control::stanzas(text) {
            let (Some(name), Some(version)) = (stanza.field("Package"), stanza.field("Version")) else { continue };
            if requirement::parse(&format!("{name} (== {version})")).is_none() {
                continue;
            }
            let folder = stanza.field("Path").map(|path| format!("{path}/")).unwrap_or_default();
            let file = stanza.field("File").map_or_else(|| format!("{name}_{version}.tar.gz"), str::to_owned);
            entries.entry(name.to_owned()).or_default().push(Entry {
                version: version.to_owned(),
                path: format!("{FOLDER}/{folder}{file}"),
                md5: stanza.field("MD5sum").map(str::to_owned),
            });
        }
        Self(entries)
    }

    /// Returns a package's entries, the highest version first.
    pub fn entries(&self, name: &str) -> Vec<Entry> {
        let mut entries = self.0.get(name).cloned().unwrap_or_default();
        entries.sort_by(|left, right| requirement::compare(&right.version, &left.version));
        entries
    }
}

/// Returns the entry of an older version, which no list names.
pub fn archived(name: &str, version: &str) -> Entry {
    let path = format!("{FOLDER}/Archive/{name}/{name}_{version}.tar.gz");
    Entry { version: version.to_owned(), path, md5: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_the_newest_version_first_and_passes_over_nonsense() {
        let index = Index::parse(
            "Package: a\nVersion: 1.9\n\nPackage: a\nVersion: 1.10\nPath: 4.2.0/Other\nMD5sum: 0f\n\n\
             Package: ../b\nVersion: 1\n\nPackage: c\nVersion: x/y\n\nVersion: 2\n",
        );
        let entries = index.entries("a");
        assert_eq!(entries[0].path, "src/contrib/4.2.0/Other/a_1.10.tar.gz");
        assert_eq!(entries[0].md5.as_deref(), Some("0f"));
        assert_eq!(entries[1].path, "src/contrib/a_1.9.tar.gz");
        assert_eq!(index.0.len(), 1);
        assert_eq!(archived("a", "1.2-3").path, "src/contrib/Archive/a/a_1.2-3.tar.gz");
    }

    #[test]
    fn the_date_takes_its_place_and_only_known_schemes_are_addresses() {
        let open = |address: &str, date: Option<&str>| {
            let place = Some(Place::Address(address.to_owned()));
            Repository::open("r", &Named { place, date: date.map(str::to_owned) }).map(|found| found.show("x"))
        };
        let dated = open("https://example.org/cran/{date}", Some("2026-11-01")).unwrap();
        assert_eq!(dated, "https://example.org/cran/2026-11-01/x");
        assert_eq!(open("file:///srv/cran", None).unwrap(), "/srv/cran/x");
        assert!(matches!(open("https://example.org/{date}", None), Err(CranError::Address { .. })));
        assert!(matches!(open("ftp://example.org", None), Err(CranError::Address { .. })));
        assert!(matches!(Repository::open("r", &Named::default()), Err(CranError::Unplaced { .. })));
    }

    /// Serves `body` at `path`, and nothing else.
    fn serve(path: &'static str, body: &'static str) -> Url {
        use std::io::{BufRead as _, BufReader, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/cran", listener.local_addr().unwrap())).unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
                let (status, body) = if head[0].contains(path) { ("200 OK", body) } else { ("404 Not Found", "") };
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
            }
        });
        url
    }

    #[test]
    fn a_locked_source_is_found_in_the_archive_once_there_is_a_newer_one() {
        let folder = tempfile::tempdir().unwrap();
        let http = Http::new(std::sync::Arc::new(crate::event::Silent), false);
        let moved = folder.path().join(FOLDER).join("Archive/a/a_1.tar.gz");
        fs::write_atomic(&moved, b"abc").unwrap();
        let package = |bytes: &[u8]| Package {
            kind: crate::lock::PackageKind::R,
            name: "a".to_owned(),
            version: "1".to_owned(),
            architecture: None,
            source: None,
            release: Some("r".to_owned()),
            path: "src/contrib/a_1.tar.gz".to_owned(),
            size: 3,
            sha256: crate::digest::Digest::of(bytes),
            reasons: Vec::new(),
        };
        let url = serve(" /cran/src/contrib/Archive/a/a_1.tar.gz ", "abc");
        for (number, place) in [Address::Folder(folder.path().to_owned()), Address::Url(url)].into_iter().enumerate() {
            let blobs = BlobStore::open(&folder.path().join(format!("store-{number}"))).unwrap();
            let repository = Repository { name: "r".to_owned(), place };
            assert_eq!(repository.fetch_locked(&package(b"abc"), &blobs, &http).unwrap().size, 3);
            let error = repository.fetch_locked(&package(b"abd"), &blobs, &http).unwrap_err();
            assert_eq!(error.diagnosis().exit(), crate::error::Exit::Integrity, "{error}");
            let other = Package { name: "b".to_owned(), path: "src/contrib/b_1.tar.gz".to_owned(), ..package(b"abc") };
            let error = repository.fetch_locked(&other, &blobs, &http).unwrap_err().to_string();
            assert!(error.contains("src/contrib/b_1.tar.gz"), "{error}");
        }
    }

    #[test]
    fn files_are_what_the_list_says() {
        let folder = tempfile::tempdir().unwrap();
        let contrib = folder.path().join(FOLDER);
        std::fs::create_dir_all(&contrib).unwrap();
        let blobs = BlobStore::open(folder.path()).unwrap();
        let http = Http::new(std::sync::Arc::new(crate::event::Silent), true);
        let repository = Repository { name: "r".to_owned(), place: Address::Folder(folder.path().to_owned()) };
        assert!(repository.index(&http).unwrap_err().to_string().contains("has no list of packages at"));
        let list = "Package: a\nVersion: 1\nMD5sum: 900150983CD24FB0D6963F7D28E17F72\n\nPackage: b\nVersion: 1\n";
        std::fs::write(contrib.join("PACKAGES"), list).unwrap();
        std::fs::write(contrib.join("a_1.tar.gz"), "abc").unwrap();
        let index = repository.index(&http).unwrap();
        let fetch = |name: &str| repository.fetch(&index.entries(name)[0], &blobs, &http);
        assert_eq!(fetch("a").unwrap().unwrap().size, 3);
        assert!(fetch("b").unwrap().is_none());
        std::fs::write(contrib.join("a_1.tar.gz"), "abd").unwrap();
        assert_eq!(fetch("a").unwrap_err().diagnosis().exit(), crate::error::Exit::Integrity);
        let leaves = Entry { path: "../a".to_owned(), ..index.entries("a")[0].clone() };
        assert!(repository.fetch(&leaves, &blobs, &http).is_err());
    }
}
