//! Whether a program on this machine can be PID 1 of an image that has nothing else.

use std::path::Path;

use super::Object;
use crate::fs;
use crate::platform::Platform;

/// Whether `path` is a static program for `platform`: it needs neither an interpreter nor a library.
pub fn is_static(path: &Path, platform: Platform) -> fs::Result<bool> {
    let object = Object::parse(&fs::read(path)?);
    Ok(object.is_some_and(|object| {
        object.platform == Some(platform) && object.interpreter.is_none() && object.needed.is_empty()
    }))
}
