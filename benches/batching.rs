//! Compares three ways to choose how many waiting requests make a call under a latency objective, over simulated time:
//! the queue of `mlpack-server` itself, Clipper's (NSDI 2017, section 4.3) and BentoML's (its CORK dispatcher, 1.4), the
//! latter two written down here from their descriptions. One worker; requests of one row come at random times. Each figure
//! is that of several runs together.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::collections::VecDeque;
use std::time::Duration;

use mlpack::server::batch::{Limits, Queue, Request};
use mlpack::server::data::{Payload, Tensor};
use mlpack::server::trace::Origin;
use mlpack::service::Dtype;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The most rows of a call, for all.
const MAX_ROWS: usize = 256;
/// Simulated seconds; what happens before `WARM` is not counted.
const SECONDS: f64 = 12.0;
const WARM: f64 = 2.0;
/// What the random numbers of each run begin with.
const SEEDS: [u64; 3] = [7, 8, 9];
/// By how much a call's time varies, either way.
const NOISE: f64 = 0.05;

/// What to do with a worker that is idle.
enum Turn {
    /// Call the model for these requests.
    Call(Vec<usize>),
    /// Ask again after as many seconds.
    Wait(f64),
    /// Nothing waits.
    Idle,
}

/// A way to choose. Requests are numbers; times are seconds since the start.
trait Policy {
    fn name(&self) -> &'static str;
    fn arrive(&mut self, now: f64, request: usize);
    fn next(&mut self, now: f64) -> Turn;
    fn done(&mut self, now: f64, rows: usize, took: f64);
}

/// The server's own queue.
struct Mlpack {
    queue: Queue,
    start: Instant,
    /// Kept, so that nobody seems to have gone.
    answers: Vec<oneshot::Receiver<mlpack::server::batch::Answer>>,
}

impl Mlpack {
    fn new(objective: f64) -> Self {
        let latency = Some(Duration::from_secs_f64(objective));
        let limits = Limits { merge: true, max_rows: MAX_ROWS, max_bytes: usize::MAX, latency };
        Self { queue: Queue::new([limits], 100_000, 1), start: Instant::now(), answers: Vec::new() }
    }

    fn at(&self, now: f64) -> Instant {
        self.start + Duration::from_secs_f64(now)
    }
}

impl Policy for Mlpack {
    fn name(&self) -> &'static str {
        "mlpack"
    }

    fn arrive(&mut self, now: f64, request: usize) {
        let data = (request as u64).to_le_bytes().to_vec();
        let payload = Payload::Tensor(Tensor { dtype: Dtype::Uint8, shape: vec![1, data.len()], data });
        let (answer, receiver) = oneshot::channel();
        self.answers.push(receiver);
        // Whoever is refused is not heard of again, and so counts as not answered.
        let origin = Origin::default();
        let _ = self.queue.push(Request {
            endpoint: 0,
            payload,
            answer,
            suspect: false,
            arrived: self.at(now),
            origin,
            room: None,
        });
    }

    fn next(&mut self, now: f64) -> Turn {
        let number = |request: Request| match request.payload {
            Payload::Tensor(tensor) => {
                u64::from_le_bytes(tensor.data.try_into().expect("it was made of eight bytes")) as usize
            }
            Payload::Table(_) | Payload::Bytes(_) => unreachable!("tensors were put in"),
        };
        let batch: Vec<usize> = self.queue.take(1, self.at(now)).into_iter().map(number).collect();
        if batch.is_empty() { Turn::Idle } else { Turn::Call(batch) }
    }

    fn done(&mut self, _: f64, rows: usize, took: f64) {
        self.queue.called(0, rows, Duration::from_secs_f64(took), true);
    }
}

/// One row more with each full call that meets its objective, a tenth less with each that does not. Clipper's is for calls alone
/// and leaves open how it is chosen: here calls have half of the whole, and what has waited for the other half is dropped.
struct Clipper {
    objective: f64,
    limit: f64,
    waiting: VecDeque<(f64, usize)>,
}

