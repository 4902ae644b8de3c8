//! The bytes of all request bodies that the server has at a time, and the limit that they share. Every body within its own limit
//! would still let many clients together take all memory: the one that finds no room is refused, and told to come again.
//!
//! Bytes count as they arrive: who only announces them takes no room from others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::failure::{Code, Failure};

/// Bytes that all bodies may have together, unless the environment says otherwise.
pub const USUAL: usize = 256 << 20;
/// The first bytes of each body have room of their own: ordinary requests go on while large ones wait or come slowly.
pub const FIRST: usize = 16 << 10;
/// No body as short as this is refused, as its head takes more: the server says that it is well however many bodies it has.
const TINY: usize = 256;

/// The room that all bodies share. Their first bytes together may have as much as the rest of them.
#[derive(Debug)]
pub struct Bodies {
    limit: usize,
    first: AtomicUsize,
    rest: AtomicUsize,
}

/// What one body has of the room, until it is dropped.
#[derive(Debug)]
pub struct Room {
    bodies: Arc<Bodies>,
    /// How many bytes have come.
    came: usize,
}

impl Bodies {
    /// Returns empty room of this size, in bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, first: AtomicUsize::new(0), rest: AtomicUsize::new(0) })
    }

    /// Returns room for a body of which nothing has come yet.
    pub fn room(self: &Arc<Self>) -> Room {
        Room { bodies: Arc::clone(self), came: 0 }
    }

    /// Adds bytes to some that are taken, and returns whether these are too many then.
    fn is_full(&self, taken: &AtomicUsize, more: usize) -> bool {
        more > 0 && taken.fetch_add(more, Ordering::Relaxed) + more > self.limit
    }
}

impl Room {
    /// Takes room for bytes that have come.
    pub fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        let (first, rest) = self.parts();
        self.came += bytes;
        let (more_first, more_rest) = (self.parts().0 - first, self.parts().1 - rest);
        let full =
            self.bodies.is_full(&self.bodies.first, more_first) | self.bodies.is_full(&self.bodies.rest, more_rest);
        if full && self.came > TINY {
            return Err(Failure::new(Code::BodiesFull, "the requests that are being answered are too large together"));
        }
        Ok(())
    }

    /// Returns how many of the bytes are among the first, and how many are not.
    fn parts(&self) -> (usize, usize) {
        let first = self.came.min(FIRST);
        (first, self.came - first)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let (first, rest) = self.parts();
        self.bodies.first.fetch_sub(first, Ordering::Relaxed);
        self.bodies.rest.fetch_sub(rest, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_the_room_and_give_it_back() {
        let bodies = Bodies::new(3 * FIRST);
        let (mut one, mut other) = (bodies.room(), bodies.room());
        one.take(FIRST + 2 * FIRST).unwrap();
        other.take(FIRST).unwrap();
        other.take(FIRST).unwrap();
        assert_eq!(other.take(1).unwrap_err().code, Code::BodiesFull);
        let mut small = bodies.room();
        small.take(FIRST).unwrap();
        drop(other);
        one.take(FIRST).unwrap();
        drop((one, small));
        assert_eq!((bodies.first.load(Ordering::Relaxed), bodies.rest.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn many_short_bodies_have_their_limit_too() {
        let bodies = Bodies::new(100_000);
        let mut rooms: Vec<Room> = (0..101).map(|_| bodies.room()).collect();
        let fits: Vec<bool> = rooms.iter_mut().map(|room| room.take(1000).is_ok()).collect();
        assert_eq!(fits.iter().position(|fits| !fits), Some(100));
        bodies.room().take(TINY).unwrap();
    }
}
