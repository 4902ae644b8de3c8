//! What every transfer has, to and from mirrors, indexes and registries: tries with pauses between them, and its progress.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::event::{Event, Report};

/// How often something is tried in all.
const TRIES: u32 = 5;
/// The wait after the first try; each further one is three times as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait between two tries, whatever a server asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Progress is told after so many bytes: a bar needs no more than a few steps.
const STEP: u64 = 1 << 18;

/// A failure that may pass.
pub trait Transient {
    /// Whether trying again may help.
    fn is_temporary(&self) -> bool;

    /// Seconds that the server asks us to wait.
    fn retry_after(&self) -> Option<u64>;
}

/// Tries until it succeeds, fails for good, or was tried often enough.
pub fn retry<T, E: Transient>(attempt: impl Fn() -> Result<T, E>) -> Result<T, E> {
    retry_from(FIRST_WAIT, attempt)
}

fn retry_from<T, E: Transient>(mut wait: Duration, attempt: impl Fn() -> Result<T, E>) -> Result<T, E> {
    for _ in 1..TRIES {
        match attempt() {
            Err(error) if error.is_temporary() => thread::sleep(pause(&error, wait)),
            result => return result,
        }
        wait *= 3;
    }
    attempt()
}

fn pause(error: &impl Transient, wait: Duration) -> Duration {
    // Some ask for no wait at all: that would be five tries in a row.
    error.retry_after().map_or(wait, Duration::from_secs).clamp(wait.min(LONGEST_WAIT), LONGEST_WAIT)
}

/// Whether a server that answers so may answer otherwise later.
pub fn is_temporary(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// Returns the seconds that an answer asks us to wait.
pub fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

/// Tells the progress of a body while it is read.
pub struct Counted<R> {
    inner: R,
    position: u64,
    told: u64,
    id: String,
    report: Arc<dyn Report>,
}

impl<R> Counted<R> {
    /// Counts what is read of `inner`, which begins at `position`; `id` names the transfer in the events.
    pub fn new(inner: R, position: u64, id: &str, report: &Arc<dyn Report>) -> Self {
        Self { inner, position, told: position, id: id.to_owned(), report: report.clone() }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.position += read as u64;
        if self.position - self.told > STEP || read == 0 {
            self.told = self.position;
            self.report.event(Event::Progress { id: self.id.clone(), position: self.position });
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Failure {
        temporary: bool,
    }

    impl Transient for Failure {
        fn is_temporary(&self) -> bool {
            self.temporary
        }

        fn retry_after(&self) -> Option<u64> {
            None
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let tries = |succeeds_at: u32, temporary: bool| {
            let count = Cell::new(0);
            let result = retry_from(Duration::ZERO, || {
                count.set(count.get() + 1);
                if count.get() == succeeds_at { Ok(()) } else { Err(Failure { temporary }) }
            });
            (count.get(), result.is_ok())
        };
        assert_eq!(tries(1, true), (1, true));
        assert_eq!(tries(3, true), (3, true));
        assert_eq!(tries(TRIES + 1, true), (TRIES, false));
        assert_eq!(tries(3, false), (1, false));
    }

    #[test]
    fn a_server_may_ask_for_a_longer_wait_but_not_for_any_nor_for_none() {
        struct Asks(Option<u64>);
        impl Transient for Asks {
            fn is_temporary(&self) -> bool {
                true
            }
            fn retry_after(&self) -> Option<u64> {
                self.0
            }
        }
        assert_eq!(pause(&Asks(None), FIRST_WAIT), FIRST_WAIT);
        assert_eq!(pause(&Asks(Some(0)), FIRST_WAIT), FIRST_WAIT);
        assert_eq!(pause(&Asks(Some(2)), FIRST_WAIT), Duration::from_secs(2));
        assert_eq!(pause(&Asks(Some(u64::MAX)), FIRST_WAIT), LONGEST_WAIT);
    }
}
