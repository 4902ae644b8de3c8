//! Image layers: file trees held in memory, the plan that splits them, and the tar archives made from them.
//!
//! [`tree`] knows no package format and no compression; [`archive`] writes the bytes, [`compress`] packs them, and
//! [`write`](mod@write) keeps the result as a blob. A dependency layer depends on its inputs and [`FORMAT`] alone, so two
//! projects share it byte for byte.

pub mod archive;
pub mod compress;
mod gzip;
pub(crate) mod header;
pub mod read;
pub mod tree;
pub mod write;

pub use archive::LayerError;
pub use compress::Compression;
pub use write::{Layer, key, write, write_cached};

/// Raised whenever the same inputs would give other layer bytes than before; part of every cache key and of the lock.
pub const FORMAT: u32 = 1;

/// The modification time of files that have none of their own: wheels' files and generated ones.
/// 1980-01-01T00:00:00Z, the oldest time that every archive format can hold.
pub const FIXED_MTIME: i64 = 315_532_800;
