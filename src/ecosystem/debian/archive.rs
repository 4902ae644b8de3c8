//! The Debian archive: a release with its updates and security updates, opened for one platform.
//!
//! Nothing is used that a trusted key did not sign: the key signs the release file, which names the digests of the
//! indexes, which name those of the packages.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::catalog::Catalog;
use super::contents::{self, Sonames};
use super::index::{Index, IndexError, Record};
use super::pool::{self, Pool};
use super::relation;
use super::release::{Release, ReleaseError};
use super::repository::{Repository, Trust};
use super::resolve::{self, Choice, Root};
use super::sources::Mirrors;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::fetch::derived::Derived;
use crate::fetch::http::Http;
use crate::fetch::store::StoreError;
use crate::fetch::{Blob, BlobStore, Home};
use crate::lock::{self, Package, PackageKind};
use crate::platform::Platform;

/// The part of the archive that is used: free software, complete in itself.
const COMPONENT: &str = "main";

/// The largest `Contents` index, in bytes uncompressed, where the release does not say its size.
const CONTENTS_LIMIT: u64 = 1 << 30;

/// A Debian release with its updates, for one platform.
pub struct Archive {
    platform: Platform,
    releases: Vec<(Release, lock::Release)>,
    catalog: Catalog,
    mirrors: Mirrors,
    derived: Derived,
    store: BlobStore,
    http: Http,
    sonames: Mutex<Option<Arc<Sonames>>>,
}

impl Archive {
    /// Opens the release with the code name `suite` and its updates and security updates.
    ///
    /// `known` is what a lock that is replaced says of them: an archive older than that is refused.
    pub fn open(
        suite: &str,
        platform: Platform,
        mirrors: &Mirrors,
        home: &Home,
        http: &Http,
        known: &[lock::Release],
    ) -> Result<Self> {
        // It becomes part of paths, here and at the mirror.
        if !relation::is_package_name(suite) {
            return Err(ReleaseError::Name { suite: suite.to_owned() }.into());
        }
        let trust = Trust::new(&mirrors.keyrings, home)?;
        let store = home.blobs()?;
        let suites = [suite.to_owned(), format!("{suite}-updates"), format!("{suite}-security")];
        let open = |suite: &str| {
            let repository = Repository { mirror: mirrors.of(suite), suite, store: &store, http };
            let (release, entry) = repository.release(&trust, known.iter().find(|known| known.name == suite))?;
            let packages = repository.index(&release, &packages_path(platform))?.read()?;
            Ok::<_, Error>((release, entry, Index::parse(suite, packages)?))
        };
        let opened: Vec<_> = thread::scope(|scope| {
            let threads = suites.each_ref().map(|suite| scope.spawn(|| open(suite)));
            threads.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).into()
        });
        let (mut releases, mut indexes) = (Vec::new(), Vec::new());
        for result in opened {
            let (release, entry, index) = result?;
            releases.push((release, entry));
            indexes.push(index);
        }
        Ok(Self {
            platform,
            releases,
            catalog: Catalog::new(indexes),
            mirrors: mirrors.clone(),
            derived: home.derived(),
            store,
            http: http.clone(),
            sonames: Mutex::default(),
        })
    }

    /// Returns what the lock says of the releases: the release itself, its updates, its security updates.
    pub fn releases(&self) -> Vec<lock::Release> {
        self.releases.iter().map(|(_, entry)| entry.clone()).collect()
    }

    /// Chooses the packages that `roots` need with all that they depend on, sorted by name.
    pub fn resolve(&self, roots: &[Root]) -> Result<Vec<Package>> {
        lock_all(resolve::resolve(&self.catalog, self.platform.debian(), roots)?)
    }

    /// Chooses the packages that `roots` name, without what they depend on, sorted by name.
    pub fn resolve_only(&self, roots: &[Root]) -> Result<Vec<Package>> {
        lock_all(resolve::resolve_only(&self.catalog, self.platform.debian(), roots)?)
    }

    /// Returns the packages of the archive, to look into.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Returns where the packages' files are fetched from.
    pub fn pool(&self) -> Pool {
        Pool::new(self.mirrors.clone(), self.store.clone(), self.http.clone())
    }

    /// Returns a package's file, see [`Pool::fetch`].
    pub fn fetch(&self, package: &Package) -> Result<Blob> {
        self.pool().fetch(package)
    }

    /// Returns the names of the packages that have the library `soname` where the loader looks, the best guess first;
    /// none where the archive does not have it.
    ///
    /// A library that exists only as an alternative is found by the packages that provide its name.
    pub fn provider(&self, soname: &str) -> Result<Vec<String>> {
        let sonames = self.sonames()?;
        let mut packages: Vec<_> = sonames.packages(soname).to_vec();
        packages.retain(|name| self.catalog.candidate(name).is_some());
        if packages.is_empty() {
            let providers = self.catalog.providers(soname).into_iter();
            packages = providers.map(|provider| provider.record.name.to_owned()).collect();
        }
        let conventional = contents::conventional_package(soname);
        packages.sort_by_key(|name| *name != conventional);
        Ok(packages)
    }

    /// Returns the libraries of the release, read once.
    fn sonames(&self) -> Result<Arc<Sonames>> {
        let mut sonames = self.sonames.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*sonames {
            return Ok(known.clone());
        }
        let found = Arc::new(self.read_sonames()?);
        *sonames = Some(found.clone());
        Ok(found)
    }

    fn read_sonames(&self) -> Result<Sonames> {
        // The indexes of the updates have next to nothing, those of security updates nothing at all.
        let (release, _) = &self.releases[0];
        let suite = &release.suite;
        let repository = Repository { mirror: self.mirrors.of(suite), suite, store: &self.store, http: &self.http };
        let path = format!("{COMPONENT}/Contents-{}", self.platform.debian());
        let packed_path = format!("{path}.gz");
        let packed = repository.file(release, &packed_path)?;
        let key = Derived::key("debian-sonames-1", &(packed.digest, self.platform.triplet()));
        if let Some(sonames) = self.derived.get(&key) {
            return Ok(sonames);
        }
        let limit = release.file(&path).map_or(CONTENTS_LIMIT, |file| file.size);
        let blob = repository.fetch(release, &packed_path, packed)?;
        let sonames = scan(blob.open()?, limit, self.platform)
            .map_err(|source| StoreError::Source { name: format!("`{packed_path}` of {suite}"), source })?;
        self.derived.put(&key, &sonames)?;
        Ok(sonames)
    }
}

