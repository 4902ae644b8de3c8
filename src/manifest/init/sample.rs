//! Learns the columns of a table from the first rows of a CSV file (RFC 4180; also with `;` or tabs).

use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use crate::manifest::{endpoints, names, reader, values};
use crate::service::{Column, ColumnType};

/// How much of the file is looked at, in bytes and rows.
const MAX_BYTES: u64 = 256 << 10;
const MAX_ROWS: usize = 1000;
/// What people write where a value is missing.
const MISSING: &[&str] = &["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"];

/// Returns the columns with the types, gaps and first values that the rows show; `None` if it is no such file.
pub(super) fn columns(path: &Path) -> Option<Vec<Column>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    let cut =
        if bytes.len() as u64 == MAX_BYTES { bytes.iter().rposition(|byte| *byte == b'\n')? } else { bytes.len() };
    learn(std::str::from_utf8(&bytes[..cut]).ok()?.trim_start_matches('\u{feff}'))
}

fn learn(text: &str) -> Option<Vec<Column>> {
    let separator = separator(text.lines().next()?);
    let rows = records(text, separator);
    let (header, rows) = rows.split_first()?;
    let mut columns: Vec<Column> = Vec::new();
    for (at, name) in header.iter().enumerate() {
        // Data frames write their row numbers as a first column without a name.
        if at == 0 && name.is_empty() {
            continue;
        }
        if !(names::COLUMN.accepts)(name) || columns.iter().any(|column| column.name == *name) {
            return None;
        }
        let cells: Vec<&str> = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.trim()).collect();
        columns.push(column(name, &cells));
    }
    (!columns.is_empty()).then_some(columns)
}

fn column(name: &str, cells: &[&str]) -> Column {
    let present: Vec<&str> = cells.iter().filter(|cell| !MISSING.contains(cell)).copied().collect();
    let kind = kind(&present);
    let example = present.first().and_then(|cell| value(cell, kind));
    Column { nullable: present.len() < cells.len(), example, ..endpoints::bare(name, kind) }
}

fn kind(cells: &[&str]) -> ColumnType {
    const KINDS: [ColumnType; 5] =
        [ColumnType::Integer, ColumnType::Number, ColumnType::Boolean, ColumnType::Date, ColumnType::Datetime];
    let fits = |kind: &ColumnType| !cells.is_empty() && cells.iter().all(|cell| value(cell, *kind).is_some());
    KINDS.into_iter().find(fits).unwrap_or(ColumnType::String)
}

/// Returns the cell as a value of a type, if it is one.
fn value(cell: &str, kind: ColumnType) -> Option<Value> {
    // `007` is a code and not a number.
    let padded = cell.len() > 1 && cell.starts_with('0') && cell.bytes().all(|byte| byte.is_ascii_digit());
    match kind {
        ColumnType::Integer if !padded => cell.parse::<i64>().ok().map(Value::from),
        ColumnType::Number if !padded => reader::number(cell).map(Value::from),
        ColumnType::Integer | ColumnType::Number => None,
        ColumnType::Boolean => match cell.to_ascii_lowercase().as_str() {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            _ => None,
        },
        ColumnType::Date => values::is_date(cell).then(|| Value::from(cell)),
        ColumnType::Datetime => values::is_datetime(cell).then(|| Value::from(cell)),
        ColumnType::String | ColumnType::Category => Some(Value::from(cell)),
    }
}

fn separator(header: &str) -> char {
    let count = |separator: &char| header.matches(*separator).count();
    [',', ';', '\t'].into_iter().rev().max_by_key(count).unwrap_or(',')
}

fn records(text: &str, separator: char) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let cell = row.last_mut().expect("a row has a cell from the start");
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            '\r' if !quoted => {}
            '\n' if !quoted => {
                rows.push(std::mem::replace(&mut row, vec![String::new()]));
                if rows.len() > MAX_ROWS {
                    return rows;
                }
            }
            _ if character == separator && !quoted => row.push(String::new()),
            _ => cell.push(character),
        }
    }
    if row.len() > 1 || !row[0].is_empty() {
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(String, ColumnType, bool)> {
        learn(text).unwrap().into_iter().map(|column| (column.name, column.kind, column.nullable)).collect()
    }

    #[test]
    fn learns_types_and_gaps() {
        let text = "n,x,ok,day,at,code,name\r\n1,1,true,2026-01-01,2026-01-01T00:00:00Z,007,\"a, \"\"b\"\"\"\r\n,2.5,False,2026-01-02,2026-01-01T00:00:00Z,008,\"c\nd\"\r\n";
        let expected = [
            ("n", ColumnType::Integer, true),
            ("x", ColumnType::Number, false),
            ("ok", ColumnType::Boolean, false),
            ("day", ColumnType::Date, false),
            ("at", ColumnType::Datetime, false),
            ("code", ColumnType::String, false),
            ("name", ColumnType::String, false),
        ];
        assert_eq!(kinds(text), expected.map(|(name, kind, nullable)| (name.to_owned(), kind, nullable)));
        assert_eq!(learn(text).unwrap()[6].example, Some(Value::from("a, \"b\"")));
    }

    #[test]
    fn takes_other_separators_and_skips_row_numbers() {
        assert_eq!(kinds(";a;b\n1;2;x\n").len(), 2);
        assert_eq!(kinds("a\tb\n1\t2\n").len(), 2);
    }

    #[test]
    fn leaves_files_alone_that_it_cannot_use() {
        for text in ["", "\n1,2\n", "a,a\n1,2\n", "a,\u{202e}b\n1,2\n"] {
            assert!(learn(text).is_none(), "{text:?}");
        }
    }
}
