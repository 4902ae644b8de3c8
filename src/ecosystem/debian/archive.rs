//! The Debian archive: a release with its updates, security updates and what else is asked for of it, such as backports,
//! opened for one platform.
//!
//! Nothing is used that a trusted key did not sign: the key signs the release file, which names the digests of the
//! indexes, which name those of the packages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::panic::resume_unwind;
use std::thread;

use super::build_depends;
use super::catalog::Catalog;
use super::contents::{self, Sonames};
use super::index::{Index, IndexError, Record};
use super::naming;
use super::pin::Pin;
use super::pool::{self, Pool};
use super::relation::{self, Alternatives};
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

/// How many suites every release has: itself, its updates and its security updates.
const OWN_SUITES: usize = 3;

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
}

impl Archive {
    /// Opens the release with the code name `suite`, its updates and security updates, and those of `further` suites, such
    /// as `bookworm-backports`.
    ///
    /// `known` is what a lock that is replaced says of them: an archive older than that is refused.
    pub fn open(
        suite: &str,
        further: &[String],
        platform: Platform,
        mirrors: &Mirrors,
        home: &Home,
        http: &Http,
        known: &[lock::Release],
    ) -> Result<Self> {
        let trust = Trust::new(&mirrors.keyrings, home)?;
        let store = home.blobs()?;
        let suites = suites(suite, further)?;
        let open = |suite: &str| {
            let repository = Repository { mirror: mirrors.of(suite), suite, store: &store, http };
            let (release, entry) = repository.release(&trust, known.iter().find(|known| known.name == suite))?;
            let path = packages_path(platform);
            let packages = repository.index(&release, &path, repository.file(&release, &path)?)?.read()?;
            let index = Index::parse(suite, packages)?.with_priority(release.priority);
            Ok::<_, Error>((release, entry, index))
        };
        let opened: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = suites.iter().map(|suite| scope.spawn(|| open(suite))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
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
        })
    }

    /// Returns what the lock says of the releases: the release itself, its updates, its security updates, the further ones.
    pub fn releases(&self) -> Vec<lock::Release> {
        self.releases.iter().map(|(_, entry)| entry.clone()).collect()
    }

    /// Lets only those versions of packages count that the pins accept.
    pub fn pin(&mut self, pins: &[Pin]) -> Result<()> {
        pins.iter().try_for_each(|pin| Ok(self.catalog.pin(pin)?))
    }

    /// Chooses the packages that `roots` need with all that they depend on, sorted by name.
    pub fn resolve(&self, roots: &[Root]) -> Result<Vec<Package>> {
        lock_all(resolve::resolve(&self.catalog, self.platform.debian(), roots)?)
    }

    /// Chooses the packages that `roots` name, without what they depend on, sorted by name.
    pub fn resolve_only(&self, roots: &[Root]) -> Result<Vec<Package>> {
        lock_all(resolve::resolve_only(&self.catalog, self.platform.debian(), roots)?)
    }

    /// Checks that the Debian packages among those chosen fit together; `whole` asks that what they depend on is there as well.
    pub fn check(&self, packages: &[Package], whole: bool) -> Result<()> {
        let debs = packages.iter().filter(|package| package.kind == PackageKind::Deb);
        let chosen = debs.filter_map(|package| {
            let versions = self.catalog.versions(&package.name).into_iter();
            versions.into_iter().find(|record| record.version == package.version)
        });
        Ok(resolve::check(self.platform.debian(), chosen, whole)?)
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

    /// Returns the libraries of the release and of the further suites; `None`, with a warning, where the mirror does not have
    /// the list of files that the release names.
    pub fn sonames(&self) -> Result<Option<Sonames>> {
        let Some(mut known) = self.sonames_of(&self.releases[0].0)? else { return Ok(None) };
        // The indexes of the updates have next to nothing, those of security updates nothing at all.
        for (release, _) in self.releases.iter().skip(OWN_SUITES) {
            known.merge(self.sonames_of(release)?.unwrap_or_default());
        }
        Ok(Some(known))
    }

    fn sonames_of(&self, release: &Release) -> Result<Option<Sonames>> {
        let suite = &release.suite;
        let repository = self.repository(suite);
        let path = format!("{COMPONENT}/Contents-{}", self.platform.debian());
        let packed_path = format!("{path}.gz");
        let Some(packed) = release.file(&packed_path) else {
            self.warn_of_contents(suite, &"the release has none");
            return Ok(None);
        };
        let key = Derived::key("debian-sonames-1", &(packed.digest, self.platform.triplet()));
        if let Some(sonames) = self.derived.get(&key) {
            return Ok(Some(sonames));
        }
        let blob = match repository.fetch(release, &packed_path, packed) {
            Err(error) if error.is_unavailable() => {
                self.warn_of_contents(suite, &error);
                return Ok(None);
            }
            blob => blob?,
        };
        let limit = release.file(&path).map_or(CONTENTS_LIMIT, |file| file.size);
        let sonames = scan(blob.open()?, limit, self.platform)
            .map_err(|source| StoreError::Source { name: format!("`{packed_path}` of {suite}"), source })?;
        self.derived.put(&key, &sonames)?;
        Ok(Some(sonames))
    }

    fn warn_of_contents(&self, suite: &str, why: &dyn std::fmt::Display) {
        self.http.report().warn(
            format!("the list of {suite}'s files is not to be had: {why}"),
            Some(
                "libraries are looked for in packages whose dependencies or names say so, and each is checked to have \
                 its library; a mirror that is in step with its release file has the list"
                    .to_owned(),
            ),
        );
    }

    /// Returns what building the sources of the binary packages `wanted` needs, by their names, as far as the release says it;
    /// nothing, with a warning, where the mirror does not have the list of sources that the release names.
    pub fn build_depends(&self, wanted: &BTreeSet<String>) -> Result<BTreeMap<String, Vec<String>>> {
        let (release, _) = &self.releases[0];
        let path = format!("{COMPONENT}/source/Sources");
        let Some(plain) = release.file(&path).filter(|_| !wanted.is_empty()) else { return Ok(BTreeMap::new()) };
        let sources = match self.repository(&release.suite).index(release, &path, plain) {
            Err(error) if error.is_unavailable() => {
                self.warn_of_sources(&release.suite, &error);
                return Ok(BTreeMap::new());
            }
            blob => blob?.read()?,
        };
        Ok(build_depends::scan(&String::from_utf8_lossy(&sources), wanted, self.platform.debian()))
    }

    fn warn_of_sources(&self, suite: &str, why: &dyn std::fmt::Display) {
        self.http.report().warn(
            format!("the list of {suite}'s sources is not to be had: {why}"),
            Some(
                "what compiling needs is read from each package's SystemRequirements; what that leaves out can be named in \
                 `system.build`"
                    .to_owned(),
            ),
        );
    }

    /// Returns the files of the release whose paths fit, each with the packages that have it, as far as the mirror has the
    /// lists of files.
    pub fn files(&self, fits: &dyn Fn(&str) -> bool) -> Result<Vec<(String, Vec<String>)>> {
        let (release, _) = &self.releases[0];
        let mut found = Vec::new();
        for architecture in [self.platform.debian(), "all"] {
            let path = format!("{COMPONENT}/Contents-{architecture}.gz");
            let Some(packed) = release.file(&path) else { continue };
            let blob = match self.repository(&release.suite).fetch(release, &path, packed) {
                Err(error) if error.is_unavailable() => continue,
                blob => blob?,
            };
            let plain = flate2::read::MultiGzDecoder::new(BufReader::with_capacity(1 << 17, blob.open()?));
            let lines = BufReader::with_capacity(1 << 17, plain.take(CONTENTS_LIMIT));
            let name = format!("`{path}` of {}", release.suite);
            found.extend(contents::search(lines, fits).map_err(|source| StoreError::Source { name, source })?);
        }
        Ok(found)
    }

    /// A suite at its mirror.
    fn repository<'a>(&'a self, suite: &'a str) -> Repository<'a> {
        Repository { mirror: self.mirrors.of(suite), suite, store: &self.store, http: &self.http }
    }

    /// Returns the names of the packages that a package depends on, the first alternative of each group that there is.
    pub fn depends(&self, record: Record<'_>) -> Result<Vec<String>> {
        let groups = [record.relations("Pre-Depends")?, record.relations("Depends")?].concat();
        let real = |group: &Alternatives<'_>| {
            group
                .iter()
                .find(|relation| self.catalog.candidate(relation.name).is_some())
                .map(|found| found.name.to_owned())
        };
        Ok(groups.iter().filter_map(real).collect())
    }

    /// Returns the names of the packages on offer whose names are like a library's, the nearest first, see
    /// [`naming::distance`].
    pub fn named_like(&self, soname: &str) -> Vec<String> {
        let near = self.catalog.names().filter_map(|name| Some((naming::distance(name, soname)?, name)));
        let near: BTreeSet<_> = near.filter(|(_, name)| self.catalog.offered(name).is_some()).collect();
        near.into_iter().map(|(_, name)| name.to_owned()).collect()
    }

    /// Returns the names of the packages on offer that provide the virtual package `name`, the preferred one first.
    pub fn providers(&self, name: &str) -> Vec<String> {
        let providers = self.catalog.providers(name).into_iter().map(|provider| provider.record.name);
        providers.filter(|provider| self.catalog.offered(provider).is_some()).map(str::to_owned).collect()
    }
}

/// Returns the names of the suites that are opened, each once.
fn suites(suite: &str, further: &[String]) -> Result<Vec<String>, ReleaseError> {
    let mut suites = vec![suite.to_owned(), format!("{suite}-updates"), format!("{suite}-security")];
    for other in further.iter().filter(|other| !suites.contains(other)).collect::<Vec<_>>() {
        // Packages of two releases do not fit together; apt's users know such systems by a name of their own.
        if !other.strip_prefix(suite).is_some_and(|rest| rest.starts_with('-')) {
            return Err(ReleaseError::Foreign { suite: other.clone(), base: suite.to_owned() });
        }
        suites.push(other.clone());
    }
    // They become parts of paths, here and at the mirror.
    match suites.iter().find(|suite| !relation::is_package_name(suite)) {
        Some(suite) => Err(ReleaseError::Name { suite: suite.clone() }),
        None => Ok(suites),
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
