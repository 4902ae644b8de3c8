//! The queue as workers see it, one call at a time and over simulated seconds.

use super::*;
use crate::server::data::Table;
use crate::server::trace::Origin;

fn request(endpoint: usize, rows: usize) -> (Request, oneshot::Receiver<Answer>) {
    let (answer, receiver) = oneshot::channel();
    let payload = Payload::Table(Table { rows, columns: Vec::new() });
    (
        Request {
            endpoint,
            payload,
            answer,
            suspect: false,
            arrived: Instant::now(),
            origin: Origin::default(),
            room: None,
        },
        receiver,
    )
}

fn rows(batch: &[Request]) -> Vec<usize> {
    batch.iter().map(|request| request.payload.rows()).collect()
}

fn take(queue: &Queue) -> Vec<Request> {
    queue.take(1, Instant::now())
}

fn merged(max_rows: usize) -> Limits {
    Limits { merge: true, max_rows, max_bytes: usize::MAX, latency: None }
}

fn alone() -> Limits {
    Limits { merge: false, ..merged(1) }
}

#[test]
fn what_waits_is_merged_up_to_the_row_limit_in_order() {
    let queue = Queue::new([merged(4)], 100, 1);
    let _waiting: Vec<_> = [1, 2, 2, 9, 1]
        .map(|rows| {
            let (request, receiver) = request(0, rows);
            queue.push(request).unwrap();
            receiver
        })
        .into();
    assert_eq!(rows(&take(&queue)), [1, 2]);
    assert_eq!(rows(&take(&queue)), [2]);
    assert_eq!(rows(&take(&queue)), [9], "a large request goes alone");
    assert_eq!(rows(&take(&queue)), [1]);
    assert!(take(&queue).is_empty());
}

#[test]
fn endpoints_without_a_past_take_turns_by_age_and_keep_apart() {
    let queue = Queue::new([merged(10), alone()], 100, 1);
    let mut waiting = Vec::new();
    for (endpoint, rows) in [(1, 1), (0, 2), (1, 3), (0, 4)] {
        let (request, receiver) = request(endpoint, rows);
        queue.push(request).unwrap();
        waiting.push(receiver);
    }
    assert_eq!(rows(&take(&queue)), [1], "not batched");
    assert_eq!(rows(&take(&queue)), [2, 4]);
    assert_eq!(rows(&take(&queue)), [3]);
}

#[test]
fn a_full_queue_refuses_and_abandoned_requests_make_room() {
    let queue = Queue::new([merged(10)], 2, 1);
    let (one, gone) = request(0, 1);
    let (two, _kept) = request(0, 2);
    queue.push(one).unwrap();
    queue.push(two).unwrap();
    let (three, _refused) = request(0, 3);
    assert_eq!(queue.push(three).unwrap_err().code, Code::QueueFull);
    drop(gone);
    let (four, _kept_too) = request(0, 4);
    queue.push(four).unwrap();
    assert_eq!(rows(&take(&queue)), [2, 4]);
}

#[test]
fn suspects_go_first_and_alone() {
    let queue = Queue::new([merged(10)], 10, 1);
    let (one, _one) = request(0, 1);
    let (two, _two) = request(0, 2);
    let (three, _three) = request(0, 3);
    queue.push(one).unwrap();
    queue.retry(vec![two, three]);
    assert_eq!(rows(&take(&queue)), [2]);
    assert_eq!(rows(&take(&queue)), [3]);
    assert_eq!(rows(&take(&queue)), [1]);
}

#[test]
fn a_merged_call_keeps_to_its_bytes() {
    let queue = Queue::new([Limits { max_bytes: 8, ..merged(100) }], 100, 1);
    let values = |bytes: &[u8]| crate::server::data::Tensor {
        dtype: crate::service::Dtype::Uint8,
        shape: vec![1, bytes.len()],
        data: bytes.to_vec(),
    };
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let (answer, receiver) = oneshot::channel();
        let payload = Payload::Tensor(values(&[0; 4]));
        queue
            .push(Request {
                endpoint: 0,
                payload,
                answer,
                suspect: false,
                arrived: Instant::now(),
                origin: Origin::default(),
                room: None,
            })
            .unwrap();
        waiting.push(receiver);
    }
    assert_eq!([take(&queue).len(), take(&queue).len(), take(&queue).len()], [2, 2, 1]);
}

