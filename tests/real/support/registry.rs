//! Debian's `docker-registry`, on a free port of the loopback device.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::http::try_get;
use super::process::{Running, free_port};
use super::scratch::Scratch;
use super::text;

/// A running registry, empty at first.
pub struct Registry {
    /// Its host name and port.
    pub address: String,
    _process: Running,
    folder: Scratch,
}

impl Registry {
    /// Starts one that anyone may write to.
    pub fn start() -> Self {
        Self::with(|_| String::new())
    }

    /// Starts one that knows a single user.
    pub fn with_user(user: &str, password: &str) -> Self {
        Self::with(|folder| {
            let file = folder.join("htpasswd");
            fs::write(&file, text("htpasswd", ["-Bbn", user, password])).unwrap();
            format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file.display())
        })
    }

    fn with(access: impl FnOnce(&Path) -> String) -> Self {
        let folder = Scratch::new();
        let address = format!("127.0.0.1:{}", free_port());
        let configuration = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: true}}, level: error}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}'}}\n{}",
            folder.join("data").display(),
            access(&folder),
        );
        let file = folder.join("config.yml");
        fs::write(&file, configuration).unwrap();
        let mut process = Running::start(Command::new("docker-registry").arg("serve").arg(&file));
        process.wait_until("the registry answers", || try_get(&format!("http://{address}/v2/")));
        Self { address, _process: process, folder }
    }

    /// Returns the full name of an image in it.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Returns how many bytes a blob has, by the hex digits of its digest.
    pub fn size(&self, blob: &str) -> u64 {
        let path = format!("data/docker/registry/v2/blobs/sha256/{}/{blob}/data", &blob[..2]);
        fs::metadata(self.folder.join(path)).unwrap().len()
    }

    /// Returns the digests of the blobs that one repository has; none before it is there.
    pub fn blobs(&self, repository: &str) -> Vec<String> {
        let path = format!("data/docker/registry/v2/repositories/{repository}/_layers/sha256");
        let mut blobs: Vec<_> = fs::read_dir(self.folder.join(path))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        blobs.sort();
        blobs
    }
}
