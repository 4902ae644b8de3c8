//! Comma-separated values (RFC 4180) with a header, as pandas writes them. Empty fields are missing values, except that a column of
//! texts which must not be missing takes the empty text.

use std::borrow::Cow;

use serde_json::Value;

use crate::server::contract::{Rule, Schema};
use crate::server::data::Table;
use crate::server::failure::{Code, Failure};
use crate::server::validate::{Dialect, TableReader};
use crate::service::ColumnType;

/// Reads a table.
pub(super) fn read(schema: &Schema, dialect: Dialect, body: &[u8]) -> Result<Table, Failure> {
    let text = std::str::from_utf8(body).map_err(|_| malformed("the body is not UTF-8"))?;
    let mut records = Records(text.strip_prefix('\u{feff}').unwrap_or(text));
    let header = records.next()?.ok_or_else(|| malformed("the body has no header"))?;
    let names: Vec<String> = header.into_iter().map(Cow::into_owned).collect();
    let rules: Vec<Option<&Rule>> =
        names.iter().enumerate().map(|(guess, name)| Some(&schema.rules[schema.position(name, guess)?])).collect();
    let mut rows = Vec::new();
    while let Some(record) = records.next()? {
        let values = record.into_iter().enumerate();
        let row = values.map(|(position, text)| value(rules.get(position).copied().flatten(), text)).collect();
        rows.push(Value::Array(row));
    }
    TableReader::new(schema, dialect).rows("", &Value::Array(rows).to_string(), Some(&names))
}

fn malformed(message: &str) -> Failure {
    Failure::new(Code::MalformedBody, message)
}

/// Turns a field into what its column takes; what cannot be turned stays a text, which the column then refuses.
fn value(rule: Option<&Rule>, text: Cow<'_, str>) -> Value {
    let Some(rule) = rule else { return Value::Null };
    if text.is_empty() && (rule.nullable || rule.kind != ColumnType::String) {
        return Value::Null;
    }
    let number = |text: &str| text.trim().parse().ok().and_then(serde_json::Number::from_f64).map(Value::Number);
    let found = match rule.kind {
        ColumnType::Number => number(&text),
        ColumnType::Integer => text.trim().parse().ok().map(|number: i64| number.into()).or_else(|| number(&text)),
        ColumnType::Boolean if text.eq_ignore_ascii_case("true") => Some(true.into()),
        ColumnType::Boolean if text.eq_ignore_ascii_case("false") => Some(false.into()),
        _ => None,
    };
    found.unwrap_or_else(|| Value::String(text.into_owned()))
}

/// The records that are left.
struct Records<'a>(&'a str);

impl<'a> Records<'a> {
    /// Returns the next record; empty lines are none.
    fn next(&mut self) -> Result<Option<Vec<Cow<'a, str>>>, Failure> {
        self.0 = self.0.trim_start_matches(['\r', '\n']);
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut fields = Vec::new();
        loop {
            fields.push(self.field()?);
            if let Some(rest) = self.0.strip_prefix(',') {
                self.0 = rest;
                continue;
            }
            return Ok(Some(fields));
        }
    }

    /// Takes a field; what is left begins with what ends it.
    fn field(&mut self) -> Result<Cow<'a, str>, Failure> {
        let Some(mut rest) = self.0.strip_prefix('"') else {
            let end = self.0.find([',', '\r', '\n']).unwrap_or(self.0.len());
            let (field, rest) = self.0.split_at(end);
            self.0 = rest;
            return Ok(Cow::Borrowed(field));
        };
        let mut field = String::new();
        loop {
            let (text, after) = rest.split_once('"').ok_or_else(|| malformed("a quote is not closed"))?;
            field.push_str(text);
            match after.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    rest = after;
                }
                None if after.is_empty() || after.starts_with([',', '\r', '\n']) => {
                    self.0 = after;
                    return Ok(Cow::Owned(field));
                }
                None => return Err(malformed("something follows a closed quote")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Result<Vec<Vec<String>>, Failure> {
        let mut records = Records(text);
        let mut found = Vec::new();
        while let Some(record) = records.next()? {
            found.push(record.into_iter().map(Cow::into_owned).collect());
        }
        Ok(found)
    }

    #[test]
    fn fields_may_be_quoted_and_hold_anything_then() {
        let found = records("a,\"b,\"\"\r\nc\",\r\n\n,x\n\"\"").unwrap();
        assert_eq!(found, [vec!["a", "b,\"\r\nc", ""], vec!["", "x"], vec![""]]);
    }

    #[test]
    fn broken_quotes_are_refused() {
        for text in ["\"a", "\"a\"b,c", "\"\"\""] {
            assert_eq!(records(text).unwrap_err().code, Code::MalformedBody, "{text}");
        }
    }
}
