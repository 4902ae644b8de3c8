//! Writes answers as they come, in the order of the rows: CSV, a JSON array, JSON lines, or as they are.

use std::io::Write;

use serde_json::Value;

use super::error::CallError;
use super::operation::{Column, Form};
use super::send::Answer;
use crate::fs;

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values; a table's columns are named in the first line.
    Csv,
    /// One JSON array.
    Json,
    /// A JSON value a line.
    Lines,
    /// Texts and files as they are.
    Raw,
}

/// Writes answers.
pub struct Writer<'a> {
    /// What the output is called in messages.
    name: &'a str,
    output: Box<dyn Write + 'a>,
    format: Format,
    form: &'a Form,
    is_begun: bool,
}

impl<'a> Writer<'a> {
    /// Writes what `form` describes to `output`, called `name`.
    pub fn new(name: &'a str, output: Box<dyn Write + 'a>, format: Format, form: &'a Form) -> Result<Self, CallError> {
        let fits = match form {
            Form::Table(_) | Form::Tensor { rows: true } => format != Format::Raw,
            Form::Binary => format == Format::Raw,
            Form::Text => format != Format::Csv,
            Form::Json | Form::Tensor { rows: false } => matches!(format, Format::Json | Format::Lines),
        };
        if !fits {
            return Err(CallError::Form(
                "the endpoint's answers cannot be written so: choose another `--output-format`".to_owned(),
            ));
        }
        Ok(Self { name, output, format, form, is_begun: false })
    }

    /// Writes the answers to a batch.
    pub(super) fn write(&mut self, answer: Answer) -> Result<(), CallError> {
        let mut bytes = Vec::new();
        match answer {
            Answer::Bytes(content) => bytes = content,
            Answer::Value(Value::String(text)) if self.format == Format::Raw => {
                bytes.extend(format!("{text}\n").bytes());
            }
            Answer::Value(value) => self.add(&mut bytes, &[value]),
            Answer::Rows(rows) => self.add(&mut bytes, &rows),
        }
        self.put(&bytes)
    }

    /// Ends the output.
    pub fn finish(mut self) -> Result<(), CallError> {
        if self.format == Format::Json {
            self.put(if self.is_begun { b"\n]\n" } else { b"[]\n" })?;
        }
        self.output.flush().map_err(fs::Error::wrap("write", self.name))?;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        Ok(self.output.write_all(bytes).map_err(fs::Error::wrap("write", self.name))?)
    }

    fn add(&mut self, bytes: &mut Vec<u8>, values: &[Value]) {
        if self.format == Format::Csv {
            self.add_csv(bytes, values);
            return;
        }
        for value in values {
            let between = match (self.format, self.is_begun) {
                (Format::Json, false) => "[\n",
                (Format::Json, true) => ",\n",
                _ => "",
            };
            let after = if self.format == Format::Json { "" } else { "\n" };
            bytes.extend(format!("{between}{value}{after}").bytes());
            self.is_begun = true;
        }
    }

    fn add_csv(&mut self, bytes: &mut Vec<u8>, rows: &[Value]) {
        let columns: &[Column] = if let Form::Table(columns) = self.form { columns } else { &[] };
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(bytes);
        let mut put = |cells: Vec<String>| writer.write_record(cells).expect("memory can be written to");
        if !self.is_begun && !columns.is_empty() {
            put(columns.iter().map(|column| column.name.clone()).collect());
        }
        self.is_begun = true;
        for row in rows {
            put(match row {
                Value::Array(cells) => cells.iter().map(cell).collect(),
                row => columns.iter().map(|column| cell(&row[column.name.as_str()])).collect(),
            });
        }
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::operation::Kind;
    use super::*;

    fn write(format: Format, form: &Form, answers: Vec<Answer>) -> String {
        let mut output = Vec::new();
        let mut writer = Writer::new("output", Box::new(&mut output), format, form).unwrap();
        for answer in answers {
            writer.write(answer).unwrap();
        }
        writer.finish().unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn tables_are_written_in_the_contracts_order() {
        let column = |name: &str| Column { name: name.to_owned(), kind: Kind::Text, nullable: true, required: true };
        let form = Form::Table(vec![column("z"), column("a")]);
        let answers =
            || vec![Answer::Rows(vec![json!({"a": 1, "z": "x, y"})]), Answer::Rows(vec![json!({"a": null, "z": "q"})])];
        assert_eq!(write(Format::Csv, &form, answers()), "z,a\n\"x, y\",1\nq,\n");
        let rows: Value = serde_json::from_str(&write(Format::Json, &form, answers())).unwrap();
        assert_eq!(rows, json!([{"a": 1, "z": "x, y"}, {"a": null, "z": "q"}]));
        assert_eq!(write(Format::Lines, &form, answers()).lines().count(), 2);
        assert_eq!(write(Format::Json, &form, Vec::new()), "[]\n");
    }

    #[test]
    fn tensors_texts_and_files_are_written_too() {
        let tensor = vec![Answer::Rows(vec![json!([1, 2.5]), json!([3, 4])])];
        assert_eq!(write(Format::Csv, &Form::Tensor { rows: true }, tensor), "1,2.5\n3,4\n");
        assert_eq!(write(Format::Raw, &Form::Text, vec![Answer::Value(json!("so"))]), "so\n");
        assert_eq!(write(Format::Lines, &Form::Json, vec![Answer::Value(json!({"a": 1}))]), "{\"a\":1}\n");
        assert_eq!(write(Format::Raw, &Form::Binary, vec![Answer::Bytes(b"png".to_vec())]), "png");
    }
}