#[test]
fn a_full_queue_takes_a_request_in_place_of_one_of_the_endpoint_that_fills_it() {
    let queue = Queue::new([merged(1), merged(1)], 3, 1);
    let mut waiting = Vec::new();
    for (endpoint, taken) in [(0, true), (0, true), (0, true), (0, false), (1, true), (1, false), (0, false)] {
        let (request, receiver) = request(endpoint, 1);
        assert_eq!(queue.push(request).is_ok(), taken);
        waiting.push(receiver);
    }
    assert!(
        matches!(waiting[2].try_recv(), Ok(Err(failure)) if failure.code == Code::QueueFull),
        "the newest made room"
    );
    assert_eq!(queue.waiting(), 3);
}

/// What became of the requests of one endpoint.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    /// From each request to its answer, in milliseconds, ascending.
    answered: Vec<f64>,
}

impl Tally {
    fn share_answered(&self) -> f64 {
        self.answered.len() as f64 / (self.answered.len() + self.refused) as f64
    }

    fn quantile(&self, share: f64) -> f64 {
        self.answered[(self.answered.len() as f64 * share) as usize]
    }
}

/// Sends requests of one row for four simulated seconds, `rates` a second to each endpoint, to one worker whose calls take what
/// `millis` says; returns what became of those of the last two.
fn simulate<const N: usize>(limits: [Limits; N], rates: [u64; N], millis: impl Fn(usize, usize) -> f64) -> [Tally; N] {
    const MICROS: u64 = 4_000_000;
    let queue = Queue::new(limits, 1000, 1);
    let start = Instant::now();
    let at = |micros: u64| start + Duration::from_micros(micros);
    let mut tallies = std::array::from_fn(|_| Tally::default());
    let mut arrivals: Vec<(u64, usize)> = (0..N)
        .flat_map(|endpoint| {
            (0..rates[endpoint] * 4).map(move |number| (number * 1_000_000 / rates[endpoint], endpoint))
        })
        .collect();
    arrivals.sort_unstable();
    let mut arrivals = arrivals.into_iter().peekable();
    let mut sent = Vec::new();
    let (mut now, mut running) = (0, None::<(u64, u64, Vec<Request>)>);
    while now < MICROS {
        let next = arrivals.peek().map_or(MICROS, |(arrival, _)| *arrival);
        match running.take() {
            Some((began, ends, batch)) if ends <= next => {
                now = ends;
                let endpoint = batch[0].endpoint;
                queue.called(endpoint, batch.len(), Duration::from_micros(ends - began), true);
                let took = batch.iter().map(|request| (at(now) - request.arrived).as_secs_f64() * 1e3);
                if now > MICROS / 2 {
                    tallies[endpoint].answered.extend(took);
                }
            }
            still => {
                running = still;
                now = next;
                if let Some((_, endpoint)) = arrivals.next() {
                    let (mut request, receiver) = request(endpoint, 1);
                    request.arrived = at(now);
                    match queue.push(request) {
                        Err(_) if now > MICROS / 2 => tallies[endpoint].refused += 1,
                        _ => sent.push((now, endpoint, receiver)),
                    }
                }
            }
        }
        if running.is_none() {
            let batch = queue.take(1, at(now));
            if let Some(first) = batch.first() {
                let took = millis(first.endpoint, batch.len()) * 1e3;
                running = Some((now, now + took as u64, batch));
            }
        }
    }
    for (sent, endpoint, mut receiver) in sent {
        if sent > MICROS / 2 && matches!(receiver.try_recv(), Ok(Err(_))) {
            tallies[endpoint].refused += 1;
        }
    }
    tallies.each_mut().map(|tally| {
        tally.answered.sort_unstable_by(f64::total_cmp);
        std::mem::take(tally)
    })
}

