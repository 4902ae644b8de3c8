//! What several tests need: servers and small inputs that the tests make themselves.

// Clippy takes functions marked as tests alone for tests; and no test uses all of this.
#![allow(clippy::unwrap_used, dead_code)]

pub(crate) mod deb;
pub(crate) mod debian;
pub(crate) mod http;
pub(crate) mod program;
