//! One release at one mirror: its signed release file, and the index files that this vouches for.
//!
//! The last release file is kept, and used again while it is fresh, or when there is no network.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use url::Url;

use super::openpgp::Keyring;
use super::pool;
use super::release::{File, Release, ReleaseError};
use crate::digest::Digest;
use crate::error::Result;
use crate::fetch::http::{self, Http, HttpError};
use crate::fetch::store::StoreError;
use crate::fetch::{Blob, BlobStore, Home};
use crate::{fs, lock};

/// For how long a release file is used without asking the mirror again: the platforms of one run see the same archive.
const FRESH: Duration = Duration::from_mins(10);

/// The largest release file, in bytes; Debian's have a few hundred kB.
const RELEASE_LIMIT: u64 = 16 << 20;

/// A release at a mirror.
pub(super) struct Repository<'a> {
    pub(super) mirror: &'a Url,
    pub(super) suite: &'a str,
    pub(super) store: &'a BlobStore,
    pub(super) http: &'a Http,
}

/// What a release file is checked against.
pub(super) struct Trust {
    /// The keys of which one must have signed it.
    pub(super) keyring: Keyring,
    /// The folder where release files are kept.
    pub(super) kept: PathBuf,
    /// The time, in seconds since 1970. It decides which files are trusted, and reaches no output.
    pub(super) now: i64,
}

impl Trust {
    /// Returns the trust in Debian's keys and those of the user's `keyrings`, now.
    pub(super) fn new(keyrings: &[PathBuf], home: &Home) -> Result<Self> {
        let mut keyring = Keyring::debian();
        for path in keyrings {
            keyring.add_file(path)?;
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        Ok(Self { keyring, kept: home.cache().join("debian"), now })
    }
}

impl Repository<'_> {
    /// Returns the release and its entry for the lock; `known` is the entry of the lock that is replaced.
    pub(super) fn release(&self, trust: &Trust, known: Option<&lock::Release>) -> Result<(Release, lock::Release)> {
        let kept = self.kept_path(trust);
        let usable = self.http.is_offline() || is_fresh(&kept);
        if usable && let Some(found) = fs::read(&kept).ok().and_then(|bytes| self.verify(&bytes, trust, known).ok()) {
            return Ok(found);
        }
        let url = pool::join(self.mirror, &format!("dists/{}/InRelease", self.suite));
        let error = match self.http.get(&url, None, RELEASE_LIMIT) {
            Ok(bytes) => {
                let found = self.verify(&bytes, trust, known)?;
                fs::write_atomic(&kept, &bytes)?;
                return Ok(found);
            }
            Err(error) if error.is_not_found() => {
                return Err(ReleaseError::Missing { suite: self.suite.to_owned(), url: http::display(&url) }.into());
            }
            Err(error) => error,
        };
        self.fall_back(error, trust, known)
    }

    /// Uses the kept release file when the mirror cannot be reached.
    fn fall_back(
        &self,
        error: HttpError,
        trust: &Trust,
        known: Option<&lock::Release>,
    ) -> Result<(Release, lock::Release)> {
        let unreachable = matches!(error, HttpError::Transport { .. } | HttpError::Offline { .. });
        let kept = fs::read(&self.kept_path(trust)).ok().filter(|_| unreachable);
        let Some(bytes) = kept else { return Err(error.into()) };
        let found = self.verify(&bytes, trust, known)?;
        let message = format!("the mirror of {} cannot be reached: using what was fetched before", self.suite);
        self.http.report().warn(message, None);
        Ok(found)
    }

    fn verify(&self, bytes: &[u8], trust: &Trust, known: Option<&lock::Release>) -> Result<(Release, lock::Release)> {
        let name = format!("the release file of {}", self.suite);
        let signed = trust.keyring.verify(&name, &String::from_utf8_lossy(bytes), trust.now)?;
        let release = Release::parse(self.suite, &signed.text)?;
        release.check(trust.now, known.map(|known| known.date))?;
        let entry = lock::Release {
            name: self.suite.to_owned(),
            date: release.date,
            sha256: Digest::of(bytes),
            key: signed.fingerprint,
        };
        Ok((release, entry))
    }

    fn kept_path(&self, trust: &Trust) -> PathBuf {
        let mirror = Digest::of(self.mirror.as_str().as_bytes()).hex();
        trust.kept.join(&mirror[..16]).join(format!("{}.InRelease", self.suite))
    }

    /// Returns an index file, uncompressed; `path` is its path within the release, without a compressor's suffix, and `plain`
    /// what the release says of it.
    pub(super) fn index(&self, release: &Release, path: &str, plain: File) -> Result<Blob, HttpError> {
        if let Some(blob) = self.store.get(&plain.digest).map_err(StoreError::from)? {
            return Ok(blob);
        }
        let packed = [".xz", ".gz"].into_iter().find_map(|suffix| {
            let path = format!("{path}{suffix}");
            release.file(&path).map(|file| (path, file, suffix))
        });
        let Some((packed_path, file, suffix)) = packed else { return self.fetch(release, path, plain) };
        // Size and digest are right before a decoder sees a byte, and no more than the signed size comes out of it.
        let bytes = self.fetch(release, &packed_path, file)?.open().map_err(StoreError::from)?;
        let plain_bytes: Box<dyn Read> = match suffix {
            ".xz" => Box::new(liblzma::read::XzDecoder::new(bytes)),
            _ => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        };
        let name = format!("`{packed_path}` of {}", self.suite);
        Ok(self.store.insert(&name, plain_bytes, plain.digest, plain.size)?)
    }

    /// Returns a file as the release lists it, compressed or not.
    pub(super) fn fetch(&self, release: &Release, path: &str, file: File) -> Result<Blob, HttpError> {
        if let Some(blob) = self.store.get(&file.digest).map_err(StoreError::from)? {
            return Ok(blob);
        }
        let download = |path: &str| {
            let url = pool::join(self.mirror, &format!("dists/{}/{path}", self.suite));
            self.http.download(self.store, &url, file.digest, file.size)
        };
        if release.by_hash {
            let (folder, _) = path.rsplit_once('/').unwrap_or_default();
            match download(&format!("{folder}/by-hash/SHA256/{}", file.digest.hex())) {
                // Not every mirror keeps every file there.
                Err(error) if error.is_not_found() => {}
                result => return result,
            }
        }
        download(path)
    }

    /// Returns what the release says of a file that it must have.
    pub(super) fn file(&self, release: &Release, path: &str) -> Result<File, ReleaseError> {
        release.file(path).ok_or_else(|| ReleaseError::NoFile { suite: self.suite.to_owned(), path: path.to_owned() })
    }
}

fn is_fresh(path: &Path) -> bool {
    let age = fs::metadata(path).ok().and_then(|metadata| metadata.modified().ok()?.elapsed().ok());
    age.is_some_and(|age| age < FRESH)
}
