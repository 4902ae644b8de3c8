//! What PID 1 owes its container: signals are answered, and every process that ends is reaped, orphans too.
//!
//! All children are started and reaped here, so that no exit status is lost between a worker and an orphan.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, oneshot};

/// The highest file descriptor that the worker protocol gives a meaning.
const LAST_PROTOCOL_FD: i32 = 4;

/// Makes this process the parent of its orphaned descendants, and keeps the protocol's descriptors from being reused:
/// between fork and exec a worker gets its pipes there, and nothing else may stand in the way.
pub fn prepare() -> io::Result<()> {
    // SAFETY: this option takes no pointer and changes nothing but a flag of this process.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    loop {
        let file = File::open("/dev/null")?;
        if file.as_raw_fd() > LAST_PROTOCOL_FD {
            return Ok(());
        }
        let _kept_for_ever = file.into_raw_fd();
    }
}

/// Lets this process open `wanted` files where the system's hard limit allows it; returns how many it may open. It asks
/// for no more than that: workers inherit it, and some programs go through all the descriptors that they could have.
pub fn allow_open_files(wanted: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure outlives the call, which fills it in.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return wanted;
    }
    if limit.rlim_cur < wanted {
        let raised = libc::rlimit { rlim_cur: wanted.min(limit.rlim_max), ..limit };
        // SAFETY: the structure outlives the call, which only reads it.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            return raised.rlim_cur;
        }
    }
    limit.rlim_cur
}

/// The signals that end the server.
pub struct Signals([Signal; 3]);

impl Signals {
    /// Starts to listen.
    pub fn new() -> io::Result<Self> {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [terminate, interrupt, hangup] = kinds.map(signal);
        Ok(Self([terminate?, interrupt?, hangup?]))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Starts and reaps children.
#[derive(Default)]
pub struct Reaper {
    children: Mutex<HashMap<i32, oneshot::Sender<ExitStatus>>>,
    reaped: Notify,
}

impl Reaper {
    /// Starts a program in a process group of its own; the receiver gets its exit status.
    pub fn spawn(&self, command: &mut Command) -> io::Result<(Child, oneshot::Receiver<ExitStatus>)> {
        // Held while forking: the child cannot be reaped before it is known.
        let mut children = self.lock();
        let child = command.process_group(0).spawn()?;
        let (exited, exit) = oneshot::channel();
        children.insert(child.id() as i32, exited);
        Ok((child, exit))
    }

    /// Takes charge of a child that another process has forked and left behind, and gives it a process group of its own;
    /// the receiver gets its exit status. Fails while `pid` is no child of this process.
    pub fn adopt(&self, pid: i32) -> io::Result<oneshot::Receiver<ExitStatus>> {
        // Held throughout: the child cannot be reaped before it is known.
        let mut children = self.lock();
        if pid <= 1 || children.contains_key(&pid) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: the call touches no memory; for anything but a child that has not called exec it fails.
        if unsafe { libc::setpgid(pid, pid) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let (exited, exit) = oneshot::channel();
        children.insert(pid, exited);
        Ok(exit)
    }

    /// Returns the process numbers of the children that run.
    pub fn children(&self) -> Vec<i32> {
        self.lock().keys().copied().collect()
    }

    /// Reaps for ever.
    pub async fn run(&self) -> io::Result<()> {
        let mut child_ended = signal(SignalKind::child())?;
        loop {
            self.reap();
            child_ended.recv().await;
        }
    }

    /// Asks all children to end, and ends those that have not after `patience`.
    pub async fn stop(&self, patience: Duration) {
        self.signal_all(libc::SIGTERM);
        let all_gone = async {
            loop {
                let reaped = self.reaped.notified();
                if self.lock().is_empty() {
                    return;
                }
                reaped.await;
            }
        };
        if tokio::time::timeout(patience, all_gone).await.is_err() {
            self.signal_all(libc::SIGKILL);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, oneshot::Sender<ExitStatus>>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal_all(&self, signal: i32) {
        self.lock().keys().for_each(|&pid| signal_group(pid, signal));
    }

    fn reap(&self) {
        let mut children = self.lock();
        while let Some(pid) = next_ended() {
            let exited = children.remove(&pid);
            if exited.is_some() {
                // All that it has started. Until it is reaped, its number is nobody else's.
                signal_group(pid, libc::SIGKILL);
            }
            let mut status = 0;
            // SAFETY: `status` outlives the call, which writes one integer there.
            unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
            if let Some(exited) = exited {
                // The worker's slot may have given up on it already.
                let _ = exited.send(ExitStatus::from_raw(status));
            }
        }
        self.reaped.notify_waiters();
    }
}

/// Returns a child that has ended, without reaping it.
fn next_ended() -> Option<i32> {
    // SAFETY: zeros are a valid value of this structure of integers. It outlives the call, which fills it in or, where no
    // child has ended, leaves a zero where the process number is read.
    let pid = unsafe {
        let mut ended: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_ALL, 0, &raw mut ended, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT);
        ended.si_pid()
    };
    (pid > 0).then_some(pid)
}

/// Sends a signal to a child and all that it has started.
pub fn signal_group(pid: i32, signal: i32) {
    // SAFETY: sending a signal touches no memory. A group that is gone already is no error here.
    unsafe { libc::kill(-pid, signal) };
}
