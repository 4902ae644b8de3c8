//! The ELF closure: which system libraries the objects of an image need, and which of them are missing.
//!
//! [`mod@object`] reads one ELF file, [`mod@scan`] all those of a package's tree. [`closure`] applies the rules of the dynamic
//! loader to the objects of all packages. [`ldconfig`] finds what stands in the loader's default folders, and [`cache`]
//! writes that as `/etc/ld.so.cache`. Nothing here knows which package has a library that is missing.
//!
//! Resolving ties the two together. It adds the wheels, the artifacts and the packages that were asked for to a
//! [`Closure`], as roots. Then, until nothing is missing: it resolves; for each missing soname it asks the Debian archive
//! which package has it; it fetches and unpacks that package, scans the tree, and adds it as a provider if it really has
//! it. Once nothing is missing that some package has, version problems are errors, the edges go into the lock, and what
//! nobody has or what is merely wanted is reported.
//!
//! Say the only root is `wheel:lightgbm`. The first round misses `libgomp.so.1`, `libstdc++.so.6` and `libc.so.6`; the
//! archive names `libgomp1`, `libstdc++6` and `libc6`. Scanned and added, they reach `libgcc_s.so.1`, which the second
//! round misses; with `libgcc-s1` the third round is complete.

mod bytes;
pub mod cache;
pub mod closure;
pub mod host;
pub mod ldconfig;
mod links;
mod notes;
pub mod object;
mod program;
pub mod scan;
mod search;
#[cfg(test)]
mod testing;

pub use closure::{Closure, Missing, Resolution, VersionProblem};
pub use object::Object;
pub use program::is_static;
pub use scan::{names, scan};
