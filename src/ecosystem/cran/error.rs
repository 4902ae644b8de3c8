//! What can go wrong with R packages.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Diagnose, Exit};

/// The R packages that a manifest asks for cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CranError {
    /// A line of the manifest is not a requirement.
    #[error("`{line}` is not a requirement of an R package")]
    Requirement {
        /// The line.
        line: String,
    },
    /// A file that lists packages cannot be used.
    #[error("cannot read the R packages that `{}` asks for", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: Unreadable,
    },
    /// A package's own DESCRIPTION cannot be read.
    #[error("cannot read the DESCRIPTION of the Debian package `{package}`")]
    Description {
        /// The Debian package.
        package: String,
        /// What is wrong in it.
        source: Unreadable,
    },
    /// A Debian package of an R package has no R package in it.
    #[error("the Debian package `{package}` has no R package in it")]
    Empty {
        /// The Debian package.
        package: String,
    },
    /// Packages are missing, or there in another version.
    #[error("R packages cannot be had from Debian {suite}:{}", list(problems))]
    Unavailable {
        /// The Debian release.
        suite: String,
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
    /// Packages that neither CRAN nor Bioconductor has.
    #[error("{} from neither CRAN nor Bioconductor: {}", if names.len() == 1 { "a package is" } else { "packages are" }, names.join(", "))]
    Foreign {
        /// Each with where it is from; sorted.
        names: Vec<String>,
    },
}

impl Diagnose for CranError {
    fn exit(&self) -> Exit {
        match self {
            Self::Requirement { .. } | Self::File { .. } => Exit::Manifest,
            Self::Description { .. } | Self::Empty { .. } | Self::Unavailable { .. } => Exit::Resolution,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Requirement { .. } => {
                "write a name, maybe with versions: `ranger`, `ranger>=0.14`, `data.table==1.14.8`"
            }
            Self::File { source: Unreadable::Foreign { .. }, .. } => {
                "ship their R files beside the service file (`code` of the manifest), or use a release that CRAN has"
            }
            Self::Unavailable { .. } => {
                "ask for a version that the release has or for none, choose another `runtime.version`, which has another \
                 Debian release, or do without the package: only Debian's binary packages are used so far"
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
