//! How long a call of the model takes, learnt from the calls made: so much for any call, and so much for each row.
//!
//! The two are least squares over the last calls, older ones weighing less and less. It knows no queue and no clock.

use std::time::Duration;

/// What a new call weighs against all before it.
const WEIGHT: f64 = 0.05;
/// Rows that differ by less than this share of their mean say little of what a row costs.
const SPREAD: f64 = 0.5;
/// A call that is this many times slower than expected is an accident and counts as far as that; one as many times
/// faster shows that the calls before it were slow for a reason that has passed, as the first one of a model is.
const OUTLIER: f64 = 4.0;
/// How many times more rows than seen of late may be foreseen.
const REACH: f64 = 2.0;
/// What is left of the largest call, after each further one that is smaller.
const FADING: f64 = 0.99;
/// How many mean deviations are kept free for calls that take longer than expected.
const MARGIN: f64 = 2.0;
/// The largest such margin, as a share of the time itself: what varies more cannot be planned with.
const MAX_MARGIN: f64 = 0.25;

/// What is known of an endpoint's calls. All times are in seconds.
#[derive(Debug, Default)]
pub struct Pace {
    calls: u64,
    rows: f64,
    time: f64,
    /// Variance of the rows, and their covariance with the time.
    variance: f64,
    covariance: f64,
    per_row: f64,
    /// Mean distance between what was expected and what came.
    deviation: f64,
    /// The most rows of late.
    largest: f64,
}

impl Pace {
    /// Learns from a call with this many rows.
    pub fn observe(&mut self, rows: usize, took: Duration) {
        let (rows, mut time) = (rows as f64, took.as_secs_f64());
        let expected = self.seconds(rows);
        if self.calls > 0 && time * OUTLIER < expected {
            *self = Self { per_row: self.per_row.min(time / rows.max(1.0)), largest: self.largest, ..Self::default() };
        } else if self.calls > 0 {
            time = time.min(expected * OUTLIER);
            self.deviation += self.weight() * ((time - expected).abs() - self.deviation);
        }
        let weight = self.weight();
        self.calls += 1;
        let (rows_off, time_off) = (rows - self.rows, time - self.time);
        self.rows += weight * rows_off;
        self.time += weight * time_off;
        self.variance = (1.0 - weight) * (self.variance + weight * rows_off * rows_off);
        self.covariance = (1.0 - weight) * (self.covariance + weight * rows_off * time_off);
        let trust = (SPREAD * self.rows).powi(2);
        let per_row = self.per_row
            + (self.covariance - self.per_row * self.variance) / (self.variance + trust).max(f64::MIN_POSITIVE);
        self.per_row = per_row.clamp(0.0, self.time / self.rows.max(1.0));
        self.largest = rows.max(self.largest * FADING);
    }

    /// Returns how long a call with this many rows should take; zero while nothing is known.
    pub fn expect(&self, rows: usize) -> Duration {
        Duration::from_secs_f64(self.seconds(rows as f64))
    }

    /// Returns what a call with this many rows hardly ever takes longer than.
    pub fn expect_at_most(&self, rows: usize) -> Duration {
        let seconds = self.seconds(rows as f64);
        Duration::from_secs_f64(seconds + (MARGIN * self.deviation).min(MAX_MARGIN * seconds))
    }

    /// Returns how many rows a call may have that is to take no longer than this; at least one. While little is known it is
    /// but a step beyond what was seen.
    pub fn rows_within(&self, time: Duration) -> usize {
        let left = time.as_secs_f64() - self.seconds(0.0);
        let affordable = if self.per_row > 0.0 {
            left / self.per_row
        } else if left > 0.0 {
            f64::MAX
        } else {
            0.0
        };
        // A cast of a float saturates.
        affordable.min(REACH * self.largest).max(1.0) as usize
    }

    /// Returns how many rows calls have of late.
    pub fn usual_rows(&self) -> usize {
        self.rows.round() as usize
    }

    fn seconds(&self, rows: f64) -> f64 {
        (self.time + self.per_row * (rows - self.rows)).max(0.0)
    }

