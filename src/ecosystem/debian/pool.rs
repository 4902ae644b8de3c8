//! Fetches the packages that a lock names.
//!
//! It needs no index and no signature: the lock's digests say what each file must be.

use url::Url;

use super::sources::Mirrors;
use crate::error::{Diagnose, Exit, Result};
use crate::fetch::http::Http;
use crate::fetch::{Blob, BlobStore};
use crate::lock::Package;

/// A package's path is none that an archive has.
#[derive(Debug, thiserror::Error)]
#[error("`{package}` has the unsafe path `{}` in its archive", path.escape_default())]
pub struct PathError {
    /// The package.
    pub package: String,
    /// The path.
    pub path: String,
}

impl Diagnose for PathError {
    fn exit(&self) -> Exit {
        Exit::Integrity
    }
}

/// The files of the archive's packages, at the mirrors and in the content store.
#[derive(Clone)]
pub struct Pool {
    mirrors: Mirrors,
    store: BlobStore,
    http: Http,
}

impl Pool {
    /// Returns the pool at these mirrors.
    pub fn new(mirrors: Mirrors, store: BlobStore, http: Http) -> Self {
        Self { mirrors, store, http }
    }

    /// Returns a package's file, from the store or from the mirror of its release. Its size and digest are the lock's.
    pub fn fetch(&self, package: &Package) -> Result<Blob> {
        check_path(&package.name, &package.path)?;
        if let Some(blob) = self.store.get(&package.sha256)?.filter(|blob| blob.size == package.size) {
            return Ok(blob);
        }
        let mirror = self.mirrors.of(package.release.as_deref().unwrap_or_default());
        Ok(self.http.download(&self.store, &join(mirror, &package.path), package.sha256, package.size)?)
    }
}

/// Checks that a path leads to a file below the archive's folder, whoever reads it.
pub(in crate::ecosystem) fn check_path(package: &str, path: &str) -> Result<(), PathError> {
    let safe = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(|c: char| c == '\\' || c.is_control());
    if path.split('/').all(safe) {
        return Ok(());
    }
    Err(PathError { package: package.to_owned(), path: path.to_owned() })
}

/// Returns the address of a path below a mirror's folder.
pub(in crate::ecosystem) fn join(mirror: &Url, path: &str) -> Url {
    let mut url = mirror.clone();
    // Only addresses without a folder structure have no segments; mirrors are http addresses, which have one.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/'));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_mirror() {
        for path in ["../../x", "/etc/passwd", "pool//x", "pool/./x", "", "a\\..\\b", "a/\u{0}"] {
            assert!(check_path("p", path).is_err(), "{path:?}");
        }
        assert!(check_path("p", "pool/main/g/glibc/libc6_2.36-9+deb12u10_amd64.deb").is_ok());
    }

    #[test]
    fn special_characters_stay_part_of_the_path() {
        for mirror in ["http://example.org/debian", "http://example.org/debian/"] {
            let url = join(&Url::parse(mirror).unwrap(), "pool/a?b#c_1%3a2+~.deb");
            assert_eq!(url.as_str(), "http://example.org/debian/pool/a%3Fb%23c_1%253a2+~.deb");
        }
    }
}
