//! Reads a JSON value of which nothing is kept, and says how much memory it would take as a tree. It is read as `serde_json::Value` is:
//! `IgnoredAny` would take texts that are not UTF-8, numbers without bounds and lists of any depth.

use std::fmt::Formatter;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// How many elements the shortest list has room for; longer ones have room for a power of two.
const ELEMENTS: usize = 4;
/// Bytes of a node of an object's tree, and how many members one has that came in order. The smallest object has one.
const NODE: usize = 640;
const MEMBERS: usize = 6;
/// Bytes that a text takes besides itself.
const TEXT: usize = 32;

/// Returns how many bytes the value would take as a tree, roughly.
pub(super) fn tree_size(text: &[u8]) -> serde_json::Result<usize> {
    super::read(text, Sound)
}

/// Any JSON value; yields its size.
struct Sound;

impl<'de> DeserializeSeed<'de> for Sound {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<usize, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Sound {
    type Value = usize;

    fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E>(self) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_bool<E>(self, _: bool) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_i64<E>(self, _: i64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_u64<E>(self, _: u64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_f64<E>(self, _: f64) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_str<E>(self, text: &str) -> Result<usize, E> {
        Ok(TEXT + text.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<usize, A::Error> {
        let (mut size, mut count) = (0, 0_usize);
        while let Some(item) = items.next_element_seed(Sound)? {
            size += item;
            count += 1;
        }
        let room = if count == 0 { 0 } else { count.next_power_of_two().max(ELEMENTS) };
        Ok(size + room * size_of::<serde_json::Value>())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<usize, A::Error> {
        let (mut size, mut count) = (0, 0_usize);
        while let Some(name) = members.next_key_seed(Sound)? {
            size += name + members.next_value_seed(Sound)?;
            count += 1;
        }
        Ok(size + count.div_ceil(MEMBERS) * NODE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_objects_take_far_more_than_their_text() {
        let size = |text: &str| tree_size(text.as_bytes()).unwrap();
        assert_eq!((size("[]"), size("1"), size("{}")), (0, 0, 0));
        assert!(size(r#"[{"a":1}]"#) > 9 * 70);
        assert!(size(&format!("\"{}\"", "x".repeat(1000))) < 1100);
        assert!(size(&format!("[{}1]", "1,".repeat(1000))) < 100_000);
    }
}
