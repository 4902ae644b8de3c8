//! Keeps a server running in a sandbox: restarts it when a file changes, ends it on Ctrl-C.
//!
//! Knows nothing of images: what to run is told by a closure, anew for each change.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::child::{Child, Streams, spawn_and_tell};
use super::error::SandboxError;
use super::spec::Spec;
use super::watch::Watch;
use crate::error::Result;
use crate::event::Report;

/// How a server is kept running.
pub struct Session<'a> {
    /// The files and folders whose change restarts it. Without any, the session ends with the server.
    pub watched: Vec<PathBuf>,
    /// How long the server may take to end before it is replaced.
    pub restart_grace: Duration,
    /// How long it may take to end on Ctrl-C; a second Ctrl-C kills it at once.
    pub stop_grace: Duration,
    /// Is told of restarts, and of changes that cannot be served.
    pub report: &'a dyn Report,
}

enum Happening {
    Changed(Vec<PathBuf>),
    Interrupted,
    /// The server of this number ended.
    Ended(u64),
}

impl Session<'_> {
    /// Runs `first`, and what `rebuild` makes of each change, until the server ends or a signal ends it.
    ///
    /// Returns the server's status. While `rebuild` fails, the server before the change goes on. From here on SIGINT,
    /// SIGTERM and SIGHUP are the session's; before, they end mlpack at once, so `first` is best made before.
    pub fn run(&self, first: &Spec, rebuild: impl FnMut(&[PathBuf]) -> Result<Spec>) -> Result<ExitStatus> {
        let (tell, happenings) = channel();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
            .map_err(|source| SandboxError::Setup { step: "listen for signals".to_owned(), source })?;
        let handle = signals.handle();
        let teller = tell.clone();
        thread::spawn(move || signals.forever().all(|_| teller.send(Happening::Interrupted).is_ok()));
        let result = self.supervise(first, rebuild, &tell, &happenings);
        handle.close();
        result
    }

    fn supervise(
        &self,
        first: &Spec,
        mut rebuild: impl FnMut(&[PathBuf]) -> Result<Spec>,
        tell: &Sender<Happening>,
        happenings: &Receiver<Happening>,
    ) -> Result<ExitStatus> {
        let _watch = self.watch(tell)?;
        let (mut server, mut number) = (start(first, 0, tell)?, 0);
        loop {
            match happenings.recv().expect("this function holds a sender") {
                Happening::Interrupted => return Ok(self.stop(&mut server, happenings)?),
                Happening::Ended(ended) if ended == number => {
                    let status = server.wait()?;
                    if self.watched.is_empty() {
                        return Ok(status);
                    }
                    // Nothing is left to end, so the next happening of interest is a change.
                    number += 1;
                    self.report
                        .warn(format!("the server ended: {status}"), Some("save a file to start it again".into()));
                }
                Happening::Ended(_) => {}
                Happening::Changed(paths) => match rebuild(&paths) {
                    Ok(spec) => {
                        self.report.say(format!("restarting, since {} changed", names(&paths)));
                        // How the old server ended is of no interest any more.
                        let _ = server.stop(self.restart_grace);
                        number += 1;
                        server = start(&spec, number, tell)?;
                    }
                    Err(error) => {
                        let hint = error.diagnosis().hints().into_iter().next();
                        self.report.warn(format!("the change of {} is not served: {error}", names(&paths)), hint);
                    }
                },
            }
        }
    }

    fn watch(&self, tell: &Sender<Happening>) -> Result<Option<Watch>> {
        if self.watched.is_empty() {
            return Ok(None);
        }
        let tell = tell.clone();
        // A session that is over has no use for a change.
        Ok(Some(Watch::start(&self.watched, move |paths| drop(tell.send(Happening::Changed(paths))))?))
    }

    /// Lets the server finish what it has begun; a second signal, or too long a time, kills it.
    fn stop(&self, server: &mut Child, happenings: &Receiver<Happening>) -> Result<ExitStatus, SandboxError> {
        server.signal(Signal::SIGTERM);
        let end = Instant::now() + self.stop_grace;
        loop {
            if let Some(result) = server.wait_for(Duration::ZERO) {
                return result;
            }
            match happenings.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Happening::Interrupted) | Err(RecvTimeoutError::Timeout) => return server.stop(Duration::ZERO),
                // The end of this server, which the next turn sees, or something that is of no interest any more.
                _ => {}
            }
        }
    }
}

fn start(spec: &Spec, number: u64, tell: &Sender<Happening>) -> Result<Child, SandboxError> {
    let tell = tell.clone();
    let streams = Streams { stdin: Stdio::null(), stdout: Stdio::inherit(), stderr: Stdio::inherit() };
    spawn_and_tell(spec, streams, move || drop(tell.send(Happening::Ended(number))))
}

fn names(paths: &[PathBuf]) -> String {
    let mut names: Vec<_> = paths
        .iter()
        .map(|path| format!("`{}`", path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()))
        .collect();
    if names.len() > 3 {
        let rest = names.len() - 2;
        names.truncate(2);
        names.push(format!("{rest} more"));
    }
    names.join(", ")
}
