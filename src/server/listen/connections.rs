//! All connections that are open, what each is waiting for, and which of them have waited too long.
//!
//! There is no timer for each connection: once a second all are looked at. It is the same list that says which connection
//! gives way when there are too many. What goes over a connection is not known here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::limits::Limits;

/// How often all connections are looked at.
pub const SWEEP: Duration = Duration::from_secs(1);

/// The open connections.
#[derive(Debug)]
pub struct Connections {
    limits: Limits,
    open: Mutex<Open>,
    /// Told whenever a connection ends.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_number: HashMap<u64, Arc<Connection>>,
}

/// One open connection.
#[derive(Debug)]
pub struct Connection {
    state: Mutex<State>,
    told: Notify,
}

#[derive(Debug)]
struct State {
    waits_for: WaitsFor,
    /// Since when it waits for that.
    since: Instant,
    /// Requests that are being answered; HTTP/2 has several at a time.
    running: usize,
    /// Those of them whose bodies do not come.
    awaiting: usize,
    /// Those of them whose answers go on for as long as the client likes.
    endless: usize,
    /// Answers that are there as a whole, and of which the client has taken nothing yet.
    leaving: usize,
    http2: bool,
    /// Since when the client takes none of what is written.
    stalled: Option<Instant>,
    order: Option<Order>,
}

/// What a connection waits for whose requests have all been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitsFor {
    /// The first byte of a request.
    Request,
    /// The rest of a request's head, or of a TLS handshake.
    Head,
}

/// How a connection waits, least first for the one that gives way: whether it has only just begun to, as one that was accepted a
/// moment ago, else whether its client takes an answer that goes on, and since when.
type Waits = (bool, bool, Instant);

/// What a connection is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Answer what is running, and end.
    Finish,
    /// End at once.
    Abort,
}

impl Connections {
    /// Returns no connections yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, open: Mutex::default(), ended: Notify::new() }
    }

    /// Returns how many are open.
    pub fn count(&self) -> usize {
        self.lock().by_number.len()
    }

    /// Adds a connection; it is removed when the entry is dropped.
    pub fn add(self: &Arc<Self>) -> Entry {
        let connection = Arc::new(Connection::new(Instant::now()));
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        open.by_number.insert(number, Arc::clone(&connection));
        Entry { connections: Arc::clone(self), number, connection }
    }

    /// Waits until one connection more may be open. The one that has waited longest for its client is ended for it; where
    /// all are being answered, one must end by itself.
    pub async fn room(&self) {
        loop {
            let ended = self.ended.notified();
            if self.count() < self.limits.connections {
                return;
            }
            self.give_way();
            ended.await;
        }
    }

    /// Ends the connection that has waited longest for its client.
    pub fn give_way(&self) {
        let (open, now) = (self.lock(), Instant::now());
        let waiting = open.by_number.values().filter_map(|connection| Some((connection.waits(now)?, connection)));
        if let Some((_, longest)) = waiting.min_by_key(|(waits, _)| *waits) {
            longest.tell(Order::Abort);
        }
    }

    /// Looks at all connections for ever, and ends those whose clients have taken too long.
    pub async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            for connection in self.lock().by_number.values() {
                if let Some(order) = connection.overdue(now, &self.limits) {
                    connection.tell(order);
                }
            }
        }
    }

    /// Lets all connections end, and waits until they have.
    pub async fn finish(&self) {
        loop {
            let ended = self.ended.notified();
            {
                let open = self.lock();
                if open.by_number.is_empty() {
                    return;
                }
                open.by_number.values().for_each(|connection| connection.tell(Order::Finish));
            }
            ended.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the open ones.
#[derive(Debug)]
pub struct Entry {
    connections: Arc<Connections>,
    number: u64,
    connection: Arc<Connection>,
}

impl Entry {
    /// Returns the connection.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.lock().by_number.remove(&self.number);
        self.connections.ended.notify_waiters();
    }
}

/// Counts a request as running on its connection, or its answer as leaving, until it is dropped.
#[derive(Debug)]
pub struct Answering {
    connection: Arc<Connection>,
    phase: Phase,
}

/// How far a request's answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// It has begun, and runs on.
    Endless,
    /// It is there as a whole.
    Leaving,
}

/// Counts a request as waiting for its body until it is dropped.
#[derive(Debug)]
pub(super) struct Awaiting(Arc<Connection>);

