//! Values of the user's: plain JSON, and values that must fit a column.

use serde_json::{Number, Value as Json};

use super::document::{Node, Value};
use super::reader::{Cursor, Read, number};
use crate::service::pattern::Pattern;
use crate::service::{Column, ColumnType};

/// Returns the JSON value that a node stands for, by YAML's core schema.
pub(super) fn json(node: &Node) -> Json {
    match &node.value {
        Value::List(items) => items.iter().map(json).collect(),
        Value::Mapping(entries) => entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect(),
        Value::Scalar { text, plain: false } => Json::from(text.as_str()),
        Value::Refused => Json::Null,
        Value::Scalar { .. } if node.is_null() => Json::Null,
        Value::Scalar { text, .. } => match text.as_str() {
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            _ => plain_number(text).map_or_else(|| Json::from(text.as_str()), Json::Number),
        },
    }
}

fn plain_number(text: &str) -> Option<Number> {
    let integer = text.strip_prefix('+').unwrap_or(text);
    let whole = integer.parse::<i64>().map(Number::from).or_else(|_| integer.parse::<u64>().map(Number::from));
    whole.ok().or_else(|| number(text).and_then(Number::from_f64))
}

/// Reads a value of a column's type.
pub(super) fn typed(cursor: Cursor<'_>, kind: ColumnType) -> Read<Json> {
    let value = json(cursor.node);
    let fits = match kind {
        ColumnType::String | ColumnType::Category => value.is_string(),
        ColumnType::Integer => value.is_i64(),
        ColumnType::Number => value.is_number(),
        ColumnType::Boolean => value.is_boolean(),
        ColumnType::Date => value.as_str().is_some_and(is_date),
        ColumnType::Datetime => value.as_str().is_some_and(is_datetime),
    };
    if fits {
        return Ok(value);
    }
    let quoted = value.is_number() || value.is_boolean();
    cursor.expected(match kind {
        ColumnType::String | ColumnType::Category if quoted => "text (put it in quotes)",
        ColumnType::String | ColumnType::Category => "text",
        ColumnType::Integer => "a whole number of 64 bits",
        ColumnType::Number => "a number",
        ColumnType::Boolean => "`true` or `false`",
        ColumnType::Date => "a date such as `2026-11-23`",
        ColumnType::Datetime => "a moment such as `2026-11-23T16:09:31Z`",
    })
}

/// Reads a value that a row could have in this column: of its type, and within its limits.
pub(super) fn fitting(cursor: Cursor<'_>, column: &Column) -> Read<Json> {
    if cursor.node.is_null() {
        if column.nullable {
            return Ok(Json::Null);
        }
        return cursor.refuse("the column is not nullable", "write `nullable: true` if a value may be missing");
    }
    let value = typed(cursor, column.kind)?;
    let broken = if !column.choices.is_empty() && !column.choices.contains(&value) {
        "`enum`"
    } else if value.as_f64().zip(column.minimum).is_some_and(|(value, minimum)| value < minimum) {
        "`minimum`"
    } else if value.as_f64().zip(column.maximum).is_some_and(|(value, maximum)| value > maximum) {
        "`maximum`"
    } else if value.as_str().zip(column.max_length).is_some_and(|(text, most)| text.chars().count() as u64 > most) {
        "`maxLength`"
    } else if value.as_str().zip(column.pattern.as_deref()).is_some_and(|(text, pattern)| !matches(text, pattern)) {
        "`pattern`"
    } else {
        return Ok(value);
    };
    cursor.refuse(format!("the value does not fit the column's {broken}"), "a row with it would be refused")
}

/// Whether a text matches a column's pattern, which has been checked.
fn matches(text: &str, pattern: &str) -> bool {
    Pattern::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

/// Whether a text is a day of the Gregorian calendar: `2026-11-23` (RFC 3339, `full-date`).
pub(super) fn is_date(text: &str) -> bool {
    let Some((year, rest)) = text.split_once('-') else { return false };
    let Some((month, day)) = rest.split_once('-') else { return false };
    let (Some(year), Some(month), Some(day)) = (digits(year, 4), digits(month, 2), digits(day, 2)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    (1..=12).contains(&month) && (1..=days).contains(&day)
}

/// Whether a text is a moment: `2026-11-23T16:09:31Z` (RFC 3339, `date-time`).
pub(super) fn is_datetime(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't', ' ']) else { return false };
    let Some(zone) = time.find(['Z', 'z', '+', '-']) else { return false };
    let (time, zone) = time.split_at(zone);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let seconds = time
        .rsplit_once(':')
        .is_some_and(|(clock, seconds)| is_clock(clock) && digits(seconds, 2).is_some_and(|s| s <= 60));
    let fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_date(date) && seconds && fraction && (zone.eq_ignore_ascii_case("z") || is_clock(&zone[1..]))
}

fn is_clock(text: &str) -> bool {
    text.split_once(':').is_some_and(|(hours, minutes)| {
        digits(hours, 2).is_some_and(|hours| hours < 24) && digits(minutes, 2).is_some_and(|minutes| minutes < 60)
    })
}

fn digits(text: &str, count: usize) -> Option<u32> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_calendar() {
        for date in ["2026-11-23", "2024-02-29", "2000-02-29"] {
            assert!(is_date(date), "{date}");
        }
        for date in
            ["2026-02-29", "1900-02-29", "2026-13-01", "2026-1-1", "2026-04-31", "26-01-01", "2026-00-10", "+026-01-01"]
        {
            assert!(!is_date(date), "{date}");
        }
    }

    #[test]
    fn knows_moments() {
        for moment in ["2026-11-23T16:09:31Z", "2026-11-23T16:09:31.250+02:00", "2016-12-31 23:59:60z"] {
            assert!(is_datetime(moment), "{moment}");
        }
        for moment in [
            "2026-11-23",
            "2026-11-23T16:09Z",
            "2026-11-23T16:09:31",
            "2026-11-23T24:00:00Z",
            "2026-11-23T16:09:31.Z",
            "2026-11-23T16:09:31+2",
        ] {
            assert!(!is_datetime(moment), "{moment}");
        }
    }
}
