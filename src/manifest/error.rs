//! What is wrong with a manifest: all of it at once, each with its place and its source line.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use super::document::Span;
use super::text::visible;
use crate::error::{Diagnose, Exit};
use crate::fs;

/// How many problems are told; a hostile manifest has as many as it likes.
const MAX_PROBLEMS: usize = 100;
/// How many characters of a source line are shown.
const MAX_WIDTH: usize = 120;
/// The longest source line, in bytes, that is drawn: drawings show lines whole.
const MAX_DRAWN: usize = 1000;

/// A manifest could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] fs::Error),
    /// The file has not the usual name, and was not named.
    #[error("there is no `{}`, but `{}`", path.display(), other.display())]
    OtherName {
        /// The file that was looked for.
        path: PathBuf,
        /// The one that is there.
        other: PathBuf,
    },
    /// The file is too large to be a manifest.
    #[error("`{}` is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest size taken.
        limit: u64,
    },
    /// The file is not text.
    #[error("{}:{line}: the text is not UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line of the first wrong byte, from 1.
        line: usize,
    },
    /// The file says something that it must not.
    #[error("{}", summary(path, text, problems))]
    Invalid {
        /// The file, as it was given.
        path: PathBuf,
        /// What stands in it.
        text: String,
        /// Everything that is wrong, in the order of the text.
        problems: Vec<Problem>,
    },
}

impl Diagnose for Error {
    fn exit(&self) -> Exit {
        Exit::Manifest
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Read(error) if error.is_not_found() => {
                vec!["`mlpack init` writes a manifest, filled in from what lies in the folder".to_owned()]
            }
            Self::Read(error) => error.hints(),
            Self::OtherName { other, .. } => {
                vec![format!("rename it, or name it: `mlpack build {}`", other.display())]
            }
            Self::TooLarge { .. } => {
                vec!["is it the right file? Data belongs into `artifacts` or `datasets`".to_owned()]
            }
            Self::NotUtf8 { .. } => vec!["save the file as UTF-8".to_owned()],
            Self::Invalid { .. } => Vec::new(),
        }
    }

    fn rendered(&self, color: bool) -> Option<String> {
        let Self::Invalid { path, text, problems } = self else { return None };
        let text = visible(text);
        let drawn = color && text.lines().all(|line| line.len() <= MAX_DRAWN);
        let mut output = if color { "\u{1b}[1;31merror:\u{1b}[0m " } else { "error: " }.to_owned();
        let _ = writeln!(output, "{}", heading(path, problems));
        for problem in problems {
            output.push('\n');
            match drawn.then(|| problem.graphical(path, &text)).flatten() {
                Some(graphical) => output.push_str(&graphical),
                None => problem.plain(path, &text, &mut output),
            }
        }
        Some(output)
    }
}

fn heading(path: &Path, problems: &[Problem]) -> String {
    match problems.len() {
        1 => format!("`{}` has a problem", path.display()),
        MAX_PROBLEMS.. => format!("`{}` has {MAX_PROBLEMS} problems or more", path.display()),
        count => format!("`{}` has {count} problems", path.display()),
    }
}

fn summary(path: &Path, text: &str, problems: &[Problem]) -> String {
    let line = |problem: &Problem| format!("{}: {}", place(path, text, problem.span), problem.message);
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    message: String,
    span: Span,
    hint: Option<String>,
    also: Option<(Span, &'static str)>,
}

impl Problem {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), span, hint: None, also: None }
    }

    /// Adds what the user can do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds another place that has to do with it.
    pub(super) fn also(mut self, span: Span, label: &'static str) -> Self {
        self.also = Some((span, label));
        self
    }

    /// What is wrong, as a lower-case fragment.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the user can do.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Writes `file:line:column: message`, the source line with the place marked, and the hint.
    fn plain(&self, path: &Path, text: &str, output: &mut String) {
        let _ = writeln!(output, "{}: {}", place(path, text, self.span), self.message);
        output.push_str(&snippet(text, self.span));
        if let Some((span, label)) = self.also {
            let _ = writeln!(output, "{}: {label}", place(path, text, span));
            output.push_str(&snippet(text, span));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(output, "  hint: {hint}");
        }
    }

    /// Draws for a terminal with colour; gives nothing where there is no character to point at.
    fn graphical(&self, path: &Path, text: &str) -> Option<String> {
        let report =
            Report { problem: self, text, named: NamedSource::new(path.display().to_string(), text.to_owned()) };
        let mut output = String::new();
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode())
            .with_width(MAX_WIDTH)
            .with_context_lines(1)
            .render_report(&mut output, &report)
            .ok()?;
        Some(output)
    }
}

