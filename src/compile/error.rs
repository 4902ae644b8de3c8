//! Why source packages could not be compiled, and what the user can do about it.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Diagnose, Error, Exit};
use crate::platform::Platform;

/// Source packages could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler, or R, ended with an error.
    #[error("{}", failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Failed {
        /// What failed, in the order of names.
        failures: Vec<Failure>,
    },
    /// This machine's compilers make no code for the platform.
    #[error("R packages must be compiled for {platform}, which this machine is not: {}", names.join(", "))]
    Platform {
        /// The image's platform.
        platform: Platform,
        /// The packages.
        names: Vec<String>,
    },
    /// Compiling again gave other files.
    #[error("compiling `{name}` gave {found}, and the lock names {expected}")]
    Differs {
        /// The package.
        name: String,
        /// The digest of its files.
        found: String,
        /// The digest in the lock.
        expected: String,
    },
    /// Packages need each other.
    #[error("R packages need each other to be compiled: {}", names.join(", "))]
    Cycle {
        /// The packages.
        names: Vec<String>,
    },
    /// A step before or after compiling failed.
    #[error("{0}")]
    Other(Error),
}

/// A package that did not compile.
#[derive(Debug)]
pub struct Failure {
    /// The package and its version.
    pub package: String,
    /// The lines of the compiler's output that tell why.
    pub lines: Vec<String>,
    /// What it lacks, where that can be told.
    pub lacks: Vec<Lack>,
    /// The file with all of the output.
    pub log: PathBuf,
    /// What the user can do.
    pub hints: Vec<String>,
}

/// Something of the system that a compilation did not find.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// A header, as the source includes it.
    Header(String),
    /// A library, by its name for the linker.
    Library(String),
    /// A module of pkg-config.
    Module(String),
    /// A package that the source's own message names for Debian.
    Package(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the R package {} does not compile:", self.package)?;
        self.lines.iter().try_for_each(|line| write!(f, "\n  {line}"))?;
        write!(f, "\n  all of the output is in `{}`", self.log.display())
    }
}

impl CompileError {
    /// Returns the error to tell: of a step beside compiling its own.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Other(error) => error,
            other => other.into(),
        }
    }
}

impl From<Error> for CompileError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Diagnose for CompileError {
    fn exit(&self) -> Exit {
        match self {
            Self::Failed { .. } | Self::Cycle { .. } => Exit::Resolution,
            Self::Platform { .. } => Exit::CannotRun,
            Self::Differs { .. } => Exit::NotReproducible,
            Self::Other(error) => error.diagnosis().exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Failed { failures } => failures.iter().flat_map(|failure| failure.hints.clone()).collect(),
            Self::Platform { .. } => {
                vec!["make the lock and the image on such a machine, or use a repository with binaries for it".to_owned()]
            }
            Self::Differs { .. } => vec![
                "the source does not compile to the same bytes each time; `mlpack lock --update` takes what it gives now"
                    .to_owned(),
            ],
            Self::Cycle { .. } => Vec::new(),
            Self::Other(error) => error.diagnosis().hints(),
        }
    }
}
