//! A tensor as nested lists. The contract says how deep; the lists say how long, and must agree. The body of the server's own
//! protocol is `{"tensor": nested lists}`; others have the lists elsewhere.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use super::flat::Elements;
use super::{Dialect, Failure, Problems, pointer, read};
use crate::server::data::{Tensor, size};
use crate::service::Dtype;

/// The whole body of the server's own protocol.
pub(super) struct Body<'a>(pub(super) &'a mut TensorReader);

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        self.0.problems.expect(String::new(), "an object with `tensor`");
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let tensor = self.0;
        let mut found = false;
        while let Some(member) = members.next_key::<String>()? {
            if member == "tensor" && !found {
                found = true;
                let value = members.next_value_seed(Nested { tensor: &mut *tensor, depth: 0 });
                value.inspect_err(|_| tensor.expect())?;
            } else {
                let message = "is unknown or stands twice; the body has `tensor` alone";
                tensor.problems.add(|| pointer(&[&member]), message);
                members.next_value::<IgnoredAny>()?;
            }
        }
        if !found {
            tensor.problems.add(String::new, "must have `tensor`");
        }
        Ok(())
    }
}

/// A tensor that is being read.
pub struct TensorReader {
    dtype: Dtype,
    /// The lengths asked for or found so far.
    shape: Vec<Option<usize>>,
    dialect: Dialect,
    /// Where in the body the tensor stands: a JSON pointer.
    root: String,
    /// Where the reader is, below that.
    path: Vec<usize>,
    data: Vec<u8>,
    pub(super) problems: Problems,
}

impl TensorReader {
    /// Returns a tensor without elements, for what stands at `place` of a body.
    pub fn new(dtype: Dtype, shape: &[Option<usize>], dialect: Dialect, place: &str) -> Self {
        let (shape, root) = (shape.to_vec(), place.to_owned());
        Self { dtype, shape, dialect, root, path: Vec::new(), data: Vec::new(), problems: Problems::default() }
    }

    /// Reads nested lists. Where the dialect has lists, each list may stand in an object by itself, under any name.
    pub fn nested(mut self, text: &str) -> Result<Tensor, Failure> {
        if let Err(error) = read(text.as_bytes(), Nested { tensor: &mut self, depth: 0 }) {
            self.expect();
            return Err(self.problems.fail(&error));
        }
        self.finish()
    }

    /// Takes elements that were read one by one for a tensor of this shape.
    pub fn shaped(mut self, shape: &[usize]) -> Result<Tensor, Failure> {
        let fits = |(&length, expected): (&usize, &Option<usize>)| expected.is_none_or(|expected| expected == length);
        if shape.len() != self.shape.len() || !shape.iter().zip(&self.shape).all(fits) || shape.contains(&0) {
            self.path.clear();
            self.fault("does not have the shape that the model takes");
        }
        self.shape = shape.iter().copied().map(Some).collect();
        let length = shape.iter().try_fold(size(self.dtype), |length, dimension| length.checked_mul(*dimension));
        if self.problems.details.is_empty() && length != Some(self.data.len()) {
            self.fault("must have as many elements as its shape says");
        }
        self.finish()
    }

    /// Takes elements as they are, little-endian and of the tensor's own type.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
        if self.dtype == Dtype::Bool && bytes.iter().any(|&byte| byte > 1) {
            self.fault("must be 0 or 1");
        }
    }

    /// Returns the type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    pub(super) fn finish(self) -> Result<Tensor, Failure> {
        let shape = self.shape.into_iter().map(Option::unwrap_or_default).collect();
        self.problems.finish(Tensor { dtype: self.dtype, shape, data: self.data })
    }

    fn expect(&mut self) {
        let (place, what) = (self.place(), self.expected());
        self.problems.expect(place, what);
    }

    fn place(&self) -> String {
        self.path.iter().fold(self.root.clone(), |place, position| format!("{place}/{position}"))
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
            // JSON has only finite numbers; binary tensors and Python's own form of JSON have others.
            Dtype::Float64 => self.data.extend_from_slice(&value.to_le_bytes()),
            Dtype::Float32 if !value.is_finite() => self.data.extend_from_slice(&(value as f32).to_le_bytes()),
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
struct Nested<'a> {
    tensor: &'a mut TensorReader,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        match self.depth < self.tensor.shape.len() {
            true if self.tensor.dialect.lists => reader.deserialize_any(self),
            true => reader.deserialize_seq(self),
            false => self.tensor.element(reader),
        }
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut length = 0;
        self.tensor.path.push(0);
        while items.next_element_seed(Nested { tensor: &mut *self.tensor, depth: self.depth + 1 })?.is_some() {
            length += 1;
            self.tensor.path[self.depth] = length;
        }
        self.tensor.path.pop();
        self.tensor.close(self.depth, length);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        if members.next_key::<IgnoredAny>()?.is_none() {
            return Err(A::Error::invalid_length(0, &self));
        }
        members.next_value_seed(Nested { tensor: &mut *self.tensor, depth: self.depth })?;
        match members.next_key::<IgnoredAny>()? {
            Some(_) => Err(A::Error::invalid_type(Unexpected::Map, &self)),
            None => Ok(()),
        }
    }
}

impl Elements for TensorReader {
    fn element<'de, D: Deserializer<'de>>(&mut self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(Element(self))
    }
}

struct Element<'a>(&'a mut TensorReader);

impl Visitor<'_> for Element<'_> {
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

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match text {
            _ if !self.0.dialect.non_finite => return Err(E::invalid_type(Unexpected::Str(text), &self)),
            "NaN" => self.0.number(f64::NAN),
            "Infinity" => self.0.number(f64::INFINITY),
            "-Infinity" => self.0.number(f64::NEG_INFINITY),
            _ => return Err(E::invalid_type(Unexpected::Str(text), &self)),
        }
        Ok(())
    }
}