/// Reads a compressed `Contents` index, which was verified, and no more than `limit` bytes of what it holds.
fn scan(file: File, limit: u64, platform: Platform) -> std::io::Result<Sonames> {
    let plain = flate2::read::MultiGzDecoder::new(BufReader::with_capacity(1 << 17, file));
    Sonames::scan(BufReader::with_capacity(1 << 17, plain.take(limit)), platform.triplet())
}

fn packages_path(platform: Platform) -> String {
    format!("{COMPONENT}/binary-{}/Packages", platform.debian())
}

fn lock_all(choices: Vec<Choice<'_>>) -> Result<Vec<Package>> {
    choices.into_iter().map(lock_one).collect()
}

/// Returns a choice as the lock says it.
fn lock_one(choice: Choice<'_>) -> Result<Package> {
    let record = choice.record;
    let path = required(record, "Filename")?;
    pool::check_path(record.name, path)?;
    let size = required(record, "Size")?.parse().map_err(|_| unusable(record, "Size"))?;
    let sha256 = Digest::from_hex(required(record, "SHA256")?).map_err(|_| unusable(record, "SHA256"))?;
    // The source package's version follows its name where the two differ.
    let source = record.field("Source").and_then(|source| source.split([' ', '(']).next()).unwrap_or(record.name);
    Ok(Package {
        kind: PackageKind::Deb,
        name: record.name.to_owned(),
        version: record.version.to_owned(),
        architecture: Some(required(record, "Architecture")?.to_owned()),
        source: Some(source.to_owned()),
        release: Some(record.release.to_owned()),
        path: path.to_owned(),
        size,
        sha256,
        reasons: choice.reasons.into_iter().collect(),
    })
}

fn required<'a>(record: Record<'a>, field: &'static str) -> Result<&'a str, IndexError> {
    record.field(field).ok_or_else(|| unusable(record, field))
}

fn unusable(record: Record<'_>, field: &'static str) -> IndexError {
    IndexError::Field { release: record.release.to_owned(), package: record.name.to_owned(), field }
}
