//! Values that are read from files, and read again when the files change: certificates, keys.
//!
//! Files are looked at every few seconds, not watched: that also sees a mounted secret whose folder was exchanged as a whole.

use std::error::Error;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::json;

use super::log::{self, Level};

/// How often files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// Files, and what they say.
pub trait Source: Send + Sync + 'static {
    /// What they say.
    type Value: Send + Sync;
    /// Why they cannot be read.
    type Error: Error;

    /// Returns the files.
    fn files(&self) -> Vec<&Path>;

    /// Reads them.
    fn read(&self) -> Result<Self::Value, Self::Error>;
}

/// What files said when they last could be read.
#[derive(Debug)]
pub struct Reloaded<S: Source> {
    source: S,
    value: RwLock<Arc<S::Value>>,
}

/// What tells one state of a file from another.
type Stamp = Option<(u64, u64, i64, i64)>;

impl<S: Source> Reloaded<S> {
    /// Reads the files for the first time.
    pub fn new(source: S) -> Result<Self, S::Error> {
        let value = RwLock::new(Arc::new(source.read()?));
        Ok(Self { source, value })
    }

    /// Returns what the files say.
    pub fn current(&self) -> Arc<S::Value> {
        Arc::clone(&self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows the files for ever. While they cannot be read, what they said before holds.
    pub async fn follow(&self) {
        let mut known = self.stamps();
        loop {
            tokio::time::sleep(INTERVAL).await;
            let found = self.stamps();
            if found != known {
                known = found;
                self.read_again();
            }
        }
    }

    fn read_again(&self) {
        let files = self.source.files();
        match self.source.read() {
            Ok(value) => {
                *self.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                log::line(Level::Info, "files read again", json!({ "files": files }));
            }
            Err(error) => {
                let reason = error.to_string();
                log::line(
                    Level::Error,
                    "files cannot be read again; what they said before holds",
                    json!({"files": files, "reason": reason}),
                );
            }
        }
    }

    fn stamps(&self) -> Vec<Stamp> {
        let stamp = |path: &Path| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
        };
        self.source.files().into_iter().map(stamp).collect()
    }
}
