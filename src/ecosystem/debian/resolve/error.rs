//! Why requirements cannot be met.

use super::super::index::IndexError;
use super::super::relation::ParseRelationError;
use super::explain;
use crate::error::{Diagnose, Exit};

/// A requirement that takes part in a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What is asked for.
    pub relation: String,
    /// Who asks for it.
    pub reason: String,
}

/// The requirements cannot be met.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A requirement is not a relationship.
    #[error("cannot read the requirement of {reason}")]
    Requirement {
        /// Who requires it.
        reason: String,
        /// What is wrong in it.
        source: ParseRelationError,
    },
    /// There is no package of that name.
    #[error("there is no package `{name}`, which {reason} asks for")]
    Unknown {
        /// The name.
        name: String,
        /// Who asks for it.
        reason: String,
        /// Names that look like it.
        similar: Vec<String>,
    },
    /// There is a package of that name, but not in a version that will do.
    #[error("there is no package `{relation}`, which {reason} asks for: the archive has {}", found.join(", "))]
    Version {
        /// What is asked for.
        relation: String,
        /// Who asks for it.
        reason: String,
        /// The versions that there are.
        found: Vec<String>,
    },
    /// A package is asked for from a suite that is not open.
    #[error("`{name}/{suite}` asks for a suite that is not among {}", open.join(", "))]
    Suite {
        /// The package.
        name: String,
        /// The suite that it is asked for from.
        suite: String,
        /// The suites that are open.
        open: Vec<String>,
    },
    /// A virtual package is asked for, and several packages provide it.
    #[error("`{name}`, which {reason} asks for, is a virtual package that several provide: {}", providers.join(", "))]
    Virtual {
        /// The name.
        name: String,
        /// Who asks for it.
        reason: String,
        /// The packages that provide it.
        providers: Vec<String>,
    },
    /// The requirements contradict each other, or what they need contradicts itself.
    #[error("{}", explain::summary(wanted, because))]
    Conflict {
        /// What cannot be installed together.
        wanted: Vec<Wanted>,
        /// What each of the packages on the way needs and excludes. Without any one of these there would be a solution.
        because: Vec<String>,
    },
    /// The chosen packages do not fit together, although they were chosen to.
    #[error("the packages that were chosen do not fit together: {}", problems.join(", "))]
    Unsound {
        /// What is wrong.
        problems: Vec<String>,
    },
    /// Packages that were chosen for different reasons do not fit together.
    #[error("the packages of the image do not go together: {}", problems.join(", "))]
    Together {
        /// What is wrong.
        problems: Vec<String>,
    },
    /// The index is broken.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl Diagnose for ResolveError {
    fn exit(&self) -> Exit {
        match self {
            Self::Index(error) => error.exit(),
            _ => Exit::Resolution,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Index(error) => error.hints(),
            Self::Unknown { similar, .. } if !similar.is_empty() => {
                vec![format!("did you mean {}?", similar.join(", "))]
            }
            Self::Version { .. } => vec!["ask for a version that the archive has, or for none".to_owned()],
            Self::Suite { suite, .. } => vec![format!("add `{suite}` to `system.suites`")],
            Self::Virtual { .. } => vec!["ask for one of them".to_owned()],
            Self::Conflict { wanted, .. } => vec![explain::advice(wanted)],
            Self::Together { .. } => {
                vec!["`mlpack why` says what each is there for; ask for other versions in `system.pins`".to_owned()]
            }
            Self::Unsound { .. } => vec!["this is a mistake of mlpack: please report it with the manifest".to_owned()],
            _ => Vec::new(),
        }
    }
}
