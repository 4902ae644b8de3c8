//! Comma-separated values (RFC 4180) with a header, as pandas writes them. Empty fields are missing values, except that a column of
//! texts which must not be missing takes the empty text.

use std::borrow::Cow;

use crate::server::contract::{Rule, Schema};
use crate::server::data::Table;
use crate::server::failure::{Code, Failure};
use crate::server::render::{self, Cell};
use crate::server::validate::{Dialect, TableReader};
use crate::service::ColumnType;

/// How many columns a table may have here, with those that the model does not know.
const MAX_COLUMNS: usize = 1 << 16;

/// Reads a table.
pub(super) fn read(schema: &Schema, dialect: Dialect, body: &[u8]) -> Result<Table, Failure> {
    let text = std::str::from_utf8(body).map_err(|_| malformed("the body is not UTF-8"))?;
    let mut records = Records(text.strip_prefix('\u{feff}').unwrap_or(text));
    let header = records.next(MAX_COLUMNS)?.ok_or_else(|| malformed("the body has no header"))?;
    if header.len() > MAX_COLUMNS {
        return Err(malformed(&format!("the body has more than {MAX_COLUMNS} columns")));
    }
    let names: Vec<String> = header.into_iter().map(Cow::into_owned).collect();
    let rules: Vec<Option<&Rule>> =
        names.iter().enumerate().map(|(guess, name)| Some(&schema.rules[schema.position(name, guess)?])).collect();
    let mut rows = b"[".to_vec();
    while let Some(record) = records.next(names.len())? {
        if rows.len() > 1 {
            rows.push(b',');
        }
        render::list(&mut rows, *b"[]", record.into_iter().enumerate(), |rows, (position, text)| {
            write(rows, rules.get(position).copied().flatten(), &text);
        });
    }
    rows.push(b']');
    let rows = String::from_utf8(rows).expect("JSON is UTF-8");
    TableReader::new(schema, dialect).rows("", &rows, Some(&names))
}

/// Writes a table; missing values are empty fields.
pub(super) fn write_table(schema: &Schema, table: &Table) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + table.rows * table.columns.len() * 12);
    let mut line = |fields: &mut dyn Iterator<Item = String>| {
        out.extend_from_slice(fields.collect::<Vec<_>>().join(",").as_bytes());
        out.extend_from_slice(b"\r\n");
    };
    line(&mut schema.rules.iter().map(|rule| quoted(&rule.name)));
    let mut cells = render::cells(schema, table);
    for _ in 0..table.rows {
        line(&mut cells.iter_mut().map(|cells| field(cells.next().expect("every column has a value for every row"))));
    }
    out
}

fn field(cell: Cell<'_>) -> String {
    match cell {
        Cell::Missing => String::new(),
        Cell::Text(text) => quoted(text),
        Cell::Integer(number) => number.to_string(),
        // As JSON has it, which keeps the point of `1.0`.
        Cell::Number(number) => {
            serde_json::Number::from_f64(number).map(|number| number.to_string()).unwrap_or_default()
        }
        Cell::Boolean(value) => value.to_string(),
        Cell::Time(text) => text,
    }
}

fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

fn malformed(message: &str) -> Failure {
    Failure::new(Code::MalformedBody, message)
}

/// Writes a field as what its column takes; what is none stays a text, which the column then refuses.
fn write(out: &mut Vec<u8>, rule: Option<&Rule>, text: &str) {
    let Some(rule) = rule else { return render::scalar(out, ()) };
    if text.is_empty() && (rule.nullable || rule.kind != ColumnType::String) {
        return render::scalar(out, ());
    }
    let number = || text.trim().parse().ok().filter(|number: &f64| number.is_finite());
    match rule.kind {
        ColumnType::Integer if let Ok(number) = text.trim().parse::<i64>() => render::scalar(out, number),
        ColumnType::Integer | ColumnType::Number if let Some(number) = number() => render::scalar(out, number),
        ColumnType::Boolean if text.eq_ignore_ascii_case("true") => render::scalar(out, true),
        ColumnType::Boolean if text.eq_ignore_ascii_case("false") => render::scalar(out, false),
        _ => render::scalar(out, text),
    }
}

/// The records that are left.
struct Records<'a>(&'a str);

impl<'a> Records<'a> {
    /// Returns the next record; empty lines are none. Of more fields than there may be, one is kept.
    fn next(&mut self, most: usize) -> Result<Option<Vec<Cow<'a, str>>>, Failure> {
        self.0 = self.0.trim_start_matches(['\r', '\n']);
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut fields = Vec::new();
        loop {
            let field = self.field()?;
            if fields.len() <= most {
                fields.push(field);
            }
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
        while let Some(record) = records.next(3)? {
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
    fn of_too_many_fields_one_is_kept_so_that_they_are_too_many() {
        let found = records(&format!("a,b,c{}\nd", ",".repeat(1_000))).unwrap();
        assert_eq!((found[0].len(), found[1].len()), (4, 1));
    }

    #[test]
    fn broken_quotes_are_refused() {
        for text in ["\"a", "\"a\"b,c", "\"\"\""] {
            assert_eq!(records(text).unwrap_err().code, Code::MalformedBody, "{text}");
        }
    }
}
