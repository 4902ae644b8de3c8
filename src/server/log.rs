//! The log: one JSON object a line on stderr, written by a thread of its own.
//!
//! Whoever logs never waits: when nobody reads stderr fast enough, lines are dropped and counted.

use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::json;

use super::render::scalar;
use super::validate::time;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the usual four")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// Bytes that may wait to be written.
const MAX_WAITING: usize = 8 << 20;
/// How long the thread lets lines gather before it writes them: under load, waking it for each would cost more than the line.
const GATHERING: Duration = Duration::from_millis(5);
/// Bytes that the buffers keep between writes.
const KEPT_BUFFER: usize = 1 << 20;

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    level: Level,
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    /// Whole lines that wait.
    waiting: Vec<u8>,
    /// Bytes that the thread is writing.
    writing: usize,
    dropped: u64,
}

impl Level {
    /// Reads a level by its name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug].into_iter().find(|level| level.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Starts the log; lines below `level` are left out.
pub fn start(level: Level) {
    let log = Log { level, lines: Mutex::default(), changed: Condvar::new() };
    if LOG.set(log).is_ok() {
        std::thread::spawn(|| LOG.get().expect("it has just been set").write_all());
    }
}

/// Returns whether lines of this level are written.
pub fn wants(level: Level) -> bool {
    LOG.get().is_some_and(|log| level <= log.level)
}

/// Writes one line with the members of `more`, which must serialize as an object.
pub fn line(level: Level, message: &str, more: impl Serialize) {
    let Some(log) = LOG.get().filter(|log| level <= log.level) else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = time::format_datetime(now.as_micros() as i64);
    let mut line = Vec::with_capacity(256);
    let written = write!(line, "{{\"time\":\"{time}\",\"level\":\"{}\",\"message\":", level.name());
    written.expect("writing to memory cannot fail");
    scalar(&mut line, message);
    let end = line.len();
    scalar(&mut line, more);
    // What follows is the inside of the object, after a comma where it has one.
    if line[end..] == *b"{}" {
        line.truncate(end);
        line.push(b'}');
    } else {
        line[end] = b',';
    }
    line.push(b'\n');
    log.push(&line);
}

/// Waits until everything is written, but not for long.
pub fn flush() {
    let Some(log) = LOG.get() else { return };
    let lines = log.lock();
    let unwritten = |lines: &mut Lines| lines.writing + lines.waiting.len() > 0;
    // A stopped reader must not keep the program from ending; nothing is left to do about it then.
    let _ = log.changed.wait_timeout_while(lines, Duration::from_secs(1), unwritten);
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut lines = self.lock();
        if lines.waiting.len() + lines.writing + line.len() > MAX_WAITING {
            lines.dropped += 1;
            return;
        }
        // Only the first line needs to wake the thread: it takes all that have come until it writes.
        if lines.waiting.is_empty() {
            self.changed.notify_all();
        }
        lines.waiting.extend_from_slice(line);
    }

    fn write_all(&self) {
        let mut stderr = std::io::stderr();
        let mut buffer = Vec::new();
        loop {
            let dropped = self.next(&mut buffer);
            // With stderr gone there is nowhere left to say so.
            let _ = stderr.write_all(&buffer);
            if dropped > 0 {
                let _ =
                    writeln!(stderr, "{}", json!({"level": "warn", "message": "log lines dropped", "lines": dropped}));
            }
            self.lock().writing = 0;
            self.changed.notify_all();
        }
    }

    /// Waits for lines, and takes all there are.
    fn next(&self, buffer: &mut Vec<u8>) -> u64 {
        let mut lines = self.lock();
        while lines.waiting.is_empty() {
            lines = self.changed.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
        drop(lines);
        std::thread::sleep(GATHERING);
        let mut lines = self.lock();
        buffer.clear();
        buffer.shrink_to(KEPT_BUFFER);
        std::mem::swap(buffer, &mut lines.waiting);
        lines.writing = buffer.len();
        std::mem::take(&mut lines.dropped)
    }
}
