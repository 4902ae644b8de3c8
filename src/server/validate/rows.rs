//! Walks the JSON forms of a table: a list of rows, or an object of columns.
//!
//! A row is an object. Where the dialect has lists it may also be a list of values in a stated order, or one lone value where
//! the table has but one column.

use std::fmt;

use serde::de::value::{
    BoolDeserializer, F64Deserializer, I64Deserializer, StrDeserializer, U64Deserializer, UnitDeserializer,
};
use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};

use super::cell::Cell;
use super::table::TableReader;
use crate::server::contract::Schema;

/// A list of rows.
pub(super) struct Rows<'a, 'b>(pub(super) &'a mut TableReader<'b>);

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
        let table = self.0;
        loop {
            match rows.next_element_seed(Row(table)) {
                Ok(Some(())) => {}
                Ok(None) => return Ok(()),
                Err(error) => {
                    let what = if table.dialect.lists { "an object or a list of values" } else { "an object" };
                    table.problems.expect(table.below(&[&table.rows]), what);
                    return Err(error);
                }
            }
        }
    }
}

struct Row<'a, 'b>(&'a mut TableReader<'b>);

impl Row<'_, '_> {
    /// Reads the value of a column.
    fn cell<'de, D: Deserializer<'de>>(&mut self, position: usize, reader: D) -> Result<(), D::Error> {
        let table = &mut *self.0;
        let rule = &table.schema.rules[position];
        let cell = Cell { rule, column: &mut table.columns[position], dialect: table.dialect };
        if let Err(message) = cell.deserialize(reader)? {
            table.add(&[&table.rows.clone(), &rule.name], message);
        } else if table.given[position] > table.rows {
            table.add(&[&table.rows.clone(), &rule.name], "stands twice");
        }
        table.given[position] = table.rows + 1;
        Ok(())
    }

    /// Reads a row that is one value alone.
    fn lone<'de, D: Deserializer<'de>>(mut self, value: D, found: Unexpected<'_>) -> Result<(), D::Error> {
        if !self.0.dialect.lists || self.0.order.len() != 1 {
            return Err(D::Error::invalid_type(found, &self));
        }
        if let Some(position) = self.0.order[0] {
            self.cell(position, value)?;
        }
        self.0.complete_row();
        Ok(())
    }
}

/// Lets a row's cell be read where the reader wants a seed.
struct RowCell<'a, 'b, 'c>(&'a mut Row<'b, 'c>, usize);

impl<'de> DeserializeSeed<'de> for RowCell<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        self.0.cell(self.1, reader)
    }
}

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

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let mut guess = 0;
        while let Some(found) = members.next_key_seed(Name { schema: self.0.schema, guess })? {
            match found {
                Ok(position) => {
                    guess = position + 1;
                    members.next_value_seed(RowCell(&mut self, position))?;
                }
                Err(name) => {
                    self.0.unknown(&[&self.0.rows.clone(), &name]);
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        self.0.complete_row();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<(), A::Error> {
        if !self.0.dialect.lists {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        let mut length = 0;
        loop {
            let more = match self.0.order.get(length).copied() {
                Some(Some(position)) => values.next_element_seed(RowCell(&mut self, position))?.is_some(),
                _ => values.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
            length += 1;
        }
        if length != self.0.order.len() {
            let message = format!("must have {} values", self.0.order.len());
            self.0.add(&[&self.0.rows.clone()], message);
        }
        self.0.complete_row();
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.lone::<BoolDeserializer<E>>(value.into_deserializer(), Unexpected::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.lone::<I64Deserializer<E>>(value.into_deserializer(), Unexpected::Signed(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.lone::<U64Deserializer<E>>(value.into_deserializer(), Unexpected::Unsigned(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.lone::<F64Deserializer<E>>(value.into_deserializer(), Unexpected::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.lone::<StrDeserializer<'_, E>>(value.into_deserializer(), Unexpected::Str(value))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.lone::<UnitDeserializer<E>>(().into_deserializer(), Unexpected::Unit)
    }
}

/// An object of columns.
pub(super) struct Columns<'a, 'b>(pub(super) &'a mut TableReader<'b>);

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
        let table = self.0;
        let mut guess = 0;
        while let Some(found) = members.next_key_seed(Name { schema: table.schema, guess })? {
            let position = match found {
                Ok(position) => position,
                Err(name) => {
                    table.unknown(&[&name]);
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            guess = position + 1;
            let name = &table.schema.rules[position].name;
            if table.given[position] > 0 {
                table.add(&[name], "stands twice");
            }
            table.problems.expect(table.below(&[name]), "a list of values");
            let length = members.next_value_seed(Cells { table: &mut *table, position })?;
            table.given[position] = length + 1;
        }
        table.complete_columns();
        Ok(())
    }
}

/// The values of one column; yields how many there are.
struct Cells<'a, 'b> {
    table: &'a mut TableReader<'b>,
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
        let Self { table, position } = self;
        let rule = &table.schema.rules[position];
        let mut row = 0;
        loop {
            let cell = Cell { rule, column: &mut table.columns[position], dialect: table.dialect };
            match values.next_element_seed(cell)? {
                Some(Ok(())) => {}
                Some(Err(message)) => table.add(&[&rule.name, &row], message),
                None => return Ok(row),
            }
            row += 1;
        }
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
