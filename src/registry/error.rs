//! What can go wrong between here and a registry.

use std::path::PathBuf;

use reqwest::StatusCode;
use serde::Deserialize;

use crate::error::{Diagnose, Exit};
use crate::fetch::store::StoreError;
use crate::fetch::transfer::{self, Transient};
use crate::fs;
use crate::image::ImageError;

/// A registry, or what we know of it, failed us.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No answer, or it broke off.
    #[error("failed to {action} {url}")]
    Transport {
        /// What was done: `HEAD`, `PUT`.
        action: String,
        /// The address, without query and credentials.
        url: String,
        /// Why it failed.
        source: reqwest::Error,
    },
    /// An answer that is not success.
    #[error("failed to {action} {url}: the registry answered {status}{}", reasons(.messages))]
    Status {
        /// What was done.
        action: String,
        /// The address, without query and credentials.
        url: String,
        /// The status code.
        status: StatusCode,
        /// What the registry says of it.
        messages: Vec<String>,
        /// Seconds that the registry asks us to wait.
        retry_after: Option<u64>,
    },
    /// An answer that the specification does not allow.
    #[error("{url} gave an answer that is not of the distribution specification: {reason}")]
    Protocol {
        /// The address, without query and credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A credentials file cannot be read.
    #[error("`{}` is not a credentials file", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: serde_json::Error,
    },
    /// A credential helper failed.
    #[error("the credential helper `{program}` failed for {registry}: {reason}")]
    Helper {
        /// The program.
        program: String,
        /// The registry asked for.
        registry: String,
        /// What it said.
        reason: String,
    },
    /// A manifest names something that cannot be.
    #[error("{name} is not an image manifest or index: {reason}")]
    Manifest {
        /// The image.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A blob of the image is not in the local store, or was damaged there.
    #[error("{digest} of the image is missing from the local store, or damaged")]
    MissingBlob {
        /// The blob.
        digest: crate::digest::Digest,
    },
    /// What came is not what its digest says.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The image in the local store is not usable.
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl RegistryError {
    /// The status code of the registry's answer.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl Transient for RegistryError {
    fn is_temporary(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Store(StoreError::Source { .. }) => true,
            Self::Status { status, .. } => transfer::is_temporary(*status),
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl Diagnose for RegistryError {
    fn exit(&self) -> Exit {
        match self {
            Self::Transport { .. } => Exit::Network,
            Self::Store(error) => error.exit(),
            Self::File(error) => error.exit(),
            Self::Image(error) => error.exit(),
            Self::MissingBlob { .. } => Exit::Integrity,
            _ => Exit::Registry,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Store(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::Image(error) => error.hints(),
            Self::Transport { .. } => vec![
                "check the registry's name and the network; for a registry without TLS add `--plain-http`, or list it as \
                 insecure in Docker's or podman's configuration"
                    .to_owned(),
            ],
            Self::Status { status, .. } if matches!(status.as_u16(), 401 | 403) => {
                vec!["log in with `mlpack login REGISTRY`, `docker login` or `podman login`, as someone who may write there".to_owned()]
            }
            Self::Status { status, .. } if status.as_u16() == 413 => {
                vec!["the registry refuses layers of this size: ask its operator to raise the limit".to_owned()]
            }
            Self::MissingBlob { .. } => vec!["build the image again: `mlpack build` makes what is missing".to_owned()],
            _ => Vec::new(),
        }
    }
}

fn reasons(messages: &[String]) -> String {
    if messages.is_empty() { String::new() } else { format!(": {}", messages.join("; ")) }
}

/// Reads the error body of the distribution specification; anything else gives nothing.
pub(super) fn messages(body: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(body) = serde_json::from_slice::<Body>(body) else { return Vec::new() };
    body.errors.into_iter().take(5).map(|entry| format!("{} {}", entry.code, entry.message).trim().to_owned()).collect()
}
