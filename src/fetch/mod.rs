//! Verified bytes: one content store and one HTTP client for the whole pipeline.
//!
//! A [`Blob`] exists only once its digest was checked. What is derived from blobs (unpacked packages, indexes, finished
//! layers) is remembered by a key that covers all of its inputs, in [`derived`].

pub mod derived;
pub mod home;
pub mod http;
pub mod pack;
pub mod store;
pub mod transfer;

pub use home::Home;
pub use store::{Blob, BlobStore};
