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
use send::Answered;
pub use send::{Answer, Body, Caller, Settings};

/// Rows that are sent together.
#[derive(Debug)]
pub struct Batch {
    /// The number of its first row, from 1.
    pub first: u64,
    /// What is sent.
    pub body: Body,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that were sent.
    pub rows: u64,
    /// Calls that were answered.
    pub calls: u64,
    /// Rows that got the endpoint's fallback in place of the model's answer.
    pub fallbacks: u64,
}

/// Sends all of `records` in batches of `rows`, up to `concurrency` at a time, and writes the answers in order. The first
/// failure ends it.
pub fn call_all(
    caller: &Caller,
    records: &mut Records<'_>,
    writer: &mut Writer<'_>,
    rows: usize,
    concurrency: usize,
) -> Result<Counts, CallError> {
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
) -> Result<Counts, CallError> {
    let mut counts = Counts::default();
    let mut running = VecDeque::new();
    while let Some(batch) = records.batch(counts.rows + 1, rows)? {
        counts.rows += batch.body.rows();
        counts.calls += 1;
        if running.len() == concurrency {
            counts.fallbacks += finish(running.pop_front(), writer)?;
        }
        running.push_back(scope.spawn(move || caller.call(&batch)));
    }
    while !running.is_empty() {
        counts.fallbacks += finish(running.pop_front(), writer)?;
    }
    Ok(counts)
}

type Running<'scope> = ScopedJoinHandle<'scope, Result<Answered, CallError>>;

/// Writes a call's answer; returns how many of its rows got the fallback.
fn finish(running: Option<Running<'_>>, writer: &mut Writer<'_>) -> Result<u64, CallError> {
    let Some(running) = running else { return Ok(0) };
    let Answered { answer, fallbacks } = running.join().expect("a call does not panic")?;
    writer.write(answer)?;
    Ok(fallbacks)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use reqwest::header::HeaderMap;

    use super::*;

    /// Starts a service whose endpoint answers each request by its number from 0; returns a caller of it.
    fn serve(asked: &'static AtomicUsize, retries: u32, answer: fn(usize) -> &'static str) -> Caller {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/double", listener.local_addr().unwrap()).parse().unwrap();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let answer = answer(asked.fetch_add(1, Ordering::SeqCst));
                let _ = connection.read(&mut [0; 4096]).unwrap();
                connection.write_all(answer.as_bytes()).unwrap();
            }
        });
        let form = || Form::Tensor { rows: true };
        let operation = Operation { name: "double".to_owned(), url, input: form(), output: form() };
        let settings = Settings { headers: HeaderMap::new(), timeout: Duration::from_secs(9), retries };
        Caller::new(crate::fetch::http::client().no_proxy().build().unwrap(), operation, settings)
    }

    /// Sends CSV in batches of one row; returns what was written.
    fn send(caller: &Caller, input: &'static str) -> Result<(Counts, String), CallError> {
        let (form, mut output) = (Form::Tensor { rows: true }, Vec::new());
        let input = Box::new(input.as_bytes());
        let mut records = Records::new("rows.csv", input, Some(Format::Csv), &form, false).unwrap();
        let mut writer = Writer::new("answers", Box::new(&mut output), AnswerFormat::Csv, &form).unwrap();
        let counts = call_all(caller, &mut records, &mut writer, 1, 4)?;
        writer.finish().unwrap();
        Ok((counts, String::from_utf8(output).unwrap()))
    }

    #[test]
    fn a_mistake_in_the_input_ends_the_waiting_for_a_busy_service() {
        const RETRIES: u32 = 6;
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let caller = serve(&ASKED, RETRIES, |_| "HTTP/1.1 503 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let error = send(&caller, "1,2\n3,odd\n").unwrap_err();
        assert!(error.to_string().contains("`odd`"), "{error}");
        assert!((1..=RETRIES as usize).contains(&ASKED.load(Ordering::SeqCst)), "the call went on");
    }

    const MODEL: &str = "HTTP/1.1 200 \r\ncontent-length: 19\r\nconnection: close\r\n\r\n{\"tensor\": [[2,4]]}";
    const FALLBACK: &str = "HTTP/1.1 200 \r\nx-mlpack-fallback: timeout\r\ncontent-length: 19\r\nconnection: close\r\n\r\n\
        {\"tensor\": [[0,0]]}";

    #[test]
    fn a_fallback_is_asked_for_the_models_answer_and_counted_where_there_is_none() {
        static ASKED: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let caller = serve(&ASKED[0], 2, |number| if number < 2 { FALLBACK } else { MODEL });
        let (counts, written) = send(&caller, "1,2\n").unwrap();
        assert_eq!((counts, written.as_str()), (Counts { rows: 1, calls: 1, fallbacks: 0 }, "2,4\n"));
        let caller = serve(&ASKED[1], 1, |_| FALLBACK);
        let (counts, written) = send(&caller, "1,2\n3,4\n").unwrap();
        assert_eq!((counts, written.as_str()), (Counts { rows: 2, calls: 2, fallbacks: 2 }, "0,0\n0,0\n"));
        assert_eq!(ASKED[1].load(Ordering::SeqCst), 4);
    }
}
