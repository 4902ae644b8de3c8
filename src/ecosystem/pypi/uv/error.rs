//! Why packages cannot be chosen, and what the user can do about it: uv's own words, explained where they can be.

use std::path::PathBuf;

use super::VERSION;
use crate::ecosystem::pypi::pylock::PylockError;
use crate::ecosystem::pypi::simple::SimpleError;
use crate::error::{Diagnose, Exit};
use crate::fetch::http::HttpError;
use crate::fs;

/// The packages cannot be chosen.
#[derive(Debug, thiserror::Error)]
pub enum UvError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A size could not be asked for.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// uv's own program could not be fetched.
    #[error("uv {VERSION}, which chooses Python packages, could not be fetched")]
    Fetch(#[source] Box<SimpleError>),
    /// The fetched wheel does not hold the pinned program.
    #[error("the wheel of uv {VERSION} does not hold the expected program")]
    Program,
    /// There is no pinned program for this machine.
    #[error("there is no uv for this machine's processor")]
    Host,
    /// uv could not be started.
    #[error("failed to run `{}`", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why it does not start.
        source: std::io::Error,
    },
    /// An entry of the list is an option or several lines.
    #[error("`{}` is not a requirement, such as `pandas>=2`", text.escape_debug())]
    Requirement {
        /// The entry.
        text: String,
    },
    /// uv found no solution, or could not look for one; its words.
    #[error("the Python packages cannot be resolved:\n{output}")]
    Resolution {
        /// All that uv said, without credentials.
        output: String,
    },
    /// What uv wrote, or the user's own lock, is not usable.
    #[error(transparent)]
    Lock(#[from] PylockError),
    /// An index states no size for a file.
    #[error("the index states no size for `{file}`")]
    Size {
        /// The file.
        file: String,
    },
}

impl Diagnose for UvError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Http(error) => error.exit(),
            Self::Fetch(error) => error.exit(),
            Self::Program => Exit::Integrity,
            Self::Host | Self::Start { .. } => Exit::CannotRun,
            Self::Resolution { output } if is_network(output) => Exit::Network,
            Self::Resolution { .. } => Exit::Resolution,
            Self::Requirement { .. } => Exit::Manifest,
            Self::Lock(error) => error.exit(),
            Self::Size { .. } => Exit::Network,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Http(error) => error.hints(),
            Self::Fetch(error) => error.hints(),
            Self::Program | Self::Size { .. } => Vec::new(),
            Self::Host | Self::Start { .. } => vec!["install uv yourself and name it with MLPACK_UV".to_owned()],
            Self::Resolution { output } => resolution_hints(output),
            Self::Requirement { .. } => {
                vec!["options belong into a requirements.txt: name that file as `runtime.packages`".to_owned()]
            }
            Self::Lock(error) => error.hints(),
        }
    }
}

fn is_network(output: &str) -> bool {
    ["Failed to fetch", "error sending request", "network was disabled"].iter().any(|text| output.contains(text))
}

fn resolution_hints(output: &str) -> Vec<String> {
    let has = |text: &str| output.contains(text);
    let mut hints = Vec::new();
    if is_network(output) {
        hints.push("check the network, the proxy (HTTPS_PROXY) and the certificates (SSL_CERT_FILE)");
    }
    if has("no usable wheels") || has("building from source is disabled") {
        hints.push(
            "the package has no wheel for this platform, only a source distribution: choose a version that has one, or \
             build a wheel yourself (`pip wheel`) and put it into your own index",
        );
    }
    if has("Python ABI tag") || has("Python version") || has("Requires-Python") {
        hints.push(
            "set `runtime.version` to a Python that the package has wheels for, or ask for another version of it",
        );
    }
    if has("not found in the package registry") {
        hints
            .push("check the spelling; a package of a private index needs that index in UV_INDEX, uv.toml or pip.conf");
    }
    hints.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_wheels_is_explained() {
        let output = "Because x==1 has no usable wheels\n\nhint: building from source is disabled".to_owned();
        let error = UvError::Resolution { output };
        assert_eq!(error.exit(), Exit::Resolution);
        assert!(error.hints()[0].contains("only a source distribution"));
    }
}
