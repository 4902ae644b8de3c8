//! How much memory processes take, from the system's files on them.

/// Returns the resident memory of a process in bytes; 0 where it has gone.
pub(super) fn resident(process: &str) -> u64 {
    memory(&format!("/proc/{process}/status"), "VmRSS:").unwrap_or_default()
}

/// Returns a process's part of the memory that it shares with others, and all that it does not share, in bytes. Not every system
/// tells it; then it is the resident memory.
pub(super) fn proportional(process: &str) -> u64 {
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
