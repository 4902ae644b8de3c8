//! mlpack turns a trained model into something that runs in production.
//!
//! ```text
//! manifest → resolve → lock → fetch → layers → image → sink
//!                                 server: http → protocol → batch → worker
//! ```
//!
//! [`manifest`] reads the user's file, [`project`] what it names. [`resolve`] is the only step that chooses; what it chose is a [`lock`]. A build is
//! a pure function of the lock and of the bytes it names ([`build`]): [`fetch`] brings them in, verified; [`ecosystem`] turns
//! packages into file trees and [`elf`] finds the system libraries they lack; [`layer`] writes the trees as archives;
//! [`image`] ties them together, and [`registry`] sends them away. [`sandbox`] runs a program inside such a tree, and
//! [`vendor`] keeps what a lock names for the day when its mirrors have moved on.
//!
//! [`server`] is the other half: the program inside the image. The two halves share [`service`], and nothing else. [`client`] calls a
//! running server, of which it knows the address alone.

pub mod digest;
pub mod service;

#[cfg(feature = "cli")]
pub mod build;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod client;
#[cfg(feature = "cli")]
pub mod compile;
#[cfg(feature = "cli")]
pub mod ecosystem;
#[cfg(feature = "cli")]
pub mod elf;
#[cfg(feature = "cli")]
pub mod error;
#[cfg(feature = "cli")]
pub mod event;
#[cfg(feature = "cli")]
pub mod fetch;
#[cfg(feature = "cli")]
pub mod fs;
#[cfg(feature = "cli")]
pub mod image;
#[cfg(feature = "cli")]
pub mod inventory;
#[cfg(feature = "cli")]
pub mod layer;
#[cfg(feature = "cli")]
pub mod lock;
#[cfg(feature = "cli")]
pub mod manifest;
#[cfg(feature = "cli")]
pub mod platform;
#[cfg(feature = "cli")]
pub mod project;
#[cfg(feature = "cli")]
pub mod registry;
#[cfg(feature = "cli")]
pub mod resolve;
#[cfg(feature = "cli")]
pub mod runtime;
#[cfg(feature = "cli")]
pub mod sandbox;
#[cfg(feature = "cli")]
pub mod vendor;

#[cfg(feature = "server")]
pub mod server;