impl Connection {
    fn new(now: Instant) -> Self {
        let state = State {
            waits_for: WaitsFor::Request,
            since: now,
            running: 0,
            awaiting: 0,
            endless: 0,
            leaving: 0,
            http2: false,
            stalled: None,
            order: None,
        };
        Self { state: Mutex::new(state), told: Notify::new() }
    }

    /// Notes that a TLS handshake begins.
    pub fn shakes_hands(&self) {
        self.lock().waits_for = WaitsFor::Head;
    }

    /// Notes that the connection is ready for its first request.
    pub fn is_open(&self) {
        self.lock().wait_for(WaitsFor::Request, Instant::now());
    }

    /// Notes that a request has arrived whole but for its body.
    pub fn answers(self: &Arc<Self>, http2: bool) -> Answering {
        let mut state = self.lock();
        state.running += 1;
        state.http2 |= http2;
        drop(state);
        Answering { connection: Arc::clone(self), phase: Phase::Running }
    }

    /// Notes that a request's body is waited for.
    pub(super) fn awaits(self: &Arc<Self>) -> Awaiting {
        let mut state = self.lock();
        state.awaiting += 1;
        state.since = Instant::now();
        drop(state);
        Awaiting(Arc::clone(self))
    }

    /// Notes that bytes have come.
    pub(super) fn has_read(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if state.running > 0 || state.leaving > 0 {
            return;
        }
        // HTTP/2's frames do not say here what they are of: each counts as life. Its preface is like no HTTP/1 method.
        state.http2 |= state.waits_for == WaitsFor::Request && bytes.starts_with(b"PRI");
        if state.http2 {
            state.wait_for(WaitsFor::Request, Instant::now());
        } else if state.waits_for == WaitsFor::Request {
            state.wait_for(WaitsFor::Head, Instant::now());
        }
    }

    /// Notes whether the client takes what is written.
    pub(super) fn has_written(&self, stalled: bool) {
        let mut state = self.lock();
        if stalled {
            state.stalled.get_or_insert_with(Instant::now);
            return;
        }
        state.stalled = None;
        // A large answer may take long to leave after its request is done with.
        if state.running == 0 && state.waits_for == WaitsFor::Request {
            state.since = Instant::now();
        }
    }

    /// Waits for an order.
    pub async fn order(&self) -> Order {
        loop {
            let told = self.told.notified();
            if let Some(order) = self.lock().order.take() {
                return order;
            }
            told.await;
        }
    }

    fn tell(&self, order: Order) {
        let mut state = self.lock();
        // An order to end at once is not taken back.
        if state.order != Some(Order::Abort) {
            state.order = Some(order);
        }
        drop(state);
        self.told.notify_one();
    }

    /// Returns how it waits for its client, unless a request is being answered. One may count for two: questions of server reflection
    /// come while their answers go.
    fn waits(&self, now: Instant) -> Option<Waits> {
        let state = self.lock();
        let is_new = now.saturating_duration_since(state.since) < SWEEP;
        (state.awaiting + state.endless >= state.running).then_some((is_new, state.endless > 0 && !is_new, state.since))
    }

