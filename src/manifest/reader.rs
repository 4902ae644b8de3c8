//! Typed reading of the value tree: each reader gives a value, or reports a problem and gives [`Refused`].
//!
//! Sections read all their fields first and use `?` on the results afterwards, so that every problem is found.

use std::path::Path;
use std::slice;

use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::document::{Entry, Node, Span, Value};
use super::error::{Problem, Problems};
use super::hints;
use super::keys::{Form, Key};
use super::names::Rule;
use super::text::{alternatives, is_invisible, shown};

/// The longest text on one line, and over several, in bytes.
const MAX_LINE: usize = 4096;
const MAX_PROSE: usize = 32 << 10;

/// The problem was reported already; there is nothing more to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused;

/// A value, unless it was refused.
pub(super) type Read<T> = Result<T, Refused>;

/// What every reader needs beside its value.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) problems: &'a Problems,
    /// The project folder, without links in its path.
    pub(super) root: &'a Path,
}

/// A value about to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) node: &'a Node,
    /// The key that holds it, or the list.
    name: &'a str,
    /// Where that key stands.
    key: Span,
    item: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn root(reader: &'a Reader<'a>, node: &'a Node) -> Self {
        Self { reader, node, name: "manifest", key: Span { start: node.span.start, end: node.span.start }, item: false }
    }

    fn entry(reader: &'a Reader<'a>, entry: &'a Entry) -> Self {
        Self { reader, node: &entry.value, name: &entry.key, key: entry.span, item: false }
    }

    /// Reports a problem with the value; gives the error for the caller to return.
    pub(super) fn refuse<T>(self, message: impl Into<String>, hint: impl Into<String>) -> Read<T> {
        self.report(Problem::new(self.place(), message).hint(hint))
    }

    /// Reports a problem with the key that holds the value.
    pub(super) fn refuse_key<T>(self, message: impl Into<String>, hint: impl Into<String>) -> Read<T> {
        self.report(Problem::new(self.key, message).hint(hint))
    }

    /// Reports that the value is not what it must be.
    pub(super) fn expected<T>(self, what: &str) -> Read<T> {
        self.report(self.unexpected(what)?)
    }

    /// The same, with what to write.
    pub(super) fn expected_as<T>(self, what: &str, hint: impl Into<String>) -> Read<T> {
        self.report(self.unexpected(what)?.hint(hint))
    }

    fn unexpected(self, what: &str) -> Read<Problem> {
        let of = if self.item { "each item of " } else { "" };
        let found = match &self.node.value {
            _ if self.node.is_null() => "but is empty".to_owned(),
            Value::Scalar { text, .. } => format!("not {}", shown(text)),
            Value::List(_) => "not a list".to_owned(),
            Value::Mapping(_) => "not a mapping".to_owned(),
            Value::Refused => return Err(Refused),
        };
        Ok(Problem::new(self.place(), format!("{of}{} must be {what}, {found}", shown(self.name))))
    }

    fn report<T>(self, problem: Problem) -> Read<T> {
        self.reader.problems.add(problem);
        Err(Refused)
    }

    /// Where the value stands; what is left out has no place of its own.
    fn place(self) -> Span {
        if self.node.span.start == self.node.span.end { self.key } else { self.node.span }
    }

    /// The scalar's text as written, whatever it stands for; `None` for lists, mappings and nothing.
    pub(super) fn scalar(self) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar { text, .. } if !self.node.is_null() => Some(text),
            _ => None,
        }
    }

    /// Reads text on one line. Numbers without quotes are text as they are written: `3.10` stays `3.10`.
    pub(super) fn line(self) -> Read<&'a str> {
        let text = self.text()?;
        if text.len() > MAX_LINE {
            return self
                .refuse(format!("{} is too long", shown(self.name)), format!("at most {MAX_LINE} bytes are taken"));
        }
        if text.chars().any(is_invisible) {
            let message = format!("{} holds an invisible character: {}", shown(self.name), shown(text));
            return self.refuse(message, "write it on one line, without control or formatting characters");
        }
        Ok(text)
    }

    /// Reads text that may have several lines.
    pub(super) fn prose(self) -> Read<String> {
        let text = self.text()?;
        if text.len() > MAX_PROSE {
            return self
                .refuse(format!("{} is too long", shown(self.name)), format!("at most {MAX_PROSE} bytes are taken"));
        }
        if text.chars().any(|character| character != '\n' && character != '\t' && is_invisible(character)) {
            let message = format!("{} holds an invisible character", shown(self.name));
            return self.refuse(message, "remove control and formatting characters");
        }
        Ok(text.trim_end().to_owned())
    }

    fn text(self) -> Read<&'a str> {
        self.scalar().map_or_else(|| self.expected("text"), Ok)
    }

    /// Reads text that follows a rule.
    pub(super) fn named(self, rule: &Rule) -> Read<String> {
        let text = self.text()?;
        if (rule.accepts)(text) {
            return Ok(text.to_owned());
        }
        self.refuse(format!("{} is not a valid {}", shown(text), rule.noun), rule.hint)
    }

    /// Reads one of some words into the enum that has them.
    pub(super) fn choice<T: Deserialize<'a>>(self, choices: &[&str]) -> Read<T> {
        let text = self.text()?;
        if choices.contains(&text) {
            let deserializer: StrDeserializer<'_, ValueError> = text.into_deserializer();
            return Ok(T::deserialize(deserializer).expect("each choice names a variant"));
        }
        let meant = hints::question(&hints::meant(text, choices));
        self.refuse(format!("{} cannot be {}{meant}", shown(self.name), shown(text)), expects(choices))
    }

    /// Reads `true` or `false`.
    pub(super) fn boolean(self) -> Read<bool> {
        match &self.node.value {
            Value::Scalar { text, plain: true } if text == "true" => Ok(true),
            Value::Scalar { text, plain: true } if text == "false" => Ok(false),
            _ => self.expected("`true` or `false`"),
        }
    }

    /// Reads a whole number.
    pub(super) fn integer(self, least: u64, most: u64) -> Read<u64> {
        self.integer_or(least, most, "")
    }

    /// The same; `or` says what else the value may be.
    pub(super) fn integer_or(self, least: u64, most: u64, or: &str) -> Read<u64> {
        let integer = match &self.node.value {
            Value::Scalar { text, plain: true } => text.parse().ok().filter(|number| (least..=most).contains(number)),
            _ => None,
        };
        integer.map_or_else(|| self.expected(&format!("a whole number from {least} to {most}{or}")), Ok)
    }

    /// Reads a finite number.
    pub(super) fn number(self) -> Read<f64> {
        let number = match &self.node.value {
            Value::Scalar { text, plain: true } => number(text),
            _ => None,
        };
        number.map_or_else(|| self.expected("a number"), Ok)
    }

    /// Opens a list.
    pub(super) fn items(self) -> Read<impl Iterator<Item = Cursor<'a>>> {
        match &self.node.value {
            Value::List(nodes) => Ok(self.each(nodes)),
            _ => self.expected("a list"),
        }
    }

    /// Opens a list of texts; a text alone is a list of one.
    pub(super) fn texts(self) -> Read<impl Iterator<Item = Cursor<'a>>> {
        match &self.node.value {
            Value::List(nodes) => Ok(self.each(nodes)),
            _ if self.scalar().is_some() => Ok(self.each(slice::from_ref(self.node))),
            _ => self.expected("a list"),
        }
    }

    fn each(self, nodes: &'a [Node]) -> impl Iterator<Item = Cursor<'a>> {
        nodes.iter().map(move |node| Cursor { node, key: node.span, item: true, ..self })
    }

    /// Opens a mapping with names of the user's: gives each name and its value, in order; wrong names are reported.
    pub(super) fn names(self, rule: &'a Rule) -> Read<impl Iterator<Item = (&'a str, Cursor<'a>)>> {
        let Value::Mapping(entries) = &self.node.value else {
            return self.expected_as(&format!("a mapping whose keys are {}s", rule.noun), hints::example(self.name));
        };
        Ok(entries.iter().map(move |entry| {
            let cursor = Cursor::entry(self.reader, entry);
            if !(rule.accepts)(&entry.key) {
                let message = format!("{} is not a valid {}", shown(&entry.key), rule.noun);
                let _ = cursor.refuse_key::<()>(message, rule.hint);
            }
            (entry.key.as_str(), cursor)
        }))
    }

    /// Opens a mapping with fixed keys; unknown and missing ones are reported here.
    pub(super) fn fields(self, keys: &'static [Key]) -> Read<Fields<'a>> {
        let Value::Mapping(entries) = &self.node.value else {
            return self.expected_as("a mapping", self.takes(keys));
        };
        let unknown = entries.iter().filter(|entry| keys.iter().all(|key| key.name != entry.key));
        let meant: Vec<&str> = unknown.filter_map(|entry| self.unknown(entry, keys)).collect();
        for key in keys.iter().filter(|key| key.required && !meant.contains(&key.name)) {
            if entries.iter().all(|entry| entry.key != key.name) {
                let message = format!("missing field `{}` in {}", key.name, shown(self.name));
                let hint = match key.form {
                    Form::Choice([only]) => format!("add `{}: {only}`", key.name),
                    _ => format!("add `{}`: {}", key.name, phrase(key.about)),
                };
                let _ = self.refuse_key::<()>(message, hint);
            }
        }
        Ok(Fields { reader: self.reader, entries, keys })
    }

    /// Reports an unknown key, and gives the one that was likely meant.
    fn unknown(self, entry: &Entry, keys: &'static [Key]) -> Option<&'static str> {
        let message = format!("unknown field {}", shown(&entry.key));
        if let Some(sentence) = hints::elsewhere(&entry.key) {
            self.reader.problems.add(Problem::new(entry.span, message).hint(sentence));
            return None;
        }
        let names: Vec<&'static str> = keys.iter().map(|key| key.name).collect();
        let meant = hints::meant(&entry.key, &names);
        let problem = Problem::new(entry.span, message + &hints::question(&meant));
        self.reader.problems.add(problem.hint(self.takes(keys)));
        meant.first().copied()
    }

    fn takes(self, keys: &[Key]) -> String {
        format!("{} takes {}", shown(self.name), list(keys.iter().map(|key| key.name)))
    }

    /// The value of one key, where this is a mapping that has it.
    pub(super) fn peek(self, name: &str) -> Option<Cursor<'a>> {
        match &self.node.value {
            Value::Mapping(entries) => {
                entries.iter().find(|entry| entry.key == name).map(|entry| Cursor::entry(self.reader, entry))
            }
            _ => None,
        }
    }
}

/// A mapping with fixed keys, whose values are about to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    reader: &'a Reader<'a>,
    entries: &'a [Entry],
    keys: &'static [Key],
}

