//! Reads the input and cuts it into batches: CSV with the columns' types, JSON in all its usual forms, or bytes as they are.
//!
//! CSV and JSON lines are read as they are needed, so the input may be of any length. One JSON array is read whole.

use std::collections::VecDeque;
use std::io::{BufRead, Read};

use serde_json::de::IoRead;
use serde_json::{Map, StreamDeserializer, Value, json};

use super::cell;
use super::error::CallError;
use super::operation::{Column, Form};
use super::{Batch, Body};
use crate::fs;

/// How the input is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values; the first line names the columns.
    Csv,
    /// JSON: an array of rows, a request as the service takes it, or one row after the other (JSON lines).
    Json,
    /// The text or the bytes themselves.
    Raw,
}

/// The input, read batch by batch.
pub struct Records<'a> {
    /// What the input is called in messages.
    name: &'a str,
    form: &'a Form,
    source: Source<'a>,
}

type Input<'a> = Box<dyn BufRead + 'a>;

enum Source<'a> {
    Csv {
        rows: csv::StringRecordsIntoIter<Input<'a>>,
        /// For each place in a row, the column's number in the contract.
        places: Vec<Option<usize>>,
    },
    Json {
        values: StreamDeserializer<'a, IoRead<Input<'a>>, Value>,
        /// Rows of a value that held several.
        waiting: VecDeque<Value>,
    },
    Raw(Option<Input<'a>>),
}

impl<'a> Records<'a> {
    /// Reads `input`, called `name`, as what `form` says. Without a format it is guessed from the first character. Columns of
    /// a CSV file that the endpoint does not take are an error unless `ignore_extra` is set.
    pub fn new(
        name: &'a str,
        mut input: Input<'a>,
        format: Option<Format>,
        form: &'a Form,
        ignore_extra: bool,
    ) -> Result<Self, CallError> {
        let format = match format {
            Some(format) => format,
            None => guess(&mut input, form).map_err(fs::Error::wrap("read", name))?,
        };
        let source = match (format, form) {
            (Format::Csv, Form::Table(columns)) => {
                let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(input);
                let header = reader.headers().map_err(|error| unreadable(name, &error))?.clone();
                Source::Csv { places: places(name, &header, columns, ignore_extra)?, rows: reader.into_records() }
            }
            (Format::Csv, Form::Tensor { rows: true }) => {
                let reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(input);
                Source::Csv { places: Vec::new(), rows: reader.into_records() }
            }
            (Format::Json, form) if !matches!(form, Form::Binary) => Source::Json {
                values: serde_json::Deserializer::from_reader(input).into_iter(),
                waiting: VecDeque::new(),
            },
            (Format::Raw, Form::Text | Form::Binary) => Source::Raw(Some(input)),
            _ => return Err(CallError::Form(format!("{name}: the endpoint takes {}", takes(form)))),
        };
        Ok(Self { name, form, source })
    }

    /// Returns the next batch of at most `rows` rows, the first of which has the number `first`; `None` at the end.
    pub fn batch(&mut self, first: u64, rows: usize) -> Result<Option<Batch>, CallError> {
        let key = match self.form {
            Form::Table(_) => "rows",
            Form::Tensor { rows: true } => "tensor",
            Form::Tensor { rows: false } | Form::Json | Form::Text | Form::Binary => {
                return Ok(self.whole(first)?.map(|body| Batch { first, body }));
            }
        };
        let mut batch = Vec::new();
        while batch.len() < rows
            && let Some(row) = self.row(first + batch.len() as u64)?
        {
            batch.push(row);
        }
        Ok((!batch.is_empty()).then_some(Batch { first, body: Body::Rows { key, rows: batch } }))
    }

    /// The next value that is a request of its own.
    fn whole(&mut self, number: u64) -> Result<Option<Body>, CallError> {
        let Source::Raw(input) = &mut self.source else {
            let Some(value) = self.value(number)? else { return Ok(None) };
            let is_tensor = matches!(self.form, Form::Tensor { .. }) && value.is_array();
            return Ok(Some(Body::Value(if is_tensor { json!({ "tensor": value }) } else { value })));
        };
        let Some(mut input) = input.take() else { return Ok(None) };
        let mut content = Vec::new();
        input.read_to_end(&mut content).map_err(fs::Error::wrap("read", self.name))?;
        if *self.form == Form::Binary {
            return Ok(Some(Body::Bytes(content)));
        }
        let text = String::from_utf8(content).map_err(|_| CallError::Form(format!("{} is not UTF-8", self.name)))?;
        Ok(Some(Body::Value(Value::String(text))))
    }

