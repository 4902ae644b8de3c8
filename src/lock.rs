//! `mlpack.lock`: everything that resolving chose, so that a build chooses nothing.
//!
//! The file is TOML, sorted, and free of mirrors' addresses, dates of the run and paths of the machine: the same
//! manifest and the same archives give the same text, and a change shows as a small diff.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Diagnose, Exit};
use crate::fs;
use crate::platform::Platform;

/// The version of the file's form; another one is refused.
pub const FORMAT: u32 = 1;

/// A whole lock file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// [`FORMAT`].
    pub format: u32,
    /// The digest of the part of the manifest that resolving depends on, see `resolve::request`.
    pub request: Digest,
    /// That part in words, line by line, so that a mismatch can be explained.
    pub requested: Vec<String>,
    /// What was chosen, by platform.
    pub platforms: BTreeMap<Platform, PlatformLock>,
}

/// What was chosen for one platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformLock {
    /// The Debian release, such as `bookworm`.
    pub suite: String,
    /// Newest `Date` of the releases, in seconds since 1970: no file of a package is younger.
    pub date: i64,
    /// The server program.
    pub server: ServerLock,
    /// The image that the build gave, where one was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageLock>,
    /// What packages are compiled with, where some are compiled from source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compilation: Option<Compilation>,
    /// The archive indexes that packages were chosen from.
    #[serde(default, rename = "release")]
    pub releases: Vec<Release>,
    /// The packages, sorted by kind and name.
    #[serde(default, rename = "package")]
    pub packages: Vec<Package>,
    /// Which object needs which library from where, sorted.
    #[serde(default, rename = "library")]
    pub libraries: Vec<Library>,
    /// What is done in place of the packages' maintainer scripts, sorted.
    #[serde(default, rename = "action")]
    pub actions: Vec<Action>,
}

/// The server program that the image holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerLock {
    /// Its version.
    pub version: String,
    /// The program's digest.
    pub sha256: Digest,
    /// The program's size in bytes.
    pub size: u64,
}

/// The result of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageLock {
    /// The digest of the image manifest.
    pub digest: Digest,
    /// The digest of everything from the project that went in: manifest, service code, artifacts, datasets.
    pub project: Digest,
    /// The compression of the layers, as `--compression` names it.
    pub compression: String,
    /// The layers, lowest first: name and digest of the packed blob.
    pub layers: Vec<LayerLock>,
}

/// A layer of the built image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerLock {
    /// What it holds, such as `base` or `numpy`.
    pub name: String,
    /// The digest of the packed blob.
    pub digest: Digest,
    /// The digest of the unpacked tar archive.
    pub diff_id: Digest,
}

/// What packages are compiled with, and what came out: none of it but the results is in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compilation {
    /// The digest of the files of each compiled package, by the package's name.
    pub results: BTreeMap<String, Digest>,
    /// The packages that only compiling needs, sorted. The reasons of each are the compiled packages that it is for, or
    /// `toolchain` where it is for all of them.
    #[serde(rename = "package")]
    pub packages: Vec<Package>,
}

/// A signed archive index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The name by which packages refer to it: `bookworm`, `bookworm-updates`, `bookworm-security`.
    pub name: String,
    /// Its `Date`, in seconds since 1970.
    pub date: i64,
    /// The digest of the `InRelease` file.
    pub sha256: Digest,
    /// The fingerprint of the key that signed it, in upper-case hex digits.
    pub key: String,
}

/// The packaging worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageKind {
    /// A Debian binary package.
    Deb,
    /// A Python wheel.
    Wheel,
    /// An R package.
    R,
}

impl PackageKind {
    /// Returns its name, as in `wheel:numpy`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Wheel => "wheel",
            Self::R => "r",
        }
    }
}

