//! How an error tells the user what to do, and which exit code it ends the program with.
//!
//! Each module has its own typed error; [`Error`] carries any of them to the edge, where `cli` prints it.

use std::fmt;

/// The exit codes of the command line program. They are part of its contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Any failure without a code of its own.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The model manifest or the lock is wrong.
    Manifest = 3,
    /// The packages that were asked for cannot be had together.
    Resolution = 4,
    /// A signature, hash or size is not what it must be.
    Integrity = 5,
    /// The network, a mirror or an index did not answer.
    Network = 6,
    /// A registry refused, or its credentials are missing.
    Registry = 7,
    /// The build gives another digest than the lock names.
    NotReproducible = 8,
    /// The image's program could not be run here.
    CannotRun = 9,
}

/// An error that knows its exit code and what the user can do about it.
pub trait Diagnose: std::error::Error + Send + Sync + 'static {
    /// The exit code that this error ends the program with.
    fn exit(&self) -> Exit;

    /// What the user can do, one sentence each, without a prefix. Empty when the message says it all.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }

    /// A rendering for the terminal that replaces the plain message, such as one with source lines.
    fn rendered(&self, _color: bool) -> Option<String> {
        None
    }
}

/// Any error of the pipeline, on its way to the user.
pub struct Error(Box<dyn Diagnose>);

/// The result of a pipeline step.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The error behind it.
    pub fn diagnosis(&self) -> &dyn Diagnose {
        &*self.0
    }
}

impl<E: Diagnose> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
