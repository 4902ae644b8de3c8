//! Reads `pylock.toml`, the packaging specification's lock file, as uv writes it for one platform.
//!
//! It must name one wheel for each package, or several of which the best that fits is taken. Markers are not evaluated:
//! uv did so when it wrote the file for one platform. Sources, folders and repositories are refused: an image is made
//! of wheels.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use super::name::{WheelName, normalise};
use super::uv::Target;
use crate::digest::Digest;
use crate::error::{Diagnose, Exit};

/// A `pylock.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PylockError {
    /// The file is not such a lock.
    #[error("`{}` is not a pylock.toml file", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: toml::de::Error,
    },
    /// The file has another version.
    #[error("`{}` has lock-version `{version}`, expected 1", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// One package cannot be used.
    #[error("package `{package}` in `{}` {problem}", path.display())]
    Package {
        /// The file.
        path: PathBuf,
        /// The package.
        package: String,
        /// What is wrong, as a predicate.
        problem: &'static str,
    },
}

impl Diagnose for PylockError {
    fn exit(&self) -> Exit {
        match self {
            Self::Package { .. } => Exit::Resolution,
            _ => Exit::Manifest,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Package { .. } => vec![
                "an image is made of wheels from an index: build a wheel of the package and put it there, or let mlpack \
                 resolve from requirements.txt or pyproject.toml"
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

/// Who wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// uv, just now and for one platform: packages whose markers do not hold are left out already.
    Uv,
    /// The user: a marker means that the file is for several platforms.
    User,
}

/// A wheel as the file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wheel {
    /// The package's normalised name.
    pub(super) name: String,
    pub(super) version: String,
    pub(super) file_name: String,
    pub(super) url: Url,
    pub(super) size: Option<u64>,
    pub(super) sha256: Digest,
    /// The packages that it needs, where the file says so.
    pub(super) dependencies: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    lock_version: String,
    #[serde(default)]
    packages: Vec<FilePackage>,
}

#[derive(Deserialize)]
struct FilePackage {
    name: String,
    version: Option<String>,
    marker: Option<String>,
    #[serde(default)]
    wheels: Vec<FileWheel>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
}

#[derive(Deserialize)]
struct FileWheel {
    name: Option<String>,
    url: Option<String>,
    size: Option<u64>,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
}

/// Reads the text of `path` into the wheels for one interpreter and system, in order of name.
pub(super) fn parse(text: &str, (path, origin): (&Path, Origin), target: &Target) -> Result<Vec<Wheel>, PylockError> {
    let syntax = |source| PylockError::Syntax { path: path.to_owned(), source };
    let file: File = toml::from_str(text).map_err(syntax)?;
    if file.lock_version.split('.').next() != Some("1") {
        return Err(PylockError::Version { path: path.to_owned(), version: file.lock_version });
    }
    let mut wheels = Vec::with_capacity(file.packages.len());
    for package in file.packages {
        let problem = |problem| PylockError::Package { path: path.to_owned(), package: package.name.clone(), problem };
        if package.marker.is_some() && origin == Origin::User {
            return Err(problem("has a marker: the file is for several platforms"));
        }
        wheels.push(choose(&package, target).map_err(problem)?);
    }
    wheels.sort_by(|first, second| first.name.cmp(&second.name));
    match wheels.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(PylockError::Package {
            path: path.to_owned(),
            package: pair[0].name.clone(),
            problem: "is there twice: the file is for several platforms",
        }),
        None => Ok(wheels),
    }
}

fn choose(package: &FilePackage, target: &Target) -> Result<Wheel, &'static str> {
    if package.wheels.is_empty() {
        return Err("is not from a wheel of an index");
    }
    let fitting = package.wheels.iter().filter_map(|wheel| {
        let (name, parsed) = parse_name(wheel)?;
        let rank = parsed.rank(&target.python, target.platform, target.glibc)?;
        Some(((rank, name), parsed, wheel))
    });
    let best = fitting.max_by(|(one, ..), (other, ..)| one.cmp(other));
    let ((_, file_name), parsed, wheel) =
        best.ok_or("has no wheel for this version of Python, the platform and the release's C library")?;
    if parsed.name != normalise(&package.name) {
        return Err("has a wheel of another package");
    }
    let url = wheel.url.as_deref().and_then(|url| Url::parse(url).ok());
    Ok(Wheel {
        name: parsed.name,
        version: package.version.clone().unwrap_or(parsed.version),
        file_name,
        url: url.filter(|url| matches!(url.scheme(), "http" | "https")).ok_or("has a wheel without a web address")?,
        size: wheel.size,
        sha256: wheel.hashes.get("sha256").and_then(|hex| Digest::from_hex(hex).ok()).ok_or("has no SHA-256 hash")?,
        dependencies: package.dependencies.iter().map(|dependency| normalise(&dependency.name)).collect(),
    })
}

