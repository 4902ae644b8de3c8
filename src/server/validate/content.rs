//! Checks what has no rows: a JSON value, a text, a file.

use bytes::Bytes;

use super::malformed;
use crate::server::contract::Form;
use crate::server::data::Payload;
use crate::server::failure::{Code, Detail, Failure};
use crate::service::MAX_PROBLEMS;
use crate::service::json_schema::JsonSchema;

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
    let value: serde_json::Value = serde_json::from_slice(text).map_err(|error| malformed(&error))?;
    let Some(schema) = schema else { return Ok(()) };
    let problems = schema.problems(&value, MAX_PROBLEMS).into_iter();
    let details: Vec<Detail> = problems
        .map(|problem| Detail { pointer: format!("{place}{}", problem.pointer), message: problem.message })
        .collect();
    if details.is_empty() { Ok(()) } else { Err(Failure::invalid(details)) }
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
}
