//! Calls a served model from outside, with files of any length: the rows are read, converted to the types of the endpoint's
//! contract, sent in batches, and the answers written in the order of the rows.
//!
//! What an endpoint takes comes from the service's own OpenAPI document. Nothing here knows where files come from or how
//! progress is shown; that is `cli`'s part.

mod answers;
mod cell;
mod error;
mod operation;
mod records;
mod send;

use std::collections::VecDeque;
use std::thread::{Scope, ScopedJoinHandle};

pub use answers::{Format as AnswerFormat, Writer};
pub use error::CallError;
pub use operation::{Form, Operation, find};
pub use records::{Format, Records};
pub use send::{Answer, Body, Caller, Settings};

/// Rows that are sent together.
#[derive(Debug)]
pub struct Batch {
    /// The number of its first row, from 1.
    pub first: u64,
    /// What is sent.
    pub body: Body,
}

/// Sends all of `records` in batches of `rows`, up to `concurrency` at a time, and writes the answers in order.
///
/// Returns the number of rows and of calls. The first failure ends it.
pub fn call_all(
    caller: &Caller,
    records: &mut Records<'_>,
    writer: &mut Writer<'_>,
    rows: usize,
    concurrency: usize,
) -> Result<(u64, u64), CallError> {
    let mut calls = 0;
    let mut first = 1;
    std::thread::scope(|scope| {
        let mut running = VecDeque::new();
        while let Some(batch) = records.batch(first, rows)? {
            first += batch.body.rows();
            calls += 1;
            if running.len() == concurrency {
                finish(caller, running.pop_front(), writer)?;
            }
            running.push_back(start(scope, caller, batch));
        }
        while !running.is_empty() {
            finish(caller, running.pop_front(), writer)?;
        }
        Ok((first - 1, calls))
    })
}

type Running<'scope> = ScopedJoinHandle<'scope, Result<Answer, CallError>>;

fn start<'scope>(scope: &'scope Scope<'scope, '_>, caller: &'scope Caller, batch: Batch) -> Running<'scope> {
    scope.spawn(move || caller.call(&batch))
}

fn finish(caller: &Caller, running: Option<Running<'_>>, writer: &mut Writer<'_>) -> Result<(), CallError> {
    let Some(running) = running else { return Ok(()) };
    let answer = running.join().expect("a call does not panic");
    // Calls that wait to be tried again need not be, once one has failed.
    let written = answer.and_then(|answer| writer.write(answer));
    if written.is_err() {
        caller.give_up();
    }
    written
}
