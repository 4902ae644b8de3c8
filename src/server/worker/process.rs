//! One running worker: its pipes, its output, its end. It knows frames, but neither requests nor restarts.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::frame::{self, FrameError};
use crate::server::init::{Reaper, signal_group};
use crate::server::log::{self, Level};
use crate::service::Worker;

/// Descriptors that the protocol gives a worker.
const REQUESTS_FD: i32 = 3;
const REPLIES_FD: i32 = 4;
/// Above the protocol's descriptors, so that copies made here overwrite none of them.
const SPARE_FD: i32 = 10;
/// Bytes that a pipe holds: a larger frame takes fewer switches between the two programs.
const PIPE_SIZE: i32 = 1 << 20;
/// Where a line of a worker's output is cut.
const MAX_LINE: usize = 64 << 10;
/// Bytes that the reply buffer keeps between calls.
const KEPT_BUFFER: usize = 1 << 20;

/// A worker that runs.
pub struct Process {
    pid: i32,
    requests: pipe::Sender,
    replies: pipe::Receiver,
    /// `None` once the end has been told.
    exit: Option<oneshot::Receiver<ExitStatus>>,
    buffer: Vec<u8>,
}

/// The worker can no longer be talked to.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The pipe was closed.
    #[error("the worker closed its pipe")]
    Closed,
    /// The pipe failed.
    #[error("the worker's pipe failed")]
    Pipe(#[source] io::Error),
    /// What came is not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// More came than was asked for, or a message that was not expected.
    #[error("the worker sent something it was not asked for")]
    Unexpected,
    /// No answer in time.
    #[error("the worker did not answer in time")]
    TimedOut,
    /// It ended while nothing was asked of it.
    #[error("the worker ended by itself: {0}")]
    Exited(ExitStatus),
}

impl Process {
    /// Starts the worker number `number`.
    pub fn start(number: usize, worker: &Worker, threads: usize, reaper: &Reaper) -> io::Result<Self> {
        let (request_reader, request_writer) = io::pipe()?;
        let (reply_reader, reply_writer) = io::pipe()?;
        let mut command = command(worker, threads)?;
        hand_over(&mut command, request_reader.into(), reply_writer.into());
        let (mut child, exit) = reaper.spawn(&mut command)?;
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(forward(pipe::Receiver::from_owned_fd(stdout.into())?, number, "stdout"));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(forward(pipe::Receiver::from_owned_fd(stderr.into())?, number, "stderr"));
        }
        let requests = pipe::Sender::from_owned_fd(widen(request_writer.into()))?;
        let replies = pipe::Receiver::from_owned_fd(widen(reply_reader.into()))?;
        Ok(Self { pid: child.id() as i32, requests, replies, exit: Some(exit), buffer: Vec::with_capacity(64 << 10) })
    }

    /// Sends a frame and returns the whole frame that answers it.
    pub async fn exchange(&mut self, frame: &[u8]) -> Result<&[u8], Broken> {
        let Self { requests, replies, buffer, .. } = self;
        // Both at once: a worker may begin to answer before it has read all, and neither pipe may fill up for ever.
        let write = async { requests.write_all(frame).await.map_err(Broken::Pipe) };
        tokio::try_join!(write, read_frame(replies, buffer))?;
        Ok(&self.buffer)
    }

    /// Waits for the worker's end; its status is told once.
    pub async fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.exit.as_mut()?.await.ok();
        self.exit = None;
        status
    }

    /// Ends the worker and all that it has started.
    pub fn kill(&self) {
        signal_group(self.pid, libc::SIGKILL);
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
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
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

fn widen(pipe: OwnedFd) -> OwnedFd {
    // SAFETY: the descriptor is open, and the call takes no pointer. A refusal leaves the usual size, which works too.
    unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_SIZE) };
    pipe
}

async fn read_frame(replies: &mut pipe::Receiver, buffer: &mut Vec<u8>) -> Result<(), Broken> {
    buffer.clear();
    buffer.shrink_to(KEPT_BUFFER);
    loop {
        match frame::length(buffer)? {
            Some(length) if buffer.len() == length => return Ok(()),
            Some(length) if buffer.len() > length => return Err(Broken::Unexpected),
            Some(length) => buffer.reserve(length - buffer.len()),
            None => {}
        }
        if replies.read_buf(buffer).await.map_err(Broken::Pipe)? == 0 {
            return Err(Broken::Closed);
        }
    }
}

/// Turns a worker's output into log lines. It reads without end, so that a worker that prints never waits.
async fn forward(mut output: pipe::Receiver, worker: usize, stream: &'static str) {
    let mut lines = Lines::default();
    let mut block = vec![0; 16 << 10];
    let mut print = |line: &str| log::line(Level::Info, line, json!({"worker": worker, "stream": stream}));
    while let Ok(length @ 1..) = output.read(&mut block).await {
        lines.feed(&block[..length], &mut print);
    }
    lines.end(&mut print);
}

/// Cuts a stream into lines of limited length; what goes beyond is left out.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8], print: &mut impl FnMut(&str)) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ended) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            let room = MAX_LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ended {
                print(&String::from_utf8_lossy(&self.line));
                self.line.clear();
            }
        }
    }

    fn end(&mut self, print: &mut impl FnMut(&str)) {
        if !self.line.is_empty() {
            print(&String::from_utf8_lossy(&self.line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_into_lines_of_limited_length() {
        let mut seen = Vec::new();
        let mut lines = Lines::default();
        let mut print = |line: &str| seen.push(line.to_owned());
        lines.feed(b"one\ntw", &mut print);
        lines.feed(b"o\n", &mut print);
        for _ in 0..3 {
            lines.feed(&vec![b'x'; MAX_LINE], &mut print);
        }
        lines.feed(b"\n\nend", &mut print);
        lines.end(&mut print);
        assert_eq!(seen, ["one", "two", &"x".repeat(MAX_LINE), "", "end"]);
    }
}
