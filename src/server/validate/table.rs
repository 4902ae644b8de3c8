//! Builds a table from whatever a protocol writes it as: rows, columns, lists of values in a stated order, or flat tensors.
//!
//! The visitors that walk the JSON are in `rows` and `flat`; here is what they have in common: which columns were given,
//! what defaults fill in, and what is wrong.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::rows::{Columns, Rows};
use super::{Dialect, Failure, Problems, pointer, read};
use crate::server::contract::Schema;
use crate::server::data::{Column, Table};

/// Which way round a table was sent; the answer goes the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// A list of objects, as an object's member `rows`.
    Rows,
    /// The same, without an object around it.
    List,
    /// An object of lists, as an object's member `columns`.
    Columns,
}

/// How many values a table may have. Defaults let a short body become a large table; this bounds it.
const MAX_VALUES: usize = 16 << 20;
/// How many bytes of text defaults may fill in.
const MAX_DEFAULTS: usize = 256 << 20;

/// A table that is being read.
pub struct TableReader<'a> {
    pub(super) schema: &'a Schema,
    pub(super) dialect: Dialect,
    pub(super) problems: Problems,
    pub(super) columns: Vec<Column>,
    /// For each column the number of the last row that gave it, counted from one.
    pub(super) given: Vec<usize>,
    pub(super) rows: usize,
    /// How many bytes of text defaults have filled in.
    filled: usize,
    /// The columns that a list of values gives, in its order; `None` for those that are left out.
    pub(super) order: Vec<Option<usize>>,
    /// Where in the body the table stands: a JSON pointer.
    pub(super) place: String,
}

impl<'a> TableReader<'a> {
    /// Returns an empty table of the columns.
    pub fn new(schema: &'a Schema, dialect: Dialect) -> Self {
        Self {
            schema,
            dialect,
            problems: Problems::default(),
            columns: schema.rules.iter().map(|rule| Column::new(rule.kind, rule.nullable)).collect(),
            given: vec![0; schema.rules.len()],
            rows: 0,
            filled: 0,
            order: (0..schema.rules.len()).map(Some).collect(),
            place: String::new(),
        }
    }

    /// Reads a list of rows that stands at `place` of a body. Each is an object, or, where the dialect has lists, a list of
    /// values in the order of `names`, without which it is the contract's.
    pub fn rows(mut self, place: &str, text: &str, names: Option<&[String]>) -> Result<Table, Failure> {
        place.clone_into(&mut self.place);
        if let Some(names) = names {
            self.order(names);
        }
        self.problems.expect(self.place.clone(), "a list of rows");
        match read(text.as_bytes(), Rows(&mut self)) {
            Ok(()) => self.finish(),
            Err(error) => Err(self.problems.fail(&error)),
        }
    }

    /// Reads an object of columns that stands at `place` of a body.
    pub fn columns(mut self, place: &str, text: &str) -> Result<Table, Failure> {
        place.clone_into(&mut self.place);
        self.problems.expect(self.place.clone(), "an object of lists");
        match read(text.as_bytes(), Columns(&mut self)) {
            Ok(()) => self.finish(),
            Err(error) => Err(self.problems.fail(&error)),
        }
    }

    /// Notes that all columns that are to be given are there, with as many values as they have.
    pub fn finish_columns(mut self) -> Result<Table, Failure> {
        for (given, column) in self.given.iter_mut().zip(&self.columns).filter(|(given, _)| **given > 0) {
            *given = column.len() + 1;
        }
        self.complete_columns();
        self.finish()
    }

    /// Adds a problem at a place of the body.
    pub fn problem(&mut self, place: String, message: impl Into<String>) {
        self.problems.add(|| place, message);
    }

    pub(super) fn finish(mut self) -> Result<Table, Failure> {
        if self.rows == 0 && self.problems.details.is_empty() {
            self.problems.add(|| self.place, "must have at least one row");
        }
        self.problems.finish(Table { rows: self.rows, columns: self.columns })
    }

    /// Returns the pointer of what lies below the table.
    pub(super) fn below(&self, parts: &[&dyn fmt::Display]) -> String {
        format!("{}{}", self.place, pointer(parts))
    }

    pub(super) fn add(&mut self, parts: &[&dyn fmt::Display], message: impl Into<String>) {
        let place = || format!("{}{}", self.place, pointer(parts));
        self.problems.add(place, message);
    }