    fn overdue(&self, now: Instant, limits: &Limits) -> Option<Order> {
        let state = self.lock();
        let longer = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        if state.stalled.is_some_and(|since| longer(since, limits.stall)) {
            return Some(Order::Abort);
        }
        match (state.running, state.waits_for) {
            // HTTP/2 lets clients take no answer, and still take all else that is written.
            (0, _) if state.leaving > 0 => longer(state.since, limits.stall).then_some(Order::Abort),
            (0, WaitsFor::Head) if longer(state.since, limits.head) => Some(Order::Abort),
            // Whoever still writes to it gets a proper goodbye, where the protocol has one.
            (0, WaitsFor::Request) if longer(state.since, limits.idle + limits.head) => Some(Order::Abort),
            (0, WaitsFor::Request) if longer(state.since, limits.idle) => Some(Order::Finish),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait_for(&mut self, what: WaitsFor, now: Instant) {
        self.waits_for = what;
        self.since = now;
    }

    /// Changes how many requests have come so far.
    fn count(&mut self, phase: Phase, change: impl Fn(usize) -> usize) {
        match phase {
            Phase::Leaving => self.leaving = change(self.leaving),
            Phase::Running => self.running = change(self.running),
            Phase::Endless => {
                self.running = change(self.running);
                self.endless = change(self.endless);
            }
        }
    }
}

impl Answering {
    /// Notes that the answer is there as a whole: it is for the client to take it.
    pub(super) fn leaves(&mut self) {
        self.turn(Phase::Leaving);
    }

    /// Notes that the answer has begun, and ends nobody knows when.
    pub(super) fn goes_on(&mut self) {
        self.turn(Phase::Endless);
    }

    fn turn(&mut self, phase: Phase) {
        let mut state = self.connection.lock();
        state.count(self.phase, |count| count - 1);
        state.count(phase, |count| count + 1);
        state.wait_for(WaitsFor::Request, Instant::now());
        self.phase = phase;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = self.connection.lock();
        state.count(self.phase, |count| count - 1);
        state.wait_for(WaitsFor::Request, Instant::now());
    }
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        self.0.lock().awaiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Limits {
        Limits { connections: 2, idle: 60 * SECOND, head: 10 * SECOND, stall: 30 * SECOND, ..Limits::default() }
    }

    /// Returns whether it would give way in a minute, and last.
    fn waits(connection: &Connection) -> Option<bool> {
        connection.waits(Instant::now() + 60 * SECOND).map(|(_, endless, _)| endless)
    }

    fn after(connection: &Connection, seconds: u32) -> Option<Order> {
        connection.overdue(Instant::now() + seconds * SECOND, &limits())
    }

    #[test]
    fn each_kind_of_waiting_has_its_own_limit() {
        let connection = Arc::new(Connection::new(Instant::now()));
        assert_eq!((after(&connection, 59), after(&connection, 61)), (None, Some(Order::Finish)));
        connection.has_read(b"GET / HT");
        assert_eq!((after(&connection, 9), after(&connection, 11)), (None, Some(Order::Abort)));
        let request = connection.answers(false);
        assert_eq!(after(&connection, 1000), None, "a running request has a limit of its own");
        connection.has_written(true);
        assert_eq!((after(&connection, 29), after(&connection, 31)), (None, Some(Order::Abort)));
        connection.has_written(false);
        drop(request);
        assert_eq!((after(&connection, 59), after(&connection, 61)), (None, Some(Order::Finish)));
    }

    #[test]
    fn an_answer_that_is_not_taken_is_not_kept_for_ever() {
        let connection = Arc::new(Connection::new(Instant::now()));
        let running = connection.answers(true);
        let mut leaving = connection.answers(true);
        leaving.leaves();
        assert_eq!((after(&connection, 1000), waits(&connection)), (None, None), "another one is running");
        drop(running);
        assert_eq!((after(&connection, 29), after(&connection, 31)), (None, Some(Order::Abort)));
        assert!(waits(&connection).is_some(), "it may give way");
        drop(leaving);
        assert_eq!((after(&connection, 59), after(&connection, 61)), (None, Some(Order::Finish)));
    }

    #[test]
    fn a_head_that_trickles_in_is_not_given_more_time() {
        let connection = Connection::new(Instant::now());
        connection.has_read(b"G");
        let since = connection.lock().since;
        connection.has_read(b"E");
        assert_eq!(connection.lock().since, since);
    }

    #[test]
    fn frames_of_http_2_are_life_and_no_head() {
        let connection = Connection::new(Instant::now());
        connection.has_read(b"PRI * HTTP/2.0\r\n");
        connection.has_read(b"ping");
        assert_eq!(after(&connection, 59), None);
    }

    #[test]
    fn who_is_waited_for_gives_way_and_who_is_answered_does_not() {
        let connection = Arc::new(Connection::new(Instant::now()));
        let one = connection.answers(true);
        let body = connection.awaits();
        assert_eq!(waits(&connection), Some(false), "its body does not come");
        let mut other = connection.answers(true);
        assert_eq!(waits(&connection), None, "another request is running");
        other.goes_on();
        assert_eq!(waits(&connection), Some(true));
        drop(body);
        assert_eq!(waits(&connection), None, "the body has come");
        drop((one, other));
        assert_eq!(waits(&connection), Some(false));
    }

    #[tokio::test]
    async fn the_longest_idle_connection_makes_room() {
        let connections = Arc::new(Connections::new(limits()));
        let busy = connections.add();
        let _request = busy.connection().answers(false);
        let idle = connections.add();
        let connection = Arc::clone(idle.connection());
        let gives_way = tokio::spawn(async move {
            assert_eq!(connection.order().await, Order::Abort);
            drop(idle);
        });
        connections.room().await;
        gives_way.await.unwrap();
        assert_eq!(connections.count(), 1);
    }
}
