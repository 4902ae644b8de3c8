//! `mlpack call`: sends a file to a served model and writes what it answers.

use std::io::{self, BufRead, BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::Terminal;
use crate::client::{self, AnswerFormat, CallError, Caller, Counts, Form, Format, Records, Settings, Wanted, Writer};
use crate::error::Result;
use crate::event::{Event, Report};
use crate::fetch::http;
use crate::fs;

/// Call a served model with the rows of a file
#[derive(Args, Debug)]
pub(super) struct Call {
    /// The address of the service, or of one of its endpoints
    #[arg(value_name = "MODEL-URL")]
    address: String,
    /// A file with what to send: CSV, JSON, JSON lines, a text or any file; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    input: PathBuf,
    /// Where to write the answers; standard output when left out
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The endpoint, where the service has several
    #[arg(short, long)]
    endpoint: Option<String>,
    /// The version of the model, or a label that one has, where the service has several
    #[arg(long, value_name = "VERSION")]
    model_version: Option<String>,
    /// How the input is written; told by its name or its beginning when left out
    #[arg(long, value_enum)]
    input_format: Option<InputFormat>,
    /// How answers are written; told by the output's name, else as the input is
    #[arg(long, value_enum)]
    output_format: Option<OutputFormat>,
    /// Leave out columns that the endpoint does not take
    #[arg(long)]
    ignore_extra: bool,
    /// How many rows a request has
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    rows: u32,
    /// How many requests are under way at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    concurrency: u32,
    /// How many seconds a request may take
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// How often a request is tried again while the service is busy
    #[arg(long, default_value_t = 5)]
    retries: u32,
    /// A header of each request, as `Name: value`
    #[arg(short = 'H', long = "header", value_name = "HEADER", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// An API key or a token, sent as `Authorization: Bearer`
    #[arg(long, env = "MLPACK_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum InputFormat {
    Csv,
    Json,
    /// The text or file itself
    Raw,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutputFormat {
    Csv,
    Json,
    /// One JSON value a line
    Jsonl,
    /// Texts and files as they are
    Raw,
}

impl Call {
    /// Runs the subcommand.
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        if terminal.is_json() && self.output.is_none() {
            return Err(
                CallError::Form("`--json` prints events where answers would be: give `--output`".to_owned()).into()
            );
        }
        let caller = self.caller()?;
        let operation = caller.operation();
        let (name, input) = self.input(terminal.report())?;
        let format = self.input_format(&operation.input);
        let mut records = Records::new(&name, input, format, &operation.input, self.ignore_extra)?;
        let answers = self.output_format(format, &operation.output);
        let Counts { rows, calls, fallbacks } = match &self.output {
            None => {
                let output = Box::new(BufWriter::new(io::stdout().lock()));
                self.send(&caller, &mut records, Writer::new("standard output", output, answers, &operation.output)?)?
            }
            Some(path) => {
                let shown = path.to_string_lossy();
                let mut file = fs::Replacement::new(path)?;
                let writer = Writer::new(&shown, Box::new(BufWriter::new(&mut file)), answers, &operation.output)?;
                let counts = self.send(&caller, &mut records, writer)?;
                file.persist(0o644)?;
                counts
            }
        };
        terminal.report().say(format!("Called `{}`; rows: {rows}, requests: {calls}", operation.name));
        if fallbacks > 0 {
            warn_of_fallbacks(terminal, fallbacks);
        }
        let result = json!({"endpoint": operation.name, "rows": rows, "requests": calls, "fallbacks": fallbacks,
            "output": self.output});
        if terminal.is_json() { terminal.result("", &result) } else { Ok(()) }
    }

    fn caller(&self) -> Result<Caller> {
        let mut headers: HeaderMap = self.headers.iter().cloned().collect();
        if let Some(key) = &self.api_key {
            let mut bearer = HeaderValue::from_str(&format!("Bearer {key}"))
                .map_err(|_| CallError::Form("the API key cannot stand in a header".to_owned()))?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let client = http::client()
            .pool_max_idle_per_host(self.concurrency as usize)
            .build()
            .expect("the TLS provider is installed and no option can fail");
        let wanted = Wanted { endpoint: self.endpoint.as_deref(), version: self.model_version.as_deref() };
        let operation = client::find(&client, &headers, &self.address, wanted)?;
        let settings = Settings { headers, timeout: Duration::from_secs(self.timeout), retries: self.retries };
        Ok(Caller::new(client, operation, settings))
    }

    fn send(&self, caller: &Caller, records: &mut Records<'_>, mut writer: Writer<'_>) -> Result<Counts> {
        let counts = client::call_all(caller, records, &mut writer, self.rows as usize, self.concurrency as usize)?;
        writer.finish()?;
        Ok(counts)
    }

    /// The input and its name in messages; what is read of a file is told as progress.
    fn input(&self, report: &Arc<dyn Report>) -> Result<(String, Box<dyn BufRead>)> {
        if self.input == Path::new("-") {
            return Ok(("standard input".to_owned(), Box::new(BufReader::new(io::stdin()))));
        }
        let name = self.input.to_string_lossy().into_owned();
        let file = fs::open(&self.input)?;
        let total = file.metadata().map_err(fs::Error::wrap("read", &self.input))?.len();
        report.event(Event::Start { id: name.clone(), action: "send", total: Some(total) });
        let counted = Counted { file, position: 0, id: name.clone(), report: Arc::clone(report) };
        Ok((name, Box::new(BufReader::with_capacity(1 << 16, counted))))
    }

    fn input_format(&self, form: &Form) -> Option<Format> {
        let named = self.input_format.map(|format| match format {
            InputFormat::Csv => Format::Csv,
            InputFormat::Json => Format::Json,
            InputFormat::Raw => Format::Raw,
        });
        let by_name = || match extension(&self.input)? {
            _ if matches!(form, Form::Binary) => Some(Format::Raw),
            "csv" => Some(Format::Csv),
            "json" | "jsonl" | "ndjson" => Some(Format::Json),
            _ => None,
        };
        named.or_else(by_name)
    }

    fn output_format(&self, input: Option<Format>, form: &Form) -> AnswerFormat {
        let named = self.output_format.map(|format| match format {
            OutputFormat::Csv => AnswerFormat::Csv,
            OutputFormat::Json => AnswerFormat::Json,
            OutputFormat::Jsonl => AnswerFormat::Lines,
            OutputFormat::Raw => AnswerFormat::Raw,
        });
        let by_name = || match extension(self.output.as_deref()?)? {
            "csv" => Some(AnswerFormat::Csv),
            "json" => Some(AnswerFormat::Json),
            "jsonl" | "ndjson" => Some(AnswerFormat::Lines),
            _ => None,
        };
        named.or_else(by_name).unwrap_or(match form {
            Form::Table(_) if input == Some(Format::Csv) => AnswerFormat::Csv,
            Form::Table(_) | Form::Tensor { rows: true } => AnswerFormat::Json,
            Form::Text | Form::Binary => AnswerFormat::Raw,
            Form::Json | Form::Tensor { rows: false } => AnswerFormat::Lines,
        })
    }
}

fn warn_of_fallbacks(terminal: &Terminal, rows: u64) {
    let message = format!("the endpoint's fallback stands in for the model's answer; rows: {rows}");
    let hint = "the service had no time or no worker for them: call with less at a time, `--concurrency`";
    terminal.report().warn(message, Some(hint.to_owned()));
}

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}

fn header(text: &str) -> std::result::Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write it as `Name: value`")?;
    let name = name.trim().parse().map_err(|_| "this is no header's name")?;
    Ok((name, value.trim().parse().map_err(|_| "this is no header's value")?))
}

/// Tells how much of a file has been read.
struct Counted {
    file: std::fs::File,
    position: u64,
    id: String,
    report: Arc<dyn Report>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.position += length as u64;
        self.report.event(Event::Progress { id: self.id.clone(), position: self.position });
        Ok(length)
    }
}