/// Returns the line that holds a byte: where it starts, and its text.
fn line_at(text: &str, offset: usize) -> (usize, &str) {
    let offset = offset.min(text.len());
    let start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    (start, text[start..].lines().next().unwrap_or_default())
}

fn line_number(text: &str, offset: usize) -> usize {
    1 + text[..offset.min(text.len())].matches('\n').count()
}

fn place(path: &Path, text: &str, span: Span) -> String {
    let (start, _) = line_at(text, span.start);
    let column = 1 + text[start..span.start.min(text.len())].chars().count();
    format!("{}:{}:{column}", path.display(), line_number(text, span.start))
}

/// Returns the source line of a place, cut to a width that fits, with the place underlined.
fn snippet(text: &str, span: Span) -> String {
    let (start, line) = line_at(text, span.start);
    let marked = &text[span.start.min(text.len())..span.end.min(text.len())];
    let marked = marked.lines().next().unwrap_or_default().chars().count();
    let before = text[start..span.start.min(text.len())].chars().count();
    let skipped = if line.chars().count() > MAX_WIDTH { before.saturating_sub(MAX_WIDTH / 2) } else { 0 };
    let window: String = line.chars().skip(skipped).take(MAX_WIDTH).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let indent = before - skipped;
    let carets = marked.min(MAX_WIDTH.saturating_sub(indent)).max(1);
    let number = line_number(text, span.start);
    let underline = format!("{}{}", " ".repeat(indent), "^".repeat(carets));
    format!("{number:>4} | {}\n     | {underline}\n", window.trim_end())
}

/// A problem in the form that miette draws.
#[derive(Debug, thiserror::Error)]
#[error("{}", problem.message)]
struct Report<'a> {
    problem: &'a Problem,
    text: &'a str,
    named: NamedSource<String>,
}

impl Report<'_> {
    /// Returns the part of a place that stands on its first line: where it starts, and its length.
    fn line_part(&self, span: Span) -> (usize, usize) {
        let (start, line) = line_at(self.text, span.start);
        let end = span.end.min(start + line.len()).max(span.start);
        (span.start, (end - span.start).max(1))
    }
}

impl miette::Diagnostic for Report<'_> {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.named)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let first = LabeledSpan::new_primary_with_span(Some("here".to_owned()), self.line_part(self.problem.span));
        let also =
            |(span, label): (Span, &str)| LabeledSpan::new_with_span(Some(label.to_owned()), self.line_part(span));
        Some(Box::new(std::iter::once(first).chain(self.problem.also.map(also))))
    }

    fn help(&self) -> Option<Box<dyn std::fmt::Display + '_>> {
        self.problem.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn std::fmt::Display>)
    }
}

/// Collects problems while reading goes on.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(super) fn add(&self, problem: Problem) {
        let mut problems = self.0.borrow_mut();
        if problems.len() < MAX_PROBLEMS {
            problems.push(problem);
        }
    }

    /// Returns all problems in the order of the text.
    pub(super) fn into_sorted(self) -> Vec<Problem> {
        let mut problems = self.0.into_inner();
        problems.sort_by_key(|problem| problem.span.start);
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_any_place_of_a_line_of_any_length() {
        for length in [0, 1, 60, 119, 120, 121, 300] {
            for start in 0..=length {
                let snippet = snippet(&"x".repeat(length), Span { start, end: length });
                let lines: Vec<&str> = snippet.lines().collect();
                assert!(lines[1].contains('^') && lines[1].len() <= MAX_WIDTH + 8, "{snippet}");
            }
        }
    }
}
