//! What an image's configuration says of how it is run, for running it without a container engine.

use std::collections::BTreeMap;

use super::{Descriptor, Image, ImageError, ImageStore};
use crate::platform::Platform;

/// How an image is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The folder that the program starts in.
    pub directory: String,
    /// The user's number.
    pub user: u32,
}

impl Image {
    /// Returns how the image is run. A user that is a name counts as root's number: names are the image's own business.
    pub fn run(&self) -> Run {
        let config = self.config.config().clone().unwrap_or_default();
        let entrypoint = config.entrypoint().clone().unwrap_or_default();
        let command = entrypoint.into_iter().chain(config.cmd().clone().unwrap_or_default()).collect();
        let variables = config.env().clone().unwrap_or_default();
        let split =
            |variable: String| variable.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let user = config.user().clone().unwrap_or_default();
        Run {
            command,
            environment: variables.into_iter().filter_map(split).collect(),
            directory: config.working_dir().clone().filter(|directory| !directory.is_empty()).unwrap_or("/".to_owned()),
            user: user.split(':').next().and_then(|user| user.parse().ok()).unwrap_or(0),
        }
    }
}

impl ImageStore {
    /// Returns the image of `descriptor` that this machine can run.
    pub fn for_host(&self, descriptor: &Descriptor) -> Result<Image, ImageError> {
        let host = Platform::host().map(|platform| platform.to_string()).unwrap_or_default();
        let images = self.images(descriptor)?;
        let found = images.into_iter().find(|image| image.platform() == host);
        found.ok_or_else(|| ImageError::Platform { name: descriptor.digest().to_string(), host })
    }
}
