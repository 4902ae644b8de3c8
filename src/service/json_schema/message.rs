//! What people are told. Values of the schema are the contract's and may be told, those of the request never are.

use serde_json::Value;

use super::node::{Assertion, Limit, equal_items};

/// The longest list of names or choices in a message.
const MAX_LISTED: usize = 10;
/// The longest name from a request in a message or a pointer, in characters.
const MAX_NAME: usize = 100;

/// Says what a value must be that an assertion does not hold for.
pub(super) fn of(assertion: &Assertion, value: &Value) -> String {
    match (assertion, value) {
        (Assertion::Type(types), _) => format!("must be {}", list(types.words(), " or ")),
        (Assertion::Choice { listed, single: false, .. }, _) => format!("must be one of {listed}"),
        (Assertion::Choice { listed, single: true, .. }, _) => format!("must be {listed}"),
        (Assertion::Limit { kind, number }, _) => format!("must be {} {number}", words(*kind)),
        (Assertion::MultipleOf(divisor), _) => format!("must be a multiple of {divisor}"),
        (Assertion::Length { least, most }, Value::String(text)) => {
            count(text.chars().count(), *least, *most, "characters")
        }
        (Assertion::Pattern(pattern), _) => format!("must match `{pattern}`"),
        (Assertion::Format(format), _) => format!("must have the format `{}`", format.name),
        (Assertion::ItemCount { least, most }, Value::Array(items)) => count(items.len(), *least, *most, "elements"),
        (Assertion::UniqueItems, Value::Array(items)) => {
            let (one, other) = equal_items(items).unwrap_or_default();
            format!("must not have equal elements, as at {one} and {other}")
        }
        (Assertion::PropertyCount { least, most }, Value::Object(members)) => {
            count(members.len(), *least, *most, "members")
        }
        (Assertion::Required(required), Value::Object(members)) => {
            let missing = required.iter().filter(|name| !members.contains_key(*name));
            format!("must have {}", names(missing))
        }
        (Assertion::DependentRequired(rules), Value::Object(members)) => {
            let is_missing = |name: &&String| !members.contains_key(*name);
            let mut there = rules.iter().filter(|(name, _)| members.contains_key(name));
            match there.find(|(_, required)| required.iter().any(|name| is_missing(&name))) {
                Some((name, required)) => {
                    format!("must have {} beside `{name}`", names(required.iter().filter(is_missing)))
                }
                None => "must not be there".to_owned(),
            }
        }
        _ => "must not be there".to_owned(),
    }
}

/// Says which members an object must not have.
pub(super) fn closed<'a>(unknown: impl Iterator<Item = &'a String>) -> String {
    let short: Vec<String> = unknown.take(MAX_LISTED + 1).map(|name| short(name)).collect();
    format!("must not have {}", names(short.iter()))
}

/// Cuts a name from a request.
pub(super) fn short(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

/// Says how many elements of a kind there must be.
pub(super) fn contains(found: u64, least: u64, most: u64) -> String {
    if (least, most) == (1, u64::MAX) {
        return "must have an element of the kind that is asked for".to_owned();
    }
    count(found as usize, least, most, "elements of the kind that is asked for")
}

/// Joins up to [`MAX_LISTED`] words.
pub(super) fn list<T: Into<String>>(words: impl Iterator<Item = T>, between: &str) -> String {
    let mut words: Vec<String> = words.take(MAX_LISTED + 1).map(Into::into).collect();
    if words.len() > MAX_LISTED {
        words.truncate(MAX_LISTED);
        words.push("…".to_owned());
    }
    words.join(between)
}

fn words(limit: Limit) -> &'static str {
    match limit {
        Limit::Minimum => "at least",
        Limit::ExclusiveMinimum => "more than",
        Limit::Maximum => "at most",
        Limit::ExclusiveMaximum => "less than",
    }
}

fn count(found: usize, least: u64, most: u64, what: &str) -> String {
    if (found as u64) < least {
        format!("must have at least {least} {what}")
    } else {
        format!("must have at most {most} {what}")
    }
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    list(names.map(|name| format!("`{name}`")), ", ")
}
