//! YAML text → a tree of values, each with its place in the text.
//!
//! The only module that knows the YAML crate. It uses the event layer of serde-saphyr and not its deserializer, which
//! stops at the first problem and turns `3.10` into the number 3.1 before anyone can ask for text. A subset of YAML is
//! taken on purpose: one document, no anchors, aliases or tags. So a value stands where it is read, and a small file
//! cannot unfold into a large one.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{
    ErrorKind, Event, Parser, ScalarStyle, ScanError, Span as EventSpan, StrInput, StructureStyle, options,
};

use super::error::{Problem, Problems};
use super::text::shown;

/// How deep lists and mappings may stand in each other, for each of YAML's two notations.
const MAX_DEPTH: usize = 24;

/// A place in the text: a range of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    /// Stretches the place of a list or mapping in brackets to its end; others are known by their start alone.
    fn close(&mut self, style: StructureStyle, end: Span) {
        if style == StructureStyle::Flow {
            self.end = end.end.max(self.end);
        }
    }
}

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    /// Text; `plain` where it is written without quotes, and so may stand for a number, a truth value or nothing.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Mapping(Vec<Entry>),
    /// What was refused already, and needs no second complaint.
    Refused,
}

/// One key of a mapping; keys are unique.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) span: Span,
    pub(super) value: Node,
}

impl Node {
    /// Whether the value is left out, or written as `null` or `~`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// Returns the root of the text's single document; `None` when a problem leaves nothing to read.
pub(super) fn parse(text: &str, problems: &Problems) -> Option<Node> {
    let options = options! {
        disallow_directives: true,
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder { events: Parser::new_from_str_with_options(text, options), problems };
    match builder.document() {
        Ok(Some(root)) => Some(root),
        Ok(None) => {
            let problem = Problem::new(Span::default(), "the manifest is empty");
            problems.add(problem.hint("`mlpack init` writes one to begin with"));
            None
        }
        Err(error) => {
            problems.add(syntax(text, &error));
            None
        }
    }
}

struct Builder<'a> {
    events: Parser<'a, StrInput<'a>>,
    problems: &'a Problems,
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Option<Node>, ScanError> {
        let mut root = None;
        while let Some(event) = self.events.next() {
            let (event, span) = event?;
            match event {
                Event::DocumentStart(..) if root.is_some() => {
                    let problem = Problem::new(range(span), "a second document begins here");
                    self.problems.add(problem.hint("a manifest is one document: remove the line `---`"));
                    return Ok(root);
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd | Event::StreamEnd => {}
                event => root = Some(self.node(event, span)?),
            }
        }
        Ok(root)
    }

    fn node(&mut self, event: Event<'a>, span: EventSpan) -> Result<Node, ScanError> {
        self.refuse_references(&event, span);
        let mut place = range(span);
        let value = match event {
            Event::Scalar(text, style, ..) => {
                Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(style, ..) => {
                let (items, end) = self.list()?;
                place.close(style, end);
                Value::List(items)
            }
            Event::MappingStart(style, ..) => {
                let (entries, end) = self.mapping()?;
                place.close(style, end);
                Value::Mapping(entries)
            }
            _ => Value::Refused,
        };
        Ok(Node { span: place, value })
    }

    /// Reads a list that was opened; gives where it is closed as well.
    fn list(&mut self) -> Result<(Vec<Node>, Span), ScanError> {
        let mut items = Vec::new();
        let mut end = Span::default();
        while let Some(event) = self.events.next() {
            let (event, span) = event?;
            if matches!(event, Event::SequenceEnd) {
                end = range(span);
                break;
            }
            items.push(self.node(event, span)?);
        }
        Ok((items, end))
    }

    /// The same for a mapping.
    fn mapping(&mut self) -> Result<(Vec<Entry>, Span), ScanError> {
        let mut entries = Vec::new();
        let mut end = Span::default();
        let mut seen: HashMap<String, Span> = HashMap::new();
        while let Some(event) = self.events.next() {
            let (event, span) = event?;
            if matches!(event, Event::MappingEnd) {
                end = range(span);
                break;
            }
            let key = self.node(event, span)?;
            let Some(event) = self.events.next() else { break };
            let (event, span) = event?;
            let value = self.node(event, span)?;
            let Value::Scalar { text, .. } = key.value else {
                self.problems.add(Problem::new(key.span, "a key must be text, not a list or a mapping"));
                continue;
            };
            if let Some(&first) = seen.get(&text) {
                let problem = Problem::new(key.span, format!("duplicate field {}", shown(&text)));
                self.problems.add(problem.also(first, "it was first written here").hint("keep one of the two"));
                continue;
            }
            seen.insert(text.clone(), key.span);
            entries.push(Entry { key: text, span: key.span, value });
        }
        Ok((entries, end))
    }

    fn refuse_references(&self, event: &Event<'a>, span: EventSpan) {
        let (anchor, tag) = match event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(_, anchor, tag)
            | Event::MappingStart(_, anchor, tag) => (*anchor != 0, tag.is_some()),
            Event::Alias(_) | Event::UnresolvedAlias(_) => (true, false),
            _ => (false, false),
        };
        if anchor {
            let problem = Problem::new(range(span), "anchors (`&name`) and aliases (`*name`) are not taken");
            self.problems.add(
                problem
                    .hint("write the value out wherever it is needed; put text that begins with `*` or `&` in quotes"),
            );
        }
        if tag {
            let place = span.tag_span().map_or(range(span), range);
            let problem = Problem::new(place, "tags (`!name`) are not taken");
            self.problems.add(problem.hint("remove the tag; put text that begins with `!` in quotes"));
        }
    }
}

fn range(span: EventSpan) -> Span {
    // Offsets are there whenever the input is a string.
    span.byte_range().map_or(Span::default(), |range| Span { start: range.start, end: range.end })
}

/// Words an error of the YAML syntax. Its place is given in lines and characters alone.
fn syntax(text: &str, error: &ScanError) -> Problem {
    let marker = error.marker();
    let line_start: usize = text.split_inclusive('\n').take(marker.line().saturating_sub(1)).map(str::len).sum();
    let line = text[line_start..].lines().next().unwrap_or_default();
    let start = line_start + line.chars().take(marker.col()).map(char::len_utf8).sum::<usize>();
    let problem = Problem::new(Span { start, end: start }, format!("invalid YAML: {}", error.info()));
    problem.hint(syntax_hint(line, error.kind()))
}

fn syntax_hint(line: &str, kind: &ErrorKind) -> &'static str {
    match kind {
        _ if line.trim_start_matches(' ').starts_with('\t') => "indent with spaces: YAML takes no tabs there",
        ErrorKind::RecursionLimitExceeded => "no part of a manifest goes that deep",
        ErrorKind::DirectiveDisallowed => "remove the line: a manifest needs no `%` directives",
        ErrorKind::UnclosedFlowCollection { .. } => "close the bracket, or put text that begins with one in quotes",
        ErrorKind::UnclosedQuotedScalar => "close the quote",
        _ => {
            "check the indentation, and put text that holds `: ` or ` #`, or begins with a special character, in quotes"
        }
    }
}
