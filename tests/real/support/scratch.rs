//! Folders that go with the test, also where a container engine left something mounted in them.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

use super::process::wait_until;

/// A folder on the disk of the build, so that files can be hard-linked between such folders.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Creates one.
    pub fn new() -> Self {
        Self::below(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    /// Creates one that every user can reach, wherever the sources lie.
    pub fn open_to_all() -> Self {
        Self::below(&std::env::temp_dir())
    }

    fn below(parent: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("mlpack-test-").tempdir_in(parent).unwrap();
        mlpack::fs::set_mode(folder.path(), 0o755).unwrap();
        Self(folder.keep())
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What an engine started may still be tidying up.
        let removed = || {
            unmount_below(&self.0);
            fs::remove_dir_all(&self.0).ok().or_else(|| (!self.0.exists()).then_some(()))
        };
        if std::thread::panicking() {
            let _ = removed();
        } else {
            wait_until("the test's folder can be removed", removed);
        }
    }
}

fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for point in points.filter(|point| Path::new(point).starts_with(folder)) {
        let _ = umount2(Path::new(point), MntFlags::MNT_DETACH);
    }
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
