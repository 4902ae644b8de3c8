//! Python packages: wheels, chosen by `uv` and fetched, checked and unpacked by mlpack.
//!
//! [`index`] finds out which indexes the user has configured, [`simple`] asks them for files. [`uv`] runs the resolver
//! and [`pylock`] reads what it chose. [`wheel`] turns a verified wheel into a file tree, [`bytecode`] adds the
//! compiled modules, and [`notices`] finds what the user should know.
//! [`Wheels`] ties these together. No package code is run here, and no Python is needed on the machine.

pub mod bytecode;
mod cache;
pub mod index;
mod installed;
pub mod name;
pub mod notices;
mod pylock;
pub mod requirements;
mod settings;
pub mod simple;
pub mod uv;
pub mod wheel;
mod wheels;
mod zip;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Diagnose, Exit};
pub use index::{Indexes, Settings};
pub use installed::recorded_paths;
pub use simple::fetch;
pub use uv::{Resolution, Uv};
pub use wheel::unpack;
pub use wheels::Wheels;

/// A version of CPython, as an image has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    version: String,
    full: String,
    minor: u32,
}

/// The text is not a version of Python 3.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a version of Python 3, such as `3.11` or `3.11.2`")]
pub struct ParsePythonError(String);

impl Python {
    /// Returns the feature version: `3.11`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the version as exactly as it is known: `3.11.2`, or `3.11`.
    pub fn full(&self) -> &str {
        &self.full
    }

    /// Returns the second number of the version.
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// Returns the image's interpreter, for `#!` lines.
    pub fn interpreter(&self) -> String {
        format!("/usr/bin/python{}", self.version)
    }

    /// Returns the folder of the image that holds installed modules.
    pub fn site(&self) -> String {
        format!("usr/local/lib/python{}/dist-packages", self.version)
    }

    /// Returns the tag that compiled modules' names carry: `cpython-311`.
    pub fn cache_tag(&self) -> String {
        format!("cpython-3{}", self.minor())
    }
}

impl FromStr for Python {
    type Err = ParsePythonError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParsePythonError(text.to_owned());
        let number = |part: &str| {
            let digits = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            if digits { part.parse::<u32>().map_err(|_| error()) } else { Err(error()) }
        };
        let mut parts = text.strip_prefix("3.").ok_or_else(error)?.split('.');
        let minor = number(parts.next().unwrap_or_default())?;
        parts.next().map(number).transpose()?;
        if parts.next().is_some() {
            return Err(error());
        }
        Ok(Self { version: format!("3.{minor}"), full: text.to_owned(), minor })
    }
}

impl fmt::Display for Python {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

impl Diagnose for ParsePythonError {
    fn exit(&self) -> Exit {
        Exit::Manifest
    }
}

/// The packages that a model's manifest asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirements {
    /// Requirement specifiers, such as `pandas>=2`.
    List(Vec<String>),
    /// A file: `requirements.txt`, `pyproject.toml`, `uv.lock` or `pylock.toml`.
    File(PathBuf),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_python() {
        let python: Python = "3.11.2".parse().unwrap();
        assert_eq!((python.version(), python.full(), python.minor()), ("3.11", "3.11.2", 11));
        assert_eq!(python.site(), "usr/local/lib/python3.11/dist-packages");
        for text in ["3", "2.7", "3.x", "3.11.2.1", "3.", "3.11rc1", "3.11/.."] {
            assert!(text.parse::<Python>().is_err(), "{text}");
        }
    }
}