/// A package that the image holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// The packaging world it is from.
    pub kind: PackageKind,
    /// Its name, normalised as its world does.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The Debian architecture, `all` included; only for debs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The Debian source package's name; only for debs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The [`Release`] that a deb is from, or the repository that an R package is from, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The path within the archive or the repository, or the file name of a wheel.
    pub path: String,
    /// The file's size in bytes.
    pub size: u64,
    /// The file's digest.
    pub sha256: Digest,
    /// Why it is here: `runtime`, `manifest`, a package's `name`, or a library's soname. Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// One edge of the ELF closure: a library that objects need, and who has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// The name that the loader looks for, such as `libstdc++.so.6`.
    pub soname: String,
    /// The package that has it, as `deb:libstdc++6`, or `host` where the machine that runs the image must have it.
    pub provider: String,
    /// Whose objects need it: packages as `wheel:numpy`, else `artifact:NAME` or `service`. Sorted.
    pub needed_by: Vec<String>,
}

/// Something done in place of a Debian package's maintainer script.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The package.
    pub package: String,
    /// What is done, such as `alternative awk: /usr/bin/mawk`.
    pub does: String,
}

/// The lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The file is not a lock.
    #[error("`{}` is not a lock file of mlpack", path.display())]
    Syntax {
        /// The lock file.
        path: PathBuf,
        /// What is wrong in it.
        source: toml::de::Error,
    },
    /// The file has another format number.
    #[error("`{}` has format {found}, and this mlpack knows format {FORMAT}", path.display())]
    Format {
        /// The lock file.
        path: PathBuf,
        /// Its format number.
        found: u32,
    },
    /// The manifest asks for something else than what was locked.
    #[error("`{}` no longer fits the manifest:\n{}", path.display(), changes.join("\n"))]
    Stale {
        /// The lock file.
        path: PathBuf,
        /// The lines that differ, with `-` for what was locked and `+` for what the manifest says now.
        changes: Vec<String>,
    },
    /// The lock has nothing for a platform.
    #[error("`{}` has nothing for {platform}", path.display())]
    Platform {
        /// The lock file.
        path: PathBuf,
        /// The platform asked for.
        platform: Platform,
    },
}

impl Diagnose for LockError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            _ => Exit::Manifest,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Syntax { .. } => {
                vec!["restore the file from version control, or delete it and run `mlpack lock`".to_owned()]
            }
            Self::Format { found, .. } if *found > FORMAT => vec!["use a newer mlpack".to_owned()],
            Self::Format { .. } | Self::Stale { .. } => vec!["run `mlpack lock --update` to resolve again".to_owned()],
            Self::Platform { platform, .. } => vec![format!("run `mlpack lock --platform {platform}`")],
        }
    }
}

impl Lock {
    /// Reads a lock file; `None` where there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, LockError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let syntax = |source| LockError::Syntax { path: path.to_owned(), source };
        // The number is read on its own first: a newer file may have fields that this version does not know.
        let found = toml::from_str::<Format>(&text).map_err(syntax)?.format;
        if found != FORMAT {
            return Err(LockError::Format { path: path.to_owned(), found });
        }
        toml::from_str(&text).map(Some).map_err(syntax)
    }

    /// The same for a file that is to be replaced: one of an older format counts as none.
    pub fn read_to_replace(path: &Path) -> Result<Option<Self>, LockError> {
        match Self::read(path) {
            Err(LockError::Format { found, .. }) if found < FORMAT => Ok(None),
            result => result,
        }
    }

    /// Writes what is locked for the platforms of `changed`, if it differs from the file. What the file has for others by
    /// now is kept and taken over, where it is for the same request: another process may have written it meanwhile.
    pub fn merge_into(&mut self, path: &Path, changed: &[Platform]) -> Result<(), LockError> {
        let _alone = hold_folder(path)?;
        let present = Self::read_to_replace(path)?;
        if let Some(present) = present.iter().find(|present| present.request == self.request) {
            let others = present.platforms.iter().filter(|(platform, _)| !changed.contains(platform));
            self.platforms.extend(others.map(|(platform, locked)| (*platform, locked.clone())));
        }
        if present.as_ref() != Some(self) {
            self.write(path)?;
        }
        Ok(())
    }

    /// Writes the file in one step.
    pub fn write(&self, path: &Path) -> fs::Result<()> {
        fs::write_atomic(path, self.to_text().as_bytes())
    }

    /// Returns the file's text.
    pub fn to_text(&self) -> String {
        let body = toml::to_string_pretty(self).expect("a lock holds only what TOML can");
        format!("# Written by `mlpack lock`. Keep it in version control; do not edit it.\n{body}")
    }

    /// Returns what was chosen for `platform`; `path` is the lock file, for the error.
    pub fn platform(&self, platform: Platform, path: &Path) -> Result<&PlatformLock, LockError> {
        self.platforms.get(&platform).ok_or_else(|| LockError::Platform { path: path.to_owned(), platform })
    }
}