    /// The next row of a table or tensor.
    fn row(&mut self, number: u64) -> Result<Option<Value>, CallError> {
        match &mut self.source {
            Source::Csv { rows, places } => {
                let Some(record) = rows.next() else { return Ok(None) };
                let record = record.map_err(|error| unreadable(self.name, &error))?;
                let line = record.position().map_or(0, csv::Position::line);
                let row = match self.form {
                    Form::Table(columns) => table_row(&record, places, columns),
                    _ => tensor_row(&record),
                };
                row.map(Some).map_err(|message| CallError::Row {
                    place: format!("{}, line {line} (row {number})", self.name),
                    message,
                })
            }
            Source::Json { .. } => loop {
                if let Source::Json { waiting, .. } = &mut self.source
                    && let Some(row) = waiting.pop_front()
                {
                    return Ok(Some(row));
                }
                let Some(value) = self.value(number)? else { return Ok(None) };
                let rows = rows_of(value);
                if let Source::Json { waiting, .. } = &mut self.source {
                    waiting.extend(rows);
                }
            },
            Source::Raw(_) => Ok(None),
        }
    }

    fn value(&mut self, number: u64) -> Result<Option<Value>, CallError> {
        let Source::Json { values, .. } = &mut self.source else { return Ok(None) };
        values.next().transpose().map_err(|error| CallError::Row {
            place: format!("{}, line {}, column {} (row {number})", self.name, error.line(), error.column()),
            message: "this is not JSON".to_owned(),
        })
    }
}

fn guess(input: &mut Input<'_>, form: &Form) -> std::io::Result<Format> {
    if matches!(form, Form::Text | Form::Binary) {
        return Ok(Format::Raw);
    }
    let start = input.fill_buf()?.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
    let is_json = matches!(form, Form::Json) || matches!(start, Some(b'{' | b'['));
    Ok(if is_json { Format::Json } else { Format::Csv })
}

fn takes(form: &Form) -> &'static str {
    match form {
        Form::Table(_) => "a table: give it CSV or JSON",
        Form::Tensor { rows: true } => "a tensor: give it JSON, or CSV of numbers alone",
        Form::Tensor { rows: false } | Form::Json => "JSON",
        Form::Text => "a text: give it the text itself, or JSON strings",
        Form::Binary => "a file: give it the file itself",
    }
}

fn unreadable(name: &str, error: &csv::Error) -> CallError {
    let line = error.position().map_or(1, csv::Position::line);
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("there are {len} cells, not {expected_len} as in the first line")
        }
        _ => error.to_string(),
    };
    CallError::Row { place: format!("{name}, line {line}"), message }
}

/// Finds each cell's column.
fn places(
    name: &str,
    header: &csv::StringRecord,
    columns: &[Column],
    ignore_extra: bool,
) -> Result<Vec<Option<usize>>, CallError> {
    let problem = |message: String| CallError::Row { place: format!("{name}, line 1"), message };
    // Some programs put a byte order mark before the first name.
    let names: Vec<&str> = header.iter().map(|name| name.trim_start_matches('\u{feff}')).collect();
    let known = || columns.iter().map(|column| format!("`{}`", column.name)).collect::<Vec<_>>().join(", ");
    let places: Vec<Option<usize>> =
        names.iter().map(|name| columns.iter().position(|column| column.name == **name)).collect();
    if let Some(missing) = columns.iter().find(|column| column.required && !names.contains(&column.name.as_str())) {
        return Err(problem(format!("the column `{}` is missing; the endpoint takes {}", missing.name, known())));
    }
    match names.iter().zip(&places).find(|(_, place)| place.is_none()) {
        Some((extra, _)) if !ignore_extra => Err(problem(format!(
            "the endpoint takes no column `{extra}` (`--ignore-extra` leaves such out), but {}",
            known()
        ))),
        _ => Ok(places),
    }
}

fn table_row(record: &csv::StringRecord, places: &[Option<usize>], columns: &[Column]) -> Result<Value, String> {
    let mut row = Map::new();
    for (text, place) in record.iter().zip(places) {
        let Some(column) = place.and_then(|place| columns.get(place)) else { continue };
        match cell::convert(column, text) {
            Ok(Some(value)) => drop(row.insert(column.name.clone(), value)),
            Ok(None) => {}
            Err(message) => return Err(format!("column `{}`: {message}", column.name)),
        }
    }
    Ok(Value::Object(row))
}

