//! A project that `mlpack serve` serves, with its log.

use std::path::Path;

use serde_json::Value;

use super::http::{Answer, post, try_get};
use super::process::{Running, free_port};
use super::project::Prepared;

/// A running server; it is ended with the test.
pub struct Served {
    /// The process, which knows the log.
    pub process: Running,
    /// Where it answers.
    pub url: String,
}

impl Served {
    /// Serves a project's copy once it listens.
    pub fn launch(manifest: &Path, home: &Path) -> Self {
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let mut command = super::mlpack(home);
        command.arg("serve").arg(manifest).args(["--offline", "--port", &port.to_string()]);
        let mut process = Running::start(&command);
        process.wait_until("the server is live", || {
            try_get(&format!("{url}/livez")).filter(|answer| answer.status == 200)
        });
        Self { process, url }
    }

    /// Serves a project's copy once its worker is ready.
    pub fn start(project: &Prepared) -> Self {
        let mut served = Self::launch(&project.copy().path("manifest.yaml"), project.home());
        served.wait_until_ready();
        served
    }

    /// Waits for a worker, for example after one was lost.
    pub fn wait_until_ready(&mut self) {
        let url = format!("{}/readyz", self.url);
        self.process.wait_until("a worker is ready", || try_get(&url).filter(|answer| answer.status == 200));
    }

    /// Calls an endpoint with a JSON value.
    pub fn post(&self, endpoint: &str, value: &Value) -> Answer {
        post(&format!("{}/{endpoint}", self.url), value)
    }
}