/// Locks the folder of a lock file until the result is dropped. A file for that would lie in the project, and so in images.
fn hold_folder(path: &Path) -> fs::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = fs::open(folder)?;
    // Some network file systems lock no folders. The file is replaced in one step all the same.
    let _ = folder.lock();
    Ok(folder)
}

impl PlatformLock {
    /// Returns every package whose file a build needs, each once.
    pub fn inputs(&self) -> impl Iterator<Item = &Package> {
        let compilation = self.compilation.iter().flat_map(|compilation| &compilation.packages);
        let files: BTreeMap<Digest, &Package> =
            self.packages.iter().chain(compilation).map(|package| (package.sha256, package)).collect();
        files.into_values()
    }

    /// Returns the packages of one world, in order.
    pub fn packages_of(&self, kind: PackageKind) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(move |package| package.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Lock {
        let digest = Digest::of(b"");
        let package = Package {
            kind: PackageKind::Deb,
            name: "libc6".into(),
            version: "2.36-9".into(),
            architecture: Some("amd64".into()),
            source: Some("glibc".into()),
            release: Some("bookworm".into()),
            path: "pool/main/g/glibc/libc6_2.36-9_amd64.deb".into(),
            size: 7,
            sha256: digest,
            reasons: vec!["runtime".into()],
        };
        let platform = PlatformLock {
            suite: "bookworm".into(),
            date: 1,
            server: ServerLock { version: "0.1.0".into(), sha256: digest, size: 1 },
            image: None,
            compilation: Some(Compilation {
                results: [("xml2".into(), digest)].into(),
                packages: vec![package.clone()],
            }),
            releases: vec![],
            packages: vec![package],
            libraries: vec![],
            actions: vec![Action { package: "mawk".into(), does: "alternative awk: /usr/bin/mawk".into() }],
        };
        Lock {
            format: FORMAT,
            request: digest,
            requested: vec!["python 3.11".into()],
            platforms: [("linux/amd64".parse().unwrap(), platform)].into(),
        }
    }

    #[test]
    fn a_lock_survives_its_text() {
        let lock = example();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mlpack.lock");
        lock.write(&path).unwrap();
        assert_eq!(Lock::read(&path).unwrap().unwrap(), lock);
    }

    #[test]
    fn a_newer_format_is_refused_whatever_else_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mlpack.lock");
        std::fs::write(&path, "format = 9\nnews = true\n").unwrap();
        assert!(matches!(Lock::read(&path), Err(LockError::Format { found: 9, .. })));
    }
    #[test]
    fn what_is_locked_for_several_platforms_at_a_time_is_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mlpack.lock");
        let of = |platform: &str| {
            let mut lock = example();
            let (_, locked) = lock.platforms.pop_first().unwrap();
            (lock, platform.parse::<Platform>().unwrap(), locked)
        };
        let write = |platform: &str, date: i64| {
            let (mut lock, platform, mut locked) = of(platform);
            locked.date = date;
            lock.platforms.insert(platform, locked);
            lock.merge_into(&path, &[platform]).unwrap();
            lock.platforms.values().map(|locked| locked.date).collect::<Vec<_>>()
        };
        let held = hold_folder(&path).unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| write("linux/amd64", 1));
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert!(!waits.is_finished() && !path.exists());
            drop(held);
        });
        assert_eq!(write("linux/arm64", 2), [1, 2]);
        assert_eq!(write("linux/amd64", 3), [3, 2]);
        assert_eq!(Lock::read(&path).unwrap().unwrap().platforms.len(), 2);
        let (mut other, platform, locked) = of("linux/arm64");
        other.request = Digest::of(b"another manifest");
        other.platforms.insert(platform, locked);
        other.merge_into(&path, &[platform]).unwrap();
        assert_eq!(Lock::read(&path).unwrap().unwrap(), other);
    }
}
