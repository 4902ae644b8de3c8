//! The ELF closure: which system libraries the objects of an image need, and which of them are missing.
//!
//! [`object`] reads one ELF file, [`scan`] all those of a package's tree. [`closure`] applies the rules of the dynamic
//! loader to the objects of all packages. [`ldconfig`] finds what stands in the loader's default folders, and [`cache`]
//! writes that as `/etc/ld.so.cache`. Nothing here knows which package has a library that is missing.
//!
//! Resolving ties the two together. It adds the wheels, the artifacts and the packages that were asked for to a
//! [`Closure`](closure::Closure), as roots. Then, until nothing is missing: it resolves; for each missing soname it asks
//! the Debian archive which package has it; it fetches and unpacks that package, scans the tree, and adds it as a
//! provider. A soname that no package has ends this with an error that names the objects that need it. Once nothing is
//! missing, version problems are errors, and the edges go into the lock.

mod bytes;
pub mod cache;
pub mod closure;
pub mod host;
pub mod ldconfig;
mod links;
mod notes;
pub mod object;
pub mod scan;
mod search;
#[cfg(test)]
mod testing;

pub use closure::{Closure, Missing, Resolution, VersionProblem};
pub use object::Object;
pub use scan::scan;
