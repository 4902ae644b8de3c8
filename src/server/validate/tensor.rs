//! A tensor: `{"tensor": nested lists}`. The contract says how deep; the lists say how long, and must agree.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Problems, pointer};
use crate::server::data::Tensor;
use crate::service::Dtype;

/// The whole body; yields `None` where problems left no tensor.
pub(super) struct Body<'a> {
    pub(super) dtype: Dtype,
    pub(super) shape: &'a [Option<usize>],
    pub(super) problems: &'a mut Problems,
}

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = Option<Tensor>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        self.problems.expect(String::new(), "an object with `tensor`");
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = Option<Tensor>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut tensor = None;
        while let Some(member) = members.next_key::<String>()? {
            if member == "tensor" && tensor.is_none() {
                let mut builder = Builder::new(self.dtype, self.shape, self.problems);
                if let Err(error) = members.next_value_seed(Nested { builder: &mut builder, depth: 0 }) {
                    builder.problems.expect(builder.place(), builder.expected());
                    return Err(error);
                }
                tensor = Some(builder.finish());
            } else {
                self.problems.add(|| pointer(&[&member]), "is unknown or stands twice; the body has `tensor` alone");
                members.next_value::<IgnoredAny>()?;
            }
        }
        if tensor.is_none() {
            self.problems.add(String::new, "must have `tensor`");
        }
        Ok(tensor)
    }
}

struct Builder<'a> {
    dtype: Dtype,
    /// The lengths asked for or found so far.
    shape: Vec<Option<usize>>,
    /// Where the reader is.
    path: Vec<usize>,
    data: Vec<u8>,
    problems: &'a mut Problems,
}

impl<'a> Builder<'a> {
    fn new(dtype: Dtype, shape: &[Option<usize>], problems: &'a mut Problems) -> Self {
        Self { dtype, shape: shape.to_vec(), path: Vec::new(), data: Vec::new(), problems }
    }

    fn place(&self) -> String {
        self.path.iter().fold("/tensor".to_owned(), |place, position| format!("{place}/{position}"))
    }

    fn expected(&self) -> &'static str {
        match (self.path.len() == self.shape.len(), self.dtype) {
            (false, _) => "a list",
            (true, Dtype::Bool) => "true or false",
            (true, Dtype::Float32 | Dtype::Float64) => "a number",
            (true, _) => "a whole number",
        }
    }

    fn fault(&mut self, message: &str) {
        let place = self.place();
        self.problems.add(|| place, message);
    }

    fn finish(self) -> Tensor {
        let shape = self.shape.into_iter().map(Option::unwrap_or_default).collect();
        Tensor { dtype: self.dtype, shape, data: self.data }
    }

    /// Notes the length of a list that has just ended.
    fn close(&mut self, depth: usize, length: usize) {
        match self.shape[depth] {
            None if length == 0 => self.fault("must not be empty"),
            None => self.shape[depth] = Some(length),
            Some(expected) if expected != length => self.fault(&format!("must have {expected} elements")),
            Some(_) => {}
        }
    }

    fn integer(&mut self, value: i128) {
        macro_rules! push {
            ($type:ty) => {
                match <$type>::try_from(value) {
                    Ok(value) => self.data.extend_from_slice(&value.to_le_bytes()),
                    Err(_) => self.fault(concat!("must be a whole number that fits ", stringify!($type))),
                }
            };
        }
        match self.dtype {
            Dtype::Bool => self.fault("must be true or false"),
            Dtype::Int8 => push!(i8),
            Dtype::Int16 => push!(i16),
            Dtype::Int32 => push!(i32),
            Dtype::Int64 => push!(i64),
            Dtype::Uint8 => push!(u8),
            Dtype::Uint16 => push!(u16),
            Dtype::Uint32 => push!(u32),
            Dtype::Uint64 => push!(u64),
            Dtype::Float32 | Dtype::Float64 => self.number(value as f64),
        }
    }

    fn number(&mut self, value: f64) {
        match self.dtype {
            Dtype::Float64 => self.data.extend_from_slice(&value.to_le_bytes()),
            Dtype::Float32 if (value as f32).is_finite() => self.data.extend_from_slice(&(value as f32).to_le_bytes()),
            Dtype::Float32 => self.fault("must fit 32 bits"),
            // A float of this size is exact as i128; larger ones saturate and then fit no type.
            _ if value.fract() == 0.0 => self.integer(value as i128),
            Dtype::Bool => self.fault("must be true or false"),
            _ => self.fault("must be a whole number"),
        }
    }
}

/// A list at `depth`, or an element where `depth` is the number of dimensions.
struct Nested<'a, 'b> {
    builder: &'a mut Builder<'b>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Nested<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        if self.depth < self.builder.shape.len() {
            return reader.deserialize_seq(self);
        }
        reader.deserialize_any(Element(self.builder))
    }
}

impl<'de> Visitor<'de> for Nested<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut length = 0;
        self.builder.path.push(0);
        while items.next_element_seed(Nested { builder: &mut *self.builder, depth: self.depth + 1 })?.is_some() {
            length += 1;
            self.builder.path[self.depth] = length;
        }
        self.builder.path.pop();
        self.builder.close(self.depth, length);
        Ok(())
    }
}

struct Element<'a, 'b>(&'a mut Builder<'b>);

impl Visitor<'_> for Element<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an element")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if self.0.dtype == Dtype::Bool {
            self.0.data.push(u8::from(value));
        } else {
            self.0.fault("must be a number");
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0.integer(i128::from(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.0.integer(i128::from(value));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.0.number(value);
        Ok(())
    }
}
