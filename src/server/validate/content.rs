//! Checks what has no rows: a JSON value, a text, a file.

use bytes::Bytes;
use serde_json::Value;

use super::malformed;
use super::sound::tree_size;
use crate::server::contract::Form;
use crate::server::data::Payload;
use crate::server::failure::{Code, Detail, Failure};
use crate::service::MAX_PROBLEMS;
use crate::service::json_schema::JsonSchema;

/// Bytes that the tree of a JSON value may take.
const MAX_TREE: usize = 512 << 20;
/// How many times its text a tree takes at most: shorter texts need not be looked at.
const GROWTH: usize = 128;

/// Checks the bytes of a JSON value, text or file that stands at `place` of a body.
pub fn content(form: &Form, bytes: Bytes, place: &str) -> Result<Payload, Failure> {
    match form {
        Form::Json { schema } => json(schema.as_ref(), &bytes, place)?,
        Form::Text if std::str::from_utf8(&bytes).is_err() => {
            return Err(Failure::new(Code::MalformedBody, "the text is not UTF-8"));
        }
        Form::Binary { media_types, image: true } if !is_image(media_types, &bytes) => {
            let message = format!("must be a picture of type {}", media_types.join(" or "));
            return Err(Failure::invalid(vec![Detail { pointer: place.to_owned(), message }]));
        }
        Form::Text | Form::Binary { .. } => {}
        Form::Table(_) | Form::Tensor { .. } => unreachable!("what has rows is read by its own reader"),
    }
    Ok(Payload::Bytes(bytes))
}

/// Makes sure that the text is one JSON value, no deeper than 128 levels, that fits the schema.
fn json(schema: Option<&JsonSchema>, text: &[u8], place: &str) -> Result<(), Failure> {
    let Some(schema) = schema else { return tree_size(text).map(drop).map_err(|error| malformed(&error)) };
    let value = tree(text)?;
    let problems = schema.problems(&value, MAX_PROBLEMS).into_iter();
    let details: Vec<Detail> = problems
        .map(|problem| Detail { pointer: format!("{place}{}", problem.pointer), message: problem.message })
        .collect();
    if details.is_empty() { Ok(()) } else { Err(Failure::invalid(details)) }
}

/// Reads a JSON value as a tree, unless that would take far too much memory: many small objects take ninety times their text.
pub(super) fn tree(text: &[u8]) -> Result<Value, Failure> {
    if text.len() > MAX_TREE / GROWTH && tree_size(text).map_err(|error| malformed(&error))? > MAX_TREE {
        return Err(Failure::new(Code::BodyTooLarge, "the JSON value has too many parts"));
    }
    serde_json::from_slice(text).map_err(|error| malformed(&error))
}

/// Returns whether a file begins like a picture of one of the types.
pub(super) fn is_image(media_types: &[String], bytes: &[u8]) -> bool {
    media_types.iter().any(|media_type| match media_type.as_str() {
        "image/png" => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
        "image/jpeg" => bytes.starts_with(b"\xff\xd8\xff"),
        "image/gif" => bytes.starts_with(b"GIF8"),
        "image/webp" => bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP"),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_known_by_their_first_bytes() {
        let types = ["image/png".to_owned(), "image/webp".to_owned()];
        assert!(is_image(&types, b"\x89PNG\r\n\x1a\n...") && is_image(&types, b"RIFF\x01\0\0\0WEBPVP8 "));
        for wrong in [b"".as_slice(), b"\xff\xd8\xff\xe0", b"RIFF\x01\0\0\0WAVE", b"<svg/>"] {
            assert!(!is_image(&types, wrong), "{wrong:?}");
        }
    }
    #[test]
    fn json_without_a_schema_is_read_as_strictly_as_with_one() {
        let deep = |depth: usize| format!("{}1{}", "[{\"a\":".repeat(depth), "}]".repeat(depth)).into_bytes();
        let mut right = vec![deep(63)];
        right.extend(
            [
                &br#" {"a": 1, "a": [true, null, -1, 1.5e3, "\ud83d\ude00", 18446744073709551615]} "#[..],
                b"1",
                b"[]",
                b"{}",
            ]
            .map(<[u8]>::to_vec),
        );
        let mut wrong = vec![deep(64), deep(100_000)];
        wrong.extend(
            [
                &b""[..],
                b"1 2",
                b"[1,]",
                b"{\"a\"}",
                b"{1: 2}",
                b"{\"a\": 1,}",
                b"nul",
                b"01",
                b"1e999",
                b"-",
                b"NaN",
                b"\"\xff\"",
                b"{\"\xff\": 1}",
                b"\"\\ud800\"",
                b"{\"\\udc00\": 1}",
                b"\"\n\"",
                b"\"\\x\"",
                b"[",
                b"\xef\xbb\xbf1",
            ]
            .map(<[u8]>::to_vec),
        );
        for text in &right {
            assert!(
                serde_json::from_slice::<serde_json::Value>(text).is_ok() && json(None, text, "").is_ok(),
                "{text:?}"
            );
        }
        for text in &wrong {
            let expected = malformed(&serde_json::from_slice::<serde_json::Value>(text).unwrap_err());
            let found = json(None, text, "").unwrap_err();
            assert_eq!((found.code, found.message), (expected.code, expected.message), "{text:?}");
        }
    }
}
