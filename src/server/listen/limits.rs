//! What one client may take: connections, the size and time of a request's head, idle time.
//!
//! Bodies and the queue have their limits in the contract: those depend on the model, these on where the server stands.

use std::time::Duration;

use crate::server::options::{Environment, OptionsError};

/// Descriptors that connections must leave to files and the log.
const RESERVED: u64 = 128;
/// Descriptors that connections must leave to each worker: its pipes.
const RESERVED_BY_WORKER: u64 = 4;
/// hyper takes no buffer below this.
const SMALLEST_HEAD: usize = 8 << 10;

/// Limits for connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many connections may be open.
    pub connections: usize,
    /// How many bytes a request's head may have.
    pub head_bytes: usize,
    /// How long a request's head, or a TLS handshake, may take.
    pub head: Duration,
    /// How long a connection may stay open without a request.
    pub idle: Duration,
    /// How long a client may take nothing of what it is sent.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            head_bytes: 64 << 10,
            head: Duration::from_secs(10),
            // Longer than the 60 s of common load balancers, so that it is they who close idle connections.
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// Reads the limits that the environment sets.
    pub fn read(environment: &Environment<'_>) -> Result<Self, OptionsError> {
        let usual = Self::default();
        Ok(Self {
            connections: environment.read("MLPACK_MAX_CONNECTIONS")?.unwrap_or(usual.connections).max(1),
            head_bytes: environment.read("MLPACK_MAX_HEAD_BYTES")?.unwrap_or(usual.head_bytes).max(SMALLEST_HEAD),
            head: environment.seconds("MLPACK_HEAD_TIMEOUT")?.unwrap_or(usual.head),
            idle: environment.seconds("MLPACK_IDLE_TIMEOUT")?.unwrap_or(usual.idle),
            stall: environment.seconds("MLPACK_STALL_TIMEOUT")?.unwrap_or(usual.stall),
        })
    }

    /// Raises the system's limit of open files to what connections and workers need, or lowers the connections to what it allows.
    pub fn fit_to_open_files(&mut self, workers: usize) {
        self.fit(workers, crate::server::init::allow_open_files);
    }

    /// As [`Self::fit_to_open_files`]; `allow` is asked for so many open files and says how many there may be.
    fn fit(&mut self, workers: usize, allow: impl FnOnce(u64) -> u64) {
        let workers = RESERVED_BY_WORKER * workers as u64;
        let wanted = self.connections as u64 + RESERVED + workers;
        let allowed = allow(wanted);
        if allowed < wanted {
            let rest = allowed.saturating_sub(workers);
            self.connections = rest.saturating_sub(RESERVED).max(rest / 2).max(1) as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_to_every_worker() {
        for (workers, allowed, connections) in
            [(0, 1024, 896), (10, 1024, 856), (200, 1024, 112), (10, 100, 30), (24, 100, 2), (200, 100, 1)]
        {
            let mut limits = Limits::default();
            limits.fit(workers, |_| allowed);
            assert_eq!(limits.connections, connections, "{workers} {allowed}");
        }
        let mut limits = Limits { connections: 100, ..Limits::default() };
        limits.fit(10, |wanted| {
            assert_eq!(wanted, 268);
            wanted
        });
        assert_eq!(limits.connections, 100);
    }
}
