//! The bytes of all request bodies that the server has at a time, and the limit that they share. Every body within its own limit
//! would still let many clients together take all memory: the one that finds no room is refused, and told to come again.
//!
//! Bytes count as they arrive: who only announces them takes no room from others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::failure::{Code, Failure};

/// Bytes that all bodies may have together, unless the environment says otherwise.
pub const USUAL: usize = 256 << 20;

/// The room that all bodies share.
#[derive(Debug)]
pub struct Bodies {
    limit: usize,
    taken: AtomicUsize,
}

/// What one body has of the room, until it is dropped.
#[derive(Debug)]
pub struct Room {
    bodies: Arc<Bodies>,
    bytes: usize,
}

impl Bodies {
    /// Returns empty room of this size, in bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, taken: AtomicUsize::new(0) })
    }

    /// Returns room for a body of which nothing has come yet.
    pub fn room(self: &Arc<Self>) -> Room {
        Room { bodies: Arc::clone(self), bytes: 0 }
    }
}

impl Room {
    /// Takes room for bytes that have come.
    pub fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        let taken = self.bodies.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bytes += bytes;
        if taken > self.bodies.limit {
            return Err(Failure::new(Code::QueueFull, "the requests that are being answered are too large together"));
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.bodies.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_the_room_and_give_it_back() {
        let bodies = Bodies::new(10);
        let (mut one, mut other) = (bodies.room(), bodies.room());
        one.take(6).unwrap();
        other.take(4).unwrap();
        assert_eq!(other.take(1).unwrap_err().code, Code::QueueFull);
        drop(other);
        one.take(4).unwrap();
        drop(one);
        assert_eq!(bodies.taken.load(Ordering::Relaxed), 0);
    }
}
