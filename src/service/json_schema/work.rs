//! What it costs to hold a value against a schema, in steps: about as many as there are schemas, elements and pieces of text to look at.

use serde_json::Value;

use super::node::{Assertion, Properties};

/// The steps that one request may take, and how many more for each step that it takes to look at its value once.
const MAX_STEPS: u64 = 1 << 20;
const MAX_STEPS_EACH: u64 = 1 << 8;
/// How many bytes of text one step is good for.
const TEXT: u64 = 64;

/// Returns how many steps may be taken for a value.
pub(super) fn budget(value: &Value) -> u64 {
    MAX_STEPS.saturating_add(MAX_STEPS_EACH.saturating_mul(of_value(value)))
}

/// The steps for a value and all that is in it.
fn of_value(value: &Value) -> u64 {
    match value {
        Value::String(text) => of_text(text),
        Value::Array(items) => 1 + items.iter().map(of_value).sum::<u64>(),
        Value::Object(members) => {
            1 + members.iter().map(|(name, member)| name.len() as u64 / TEXT + of_value(member)).sum::<u64>()
        }
        _ => 1,
    }
}

/// The steps for a text.
pub(super) fn of_text(text: &str) -> u64 {
    1 + text.len() as u64 / TEXT
}

/// How many elements or members a value has.
pub(super) fn length(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => 0,
    }
}

impl Assertion {
    /// The steps that it takes beyond the one of its schema.
    pub(super) fn work(&self, value: &Value) -> u64 {
        match (self, value) {
            (Self::Pattern(_) | Self::Format(_) | Self::Length { .. } | Self::Choice { .. }, Value::String(text)) => {
                of_text(text)
            }
            // Lists are put in order, whatever their elements are.
            (Self::UniqueItems, Value::Array(_)) => of_value(value),
            (Self::Choice { .. }, value) => length(value) as u64,
            _ => 0,
        }
    }
}

impl Properties {
    /// The steps that it takes to find the schemas of a member.
    pub(super) fn work(&self, name: &str) -> u64 {
        1 + self.patterns.len() as u64 * of_text(name)
    }
}
