//! The pipes between the server and one worker. It knows frames, but not what they say.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitStatus;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

use super::Name;
use super::frame::{self, FrameError};
use super::output::forward;

/// Bytes that a pipe holds: a larger frame takes fewer switches between the two programs.
const PIPE_SIZE: i32 = 1 << 20;
/// Bytes that the reply buffer keeps between calls.
const KEPT_BUFFER: usize = 1 << 20;

/// The server's ends.
pub struct Link {
    requests: pipe::Sender,
    replies: pipe::Receiver,
    buffer: Vec<u8>,
}

/// The worker's ends.
pub struct WorkerEnds {
    /// Where frames from the server come.
    pub requests: OwnedFd,
    /// Where frames to the server go.
    pub replies: OwnedFd,
    /// What the model prints.
    pub stdout: OwnedFd,
    /// What the model says of errors.
    pub stderr: OwnedFd,
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

/// Makes the pipes of a worker; what comes out of the last two is logged from now on.
pub fn connect(worker: &Name) -> io::Result<(Link, WorkerEnds)> {
    let (request_reader, request_writer) = io::pipe()?;
    let (reply_reader, reply_writer) = io::pipe()?;
    let (stdout_reader, stdout) = io::pipe()?;
    let (stderr_reader, stderr) = io::pipe()?;
    for (reader, stream) in [(stdout_reader, "stdout"), (stderr_reader, "stderr")] {
        tokio::spawn(forward(pipe::Receiver::from_owned_fd(reader.into())?, worker.clone(), stream));
    }
    let requests = pipe::Sender::from_owned_fd(widen(request_writer.into()))?;
    let replies = pipe::Receiver::from_owned_fd(widen(reply_reader.into()))?;
    let ends = WorkerEnds {
        requests: request_reader.into(),
        replies: reply_writer.into(),
        stdout: stdout.into(),
        stderr: stderr.into(),
    };
    Ok((Link { requests, replies, buffer: Vec::with_capacity(64 << 10) }, ends))
}

impl Link {
    /// Sends a frame and returns the whole frame that answers it.
    pub async fn exchange(&mut self, frame: &[u8]) -> Result<&[u8], Broken> {
        let Self { requests, replies, buffer } = self;
        // Both at once: a worker may begin to answer before it has read all, and neither pipe may fill up for ever.
        let write = async { requests.write_all(frame).await.map_err(Broken::Pipe) };
        tokio::try_join!(write, read_frame(replies, buffer))?;
        Ok(&self.buffer)
    }

    /// Returns a whole frame that comes by itself.
    pub async fn receive(&mut self) -> Result<&[u8], Broken> {
        read_frame(&mut self.replies, &mut self.buffer).await?;
        Ok(&self.buffer)
    }
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
