//! The log: one JSON object a line on stderr, written by a thread of its own.
//!
//! Whoever logs never waits: when nobody reads stderr fast enough, lines are dropped and counted.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

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

static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    level: Level,
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
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

/// Writes one line with the members of the object `more`.
pub fn line(level: Level, message: &str, more: Value) {
    let Some(log) = LOG.get().filter(|log| level <= log.level) else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut line =
        json!({"time": time::format_datetime(now.as_micros() as i64), "level": level.name(), "message": message});
    if let (Value::Object(line), Value::Object(mut more)) = (&mut line, more) {
        line.append(&mut more);
    }
    log.push(format!("{line}\n").into_bytes());
}

/// Waits until everything is written, but not for long.
pub fn flush() {
    let Some(log) = LOG.get() else { return };
    let lines = log.lock();
    // A stopped reader must not keep the program from ending; nothing is left to do about it then.
    let _ = log.changed.wait_timeout_while(lines, Duration::from_secs(1), |lines| lines.bytes > 0);
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: Vec<u8>) {
        let mut lines = self.lock();
        if lines.bytes + line.len() > MAX_WAITING {
            lines.dropped += 1;
            return;
        }
        lines.bytes += line.len();
        lines.waiting.push_back(line);
        self.changed.notify_all();
    }

    fn write_all(&self) {
        let mut stderr = std::io::stderr();
        loop {
            let (line, dropped) = self.next();
            // With stderr gone there is nowhere left to say so.
            let _ = stderr.write_all(&line);
            if dropped > 0 {
                let _ =
                    writeln!(stderr, "{}", json!({"level": "warn", "message": "log lines dropped", "lines": dropped}));
            }
            self.lock().bytes -= line.len();
            self.changed.notify_all();
        }
    }

    fn next(&self) -> (Vec<u8>, u64) {
        let mut lines = self.lock();
        loop {
            if let Some(line) = lines.waiting.pop_front() {
                return (line, std::mem::take(&mut lines.dropped));
            }
            lines = self.changed.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
