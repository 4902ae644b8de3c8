//! One value of a table, from JSON into its column.
//!
//! A whole number may be written `3` or `3.0`, as JSON Schema has it. A number may be written as a whole number. Dialects add
//! the forms that other protocols have for values.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Dialect, base64, time};
use crate::server::contract::Rule;
use crate::server::data::Column;
use crate::service::ColumnType;

/// Reads one value; what it yields says what is wrong with the value, so that reading can go on.
pub(super) struct Cell<'a> {
    pub(super) rule: &'a Rule,
    pub(super) column: &'a mut Column,
    pub(super) dialect: Dialect,
}

type Checked = Result<(), String>;

/// 2^63, the first whole number that does not fit. A number below -2^63 is rounded to it, so that one is out as well
/// where it comes as a floating-point number.
const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;

impl Cell<'_> {
    fn wrong_type(&self) -> Checked {
        Err(match self.rule.kind {
            ColumnType::String => "must be a string".to_owned(),
            ColumnType::Integer => "must be a whole number of 64 bits".to_owned(),
            ColumnType::Number => "must be a number".to_owned(),
            ColumnType::Boolean => "must be true or false".to_owned(),
            ColumnType::Date => "must be a date such as `2026-11-23`".to_owned(),
            ColumnType::Datetime => "must be a date and time such as `2026-11-23T16:09:31Z`".to_owned(),
            ColumnType::Category => self.rule.one_of(),
        })
    }

    fn integer(self, value: i64) -> Checked {
        self.rule.check_number(value as f64)?;
        self.column.push(&value.to_le_bytes());
        Ok(())
    }

    fn number(self, value: f64) -> Checked {
        self.rule.check_number(value)?;
        self.column.push(&value.to_le_bytes());
        Ok(())
    }

    fn text(self, text: &str) -> Checked {
        match self.rule.kind {
            ColumnType::String => {
                self.rule.check_text(text)?;
                self.column.push_text(text);
            }
            ColumnType::Category => match self.rule.code(text) {
                Some(code) => self.column.push(&code.to_le_bytes()),
                None => return self.wrong_type(),
            },
            ColumnType::Date => match time::parse_date(text) {
                Some(days) => self.column.push(&days.to_le_bytes()),
                None => return self.wrong_type(),
            },
            ColumnType::Datetime => match time::parse_datetime(text) {
                Some(micros) => self.column.push(&micros.to_le_bytes()),
                None => return self.wrong_type(),
            },
            ColumnType::Number if self.dialect.non_finite && text == "NaN" => return self.missing(),
            _ => return self.wrong_type(),
        }
        Ok(())
    }

    fn missing(self) -> Checked {
        if !self.rule.nullable {
            return Err("must not be null".to_owned());
        }
        self.column.push_null();
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Cell<'_> {
    type Value = Checked;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Checked, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Cell<'_> {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Checked, E> {
        Ok(self.missing())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Checked, E> {
        if self.rule.kind != ColumnType::Boolean {
            return Ok(self.wrong_type());
        }
        self.column.push(&[u8::from(value)]);
        Ok(Ok(()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Checked, E> {
        Ok(match self.rule.kind {
            ColumnType::Integer => self.integer(value),
            ColumnType::Number => self.number(value as f64),
            _ => self.wrong_type(),
        })
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Checked, E> {
        Ok(match (self.rule.kind, i64::try_from(value)) {
            (ColumnType::Integer, Ok(value)) => self.integer(value),
            (ColumnType::Number, _) => self.number(value as f64),
            _ => self.wrong_type(),
        })
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Checked, E> {
        // JSON has no such numbers, but binary tensors do.
        if value.is_nan() && self.rule.kind == ColumnType::Number {
            return Ok(self.missing());
        }
        let whole = value.fract() == 0.0 && value.abs() < TOO_LARGE;
        Ok(match self.rule.kind {
            ColumnType::Integer if whole => self.integer(value as i64),
            ColumnType::Number if value.is_finite() => self.number(value),
            _ => self.wrong_type(),
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Checked, E> {
        Ok(self.text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Checked, A::Error> {
        let wrong = self.wrong_type();
        if self.dialect.lists
            && let Some(first) = items.next_element_seed(self)?
            && items.next_element::<IgnoredAny>()?.is_none()
        {
            return Ok(first);
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(wrong)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Checked, A::Error> {
        let wrong = self.wrong_type();
        let mut encoded = None;
        let mut alone = true;
        while let Some(member) = members.next_key::<String>()? {
            if self.dialect.lists && member == "b64" && encoded.is_none() {
                encoded = Some(members.next_value::<String>()?);
            } else {
                alone = false;
                members.next_value::<IgnoredAny>()?;
            }
        }
        let text = encoded.filter(|_| alone).and_then(|encoded| String::from_utf8(base64(&encoded)?).ok());
        Ok(text.map_or(wrong, |text| self.text(&text)))
    }
}
