//! A .deb as entries of a file tree: opened, checked, pruned and recorded, without writing a path of it to disk.
//!
//! [`unpack()`] reads the container ([`ar`]), the compression ([`compression`]) and the archive within ([`tarball`]), each
//! stricter than dpkg where a lenient reading could differ from dpkg's; [`prune`] and [`record`] turn what is in a
//! package into what stands in an image. What maintainer scripts do is the matter of
//! [`configure`](super::configure); here they are only text.

pub mod ar;
pub mod compression;
mod contents;
pub mod control;
mod error;
pub mod prune;
pub mod record;
pub mod tarball;
mod unpack;
pub mod usrmerge;

pub use control::Control;
pub use error::{ArchiveError, DebError};
pub use unpack::{Unpacked, known, unpack};

#[cfg(test)]
pub(crate) mod testing;