fn tensor_row(record: &csv::StringRecord) -> Result<Value, String> {
    let number = |text: &str| serde_json::from_str::<serde_json::Number>(text).map(Value::Number);
    record.iter().map(|text| number(text).map_err(|_| format!("`{text}` is not a number"))).collect()
}

/// The rows in a JSON value: of an array, of a request as the service takes it, or the value itself.
fn rows_of(value: Value) -> Vec<Value> {
    let single = |object: &Map<String, Value>, key: &str| object.len() == 1 && object.contains_key(key);
    match value {
        Value::Array(rows) => rows,
        Value::Object(mut object) if single(&object, "rows") || single(&object, "tensor") => {
            let rows = ["rows", "tensor"].iter().find_map(|key| object.remove(*key));
            match rows {
                Some(Value::Array(rows)) => rows,
                other => other.into_iter().collect(),
            }
        }
        Value::Object(object) if single(&object, "columns") => by_row(&object["columns"]),
        row => vec![row],
    }
}

/// A table by column as rows; a cell that is missing is told by the service.
fn by_row(columns: &Value) -> Vec<Value> {
    let columns: Vec<(&String, &Vec<Value>)> =
        columns.as_object().into_iter().flatten().filter_map(|(name, cells)| Some((name, cells.as_array()?))).collect();
    let count = columns.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
    let cell = |number: usize| {
        move |(name, cells): &(&String, &Vec<Value>)| Some(((*name).clone(), cells.get(number)?.clone()))
    };
    (0..count).map(|number| columns.iter().filter_map(cell(number)).collect::<Map<_, _>>().into()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::operation::Kind;
    use super::*;

    fn table() -> Form {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind, nullable: false, required: true };
        Form::Table(vec![column("name", Kind::Text), column("age", Kind::Integer)])
    }

    fn read(form: &Form, text: &str, rows: usize) -> Result<Vec<Value>, CallError> {
        let mut records = Records::new("input", Box::new(text.as_bytes()), None, form, false)?;
        let (mut bodies, mut first) = (Vec::new(), 1);
        while let Some(batch) = records.batch(first, rows)? {
            assert_eq!(batch.first, first);
            first += batch.body.rows();
            bodies.push(batch.body.json().expect("there is no file here"));
        }
        Ok(bodies)
    }

    #[test]
    fn csv_becomes_typed_rows_in_batches() {
        let bodies = read(&table(), "age,name\n1,a\n2,\"b, c\"\n3,d\n", 2).unwrap();
        let first = json!({"rows": [{"name": "a", "age": 1}, {"name": "b, c", "age": 2}]});
        assert_eq!(bodies, [first, json!({"rows": [{"name": "d", "age": 3}]})]);
    }

    #[test]
    fn json_may_be_an_array_a_request_or_lines() {
        let rows = json!([{"name": "a", "age": 1}, {"name": "b", "age": 2}]);
        let columns = json!({"columns": {"name": ["a", "b"], "age": [1, 2]}});
        let lines = format!("{}\n{}\n", rows[0], rows[1]);
        for text in [rows.to_string(), json!({ "rows": rows }).to_string(), columns.to_string(), lines] {
            assert_eq!(read(&table(), &text, 10).unwrap(), [json!({ "rows": rows })], "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let cases = [
            ("name,age\na,1\nb,x\n", "input, line 3 (row 2): column `age`: `x` is not a whole number"),
            ("name,age\na\n", "input, line 2: there are 1 cells, not 2 as in the first line"),
            ("name\na\n", "input, line 1: the column `age` is missing; the endpoint takes `name`, `age`"),
            ("{\"name\": \"a\"}\n{name\n", "input, line 2, column 2 (row 2): this is not JSON"),
        ];
        for (text, message) in cases {
            assert_eq!(read(&table(), text, 10).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn tensors_and_values_go_as_they_are() {
        let tensor = Form::Tensor { rows: true };
        assert_eq!(read(&tensor, "1,2.5\n3,4\n", 10).unwrap(), [json!({"tensor": [[1, 2.5], [3, 4]]})]);
        assert_eq!(read(&tensor, "[[1], [2]]", 1).unwrap(), [json!({"tensor": [[1]]}), json!({"tensor": [[2]]})]);
        assert_eq!(read(&Form::Tensor { rows: false }, "[1, 2]", 1).unwrap(), [json!({"tensor": [1, 2]})]);
        assert_eq!(read(&Form::Json, "{\"a\": 1}\n2\n", 9).unwrap(), [json!({"a": 1}), json!(2)]);
        assert_eq!(read(&Form::Text, "some text", 9).unwrap(), [json!("some text")]);
    }
}
