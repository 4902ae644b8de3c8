//! Counts of values by their size, with fixed bounds.

use std::sync::atomic::{AtomicU64, Ordering};

use super::page::Page;

/// Counts of values by size.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [u64],
    /// One more than bounds: the last counts what is larger than all.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
    /// What a written unit is in counted ones.
    scale: f64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [u64], scale: f64) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0), scale }
    }

    pub(super) fn observe(&self, value: u64) {
        self.counts[self.bounds.partition_point(|&bound| bound < value)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub(super) fn write(&self, page: &mut Page, name: &str, labels: &[(&str, &str)]) {
        let mut total = 0;
        let bounds = self.bounds.iter().map(|&bound| (bound as f64 / self.scale).to_string());
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(&self.counts) {
            total += count.load(Ordering::Relaxed);
            page.sample(&format!("{name}_bucket"), &[labels, &[("le", &bound)]].concat(), total as f64);
        }
        page.sample(&format!("{name}_sum"), labels, self.sum.load(Ordering::Relaxed) as f64 / self.scale);
        page.sample(&format!("{name}_count"), labels, total as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_count_up_to_and_including_their_bounds() {
        let histogram = Histogram::new(&[1_000, 5_000], 1e6);
        for value in [1_000, 1_001, 9_000_000] {
            histogram.observe(value);
        }
        let mut page = Page::default();
        histogram.write(&mut page, "t", &[("endpoint", "e")]);
        assert_eq!(
            page.0,
            "t_bucket{endpoint=\"e\",le=\"0.001\"} 1\nt_bucket{endpoint=\"e\",le=\"0.005\"} 2\n\
             t_bucket{endpoint=\"e\",le=\"+Inf\"} 3\nt_sum{endpoint=\"e\"} 9.002001\nt_count{endpoint=\"e\"} 3\n"
        );
    }
}
