//! What other protocols' bodies may hold that JSON does not have.

use std::borrow::Cow;

use crate::server::contract::Form;
use crate::server::failure::{Code, Failure};

/// A bare word that Python and TensorFlow Serving write for a number.
struct Word {
    bare: &'static [u8],
    /// As a text, which elements of tensors are read from.
    quoted: &'static [u8],
    /// In a table, where no column takes an infinity and any may lack a value.
    cell: &'static [u8],
}

/// Longest first.
const WORDS: [Word; 3] = [
    Word { bare: b"-Infinity", quoted: b"\"-Infinity\"", cell: b"{}" },
    Word { bare: b"Infinity", quoted: b"\"Infinity\"", cell: b"{}" },
    Word { bare: b"NaN", quoted: b"\"NaN\"", cell: b"null" },
];

/// Makes JSON of a body that may have the bare words `NaN`, `Infinity` and `-Infinity`. What stands for them depends on what the
/// endpoint takes: where there are any, `form` finds that in the body with all of them in quotes.
pub fn without_words<'a, 'b>(
    body: &'a [u8],
    form: impl FnOnce(&[u8]) -> Result<&'b Form, Failure>,
) -> Result<Cow<'a, [u8]>, Failure> {
    let Some(quoted) = replaced(body, |word| word.quoted) else { return Ok(Cow::Borrowed(body)) };
    match form(&quoted)? {
        Form::Tensor { .. } => Ok(Cow::Owned(quoted)),
        Form::Table(_) => Ok(replaced(body, |word| word.cell).map_or(Cow::Borrowed(body), Cow::Owned)),
        Form::Json { .. } | Form::Text | Form::Binary { .. } => {
            let message = "`NaN` and `Infinity` are not JSON; they may stand for numbers of tables and tensors alone";
            Err(Failure::new(Code::InvalidInput, message))
        }
    }
}

/// Puts something else in the place of each bare word; `None` where there is none.
fn replaced(body: &[u8], by: impl Fn(&Word) -> &'static [u8]) -> Option<Vec<u8>> {
    if !body.windows(3).any(|window| window == b"NaN" || window == b"Inf") {
        return None;
    }
    let mut out = Vec::with_capacity(body.len() + body.len() / 4);
    let mut at = 0;
    let mut quoted = false;
    let mut found = false;
    while at < body.len() {
        let word = WORDS.iter().find(|word| !quoted && body[at..].starts_with(word.bare));
        if let Some(word) = word {
            out.extend_from_slice(by(word));
            at += word.bare.len();
            found = true;
            continue;
        }
        match body[at] {
            b'"' => quoted = !quoted,
            b'\\' if quoted && at + 1 < body.len() => {
                out.push(body[at]);
                at += 1;
            }
            _ => {}
        }
        out.push(body[at]);
        at += 1;
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_are_replaced_and_texts_left_alone() {
        let replaced = |text: &str, by: fn(&Word) -> &'static [u8]| {
            replaced(text.as_bytes(), by).map(|text| String::from_utf8(text).unwrap())
        };
        let quoted = |text| replaced(text, |word| word.quoted);
        assert_eq!(quoted("[NaN,-Infinity, Infinity]").as_deref(), Some(r#"["NaN","-Infinity", "Infinity"]"#));
        assert_eq!(quoted(r#"["NaN","\"NaN", NaN]"#).as_deref(), Some(r#"["NaN","\"NaN", "NaN"]"#));
        assert_eq!(quoted(r#"["NaN\"#), None);
        assert_eq!(replaced(r#"["NaN", NaN, 1]"#, |word| word.cell).as_deref(), Some(r#"["NaN", null, 1]"#));
    }

    #[test]
    fn what_is_neither_table_nor_tensor_has_no_such_numbers() {
        let read = |body: &'static [u8]| without_words(body, |_| Ok(&Form::Text)).map_err(|failure| failure.code);
        assert_eq!(read(b"{\"inputs\": \"NaN\"}"), Ok(Cow::Borrowed(b"{\"inputs\": \"NaN\"}".as_slice())));
        assert_eq!(read(b"{\"inputs\": NaN}"), Err(Code::InvalidInput));
    }
}
