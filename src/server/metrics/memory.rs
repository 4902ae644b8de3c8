//! How much memory processes take, from the system's files on them. The system goes through all that a process has for each, which may
//! take longer than a request: it is asked by another thread.

use std::sync::atomic::Ordering;

use crate::server::app::App;
use crate::server::pool::Pool;

/// The memory of all processes, in bytes.
#[derive(Debug, Default)]
pub struct Memory {
    /// Of the server's own.
    pub(super) own: u64,
    /// Of each worker of each version.
    pub(super) workers: Vec<Vec<u64>>,
    /// Of all children; what they share counts once where the system tells it apart.
    pub(super) children: u64,
}

impl Memory {
    /// Looks at all processes.
    pub async fn read(app: &App) -> Self {
        let processes = |pool: &Pool| {
            let processes = pool.metrics.worker_processes.iter();
            processes.map(|process| process.load(Ordering::Relaxed)).collect()
        };
        let workers: Vec<Vec<i32>> = app.pools.iter().map(processes).collect();
        let children = app.reaper.children();
        let look = move || Self {
            own: resident("self"),
            workers: workers
                .iter()
                .map(|pool| pool.iter().map(|process| resident(&process.to_string())).collect())
                .collect(),
            children: children.iter().map(|process| proportional(&process.to_string())).sum(),
        };
        // Nothing is known only where the server is ending.
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }
}

/// Returns the resident memory of a process in bytes; 0 where it has gone.
fn resident(process: &str) -> u64 {
    memory(&format!("/proc/{process}/status"), "VmRSS:").unwrap_or_default()
}

/// Returns a process's part of the memory that it shares with others, and all that it does not share, in bytes. Not every system
/// tells it; then it is the resident memory.
fn proportional(process: &str) -> u64 {
    memory(&format!("/proc/{process}/smaps_rollup"), "Pss:").unwrap_or_else(|| resident(process))
}

/// Reads a line of one of the system's files on memory.
fn memory(file: &str, key: &str) -> Option<u64> {
    let content = std::fs::read_to_string(file).ok()?;
    let line = content.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_memory_counts_in_parts() {
        let (own, whole) = (proportional("self"), resident("self"));
        assert!(own > 0 && own <= whole + (1 << 20), "{own} of {whole}");
        assert_eq!((proportional("none"), resident("none")), (0, 0));
    }
}