impl Policy for Clipper {
    fn name(&self) -> &'static str {
        "Clipper"
    }

    fn arrive(&mut self, now: f64, request: usize) {
        self.waiting.push_back((now, request));
    }

    fn next(&mut self, now: f64) -> Turn {
        while self.waiting.front().is_some_and(|(arrived, _)| now - arrived >= self.objective) {
            self.waiting.pop_front();
        }
        let rows = self.waiting.len().min(self.limit as usize);
        if rows == 0 {
            Turn::Idle
        } else {
            Turn::Call(self.waiting.drain(..rows).map(|(_, request)| request).collect())
        }
    }

    fn done(&mut self, _: f64, rows: usize, took: f64) {
        if took > self.objective {
            self.limit = (self.limit * 0.9).max(1.0);
        } else if rows >= self.limit as usize {
            self.limit = (self.limit + 1.0).min(MAX_ROWS as f64);
        }
    }
}

/// Waits for further requests as long as that seems worth it, by a line through the last fifty calls that is drawn anew every five
/// seconds; drops the oldest request where all that wait, in one call, would come too late for it; takes the newest first.
struct BentoML {
    objective: f64,
    waiting: VecDeque<(f64, usize)>,
    calls: VecDeque<(f64, f64, f64)>,
    counted: usize,
    per_row: f64,
    fixed: f64,
    usual_wait: f64,
    waited: f64,
    refreshed: f64,
}

const TICK: f64 = 0.001;

impl BentoML {
    fn new(objective: f64) -> Self {
        Self {
            objective,
            waiting: VecDeque::new(),
            calls: VecDeque::new(),
            counted: 0,
            per_row: objective * 2.0 / 30.0,
            fixed: objective / 30.0,
            usual_wait: 0.01,
            waited: 0.0,
            refreshed: f64::NEG_INFINITY,
        }
    }

    fn call(&mut self, now: f64, rows: usize) -> Turn {
        self.waited = self.waiting.front().map_or(0.0, |(arrived, _)| now - arrived);
        Turn::Call((0..rows).filter_map(|_| self.waiting.pop_back()).map(|(_, request)| request).collect())
    }

    fn refresh(&mut self) {
        let count = self.calls.len() as f64;
        let mean = |value: fn(&(f64, f64, f64)) -> f64| self.calls.iter().map(value).sum::<f64>() / count;
        let (rows, time) = (mean(|call| call.0), mean(|call| call.1));
        let variance: f64 = self.calls.iter().map(|call| (call.0 - rows).powi(2)).sum();
        let covariance: f64 = self.calls.iter().map(|call| (call.0 - rows) * (call.1 - time)).sum();
        // Where all calls have as many rows, the shortest solution is the one that least squares give.
        let per_row = if variance > 0.0 { covariance / variance } else { time * rows / (rows * rows + 1.0) };
        let fixed = time - per_row * rows;
        self.usual_wait = mean(|call| call.2);
        (self.per_row, self.fixed) = (per_row.max(1e-6), fixed.max(0.0));
    }
}

impl Policy for BentoML {
    fn name(&self) -> &'static str {
        "BentoML"
    }

    fn arrive(&mut self, now: f64, request: usize) {
        self.waiting.push_back((now, request));
    }

    fn next(&mut self, now: f64) -> Turn {
        loop {
            let (Some((oldest, _)), Some((newest, _))) = (self.waiting.front(), self.waiting.back()) else {
                return Turn::Idle;
            };
            let (count, waited, newest) = (self.waiting.len(), now - oldest, now - newest);
            // The first calls are for learning: three of one row, one of two and one of three.
            let lesson = [1, 1, 1, 2, 3].get(self.counted);
            let expected = self.per_row * count as f64 + self.fixed;
            let late = if lesson.is_some() { waited >= self.objective } else { waited + expected >= self.objective };
            if count > 1 && late {
                self.waiting.pop_front();
                continue;
            }
            if let Some(rows) = lesson {
                return self.call(now, (*rows).min(count));
            }
            if count < MAX_ROWS && count as f64 * (newest + TICK + self.per_row) <= self.usual_wait * 0.95 {
                return Turn::Wait(TICK);
            }
            return self.call(now, count.min(MAX_ROWS - 1));
        }
    }

    fn done(&mut self, now: f64, rows: usize, took: f64) {
        self.counted += 1;
        if self.counted <= 2 {
            return;
        }
        self.calls.push_back((rows as f64, took, self.waited));
        if self.calls.len() > 50 {
            self.calls.pop_front();
        }
        if self.counted <= 5 || now - self.refreshed >= 5.0 {
            self.refreshed = now;
            self.refresh();
        }
    }
}

/// What came of a run, once warm.
#[derive(Default)]
struct Outcome {
    /// From request to answer, in seconds.
    answered: Vec<f64>,
    calls: usize,
    rows: usize,
    /// Answered in time within the first second.
    first_second: usize,
}

