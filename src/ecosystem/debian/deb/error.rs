//! What can be wrong with a .deb.

use std::io;

use crate::error::{Diagnose, Exit};
use crate::fs;
use crate::layer::tree::PathError;

/// A .deb could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The file is not a .deb that may be used.
    #[error("package `{package}` is not a sound .deb")]
    Archive {
        /// The package's name.
        package: String,
        /// What is wrong with it.
        source: ArchiveError,
    },
    /// The .deb says that it is another package than the lock does.
    #[error("package `{package}` has `{field}: {found}`, and the lock says `{expected}`")]
    Mismatch {
        /// The package's name in the lock.
        package: String,
        /// The control field.
        field: &'static str,
        /// The value in the .deb; empty where it is missing.
        found: String,
        /// The value in the lock.
        expected: String,
    },
}

impl Diagnose for DebError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Archive { .. } | Self::Mismatch { .. } => Exit::Integrity,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Archive { .. } | Self::Mismatch { .. } => vec![
                "the file has the digest that the lock names, so the archive itself serves it like this; tell its \
                 maintainers, and choose another version of the package"
                    .to_owned(),
            ],
        }
    }
}

/// What is wrong within a .deb.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading or decompressing failed.
    #[error("`{member}` cannot be read")]
    Read {
        /// The member of the container.
        member: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The container breaks deb(5).
    #[error("its container is wrong: {0}")]
    Container(String),
    /// The tar archive is malformed, or uses what packages never do.
    #[error("`{member}` has {problem}")]
    Tar {
        /// The member of the container.
        member: String,
        /// What it has, such as `a device node at dev/null`.
        problem: String,
    },
    /// A path in it is unsafe.
    #[error("`{member}` has an unsafe path")]
    Path {
        /// The member of the container.
        member: String,
        /// Which path.
        source: PathError,
    },
    /// The control file is malformed.
    #[error("its control file is wrong: {0}")]
    Control(String),
}
