//! What can go wrong with R packages.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Diagnose, Exit};
use crate::fs;

/// The R packages that a manifest asks for cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CranError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A line of the manifest is not a requirement.
    #[error("`{line}` is not a requirement of an R package")]
    Requirement {
        /// The line.
        line: String,
    },
    /// A file that lists packages cannot be used.
    #[error("cannot read the R packages that `{}` asks for", path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: Unreadable,
    },
    /// A package's own DESCRIPTION cannot be read.
    #[error("cannot read the DESCRIPTION of `{package}`")]
    Description {
        /// The package's name in R, or Debian's.
        package: String,
        /// What is wrong in it.
        source: Unreadable,
    },
    /// A package of an archive has no R package in it.
    #[error("`{package}` has no R package in it: {reason}")]
    Empty {
        /// The package's name in R, or Debian's.
        package: String,
        /// What it lacks.
        reason: String,
    },
    /// A repository has no list of packages.
    #[error("the repository `{repository}` has no list of packages at {place}")]
    NoIndex {
        /// The repository's name.
        repository: String,
        /// Where it was looked for.
        place: String,
    },
    /// A package's file is not the one that the repository's list names.
    #[error("`{path}` of the repository `{repository}` is not what its list of packages says: another MD5 digest")]
    Mismatch {
        /// The repository's name.
        repository: String,
        /// The file's path in it.
        path: String,
    },
    /// A source is to be unpacked before it was compiled.
    #[error("`{package}` is a source package, and was not compiled")]
    NotCompiled {
        /// The package's name.
        package: String,
    },
    /// An R package would be in the image twice.
    #[error("`{package}` would be in the image beside a repository's version of the same R package")]
    Twice {
        /// Debian's package.
        package: String,
    },
    /// Nobody says where a repository is.
    #[error("nothing says where the repository `{repository}` is")]
    Unplaced {
        /// The repository's name.
        repository: String,
    },
    /// A configured address is none. It is not shown: it may hold credentials.
    #[error("what is given as the address of the repository `{repository}` is none")]
    Address {
        /// The repository's name.
        repository: String,
    },
    /// Packages are missing, or there in another version.
    #[error("R packages cannot be had for Debian {suite}:{}", list(problems))]
    Unavailable {
        /// The Debian release.
        suite: String,
        /// Whether there is a repository to take from beside Debian.
        repositories: bool,
        /// Which, and why; sorted.
        problems: Vec<Problem>,
    },
}

/// Why one package cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The requirement, such as `ranger (>= 0.15)`.
    pub requirement: String,
    /// Who requires it: `the manifest`, or a package.
    pub by: String,
    /// Why not.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, which {} asks for: {}", self.requirement, self.by, self.reason)
    }
}

/// A text that lists packages cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A line that does not belong there.
    #[error("line {line} is neither `Field: value` nor the continuation of one")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// A requirement that is none.
    #[error("`{text}` is not a requirement of an R package")]
    Requirement {
        /// The text.
        text: String,
    },
    /// Not a renv.lock.
    #[error("it is not a lock file of renv")]
    Renv(#[source] serde_json::Error),
}

impl Diagnose for CranError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Requirement { .. } | Self::List { .. } | Self::Unplaced { .. } => Exit::Manifest,
            Self::Address { .. } => Exit::Usage,
            Self::NoIndex { .. } => Exit::Network,
            Self::Mismatch { .. } => Exit::Integrity,
            Self::Description { .. } | Self::Empty { .. } | Self::Unavailable { .. } | Self::Twice { .. } => {
                Exit::Resolution
            }
            Self::NotCompiled { .. } => Exit::Failure,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::File(error) => return error.hints(),
            Self::Requirement { .. } => {
                "write a name, maybe with versions or a repository: `ranger`, `ranger>=0.14`, `data.table==1.14.8`, \
                 `cran::xml2`"
            }
            Self::NoIndex { .. } => "name the folder that holds `src/contrib`, with `PACKAGES` or `PACKAGES.gz` in it",
            Self::Mismatch { .. } => "write the list again with R's `tools::write_PACKAGES()`, or use another mirror",
            Self::Unplaced { repository } => {
                return vec![format!(
                    "give its address by `--r-repository {repository}=URL`, or as `url` in `runtime.repositories`"
                )];
            }
            Self::Address { .. } => "give an http, https or file address of the folder that holds `src/contrib`",
            Self::Twice { .. } => "leave it out of `system.packages`, with what depends on it",
            Self::Unavailable { repositories: false, .. } => {
                "name a CRAN-like repository in `runtime.repositories`: what Debian lacks is taken from there, and \
                 compiled where it is source"
            }
            Self::Unavailable { .. } => {
                "ask for a version that there is, use a repository of another date, or choose another \
                 `runtime.version`, which has another Debian release"
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    lines.concat()
}
