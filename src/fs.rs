//! File operations whose errors name the path and what was attempted.
//!
//! The rest of the library calls these in place of `std::fs`, so that no message ever says just "No such file".

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Diagnose, Exit};

/// A file operation failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} `{}`", path.display())]
pub struct Error {
    /// What was attempted, as a verb phrase: `read`, `create`.
    pub action: &'static str,
    /// The path it was attempted on.
    pub path: PathBuf,
    /// The operating system's reason.
    pub source: io::Error,
}

impl Error {
    /// Returns a function that wraps an [`io::Error`] of `action` on `path`, for `map_err`.
    pub fn wrap(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { action, path, source }
    }

    /// Whether the path does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

impl Diagnose for Error {
    fn exit(&self) -> Exit {
        Exit::Failure
    }

    fn hints(&self) -> Vec<String> {
        match self.source.kind() {
            _ if is_full(&self.source) => vec![
                "the disk is full: free some space (`mlpack gc` removes what no image needs), or set MLPACK_HOME to \
                 a folder on another disk, then run the same command again"
                    .to_owned(),
            ],
            io::ErrorKind::PermissionDenied => {
                vec!["check who owns the path, or set MLPACK_HOME to a folder that you can write to".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// Whether an operation failed for lack of space, which only writing does.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The result of a file operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(Error::wrap("open", path))
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(Error::wrap("read", path))
}

/// Reads a whole file as UTF-8.
pub fn read_to_string(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(Error::wrap("read", path))
}

/// Returns what the system knows of a path, following links.
pub fn metadata(path: &Path) -> Result<Metadata> {
    std::fs::metadata(path).map_err(Error::wrap("look at", path))
}

/// Creates a folder and its parents; one that is there already is fine.
pub fn create_dir_all(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(Error::wrap("create folder", path))
}

/// Removes a file; one that is already gone is fine.
pub fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Removes a folder with all that is in it, read-only folders included; one that is already gone is fine.
pub fn remove_tree(folder: &Path) -> Result<()> {
    for entry in walkdir::WalkDir::new(folder).into_iter().filter_map(std::result::Result::ok) {
        if entry.file_type().is_dir() {
            // Where this fails, removing fails and says why.
            let _ = set_mode(entry.path(), 0o700);
        }
    }
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error { action: "remove", path: folder.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Replaces a file in one step: readers see the old bytes or the new ones, never a part, even after a crash.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, 0o644)
}

/// The same for what is checked as it is read, and can be made again: nobody waits until it is on the disk, and after a
/// crash of the machine it may be damaged.
pub fn write_cache(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = Replacement::new(path)?;
    file.write_all(bytes).map_err(Error::wrap("write", path))?;
    file.put(0o644)
}

/// The same for a file that no other user may read, at any moment.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, 0o600)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut file = Replacement::new(path)?;
    file.write_all(bytes).map_err(Error::wrap("write", path))?;
    file.persist(mode)
}

/// A file that takes another's place in one step, once it is whole; until then nobody sees it.
pub struct Replacement {
    path: PathBuf,
    file: tempfile::NamedTempFile,
}

impl Replacement {
    /// Begins a file that is to stand at `path`; missing folders are made.
    pub fn new(path: &Path) -> Result<Self> {
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        create_dir_all(folder)?;
        let file = tempfile::Builder::new().prefix(".mlpack-").tempfile_in(folder);
        Ok(Self { path: path.to_owned(), file: file.map_err(Error::wrap("write", path))? })
    }

    /// Puts the file in its place, with these permissions.
    pub fn persist(self, mode: u32) -> Result<()> {
        self.file.as_file().sync_all().map_err(Error::wrap("write", &self.path))?;
        self.put(mode)
    }

    fn put(self, mode: u32) -> Result<()> {
        let Self { path, file } = self;
        set_mode(file.path(), mode)?;
        file.persist(&path).map_err(|error| Error { action: "write", path, source: error.error })?;
        Ok(())
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Sets a file's permission bits.
pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(Error::wrap("set the permissions of", path))
}
