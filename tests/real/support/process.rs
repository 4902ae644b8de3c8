//! Programs that run while a test does, and are ended with it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::scratch::Scratch;

/// Far longer than anything waited for takes, so that only a failure reaches it.
const PATIENCE: Duration = Duration::from_mins(2);

/// A running program, with what it writes in a file.
pub struct Running {
    child: Child,
    log: PathBuf,
    _folder: Scratch,
}

impl Running {
    /// Starts a program, which is killed even where the test itself is.
    pub fn start(command: &Command) -> Self {
        let folder = Scratch::new();
        let log = folder.join("log");
        let file = File::create(&log).unwrap();
        let mut guarded = Command::new("setpriv");
        guarded.args(["--pdeathsig", "TERM", "--"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => guarded.env(name, value),
                None => guarded.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            guarded.current_dir(folder);
        }
        guarded.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = guarded.spawn().unwrap_or_else(|error| panic!("{}", super::advice(guarded.get_program(), &error)));
        Self { child, log, _folder: folder }
    }

    /// Returns what it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Returns its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = || self.child.try_wait().unwrap();
        poll(&mut ended).unwrap_or_else(|| panic!("the program does not end:\n{}", self.log()))
    }

    /// Waits for `ready`; fails with the log where the program ends before.
    pub fn wait_until<T>(&mut self, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
        let child = &mut self.child;
        let found = poll(&mut || match ready() {
            Some(value) => Some(Ok(value)),
            None => child.try_wait().unwrap().map(Err),
        });
        match found {
            Some(Ok(value)) => value,
            Some(Err(status)) => panic!("ended with {status} before {what}:\n{}", self.log()),
            None => panic!("{what} does not happen:\n{}", self.log()),
        }
    }

    /// Waits for a text in what it writes.
    pub fn wait_for_log(&mut self, text: &str) {
        let log = self.log.clone();
        self.wait_until(&format!("`{text}` is in the log"), || {
            String::from_utf8_lossy(&fs::read(&log).unwrap()).contains(text).then_some(())
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        let _ = kill(self.pid(), Signal::SIGTERM);
        if poll(&mut || self.child.try_wait().ok().flatten()).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Waits for `ready`.
#[track_caller]
pub fn wait_until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    poll(&mut ready).unwrap_or_else(|| panic!("waited in vain: {what}"))
}

fn poll<T>(ready: &mut dyn FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        match ready() {
            None if Instant::now() < end => sleep(Duration::from_millis(10)),
            found => return found,
        }
    }
}

/// Returns a port of the loopback device on which nothing listens.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