fn simulate(
    outcome: &mut Outcome,
    policy: &mut dyn Policy,
    seed: u64,
    objective: f64,
    rate: f64,
    seconds_of: impl Fn(usize) -> f64,
) {
    let (mut random, mut noise) = (Random(seed), Random(!seed));
    let mut arrived = Vec::new();
    let (mut now, mut arrival) = (0.0, random.gap(rate));
    let mut running: Option<(f64, f64, Vec<usize>)> = None;
    let mut asked_again = f64::INFINITY;
    while now < SECONDS {
        let ends = running.as_ref().map_or(f64::INFINITY, |(_, ends, _)| *ends);
        now = arrival.min(ends).min(asked_again);
        if now >= ends {
            let (began, _, batch) = running.take().expect("it ends");
            policy.done(now, batch.len(), now - began);
            for request in &batch {
                let took = now - arrived[*request];
                outcome.first_second += usize::from(now < 1.0 && took <= objective);
                if arrived[*request] >= WARM {
                    outcome.answered.push(took);
                }
            }
            outcome.calls += 1;
            outcome.rows += batch.len();
        } else if now >= arrival {
            policy.arrive(now, arrived.len());
            arrived.push(now);
            arrival = now + random.gap(rate);
        }
        asked_again = f64::INFINITY;
        if running.is_none() {
            match policy.next(now) {
                Turn::Call(batch) => {
                    let took = seconds_of(batch.len()) * (1.0 + NOISE * (2.0 * noise.unit() - 1.0));
                    running = Some((now, now + took, batch));
                }
                Turn::Wait(seconds) => asked_again = now + seconds,
                Turn::Idle => {}
            }
        }
    }
}

/// Random numbers that are the same each time (Knuth's linear congruential generator).
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The time to the next of as many events a second.
    fn gap(&mut self, rate: f64) -> f64 {
        -(1.0 - self.unit()).ln() / rate
    }
}

/// A model by name: seconds for as many rows.
type Model = (&'static str, fn(usize) -> f64);

const POLICIES: [fn(f64) -> Box<dyn Policy>; 3] = [
    |objective| Box::new(Mlpack::new(objective)),
    |objective| Box::new(Clipper { objective: objective / 2.0, limit: 1.0, waiting: VecDeque::new() }),
    |objective| Box::new(BentoML::new(objective)),
];

fn main() {
    let models: [Model; 2] = [
        ("forest, 18 ms for 1 row, 21 ms for 128", |rows| (18.0 + 3.0 / 127.0 * (rows as f64 - 1.0)) / 1e3),
        ("1 ms for each row", |rows| rows as f64 / 1e3),
    ];
    println!(
        "| model | objective | requests/s | way | in time/s | p50 | p99 | rows a call | in time in the first second |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (model, objective, rates) in [
        (models[0], 0.050, [40.0, 1_000.0, 10_000.0, 100_000.0].as_slice()),
        (models[0], 0.100, [1_000.0, 10_000.0, 100_000.0].as_slice()),
        (models[1], 0.050, [400.0, 900.0, 10_000.0].as_slice()),
    ] {
        for &rate in rates {
            for policy in POLICIES {
                let mut outcome = Outcome::default();
                for seed in SEEDS {
                    simulate(&mut outcome, &mut *policy(objective), seed, objective, rate, model.1);
                }
                report(model.0, objective, rate, policy(objective).name(), outcome);
            }
        }
    }
}

fn report(model: &str, objective: f64, rate: f64, policy: &str, mut outcome: Outcome) {
    outcome.answered.sort_unstable_by(f64::total_cmp);
    let runs = SEEDS.len();
    let in_time = outcome.answered.partition_point(|took| *took <= objective);
    let quantile = |share: f64| {
        let place = (outcome.answered.len() as f64 * share) as usize;
        outcome.answered.get(place).map_or_else(|| "–".to_owned(), |took| format!("{:.1} ms", took * 1e3))
    };
    println!(
        "| {model} | {:.0} ms | {rate:.0} | {policy} | {:.0} | {} | {} | {:.0} | {} |",
        objective * 1e3,
        in_time as f64 / (SECONDS - WARM) / runs as f64,
        quantile(0.5),
        quantile(0.99),
        outcome.rows as f64 / outcome.calls.max(1) as f64,
        outcome.first_second / runs,
    );
}
