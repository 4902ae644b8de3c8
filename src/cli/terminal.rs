//! What every subcommand has: the home folders, the reporter for events, and standard output for data.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use etcetera::BaseStrategy as _;
use serde::Serialize;
use serde_json::json;

use crate::error::{Error, Result};
use crate::event::{Event, Report};
use crate::fetch::Home;
use crate::fs;

/// The version of the JSON lines that `--json` prints.
const JSON_SCHEMA: u32 = 1;

/// Options of every subcommand.
#[derive(Debug, Args)]
pub struct Global {
    /// Print events and the result as JSON, one value a line
    #[arg(long, global = true)]
    json: bool,
    /// Print errors and results only
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Print more of what is done
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value = "auto")]
    color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// The surroundings of a subcommand: where things are kept and whom to tell.
#[derive(Clone)]
pub struct Terminal {
    home: Home,
    json: bool,
    color: bool,
    report: Arc<dyn Report>,
}

impl Terminal {
    /// Reads the environment (`MLPACK_HOME`, `NO_COLOR`) and the global options.
    pub fn new(global: &Global) -> Self {
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::env::var_os("NO_COLOR").is_none() && io::stderr().is_terminal(),
        };
        let report: Arc<dyn Report> = if global.json {
            Arc::new(JsonLines)
        } else if global.quiet {
            Arc::new(Lines { color, level: Level::Quiet })
        } else if io::stderr().is_terminal() && global.verbose == 0 {
            Arc::new(Bars::new(color))
        } else {
            Arc::new(Lines { color, level: if global.verbose > 0 { Level::Verbose } else { Level::Normal } })
        };
        Self { home: home(), json: global.json, color, report }
    }

    /// The folders of caches and images.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Receives events.
    pub fn report(&self) -> &Arc<dyn Report> {
        &self.report
    }

    /// Whether standard output is for JSON lines.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints the command's result: `text` as it is, or `value` as the final JSON object with `--json`.
    ///
    /// Fails where standard output cannot be written to; a reader that went away is no failure.
    pub fn result(&self, text: &str, value: &impl Serialize) -> Result<()> {
        let printed = match (self.json, text) {
            (true, _) => print_data(&json!({ "schema": JSON_SCHEMA, "result": value }).to_string()),
            (false, "") => Ok(()),
            (false, text) => print_data(text),
        };
        match printed {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            printed => Ok(printed.map_err(fs::Error::wrap("write", "standard output"))?),
        }
    }

    /// Prints an error with its causes and hints.
    pub fn error(&self, error: &Error) {
        let diagnosis = error.diagnosis();
        let hints = diagnosis.hints();
        if self.json {
            let value = json!({ "schema": JSON_SCHEMA, "error": { "code": diagnosis.exit() as u8,
                "message": chain(diagnosis).join(": "), "hints": hints } });
            print_line(&value.to_string());
            return;
        }
        self.report.event(Event::Step { message: String::new() });
        match diagnosis.rendered(self.color) {
            Some(rendered) => print_line(rendered.trim_end()),
            None => {
                let mut causes = chain(diagnosis).into_iter();
                print_line(&format!("{} {}", paint(self.color, "1;31", "error:"), causes.next().unwrap_or_default()));
                for cause in causes {
                    print_line(&format!("  {} {cause}", paint(self.color, "31", "caused by:")));
                }
            }
        }
        for hint in hints {
            print_line(&format!("{} {hint}", paint(self.color, "1;36", "hint:")));
        }
    }
}

fn home() -> Home {
    if let Some(root) = std::env::var_os("MLPACK_HOME").filter(|root| !root.is_empty()) {
        return Home::below(&PathBuf::from(root));
    }
    match etcetera::choose_base_strategy() {
        Ok(strategy) => Home::new(strategy.cache_dir().join("mlpack"), strategy.data_dir().join("mlpack/images")),
        // A user without a home folder, as in some containers.
        Err(_) => Home::below(&std::env::temp_dir().join("mlpack")),
    }
}

/// Returns the messages of an error and its causes, without those that only repeat the one before.
fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let mut messages = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if messages.last() != Some(&message) {
            messages.push(message);
        }
        cause = error.source();
    }
    messages
}

fn paint(color: bool, code: &str, text: &str) -> String {
    if color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

fn print_data(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

fn print_line(line: &str) {
    // Standard error that is gone cannot be told of.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Quiet,
    Normal,
    Verbose,
}

/// Plain lines, for logs and pipes.
struct Lines {
    color: bool,
    level: Level,
}

impl Report for Lines {
    fn event(&self, event: Event) {
        match event {
            Event::Step { message } if self.level >= Level::Normal && !message.is_empty() => print_line(&message),
            Event::Detail { message } if self.level >= Level::Verbose => print_line(&message),
            Event::Warning { message, hint } => warn(self.color, &message, hint.as_deref()),
            Event::Done { id, outcome } if self.level >= Level::Verbose => print_line(&format!("{id}: {outcome}")),
            _ => {}
        }
    }
}

fn warn(color: bool, message: &str, hint: Option<&str>) {
    print_line(&format!("{} {message}", paint(color, "1;33", "warning:")));
    if let Some(hint) = hint {
        print_line(&format!("{} {hint}", paint(color, "1;36", "hint:")));
    }
}

/// One JSON value a line, on standard output.
struct JsonLines;

impl Report for JsonLines {
    fn event(&self, event: Event) {
        // Where standard output is gone, printing the result says so.
        let _ = print_data(&serde_json::to_string(&event).expect("events are plain data"));
    }
}

/// One moving line for all transfers together; steps scroll by above it.
struct Bars {
    color: bool,
    bar: indicatif::ProgressBar,
    transfers: std::sync::Mutex<std::collections::HashMap<String, u64>>,
    shown: AtomicBool,
}

impl Bars {
    fn new(color: bool) -> Self {
        let style = indicatif::ProgressStyle::with_template("{bar:24.cyan/dim} {bytes}/{total_bytes} {wide_msg}")
            .expect("the template is a constant that was tried");
        let bar = indicatif::ProgressBar::hidden().with_style(style);
        Self { color, bar, transfers: std::sync::Mutex::default(), shown: AtomicBool::new(false) }
    }

    fn progress(&self, id: &str, position: u64) {
        let mut transfers = self.transfers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = transfers.insert(id.to_owned(), position).unwrap_or(0);
        self.bar.inc(position.saturating_sub(before));
    }
}

impl Report for Bars {
    fn event(&self, event: Event) {
        match event {
            Event::Step { message } => {
                self.bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
                self.shown.store(false, Ordering::Relaxed);
                if !message.is_empty() {
                    print_line(&message);
                }
            }
            Event::Detail { .. } => {}
            Event::Start { id, action, total } => {
                if !self.shown.swap(true, Ordering::Relaxed) {
                    self.bar.reset();
                    self.bar.set_length(0);
                    self.bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
                }
                self.bar.inc_length(total.unwrap_or(0));
                self.bar.set_message(format!("{action} {id}"));
            }
            Event::Progress { id, position } => self.progress(&id, position),
            Event::Done { id, outcome } => self.bar.set_message(format!("{id} {outcome}")),
            Event::Warning { message, hint } => self.bar.suspend(|| warn(self.color, &message, hint.as_deref())),
        }
    }
}
