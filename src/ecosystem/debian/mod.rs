//! Debian: from a signed archive to file trees, without apt, dpkg or root.

pub mod configure;
pub mod deb;
