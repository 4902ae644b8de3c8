//! The two forms of a table: `{"rows": [{column: value, …}, …]}` and `{"columns": {column: [value, …], …}}`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::cell::Cell;
use super::{Problems, pointer};
use crate::server::contract::Schema;
use crate::server::data::{Column, Table};

/// Which way round a table was sent; the answer goes the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// A list of objects.
    Rows,
    /// An object of lists.
    Columns,
}

/// The whole body; yields `None` where problems left no table.
pub(super) struct Body<'a> {
    pub(super) schema: &'a Schema,
    pub(super) problems: &'a mut Problems,
}

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = Option<(Table, Orientation)>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = Option<(Table, Orientation)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut builder = Builder::new(self.schema, self.problems);
        let mut orientation = None;
        while let Some(member) = members.next_key::<String>()? {
            match member.as_str() {
                "rows" | "columns" if orientation.is_some() => {
                    builder.problems.add(|| pointer(&[&member]), "`rows` or `columns` must stand once");
                    members.next_value::<IgnoredAny>()?;
                }
                "rows" => {
                    orientation = Some(Orientation::Rows);
                    builder.problems.expect("/rows".to_owned(), "a list of objects");
                    members.next_value_seed(Rows(&mut builder))?;
                }
                "columns" => {
                    orientation = Some(Orientation::Columns);
                    builder.problems.expect("/columns".to_owned(), "an object of lists");
                    members.next_value_seed(Columns(&mut builder))?;
                }
                _ => {
                    builder.problems.add(|| pointer(&[&member]), "is unknown; a table has `rows` or `columns`");
                    members.next_value::<IgnoredAny>()?;
                }
            }
            builder.problems.expect(String::new(), "an object");
        }
        if orientation.is_none() {
            builder.problems.add(String::new, "must have `rows` or `columns`");
        }
        Ok(orientation.and_then(|orientation| Some((builder.finish(orientation)?, orientation))))
    }
}

/// How many values a table may have. Defaults let a short body become a large table; this bounds it.
const MAX_VALUES: usize = 16 << 20;

struct Builder<'a> {
    schema: &'a Schema,
    problems: &'a mut Problems,
    columns: Vec<Column>,
    /// For each column the number of the last row that gave it, counted from one.
    given: Vec<usize>,
    rows: usize,
}

impl<'a> Builder<'a> {
    fn new(schema: &'a Schema, problems: &'a mut Problems) -> Self {
        problems.expect(String::new(), "an object with `rows` or `columns`");
        let columns = schema.rules.iter().map(|rule| Column::new(rule.kind, rule.nullable)).collect();
        Self { schema, problems, columns, given: vec![0; schema.rules.len()], rows: 0 }
    }

    fn finish(self, orientation: Orientation) -> Option<Table> {
        if self.rows == 0 && self.problems.details.is_empty() {
            let place = if orientation == Orientation::Rows { "/rows" } else { "/columns" };
            self.problems.add(|| place.to_owned(), "must have at least one row");
        }
        self.problems.details.is_empty().then_some(Table { rows: self.rows, columns: self.columns })
    }

    fn unknown(&mut self, place: String) {
        let message = format!("is unknown; the columns are {}", self.schema.names());
        self.problems.add(|| place, message);
    }

    /// Fills in what the row that just ended left out.
    fn complete_row(&mut self) {
        for (position, rule) in self.schema.rules.iter().enumerate() {
            match &rule.default {
                _ if self.given[position] > self.rows => {}
                Some(default) if self.problems.details.is_empty() => self.columns[position].append(default),
                Some(_) => {}
                None => self.problems.add(|| pointer(&[&"rows", &self.rows, &rule.name]), "is required"),
            }
        }
        self.rows += 1;
        self.check_size("/rows");
    }

    fn check_size(&mut self, place: &str) {
        if self.problems.details.is_empty() && self.rows * self.columns.len() > MAX_VALUES {
            self.problems.add(|| place.to_owned(), format!("must have at most {MAX_VALUES} values"));
        }
    }

