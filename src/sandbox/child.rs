//! Starts a sandbox and watches over it from mlpack's side.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::enter::{FAILURE, MOUNTS, OUTSIDE, SPEC, exit_code};
use super::error::{Failure, SandboxError};
use super::spec::Spec;
use crate::fs;

/// What a program's standard streams are.
#[derive(Debug)]
pub struct Streams {
    /// Standard input.
    pub stdin: Stdio,
    /// Standard output.
    pub stdout: Stdio,
    /// Standard error.
    pub stderr: Stdio,
}

/// A program that runs in a sandbox. Dropping it kills the program and all that it started.
#[derive(Debug)]
pub struct Child {
    /// The writing end of its standard input, where that is piped. To be closed for the program to see its end.
    pub stdin: Option<ChildStdin>,
    /// The reading end of its standard output, where that is piped.
    pub stdout: Option<ChildStdout>,
    /// The reading end of its standard error, where that is piped.
    pub stderr: Option<ChildStderr>,
    running: Running,
    ended: Receiver<Result<ExitStatus, SandboxError>>,
    status: Option<ExitStatus>,
}

/// The process to signal, for as long as its number is its own.
#[derive(Clone, Debug)]
struct Running(Arc<Mutex<Option<Pid>>>);

impl Running {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // The process is not waited for yet, and it is ours: there is nothing to fail.
            let _ = kill(pid, signal);
        }
    }
}

/// Starts a program in a sandbox. What fails inside while that is set up is told by [`Child::wait`].
pub fn spawn(spec: &Spec, streams: Streams) -> Result<Child, SandboxError> {
    spawn_and_tell(spec, streams, || ())
}

/// Starts a program, and calls `on_end` from another thread once its status can be had.
pub(super) fn spawn_and_tell(
    spec: &Spec,
    streams: Streams,
    on_end: impl FnOnce() + Send + 'static,
) -> Result<Child, SandboxError> {
    let spec = with_absolute_paths(spec)?;
    let scratch = scratch_folder(&spec)?;
    let (started, start) = channel();
    let (end, ended) = channel();
    // The kernel kills the sandbox with the *thread* that started it, so that thread does nothing but wait.
    thread::spawn(move || {
        watch_over(&spec, streams, scratch, &started, &end);
        on_end();
    });
    let (child, running) = start.recv().expect("the thread tells whether it started the program")?;
    Ok(Child { stdin: child.0, stdout: child.1, stderr: child.2, running, ended, status: None })
}

type Pipes = (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>);

fn watch_over(
    spec: &Spec,
    streams: Streams,
    scratch: TempDir,
    started: &Sender<Result<(Pipes, Running), SandboxError>>,
    end: &Sender<Result<ExitStatus, SandboxError>>,
) {
    let spawned = Command::new(&spec.entrance)
        .arg(OUTSIDE)
        .arg(scratch.path())
        .arg(std::process::id().to_string())
        .env_clear()
        .stdin(streams.stdin)
        .stdout(streams.stdout)
        .stderr(streams.stderr)
        // Out of reach of the terminal's Ctrl-C, which mlpack hands on, once.
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(source) => {
            let _ = started.send(Err(SandboxError::Start { program: spec.entrance.clone(), source }));
            return;
        }
    };
    let pid = Pid::from_raw(child.id() as i32);
    let running = Running(Arc::new(Mutex::new(Some(pid))));
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // A caller that went away has no use for either answer.
    let _ = started.send(Ok((pipes, running.clone())));
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(nix::errno::Errno::EINTR) {}
    *running.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    let outcome = outcome(spec, scratch.path(), child.wait());
    // Before the end is told, since mlpack may end with it.
    drop(scratch);
    let _ = end.send(outcome);
}

fn outcome(spec: &Spec, scratch: &Path, status: io::Result<ExitStatus>) -> Result<ExitStatus, SandboxError> {
    let failure = std::fs::read(scratch.join(FAILURE)).unwrap_or_default();
    match serde_json::from_slice::<Failure>(&failure) {
        Ok(failure) => Err(failure.into_error(&spec.program)),
        Err(_) => match status {
            // A wait status holds the exit code in its second byte.
            Ok(status) => Ok(ExitStatus::from_raw(i32::from(exit_code(status)) << 8)),
            Err(source) => Err(SandboxError::Setup { step: "wait for the program".to_owned(), source }),
        },
    }
}

/// Follows the links of all paths of this machine: inside the sandbox they would mean other places.
fn with_absolute_paths(spec: &Spec) -> fs::Result<Spec> {
    let mut spec = spec.clone();
    let paths = spec.root.layers.iter_mut().chain(spec.root.binds.iter_mut().map(|bind| &mut bind.host));
    for path in paths {
        *path = path.canonicalize().map_err(fs::Error::wrap("find", &*path))?;
    }
    Ok(spec)
}

/// Creates the folder through which the processes of one sandbox speak, which only this user can enter.
fn scratch_folder(spec: &Spec) -> fs::Result<TempDir> {
    let scratch = tempfile::Builder::new()
        .prefix("mlpack-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .map_err(fs::Error::wrap("create a folder in", std::env::temp_dir()))?;
    fs::create_dir_all(&scratch.path().join(MOUNTS))?;
    let spec = serde_json::to_vec(spec).expect("a specification is plain data, which JSON can hold");
    let path = scratch.path().join(SPEC);
    std::fs::write(&path, spec).map_err(fs::Error::wrap("write", &path))?;
    Ok(scratch)
}

impl Child {
    /// Waits for the program to end. Closes its standard input first, so that it does not wait for more.
    ///
    /// # Panics
    /// Never: only a wait with a limit ends before the program.
    pub fn wait(&mut self) -> Result<ExitStatus, SandboxError> {
        drop(self.stdin.take());
        self.wait_for(Duration::MAX).expect("an endless wait ends with the program")
    }

    /// Waits for at most `limit`; `None` says that the program still runs. A failure is told once.
    pub fn wait_for(&mut self, limit: Duration) -> Option<Result<ExitStatus, SandboxError>> {
        if let Some(status) = self.status {
            return Some(Ok(status));
        }
        let result = match self.ended.recv_timeout(limit) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => Err(failure_was_told()),
        };
        self.status = result.as_ref().ok().copied();
        Some(result)
    }

    /// Asks the program to end, and kills it when it has not after `grace`.
    pub fn stop(&mut self, grace: Duration) -> Result<ExitStatus, SandboxError> {
        self.signal(Signal::SIGTERM);
        self.wait_for(grace).unwrap_or_else(|| {
            self.signal(Signal::SIGKILL);
            self.wait()
        })
    }

    /// Sends the program a signal; SIGKILL takes along all that it started.
    pub fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.running.signal(Signal::SIGKILL);
        // The program is dead or dying, and what it ended with is of no interest.
        let _ = self.wait_for(Duration::MAX);
    }
}

fn failure_was_told() -> SandboxError {
    let source = io::Error::other("its failure was told before");
    SandboxError::Setup { step: "wait for the program".to_owned(), source }
}
