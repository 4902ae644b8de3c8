//! Elements that come one by one: lists flattened from JSON, or values cut from the bytes of a binary tensor.

use std::fmt;

use serde::de::value::{
    BoolDeserializer, F64Deserializer, I64Deserializer, StrDeserializer, U64Deserializer, UnitDeserializer,
};
use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, SeqAccess, Visitor};

use super::cell::Cell;
use super::table::TableReader;
use super::{Failure, read};

/// What takes elements in row-major order.
pub trait Elements {
    /// Takes the next element. An error is the reader's own; what is wrong with the element is noted elsewhere.
    fn element<'de, D: Deserializer<'de>>(&mut self, reader: D) -> Result<(), D::Error>;
}

/// Some of a table's columns, filled in turns: one element of each, then the next row.
pub struct Grid<'a, 'b> {
    table: &'a mut TableReader<'b>,
    positions: Vec<usize>,
    next: usize,
    place: String,
}

impl<'a, 'b> Grid<'a, 'b> {
    /// Returns the columns at the positions, which must not be filled yet, for elements that stand at `place` of a body.
    pub fn new(table: &'a mut TableReader<'b>, positions: Vec<usize>, place: &str) -> Self {
        for &position in &positions {
            if table.given[position] > 0 {
                table.add(&[&table.schema.rules[position].name], "stands twice");
            }
            // How many there are is known once all are read.
            table.given[position] = 1;
        }
        Self { table, positions, next: 0, place: place.to_owned() }
    }

    /// Makes sure that there were as many elements as the tensor's shape says.
    pub fn finish(self, expected: usize) {
        if self.next != expected {
            self.table.problem(self.place, "must have as many elements as its shape says");
        }
    }
}

impl Elements for Grid<'_, '_> {
    fn element<'de, D: Deserializer<'de>>(&mut self, reader: D) -> Result<(), D::Error> {
        let position = self.positions[self.next % self.positions.len()];
        let rule = &self.table.schema.rules[position];
        let cell = Cell { rule, column: &mut self.table.columns[position], dialect: self.table.dialect };
        if let Err(message) = cell.deserialize(reader)? {
            self.table.problem(format!("{}/{}", self.place, self.next), message);
        }
        self.next += 1;
        Ok(())
    }
}

/// Reads a list, however deep it is nested, as its elements.
pub fn flatten(elements: &mut impl Elements, place: &str, text: &str) -> Result<(), Failure> {
    read(text.as_bytes(), Flat(elements)).map_err(|error| {
        let mut problems = super::Problems::default();
        problems.expect(place.to_owned(), "a list of values of the tensor's type");
        problems.fail(&error)
    })
}

struct Flat<'a, E>(&'a mut E);

impl<'de, E: Elements> DeserializeSeed<'de> for Flat<'_, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de, E: Elements> Visitor<'de> for Flat<'_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Flat(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_bool<F: Error>(self, value: bool) -> Result<(), F> {
        self.0.element::<BoolDeserializer<F>>(value.into_deserializer())
    }

    fn visit_i64<F: Error>(self, value: i64) -> Result<(), F> {
        self.0.element::<I64Deserializer<F>>(value.into_deserializer())
    }

    fn visit_u64<F: Error>(self, value: u64) -> Result<(), F> {
        self.0.element::<U64Deserializer<F>>(value.into_deserializer())
    }

    fn visit_f64<F: Error>(self, value: f64) -> Result<(), F> {
        self.0.element::<F64Deserializer<F>>(value.into_deserializer())
    }

    fn visit_str<F: Error>(self, value: &str) -> Result<(), F> {
        self.0.element::<StrDeserializer<'_, F>>(value.into_deserializer())
    }

    fn visit_unit<F: Error>(self) -> Result<(), F> {
        self.0.element::<UnitDeserializer<F>>(().into_deserializer())
    }
}
