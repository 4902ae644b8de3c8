//! What can be wrong with an image or with the local store.

use crate::digest::Digest;
use crate::error::{Diagnose, Exit};
use crate::fetch::store::StoreError;
use crate::fs;

/// An image, or the store of images, cannot be used as asked.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// Bytes are not what they were said to be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A document is not what its media type says.
    #[error("`{name}` is not {expected}")]
    Document {
        /// The digest, or the file's name.
        name: String,
        /// What it should be, such as `an image manifest`.
        expected: &'static str,
        /// Why it is not.
        source: serde_json::Error,
    },
    /// A document contradicts itself or its descriptor.
    #[error("`{name}` cannot be used as an image: {reason}")]
    Refused {
        /// The digest.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A part of an image is not in the store, or was damaged there.
    #[error("`{digest}` is missing from the image store, or damaged")]
    Missing {
        /// The part.
        digest: Digest,
    },
    /// No image has that name or digest.
    #[error("no image `{reference}` in the local store")]
    NotFound {
        /// What was asked for.
        reference: String,
        /// A name that looks like it.
        similar: Option<String>,
    },
    /// Several images have digests that begin so.
    #[error("`{prefix}` fits several images: {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// The digests that fit.
        candidates: Vec<String>,
    },
    /// The text is not an image's name.
    #[error("`{name}` is not an image name: {reason}")]
    Name {
        /// The text.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The image is for other machines.
    #[error("`{name}` has no image for {host}, which this machine is")]
    Platform {
        /// The digest.
        name: String,
        /// The platform of this machine.
        host: String,
    },
    /// A setting cannot stand in an image.
    #[error("{what} `{}` cannot stand in an image", value.escape_debug())]
    Setting {
        /// Which setting, such as `the environment variable`.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// Blobs are being written while they were to be cleaned up.
    #[error("another mlpack is writing to the image store")]
    Busy,
}

impl Diagnose for ImageError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Store(error) => error.exit(),
            Self::Document { .. } | Self::Refused { .. } | Self::Missing { .. } => Exit::Integrity,
            Self::Name { .. } => Exit::Usage,
            Self::Setting { .. } => Exit::Manifest,
            Self::Platform { .. } => Exit::CannotRun,
            Self::NotFound { .. } | Self::Ambiguous { .. } | Self::Busy => Exit::Failure,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Store(error) => error.hints(),
            Self::Missing { .. } => vec!["build or pull the image again: only what is missing is made".to_owned()],
            Self::NotFound { similar: Some(name), .. } => vec![format!("did you mean `{name}`?")],
            Self::NotFound { .. } => vec!["`mlpack images` lists what is there".to_owned()],
            Self::Ambiguous { .. } => vec!["give more digits, or the name".to_owned()],
            Self::Name { .. } => {
                vec![
                    "write `name:tag` or `host/path/name:tag`, in lower-case letters, digits, `.`, `_`, `-`".to_owned(),
                ]
            }
            Self::Busy => vec!["run the command again when it is done".to_owned()],
            Self::Platform { host, .. } => vec![format!("build it with `--platform {host}`")],
            Self::Document { .. } | Self::Refused { .. } | Self::Setting { .. } => Vec::new(),
        }
    }
}
