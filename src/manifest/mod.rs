//! The model manifest: the one file that says what a model needs and what it serves.
//!
//! [`load`] reads it strictly. It reports every problem at once, each with its place, and gives a [`Manifest`] only when
//! there is none; what it gives needs no further checks for shape, names or paths. It reads no code and no model, and
//! asks no network: whether packages can be had is for `resolve` to say.

mod document;
mod endpoints;
mod error;
mod fallback;
mod hints;
pub mod init;
mod keys;
mod names;
mod packages;
mod paths;
mod reader;
mod repositories;
mod schema;
mod sections;
mod text;
mod units;
mod values;
mod versions;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fs;
use crate::platform::Platform;
use crate::service::{Endpoint, Server};
pub use error::{Error, Problem};
pub use schema::json_schema;

/// The manifest's usual file name.
pub const FILE_NAME: &str = "manifest.yaml";
/// The largest manifest taken, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// A model manifest without a problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The file, as it was given.
    pub path: PathBuf,
    /// The project folder that holds it: absolute, without links.
    pub root: PathBuf,
    /// The file's text.
    pub text: String,
    /// The model's name; it can be a component of an image reference.
    pub name: String,
    /// The latest version of the model; it can be an image tag.
    pub version: String,
    /// All versions of the model, pre-releases before others, lowest first; at least one.
    pub versions: Vec<Version>,
    /// What the model does; may be empty.
    pub description: String,
    /// The model's licence, as an SPDX expression.
    pub license: Option<String>,
    /// The language and its packages.
    pub runtime: Runtime,
    /// What the image has below the language.
    pub system: System,
    /// The file with the user's code.
    pub service: ServiceFile,
    /// Further files or folders to ship beside the service file, relative to `root`; they exist.
    pub code: Vec<PathBuf>,
    /// The files that the model is made of, by name, where a version has no others.
    pub artifacts: BTreeMap<String, AssetFile>,
    /// Files that the model looks things up in, by name.
    pub datasets: BTreeMap<String, AssetFile>,
    /// What can be called, by name; at least one.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// How the server behaves.
    pub server: Server,
    /// How the image is set up.
    pub image: Image,
    /// What to build for: sorted, at least one.
    pub platforms: Vec<Platform>,
}

impl Manifest {
    /// Returns every file that the model is made of, in any version.
    pub fn all_artifacts(&self) -> impl Iterator<Item = &AssetFile> {
        self.artifacts.values().chain(self.versions.iter().flat_map(|version| version.artifacts.values()))
    }
}

/// A version of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its name; it can be an image tag.
    pub name: String,
    /// Other names that it can be asked for by; no two versions have the same.
    pub labels: Vec<String>,
    /// The artifacts that take the place of the manifest's own of these names; none for the version that has those.
    pub artifacts: BTreeMap<String, AssetFile>,
}

/// The language that a model runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// The language.
    pub language: Language,
    /// Its version, major and minor, such as `3.11`.
    pub version: String,
    /// The packages to install.
    pub packages: Packages,
    /// The repositories of R packages, by name.
    pub repositories: BTreeMap<String, Repository>,
}

/// A CRAN-like repository, which holds `src/contrib`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repository {
    /// Where it is; without a place, whoever runs mlpack configures it by its name.
    pub place: Option<Place>,
    /// The day of its snapshot, as `2026-11-23`: it takes the place of `{date}` in an address.
    pub date: Option<String>,
}

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An http or https address without credentials; `{date}` stands for the repository's date.
    Address(String),
    /// A folder: absolute, inside the project.
    Folder(PathBuf),
}

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Python, by CPython.
    Python,
    /// R.
    R,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Python => "python",
            Self::R => "r",
        })
    }
}

/// Packages of the language's own world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packages {
    /// None beyond the language itself.
    None,
    /// Requirements in that world's words, each beginning with a letter or digit.
    List(Vec<String>),
    /// A file that lists them: absolute, inside the project.
    File(PathBuf),
}

/// What the image has below the language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// Debian packages beyond those found by themselves: names, some with the version or release that they must be of,
    /// see `debian::Pin`.
    pub packages: Vec<String>,
    /// Debian packages that compiling packages of the language needs beyond those found by themselves.
    pub build: Vec<String>,
    /// Suites that packages may be from beside the release, its updates and security updates, such as `bookworm-backports`.
    pub suites: Vec<String>,
    /// Which version or release packages must be of if they are there at all, in the same form.
    pub pins: Vec<String>,
    /// How system libraries are found.
    pub libraries: Libraries,
    /// Which of Debian's essential packages are there.
    pub essential: Essential,
    /// What becomes of maintainer scripts that are not emulated.
    pub scripts: Scripts,
}

/// How system libraries are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Libraries {
    /// From what the packages' ELF files need.
    #[default]
    Elf,
    /// From all that Debian's packages depend on.
    Depends,
    /// Not at all.
    None,
}

/// Which of Debian's essential packages, which others use without depending on them, are in the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Essential {
    /// Those whose programs the scripts in the image name.
    #[default]
    Auto,
    /// All of them.
    Full,
    /// None by themselves.
    None,
}

/// What becomes of maintainer scripts that are not emulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scripts {
    /// Their lines are told of.
    #[default]
    Allow,
    /// They are an error.
    Deny,
}

/// The file with the user's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFile {
    /// The file: absolute, inside the project.
    pub file: PathBuf,
    /// The class in it for Python; empty for R.
    pub entry: String,
}

/// A file or folder that ships with the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetFile {
    /// Where it lies: absolute, inside the project, without links.
    pub path: PathBuf,
    /// Its licence, as an SPDX expression.
    pub license: Option<String>,
    /// What it is.
    pub description: Option<String>,
}

/// How the image is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The numeric user that it runs as.
    pub user: u32,
    /// Environment variables; values are one line each.
    pub env: BTreeMap<String, String>,
    /// Labels; values are one line each.
    pub labels: BTreeMap<String, String>,
}

impl Default for Image {
    fn default() -> Self {
        Self { user: 10001, env: BTreeMap::new(), labels: BTreeMap::new() }
    }
}

/// Reads a manifest, or `manifest.yaml` of a folder.
pub fn load(path: &Path) -> Result<Manifest, Error> {
    let path = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
    let other = path.with_extension("yml");
    if path.ends_with(FILE_NAME) && !path.exists() && other.is_file() {
        return Err(Error::OtherName { path, other });
    }
    let text = read(&path)?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = folder.canonicalize().map_err(fs::Error::wrap("open folder", folder))?;
    parse(path, root, text)
}

fn read(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    fs::open(path)?.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(fs::Error::wrap("read", path))?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(Error::TooLarge { path: path.to_owned(), limit: MAX_SIZE });
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        Error::NotUtf8 { path: path.to_owned(), line: 1 + before.matches('\n').count() }
    })
}

fn parse(path: PathBuf, root: PathBuf, text: String) -> Result<Manifest, Error> {
    let problems = error::Problems::default();
    let manifest = document::parse(&text, &problems).and_then(|node| {
        let reader = reader::Reader { problems: &problems, root: &root };
        sections::manifest(reader::Cursor::root(&reader, &node)).ok()
    });
    let problems = problems.into_sorted();
    match manifest {
        Some(manifest) if problems.is_empty() => Ok(Manifest { path, root, text, ..manifest }),
        _ => Err(Error::Invalid { path, text, problems }),
    }
}
