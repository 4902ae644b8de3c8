//! Debian: the archive, from its signing keys to the packages that a set of requirements needs.
//!
//! ```text
//! sources → openpgp → release → index → resolve → pool
//! ```
//!
//! [`archive`] ties these together; no apt and no dpkg is needed.

pub mod archive;
mod cleartext;
pub mod contents;
pub mod control;
pub mod index;
pub mod openpgp;
pub mod pool;
pub mod relation;
pub mod release;
mod repository;
pub mod resolve;
mod selection;
pub mod sources;
mod validity;
pub mod version;

pub use archive::Archive;
pub use pool::Pool;
pub use resolve::Root;
pub use sources::Mirrors;
