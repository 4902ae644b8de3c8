//! One running worker: how its process starts and ends. It knows neither frames nor requests.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Name;
use super::link::{self, Broken, Link};
use crate::server::init::{Reaper, signal_group};
use crate::service::Worker;

/// Descriptors that the protocol gives a worker.
const REQUESTS_FD: i32 = 3;
const REPLIES_FD: i32 = 4;
/// Above the protocol's descriptors, so that copies made here overwrite none of them.
const SPARE_FD: i32 = 10;
/// How often, and after what pauses, a forked worker is asked for that its first parent has not let go of yet.
const ADOPTION_ATTEMPTS: usize = 1000;
const ADOPTION_PAUSE: Duration = Duration::from_millis(1);
/// How long to wait for the status of a worker that has closed its pipe.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);

/// A worker that runs.
pub struct Process {
    pid: i32,
    link: Link,
    /// `None` once the end has been told.
    exit: Option<oneshot::Receiver<ExitStatus>>,
}

impl Process {
    /// Starts a worker.
    pub fn start(name: &Name, worker: &Worker, threads: usize, reaper: &Reaper) -> io::Result<Self> {
        let (link, ends) = link::connect(name)?;
        let mut command = command(worker, threads)?;
        command.stdout(ends.stdout).stderr(ends.stderr);
        hand_over(&mut command, ends.requests, ends.replies);
        let (child, exit) = reaper.spawn(&mut command)?;
        Ok(Self { pid: child.id() as i32, link, exit: Some(exit) })
    }

    /// Takes over a worker that another one has forked.
    pub async fn adopt(pid: i32, link: Link, reaper: &Reaper) -> io::Result<Self> {
        let mut attempts = 1..ADOPTION_ATTEMPTS;
        let exit = loop {
            match reaper.adopt(pid) {
                Ok(exit) => break exit,
                Err(error) if attempts.next().is_none() => return Err(error),
                Err(_) => tokio::time::sleep(ADOPTION_PAUSE).await,
            }
        };
        Ok(Self { pid, link, exit: Some(exit) })
    }

    /// Sends a frame and returns the whole frame that answers it.
    pub async fn exchange(&mut self, frame: &[u8]) -> Result<&[u8], Broken> {
        self.link.exchange(frame).await
    }

    /// Returns whether it runs no longer.
    pub fn has_ended(&self) -> bool {
        self.exit.as_ref().is_none_or(|exit| !exit.is_empty())
    }

    /// Waits for the worker's end; its status is told once.
    pub async fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.exit.as_mut()?.await.ok();
        self.exit = None;
        status
    }

    /// Says why its pipe was closed, after a moment for its end to be told.
    pub async fn end(&mut self) -> Broken {
        match timeout(EXIT_PATIENCE, self.exited()).await {
            Ok(Some(status)) => Broken::Exited(status),
            _ => Broken::Closed,
        }
    }

    /// Returns the worker's process number.
    pub fn id(&self) -> i32 {
        self.pid
    }

    /// Ends the worker and all that it has started. Where it has ended, the reaper has ended the rest, and its number may by now
    /// be another process's.
    pub fn kill(&self) {
        if !self.has_ended() {
            signal_group(self.pid, libc::SIGKILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn command(worker: &Worker, threads: usize) -> io::Result<Command> {
    let (program, arguments) =
        worker.command.split_first().ok_or_else(|| io::Error::other("the service names no worker command"))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    // Numeric libraries start one thread for each processor; several workers that do so get in each other's way.
    for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
        if std::env::var_os(name).is_none() {
            command.env(name, threads.to_string());
        }
    }
    command.envs(&worker.environment);
    Ok(command)
}

/// Gives the child the two ends as the protocol's descriptors.
fn hand_over(command: &mut Command, requests: OwnedFd, replies: OwnedFd) {
    let place = move || {
        for (end, target) in [(&requests, REQUESTS_FD), (&replies, REPLIES_FD)] {
            // SAFETY: plain system calls on descriptors that the closure owns; both are safe between fork and exec.
            let copied = unsafe {
                let spare = libc::fcntl(end.as_raw_fd(), libc::F_DUPFD_CLOEXEC, SPARE_FD);
                if spare < 0 { spare } else { libc::dup2(spare, target) }
            };
            if copied < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure allocates nothing and takes no lock. `init::prepare` keeps the two targets taken in this
    // process, so that nothing of the standard library's own stands there.
    unsafe { command.pre_exec(place) };
}