    /// What the next call weighs: as much as each before it, while there are few.
    fn weight(&self) -> f64 {
        WEIGHT.max(1.0 / (self.calls + 1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(calls: impl IntoIterator<Item = usize>, micros: impl Fn(usize) -> u64) -> Pace {
        let mut pace = Pace::default();
        for rows in calls {
            pace.observe(rows, Duration::from_micros(micros(rows)));
        }
        pace
    }

    fn assert_close(pace: &Pace, rows: usize, micros: u64) {
        let found = pace.expect(rows).as_micros() as f64;
        assert!((found / micros as f64 - 1.0).abs() < 0.1, "{found} for {rows} rows, not {micros}");
    }

    /// A random forest of 200 trees.
    fn forest(rows: usize) -> u64 {
        18_000 + 23 * rows as u64
    }

    #[test]
    fn what_a_call_and_what_a_row_costs_are_told_apart() {
        let pace = learnt([1, 2, 4, 8, 16, 32, 64, 128, 100, 3], forest);
        assert_close(&pace, 1, forest(1));
        assert_close(&pace, 128, forest(128));
        let pace = learnt([1, 2, 4, 8, 5, 1, 3], |rows| 1_000 * rows as u64);
        assert_close(&pace, 20, 20_000);
        assert!((8..=16).contains(&pace.rows_within(Duration::from_millis(16))), "{pace:?}");
    }

    #[test]
    fn little_is_tried_at_first_and_twice_as_much_each_time() {
        let mut pace = Pace::default();
        let mut tried = Vec::new();
        for _ in 0..8 {
            let rows = pace.rows_within(Duration::from_millis(25));
            tried.push(rows);
            pace.observe(rows, Duration::from_micros(forest(rows)));
        }
        assert_eq!(tried, [1, 2, 4, 8, 16, 32, 64, 128]);
    }

    #[test]
    fn calls_of_one_size_keep_what_a_row_is_known_to_cost() {
        let mut pace = learnt((0..10).map(|step| 1 << step), forest);
        for call in 0..2_000_u64 {
            let rows = 300 + (call % 3) as usize;
            pace.observe(rows, Duration::from_micros(forest(rows) + call * 7919 % 1000));
        }
        assert_close(&pace, 600, forest(600));
    }

    #[test]
    fn a_slow_first_call_is_forgotten_and_an_accident_hardly_counts() {
        let mut pace = learnt([1], |_| 2_000_000);
        pace.observe(1, Duration::from_millis(18));
        assert_close(&pace, 1, 18_000);
        (0..40).for_each(|_| pace.observe(1, Duration::from_millis(18)));
        pace.observe(1, Duration::from_secs(10));
        assert!(pace.expect(1) < Duration::from_millis(22), "{pace:?}");
    }

    #[test]
    fn a_model_that_slows_down_for_good_is_followed() {
        let mut pace = learnt([1, 8, 64, 64, 64, 64], forest);
        (0..60).for_each(|_| pace.observe(64, Duration::from_millis(200)));
        assert!(pace.expect(64) > Duration::from_millis(180), "{pace:?}");
        assert_eq!(pace.rows_within(Duration::from_millis(10)), 1);
    }

    #[test]
    fn a_margin_is_kept_for_calls_that_vary_but_no_large_one() {
        let mut pace = Pace::default();
        (0..200_u64).for_each(|call| pace.observe(1, Duration::from_micros(20_000 + call * 7919 % 1000)));
        assert!(
            pace.expect_at_most(1) > pace.expect(1) && pace.expect_at_most(1) < Duration::from_millis(22),
            "{pace:?}"
        );
        (0..200_u64).for_each(|call| pace.observe(1, Duration::from_millis(5 + 70 * (call % 2))));
        assert!(pace.expect_at_most(1) <= pace.expect(1).mul_f64(1.0 + MAX_MARGIN), "{pace:?}");
    }

    #[test]
    fn nothing_known_takes_no_time() {
        assert_eq!(Pace::default().expect(1000), Duration::ZERO);
        assert_eq!(Pace::default().rows_within(Duration::from_secs(1)), 1);
    }
}