fn within(millis: u64, max_rows: usize) -> Limits {
    Limits { latency: Some(Duration::from_millis(millis)), ..merged(max_rows) }
}

/// A random forest of 200 trees.
fn forest(_: usize, rows: usize) -> f64 {
    18.0 + 3.0 / 127.0 * rows as f64
}

#[test]
fn a_saturated_forest_keeps_its_objective_and_its_whole_capacity() {
    // 5,000 a second come; calls of half the objective hold 300 rows, which is 12,000 a second.
    let [tally] = simulate([within(50, 1000)], [5_000], forest);
    assert!(tally.share_answered() > 0.999, "{}", tally.refused);
    assert!(tally.quantile(0.99) <= 50.0, "{}", tally.quantile(0.99));
    // Ten times what it can do.
    let [tally] = simulate([within(50, 1000)], [120_000], forest);
    assert!(tally.quantile(0.99) <= 50.5, "{}", tally.quantile(0.99));
    let rate = tally.answered.len() as f64 / 2.0;
    assert!(rate > 11_000.0, "{rate}");
}

#[test]
fn a_model_linear_in_rows_keeps_its_objective_and_its_whole_capacity() {
    for rate in [900, 5_000] {
        let [tally] = simulate([within(50, 1000)], [rate], |_, rows| rows as f64);
        let answered = tally.answered.len() as f64 / 2.0;
        assert!(answered > (rate as f64 * 0.97).min(950.0), "{answered} of {rate}");
        assert!(tally.quantile(0.99) <= 50.5, "{}", tally.quantile(0.99));
    }
}

#[test]
fn an_objective_that_one_call_hardly_meets_is_met_by_those_who_come_in_time() {
    let [tally] = simulate([within(30, 1000)], [2_000], forest);
    assert!(
        tally.quantile(0.99) <= 30.5 && tally.share_answered() > 0.5,
        "{} {}",
        tally.quantile(0.99),
        tally.share_answered()
    );
}

#[test]
fn an_objective_that_cannot_be_met_at_all_still_serves() {
    let [tally] = simulate([within(5, 1000)], [1_000], forest);
    assert!(tally.share_answered() > 0.999, "{}", tally.refused);
}

#[test]
fn a_model_that_was_slow_for_a_while_is_called_again() {
    // Its calls vary so much that none is sure to be in time, and nothing may keep it from being tried.
    let calls = std::cell::Cell::new(0_u64);
    let erratic = |_, rows: usize| {
        calls.set(calls.get() + 1);
        if calls.get() < 20 { 45.0 } else { forest(0, rows) + (calls.get() * 7919 % 25) as f64 }
    };
    for rate in [20, 1_000] {
        calls.set(0);
        let [tally] = simulate([within(50, 1000)], [rate], erratic);
        assert!(tally.share_answered() > 0.3, "{} of {rate}", tally.share_answered());
    }
}

#[test]
fn a_flooded_endpoint_takes_no_more_than_its_share() {
    let calls = |endpoint, rows| if endpoint == 0 { rows as f64 * 1.0 } else { 2.0 };
    let [flooded, quiet] = simulate([merged(50), merged(50)], [3_000, 50], calls);
    assert_eq!(quiet.refused, 0);
    assert!(quiet.quantile(0.99) < 55.0, "one call of the other's at the most: {}", quiet.quantile(0.99));
    assert!(flooded.answered.len() > 1_700, "{}", flooded.answered.len());
    let [one, two] = simulate([merged(1), merged(1)], [3_000, 3_000], |endpoint, _| 1.0 + 9.0 * endpoint as f64);
    let (one, two) = (one.answered.len() as f64, two.answered.len() as f64 * 10.0);
    assert!((one / two - 1.0).abs() < 0.05, "each has half of the time: {one} {two}");
}
