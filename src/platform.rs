//! The operating system and processor that an image is for, in the words of each world that mlpack speaks to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A processor architecture that mlpack resolves and builds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    /// 64-bit x86.
    Amd64,
    /// 64-bit Arm.
    Arm64,
}

/// An image platform, written `linux/amd64` as the OCI image index does. The operating system is always Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Platform {
    /// The processor.
    pub architecture: Architecture,
}

/// The platform is not one that mlpack builds for.
#[derive(Debug, thiserror::Error)]
#[error("unknown platform `{0}`: expected linux/amd64 or linux/arm64")]
pub struct ParsePlatformError(String);

impl Platform {
    /// Every platform that mlpack builds for.
    pub const ALL: [Self; 2] = [Self { architecture: Architecture::Amd64 }, Self { architecture: Architecture::Arm64 }];

    /// Returns the platform of this machine, or `None` on a processor that mlpack does not build for.
    pub fn host() -> Option<Self> {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => Architecture::Amd64,
            "aarch64" => Architecture::Arm64,
            _ => return None,
        };
        Some(Self { architecture })
    }

    /// Returns Debian's and OCI's name: `amd64`, `arm64`.
    pub fn debian(self) -> &'static str {
        match self.architecture {
            Architecture::Amd64 => "amd64",
            Architecture::Arm64 => "arm64",
        }
    }

    /// Returns the kernel's name, which wheel tags use as well: `x86_64`, `aarch64`.
    pub fn machine(self) -> &'static str {
        match self.architecture {
            Architecture::Amd64 => "x86_64",
            Architecture::Arm64 => "aarch64",
        }
    }

    /// Returns the GNU triplet of Debian's multiarch folders, such as `x86_64-linux-gnu`.
    pub fn triplet(self) -> &'static str {
        match self.architecture {
            Architecture::Amd64 => "x86_64-linux-gnu",
            Architecture::Arm64 => "aarch64-linux-gnu",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.debian())
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|platform| platform.to_string() == text)
            .ok_or_else(|| ParsePlatformError(text.to_owned()))
    }
}

impl TryFrom<String> for Platform {
    type Error = ParsePlatformError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}