    pub(super) fn unknown(&mut self, parts: &[&dyn fmt::Display]) {
        if !self.dialect.drop_unknown && !self.schema.ignore_extra {
            let message = format!("is unknown; the columns are {}", self.schema.names());
            self.add(parts, message);
        }
    }

    /// Takes `names` as the order of lists.
    fn order(&mut self, names: &[String]) {
        self.order.clear();
        let mut seen = vec![false; self.schema.rules.len()];
        for (guess, name) in names.iter().enumerate() {
            let position = self.schema.position(name, guess);
            match position {
                None => self.unknown(&[&name]),
                Some(position) if std::mem::replace(&mut seen[position], true) => self.add(&[&name], "stands twice"),
                Some(_) => {}
            }
            self.order.push(position);
        }
    }

    /// Fills in what the row that just ended left out.
    pub(super) fn complete_row(&mut self) {
        for (position, rule) in self.schema.rules.iter().enumerate() {
            match &rule.default {
                _ if self.given[position] > self.rows => {}
                Some(default) if self.problems.details.is_empty() => {
                    self.columns[position].append(default);
                    self.filled += default.text.len();
                }
                Some(_) => {}
                None => self.add(&[&self.rows.clone(), &rule.name], "is required"),
            }
        }
        self.rows += 1;
        self.check_size();
    }

    fn check_size(&mut self) {
        if self.problems.details.is_empty() && self.rows * self.columns.len() > MAX_VALUES {
            self.add(&[], format!("must have at most {MAX_VALUES} values"));
        }
        if self.problems.details.is_empty() && self.filled > MAX_DEFAULTS {
            self.add(&[], "must have fewer rows that leave out texts");
        }
    }

    /// Fills in the columns left out, and compares the lengths of the others.
    pub(super) fn complete_columns(&mut self) {
        let first = self.given.iter().position(|&given| given > 0);
        self.rows = first.map_or(0, |first| self.given[first] - 1);
        let left_out = self.schema.rules.iter().zip(&self.given).filter(|(_, given)| **given == 0);
        let texts = left_out.filter_map(|(rule, _)| Some(rule.default.as_ref()?.text.len()));
        self.filled = texts.sum::<usize>().saturating_mul(self.rows);
        self.check_size();
        for (position, rule) in self.schema.rules.iter().enumerate() {
            match (self.given[position], &rule.default) {
                (0, Some(default)) if self.problems.details.is_empty() => {
                    (0..self.rows).for_each(|_| self.columns[position].append(default));
                }
                (0, Some(_)) => {}
                (0, None) => self.add(&[&rule.name], "is required"),
                (given, _) if given - 1 != self.rows => {
                    self.add(&[&rule.name], "must have as many values as the other columns");
                }
                _ => {}
            }
        }
    }
}

/// The whole body of the server's own protocol, `{"rows": …}` or `{"columns": …}`; yields `None` where it has neither.
pub(super) struct Body<'a, 'b>(pub(super) &'a mut TableReader<'b>);

impl<'de> DeserializeSeed<'de> for Body<'_, '_> {
    type Value = Option<Orientation>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        self.0.problems.expect(String::new(), "an object with `rows` or `columns`");
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Body<'_, '_> {
    type Value = Option<Orientation>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let table = self.0;
        let mut orientation = None;
        while let Some(member) = members.next_key::<String>()? {
            match member.as_str() {
                "rows" | "columns" if orientation.is_some() => {
                    table.problems.add(|| pointer(&[&member]), "`rows` or `columns` must stand once");
                    members.next_value::<IgnoredAny>()?;
                }
                "rows" => {
                    orientation = Some(Orientation::Rows);
                    "/rows".clone_into(&mut table.place);
                    table.problems.expect(table.place.clone(), "a list of objects");
                    members.next_value_seed(Rows(&mut *table))?;
                }
                "columns" => {
                    orientation = Some(Orientation::Columns);
                    "/columns".clone_into(&mut table.place);
                    table.problems.expect(table.place.clone(), "an object of lists");
                    members.next_value_seed(Columns(&mut *table))?;
                }
                _ => {
                    table.problems.add(|| pointer(&[&member]), "is unknown; a table has `rows` or `columns`");
                    members.next_value::<IgnoredAny>()?;
                }
            }
            table.problems.expect(String::new(), "an object");
        }
        if orientation.is_none() {
            table.problems.add(String::new, "must have `rows` or `columns`");
        }
        Ok(orientation)
    }
}
