//! What one client may take: connections, the size and time of a request's head, idle time.
//!
//! Bodies and the queue have their limits in the contract: those depend on the model, these on where the server stands.

use std::time::Duration;

use crate::server::options::{Environment, OptionsError};

/// Descriptors that connections must leave to workers, files and the log.
const RESERVED: u64 = 128;
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

    /// Raises the system's limit of open files to what the connections need, or lowers the connections to what it allows.
    pub fn fit_to_open_files(&mut self) {
        let wanted = self.connections as u64 + RESERVED;
        let allowed = crate::server::init::allow_open_files(wanted);
        if allowed < wanted {
            self.connections = allowed.saturating_sub(RESERVED).max(allowed / 2).max(1) as usize;
        }
    }
}
