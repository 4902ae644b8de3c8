//! Debian: from the archive's signing keys to the file trees of its packages, without apt, dpkg or root.
//!
//! ```text
//! sources → openpgp → release → index → resolve → pool → deb → configure
//! ```
//!
//! [`archive`] ties together what chooses packages; [`deb`] unpacks one, and [`configure`] does what the maintainer
//! scripts of all of them would.

pub mod archive;
mod build_depends;
pub mod catalog;
mod cleartext;
pub mod configure;
pub mod contents;
pub mod control;
pub mod deb;
mod debs;
pub mod index;
pub mod naming;
pub mod openpgp;
pub mod pin;
pub mod pool;
pub mod relation;
pub mod release;
mod repository;
pub mod resolve;
mod selection;
pub(crate) mod shell;
pub mod sources;
mod validity;
pub mod version;

pub use archive::Archive;
pub use debs::Debs;
pub use pin::Pin;
pub use pool::Pool;
pub use resolve::Root;
pub use sources::Mirrors;