    /// Fills in the columns left out, and compares the lengths of the others.
    fn complete_columns(&mut self) {
        let first = self.given.iter().position(|&given| given > 0);
        self.rows = first.map_or(0, |first| self.given[first] - 1);
        self.check_size("/columns");
        for (position, rule) in self.schema.rules.iter().enumerate() {
            let place = || pointer(&[&"columns", &rule.name]);
            match (self.given[position], &rule.default) {
                (0, Some(default)) if self.problems.details.is_empty() => {
                    (0..self.rows).for_each(|_| self.columns[position].append(default));
                }
                (0, Some(_)) => {}
                (0, None) => self.problems.add(place, "is required"),
                (given, _) if given - 1 != self.rows => {
                    self.problems.add(place, "must have as many values as the other columns");
                }
                _ => {}
            }
        }
    }
}

struct Rows<'a, 'b>(&'a mut Builder<'b>);

impl<'de> DeserializeSeed<'de> for Rows<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        let builder = self.0;
        loop {
            match rows.next_element_seed(Row(builder)) {
                Ok(Some(())) => {}
                Ok(None) => return Ok(()),
                Err(error) => {
                    builder.problems.expect(pointer(&[&"rows", &builder.rows]), "an object");
                    return Err(error);
                }
            }
        }
    }
}

struct Row<'a, 'b>(&'a mut Builder<'b>);

impl<'de> DeserializeSeed<'de> for Row<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Row<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let builder = self.0;
        let mut guess = 0;
        while let Some(found) = members.next_key_seed(Name { schema: builder.schema, guess })? {
            let position = match found {
                Ok(position) => position,
                Err(name) => {
                    builder.unknown(pointer(&[&"rows", &builder.rows, &name]));
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            guess = position + 1;
            let rule = &builder.schema.rules[position];
            let cell = Cell { rule, column: &mut builder.columns[position] };
            if let Err(message) = members.next_value_seed(cell)? {
                builder.problems.add(|| pointer(&[&"rows", &builder.rows, &rule.name]), message);
            } else if builder.given[position] > builder.rows {
                builder.problems.add(|| pointer(&[&"rows", &builder.rows, &rule.name]), "stands twice");
            }
            builder.given[position] = builder.rows + 1;
        }
        builder.complete_row();
        Ok(())
    }
}

struct Columns<'a, 'b>(&'a mut Builder<'b>);

impl<'de> DeserializeSeed<'de> for Columns<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Columns<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let builder = self.0;
        let mut guess = 0;
        while let Some(found) = members.next_key_seed(Name { schema: builder.schema, guess })? {
            let position = match found {
                Ok(position) => position,
                Err(name) => {
                    builder.unknown(pointer(&[&"columns", &name]));
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            guess = position + 1;
            let place = || pointer(&[&"columns", &builder.schema.rules[position].name]);
            if builder.given[position] > 0 {
                builder.problems.add(place, "stands twice");
            }
            builder.problems.expect(place(), "a list of values");
            let length = members.next_value_seed(Cells { builder: &mut *builder, position })?;
            builder.given[position] = length + 1;
        }
        builder.complete_columns();
        Ok(())
    }
}

/// The values of one column; yields how many there are.
struct Cells<'a, 'b> {
    builder: &'a mut Builder<'b>,
    position: usize,
}

impl<'de> DeserializeSeed<'de> for Cells<'_, '_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<usize, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Cells<'_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<usize, A::Error> {
        let Builder { schema, problems, columns, .. } = self.builder;
        let rule = &schema.rules[self.position];
        let mut row = 0;
        while let Some(checked) = values.next_element_seed(Cell { rule, column: &mut columns[self.position] })? {
            if let Err(message) = checked {
                problems.add(|| pointer(&[&"columns", &rule.name, &row]), message);
            }
            row += 1;
        }
        Ok(row)
    }
}

/// A column's name as an object's key: its position, or the name itself where there is no such column.
struct Name<'a> {
    schema: &'a Schema,
    guess: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Result<usize, String>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Result<usize, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.schema.position(name, self.guess).ok_or_else(|| name.to_owned()))
    }
}
