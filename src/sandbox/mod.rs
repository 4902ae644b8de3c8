//! Runs a program inside an image's file tree, without a container engine and without root.
//!
//! [`layout`] writes a tree to disk; a [`Spec`] says what to run in which [`Root`]; [`spawn`] runs it in namespaces of
//! its own; [`Session`] keeps a server running and restarts it when a file changes.
//!
//! ```text
//! mlpack            a thread of its own starts the next program and waits for it
//! └ mlpack __enter  makes the namespaces, hands signals on, ends with the program's status
//!   └ PID 1         mounts the root, enters it, gives up every right, becomes the program
//! ```
//!
//! Each arrow is a program start rather than a fork, so no code runs between fork and exec. Each process is killed
//! with the one above it: nothing is left behind, however mlpack ends.
//!
//! The sandbox keeps a model's code away from the user's files and makes runs alike; it is not made for hostile code,
//! which has the kernel's whole interface and, unless it is taken away, the network.

mod child;
mod enter;
mod error;
pub mod layers;
pub mod layout;
mod mounts;
mod session;
mod spec;
mod watch;

use std::process::{ExitStatus, Stdio};

pub use child::{Child, Streams, spawn};
pub use enter::enter;
pub use error::{Refusal, SandboxError};
pub use session::Session;
pub use spec::{Bind, Limits, Root, Spec};
pub use watch::{Watch, WatchError};

/// Runs a program with mlpack's own standard streams until it ends.
///
/// The status is the program's own; one that was killed by signal `n` gives the exit code 128 + n.
pub fn run(spec: &Spec) -> Result<ExitStatus, SandboxError> {
    let streams = Streams { stdin: Stdio::inherit(), stdout: Stdio::inherit(), stderr: Stdio::inherit() };
    spawn(spec, streams)?.wait()
}
