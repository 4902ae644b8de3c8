//! podman and Docker, each with a storage of its own, and the containers that they run.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::http::try_get;
use super::process::{Running, free_port, wait_until};
use super::scratch::Scratch;
use super::{run, succeed};

/// How a container runs: nothing of its own to write to, no capability, the image's user.
const PODMAN_RUN: [&str; 7] = [
    "--runtime=runc",
    "--network=host",
    "--read-only",
    "--cap-drop=all",
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=4096:4096",
    "--env=LANG=C.UTF-8",
];
const DOCKER_RUN: [&str; 3] = ["--network=host", "--read-only", "--cap-drop=ALL"];

/// A container engine that goes with the test.
pub struct Engine {
    command: Vec<String>,
    run: &'static [&'static str],
    daemon: Option<Running>,
    folders: Vec<Scratch>,
}

/// A running container.
pub struct Container<'a> {
    engine: &'a Engine,
    name: String,
    /// Where its server answers.
    pub url: String,
}

impl Engine {
    /// Returns podman.
    pub fn podman() -> Self {
        // podman refuses a folder for its state whose path has more than 50 characters, wherever the sources lie.
        let (storage, state) = (Scratch::new(), Scratch::open_to_all());
        let command = ["podman", "--root", &shown(&storage), "--runroot", &shown(&state)].map(str::to_owned).to_vec();
        Self { command, run: &PODMAN_RUN, daemon: None, folders: vec![storage, state] }
    }

    /// Returns Docker, with a daemon of its own.
    pub fn docker() -> Self {
        let folder = Scratch::new();
        let socket = format!("unix://{}", folder.join("docker.sock").display());
        let mut daemon = Running::start(
            Command::new("dockerd")
                .args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--host", &socket])
                .arg("--data-root")
                .arg(folder.join("data"))
                .arg("--exec-root")
                .arg(folder.join("exec"))
                .arg("--pidfile")
                .arg(folder.join("pid")),
        );
        let command = vec!["docker".to_owned(), "--host".to_owned(), socket];
        let mut engine = Self { command, run: &DOCKER_RUN, daemon: None, folders: vec![folder] };
        daemon.wait_until("the daemon answers", || (run(engine.command().arg("info")).code == 0).then_some(()));
        engine.daemon = Some(daemon);
        engine
    }

    /// Returns the engine's command line program.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        command
    }

    /// Pulls an image from a registry on this machine.
    pub fn pull(&self, name: &str) {
        let insecure = if self.is_podman() { &["--tls-verify=false"][..] } else { &[] };
        succeed(self.command().args(["pull", "--quiet"]).args(insecure).arg(name));
    }

    /// Loads an archive, and returns the name that its image has then.
    pub fn load(&self, archive: &Path) -> String {
        let said = succeed(self.command().args(["load", "--input"]).arg(archive)).stdout;
        let name =
            said.lines().find_map(|line| line.split_once("oaded image: ").or(line.split_once("oaded image(s): ")));
        name.unwrap_or_else(|| panic!("no image in: {said}")).1.to_owned()
    }

    /// Runs a program in an image to its end, and returns what it printed.
    pub fn output(&self, image: &str, options: &[&str], program: &[&str]) -> String {
        let mut command = self.command();
        command.args(["run", "--rm"]).args(self.run).args(options).args(["--entrypoint", program[0], image]);
        succeed(command.args(&program[1..])).stdout
    }

    /// Starts an image's server and waits until it is ready.
    pub fn serve(&self, image: &str) -> Container<'_> {
        self.serve_with(image, &[])
    }

    /// The same with more options of the engine.
    pub fn serve_with(&self, image: &str, options: &[&str]) -> Container<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mlpack-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let port = free_port();
        let mut command = self.command();
        // podman's monitor writes files where it is started when memory runs out.
        command.current_dir(&*self.folders[0]);
        command.args(["run", "--detach", "--name", &name]).args(self.run);
        succeed(command.args(options).args(["--env", &format!("MLPACK_PORT={port}"), image]));
        let container = Container { engine: self, name, url: format!("http://127.0.0.1:{port}") };
        container.wait_until_ready();
        container
    }

    fn is_podman(&self) -> bool {
        self.command[0] == "podman"
    }
}

impl Container<'_> {
    /// Waits for a worker, for example after one was lost.
    pub fn wait_until_ready(&self) {
        wait_until("the container is ready or ended", || {
            if try_get(&format!("{}/readyz", self.url)).is_some_and(|answer| answer.status == 200) {
                return Some(());
            }
            let state = run(self.engine.command().args(["inspect", "--format={{.State.Status}}", &self.name]));
            assert_ne!(state.stdout.trim(), "exited", "{}", self.logs());
            None
        });
    }

    /// Returns what it has printed.
    pub fn logs(&self) -> String {
        let logs = run(self.engine.command().args(["logs", &self.name]));
        logs.stdout + &logs.stderr
    }

    /// Stops it as an operator does, and returns its exit code.
    pub fn stop(&self) -> String {
        succeed(self.engine.command().args(["stop", "--time=20", &self.name]));
        let format = "--format={{.State.ExitCode}}";
        succeed(self.engine.command().args(["inspect", format, &self.name])).stdout.trim().to_owned()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        run(self.engine.command().args(["rm", "--force", &self.name]));
    }
}

fn shown(path: &Path) -> String {
    path.to_str().expect("scratch folders have plain names").to_owned()
}