/// Returns the file name, which may be left out where the address has it.
fn parse_name(wheel: &FileWheel) -> Option<(String, WheelName)> {
    let last = || {
        let url = Url::parse(wheel.url.as_deref()?).ok()?;
        Some(url.path_segments()?.next_back()?.replace("%2B", "+").replace("%2b", "+").replace("%21", "!"))
    };
    let name = wheel.name.clone().or_else(last)?;
    let parsed = WheelName::parse(&name)?;
    Some((name, parsed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn parse_text(packages: &str) -> Result<Vec<Wheel>, PylockError> {
        let text = format!("lock-version = \"1.0\"\ncreated-by = \"test\"\n{}", packages.replace("HASH", HASH));
        let (python, platform) = ("3.11".parse().unwrap(), "linux/amd64".parse().unwrap());
        parse(&text, (Path::new("pylock.toml"), Origin::User), &Target { python, platform, glibc: 36 })
    }

    #[test]
    fn the_most_specific_wheel_is_taken() {
        let wheels = parse_text(
            "[[packages]]\nname = \"Foo.Bar\"\nversion = \"1.0\"\nwheels = [\n\
             {url = \"https://x.test/foo_bar-1.0-py3-none-any.whl\", hashes = {sha256 = \"HASH\"}},\n\
             {url = \"https://x.test/foo_bar-1.0-cp311-cp311-manylinux2014_x86_64.whl\", size = 3, hashes = {sha256 = \"HASH\"}},\n\
             {url = \"https://x.test/foo_bar-1.0-cp312-cp312-manylinux2014_x86_64.whl\", hashes = {sha256 = \"HASH\"}},\n]\n",
        )
        .unwrap();
        assert_eq!(wheels.len(), 1);
        assert_eq!((wheels[0].name.as_str(), wheels[0].size), ("foo-bar", Some(3)));
        assert_eq!(wheels[0].file_name, "foo_bar-1.0-cp311-cp311-manylinux2014_x86_64.whl");
    }

    #[test]
    fn a_wheel_for_a_newer_c_library_is_not_taken() {
        let wheel = |tags: &str| {
            format!("{{url = \"https://x.test/a-1-{tags}_x86_64.whl\", hashes = {{sha256 = \"HASH\"}}}},\n")
        };
        let choose = |wheels: &[&str]| {
            let wheels: String = wheels.iter().map(|tags| wheel(tags)).collect();
            parse_text(&format!("[[packages]]\nname = \"a\"\nwheels = [\n{wheels}]\n"))
        };
        let found = choose(&["cp311-abi3-manylinux_2_39", "cp38-abi3-manylinux_2_28", "cp311-abi3-manylinux_2_17"]);
        assert_eq!(found.unwrap()[0].file_name, "a-1-cp311-abi3-manylinux_2_17_x86_64.whl");
        assert!(choose(&["cp311-abi3-manylinux_2_39"]).unwrap_err().to_string().contains("C library"));
    }

    #[test]
    fn what_is_no_wheel_of_an_index_is_refused() {
        let wheel = "wheels = [{url = \"https://x.test/a-1-py3-none-any.whl\", hashes = {sha256 = \"HASH\"}}]";
        for package in [
            "name = \"a\"\nvcs = {type = \"git\", url = \"https://x.test/a\"}\n".to_owned(),
            "name = \"a\"\nsdist = {url = \"https://x.test/a-1.tar.gz\"}\n".to_owned(),
            format!("name = \"a\"\nmarker = \"sys_platform == 'linux'\"\n{wheel}\n"),
            format!("name = \"b\"\n{wheel}\n"),
            format!("name = \"a\"\n{}\n", wheel.replace("https", "file")),
            format!("name = \"a\"\n{}\n", wheel.replace("sha256", "md5")),
            format!("name = \"a\"\n{wheel}\n[[packages]]\nname = \"A\"\n{wheel}\n"),
        ] {
            let error = parse_text(&format!("[[packages]]\n{package}")).unwrap_err();
            assert_eq!(error.exit(), Exit::Resolution, "{package}");
        }
    }
}