impl<'a> Fields<'a> {
    /// The value of a key, where it is there.
    pub(super) fn find(&self, name: &str) -> Option<Cursor<'a>> {
        debug_assert!(self.keys.iter().any(|key| key.name == name), "`{name}` is not in the vocabulary");
        self.entries.iter().find(|entry| entry.key == name).map(|entry| Cursor::entry(self.reader, entry))
    }

    /// Reads a key that must be there; that it is missing was reported when the mapping was opened.
    pub(super) fn required<T>(&self, name: &str, read: impl FnOnce(Cursor<'a>) -> Read<T>) -> Read<T> {
        self.find(name).map_or(Err(Refused), read)
    }

    /// Reads a key that may be left out.
    pub(super) fn optional<T>(&self, name: &str, read: impl FnOnce(Cursor<'a>) -> Read<T>) -> Read<Option<T>> {
        match self.find(name) {
            Some(cursor) => read(cursor).map(Some),
            None => Ok(None),
        }
    }

    /// Reads a key that stands for `default` when it is left out.
    pub(super) fn or<T>(&self, name: &str, default: T, read: impl FnOnce(Cursor<'a>) -> Read<T>) -> Read<T> {
        self.optional(name, read).map(|value| value.unwrap_or(default))
    }
}

/// Collects values once all were read, if none was refused.
pub(super) fn all<T, C: FromIterator<T>>(values: impl Iterator<Item = Read<T>>) -> Read<C> {
    let values: Vec<Read<T>> = values.collect();
    values.into_iter().collect()
}

/// Parses a number in YAML's core schema, without infinities.
pub(super) fn number(text: &str) -> Option<f64> {
    let numeric = text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|number: &f64| numeric && number.is_finite())
}

fn expects(choices: &[&str]) -> String {
    format!("expected {}", alternatives(choices.iter().copied()))
}

/// Lists words for a sentence: `a`, `b`.
pub(super) fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Turns a sentence into the part of another one.
fn phrase(sentence: &str) -> String {
    let mut rest = sentence.trim_end_matches('.').chars();
    rest.next().map(|first| first.to_lowercase().chain(rest).collect()).unwrap_or_default()
}
