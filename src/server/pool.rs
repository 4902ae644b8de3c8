//! One version of the model as it runs: its workers, what waits for them, what it remembers, and what is counted of it.
//!
//! Versions share nothing but the contract of their endpoints, so that one that fails or is slow keeps no other from answering.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::batch::{Limits, Queue};
use super::cache::Cache;
use super::failure::{Code, Failure};
use super::metrics::PoolMetrics;
use super::worker::template::Template;
use crate::service::{Service, Version};

/// The label of the latest version, unless another one has it.
const LATEST: [&str; 2] = ["latest", "stable"];
/// The number of versions that begin with none.
const UNNUMBERED: &str = "1";

/// The workers of one version, and all that belongs to them.
pub struct Pool {
    /// The version that they have loaded.
    pub version: Version,
    /// What waits for workers.
    pub queue: Queue,
    /// What is remembered of the endpoints that want it.
    pub caches: Vec<Option<Cache>>,
    /// What workers are forked from.
    pub template: Template,
    /// What has been counted since the start.
    pub metrics: PoolMetrics,
    /// How many workers there should be.
    pub workers: usize,
    ready: AtomicUsize,
}

impl Pool {
    /// Returns the pool of a version, with as many workers to be started.
    pub fn new(version: &Version, service: &Service, workers: usize) -> Self {
        let (server, endpoints) = (&service.server, service.endpoints.values());
        let lanes = endpoints.clone().map(|endpoint| Limits::new(endpoint, server));
        let cache = |bytes: u64| Cache::new(bytes as usize);
        Self {
            version: version.clone(),
            queue: Queue::new(lanes, server.max_queue as usize, workers),
            caches: endpoints.map(|endpoint| endpoint.cache_bytes.map(cache)).collect(),
            template: Template::new(server.preload, workers),
            metrics: PoolMetrics::new(service.endpoints.len(), workers),
            workers,
            ready: AtomicUsize::new(0),
        }
    }

    /// Returns the version's name.
    pub fn name(&self) -> &str {
        &self.version.version
    }

    /// Returns how many workers are ready.
    pub fn ready_workers(&self) -> usize {
        self.ready.load(Ordering::Relaxed)
    }

    /// Notes that one worker more is ready.
    pub fn worker_ready(&self) {
        self.ready.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that one worker less is ready.
    pub fn worker_gone(&self) {
        self.ready.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes that a worker could not be started: where it was the last hope, nothing needs to wait any longer.
    pub fn worker_failed(&self) {
        if self.ready_workers() == 0 {
            self.queue.fail_all(&Failure::new(Code::NotReady, "no worker is ready"));
        }
    }
}

/// Finds a version by what a request calls it: its name, a label, or the whole number that the latest of some begin with. 1 is
/// also the latest of those that begin with no number, if none begins with 1.
pub fn find(pools: &[Pool], asked: &str) -> Option<usize> {
    let numbered = |number| pools.iter().rposition(|pool| pool.version.number() == number);
    let unnumbered = || (asked == UNNUMBERED).then(|| numbered(None)).flatten();
    named(pools, asked).or_else(|| labelled(pools, asked)).or_else(|| numbered(Some(asked))).or_else(unnumbered)
}

/// Finds a version by a label. What usually stands for the latest does not where a version is called so itself.
pub fn labelled(pools: &[Pool], label: &str) -> Option<usize> {
    let given = pools.iter().position(|pool| pool.version.labels.iter().any(|given| given == label));
    given.or_else(|| LATEST.contains(&label).then(|| named(pools, label).unwrap_or(pools.len() - 1)))
}

/// Returns the whole number by which a version is found, since some protocols know no other versions; `None` where its number
/// stands for another version.
pub fn number(pools: &[Pool], pool: usize) -> Option<&str> {
    let number = pools[pool].version.number().unwrap_or(UNNUMBERED);
    (find(pools, number) == Some(pool)).then_some(number)
}

fn named(pools: &[Pool], name: &str) -> Option<usize> {
    pools.iter().position(|pool| pool.name() == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pools(versions: &[(&str, &[&str])]) -> Vec<Pool> {
        let version = |(name, labels): &(&str, &[&str])| json!({"version": name, "labels": labels, "artifacts": {}});
        let mut service = version(versions.last().unwrap());
        let more = json!({"name": "test", "description": "", "license": null, "datasets": {}, "endpoints": {},
            "worker": {"language": "python", "command": [], "environment": {}, "file": "", "entry": ""},
            "earlier": versions[..versions.len() - 1].iter().map(version).collect::<Vec<_>>(),
            "server": crate::service::Server::default()});
        service.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let service: Service = serde_json::from_value(service).unwrap();
        service.versions().map(|version| Pool::new(version, &service, 1)).collect()
    }

    #[test]
    fn versions_are_found_by_name_then_label_then_whole_number() {
        let pools = pools(&[("1.0.0", &["old"]), ("1.1.0", &["stable"]), ("2", &[]), ("2.1", &[])]);
        for (asked, expected) in [
            ("1.0.0", Some(0)),
            ("old", Some(0)),
            ("1", Some(1)),
            ("stable", Some(1)),
            ("2", Some(2)),
            ("latest", Some(3)),
            ("3", None),
            ("1.1", None),
            ("", None),
        ] {
            assert_eq!(find(&pools, asked), expected, "{asked}");
        }
        assert_eq!(labelled(&pools, "2"), None);
    }

    #[test]
    fn the_only_version_has_the_usual_labels_and_a_number() {
        for (name, number) in [("v7", "7"), ("7.1", "7"), ("vine", "1"), ("blue", "1")] {
            let pools = pools(&[(name, &[])]);
            for asked in [name, "latest", "stable", number] {
                assert_eq!(find(&pools, asked), Some(0), "{name} {asked}");
            }
            assert_eq!(find(&pools, "8"), None);
        }
    }

    #[test]
    fn a_v_before_a_number_does_not_hide_it() {
        let pools = pools(&[("v1.0", &[]), ("v1.1", &[]), ("v2.0", &[])]);
        assert_eq!(["1", "2", "3"].map(|asked| find(&pools, asked)), [Some(1), Some(2), None]);
    }

    #[test]
    fn a_version_without_a_number_is_1_only_where_no_other_is() {
        assert_eq!(find(&pools(&[("1.0.0", &[]), ("blue", &[])]), "1"), Some(0));
        assert_eq!(find(&pools(&[("2", &[]), ("blue", &[]), ("green", &[])]), "1"), Some(2));
        assert_eq!(find(&pools(&[("2", &[])]), "1"), None);
    }

    #[test]
    fn a_version_called_stable_is_what_the_label_stands_for() {
        let pools = pools(&[("stable", &[]), ("testing", &[])]);
        assert_eq!(["stable", "latest"].map(|label| labelled(&pools, label)), [Some(0), Some(1)]);
        assert_eq!(find(&pools, "stable"), Some(0));
    }

    #[test]
    fn a_number_is_told_only_of_the_version_that_it_finds() {
        let numbers = |versions| {
            let pools = pools(versions);
            (0..pools.len()).map(|pool| number(&pools, pool).map(str::to_owned)).collect::<Vec<_>>()
        };
        let some = |number: &str| Some(number.to_owned());
        assert_eq!(
            numbers(&[("1.0.0", &[]), ("v1.1.0", &[]), ("2", &[]), ("2.1", &[])]),
            [None, some("1"), some("2"), None]
        );
        assert_eq!(numbers(&[("1.0.0", &[]), ("blue", &[])]), [some("1"), None]);
        assert_eq!(numbers(&[("blue", &[]), ("green", &[])]), [None, some("1")]);
    }
}
