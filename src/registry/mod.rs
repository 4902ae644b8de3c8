//! Registries, by the OCI distribution specification 1.1: references, credentials, push and pull.
//!
//! [`reference`] names an image, [`credentials`] finds who we are, [`client`] speaks HTTP with tokens and retries, and
//! [`push`] and [`pull`] move images between a registry and the local store.

mod auth;
pub mod client;
pub mod credentials;
mod error;
pub mod pull;
pub mod push;
pub mod reference;
mod upload;

pub use client::{Client, Connection};
pub use error::RegistryError;
pub use reference::Reference;
