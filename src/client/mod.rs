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
pub use operation::{Form, Operation, Wanted, find};
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
    std::thread::scope(|scope| {
        let called = call_in(scope, caller, records, writer, rows, concurrency);
        if called.is_err() {
            // The scope waits for all calls. Those that wait to be tried again need not be.
            caller.give_up();
        }
        called
    })
}

fn call_in<'scope>(
    scope: &'scope Scope<'scope, '_>,
    caller: &'scope Caller,
    records: &mut Records<'_>,
    writer: &mut Writer<'_>,
    rows: usize,
    concurrency: usize,
) -> Result<(u64, u64), CallError> {
    let (mut first, mut calls) = (1, 0);
    let mut running = VecDeque::new();
    while let Some(batch) = records.batch(first, rows)? {
        first += batch.body.rows();
        calls += 1;
        if running.len() == concurrency {
            finish(running.pop_front(), writer)?;
        }
        running.push_back(scope.spawn(move || caller.call(&batch)));
    }
    while !running.is_empty() {
        finish(running.pop_front(), writer)?;
    }
    Ok((first - 1, calls))
}

type Running<'scope> = ScopedJoinHandle<'scope, Result<Answer, CallError>>;

fn finish(running: Option<Running<'_>>, writer: &mut Writer<'_>) -> Result<(), CallError> {
    let Some(running) = running else { return Ok(()) };
    let answer = running.join().expect("a call does not panic")?;
    writer.write(answer)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use reqwest::header::HeaderMap;

    use super::*;

    const RETRIES: u32 = 6;

    #[test]
    fn a_mistake_in_the_input_ends_the_waiting_for_a_busy_service() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/double", listener.local_addr().unwrap()).parse().unwrap();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                ASKED.fetch_add(1, Ordering::SeqCst);
                let _ = connection.read(&mut [0; 4096]).unwrap();
                connection.write_all(b"HTTP/1.1 503 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            }
        });
        let form = || Form::Tensor { rows: true };
        let operation = Operation { name: "double".to_owned(), url, input: form(), output: form() };
        let settings = Settings { headers: HeaderMap::new(), timeout: Duration::from_secs(9), retries: RETRIES };
        let caller = Caller::new(crate::fetch::http::client().no_proxy().build().unwrap(), operation, settings);
        let form = form();
        let input = Box::new(b"1,2\n3,odd\n".as_slice());
        let mut records = Records::new("rows.csv", input, Some(Format::Csv), &form, false).unwrap();
        let mut writer = Writer::new("answers", Box::new(std::io::sink()), AnswerFormat::Json, &form).unwrap();
        let error = call_all(&caller, &mut records, &mut writer, 1, 4).unwrap_err();
        assert!(error.to_string().contains("`odd`"), "{error}");
        assert!((1..=RETRIES as usize).contains(&ASKED.load(Ordering::SeqCst)), "the call went on");
    }
}
