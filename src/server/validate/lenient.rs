//! What other protocols' bodies may hold that JSON does not have.

use std::borrow::Cow;

/// Bare words that Python and TensorFlow Serving write for numbers, longest first.
const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// Puts the bare words `NaN`, `Infinity` and `-Infinity` in quotes, so that the rest is JSON.
pub fn quote_non_finite(body: &[u8]) -> Cow<'_, [u8]> {
    if !body.windows(3).any(|window| window == b"NaN" || window == b"Inf") {
        return Cow::Borrowed(body);
    }
    let mut out = Vec::with_capacity(body.len() + body.len() / 4);
    let mut at = 0;
    let mut quoted = false;
    while at < body.len() {
        let word = WORDS.into_iter().find(|word| !quoted && body[at..].starts_with(word));
        if let Some(word) = word {
            out.push(b'"');
            out.extend_from_slice(word);
            out.push(b'"');
            at += word.len();
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
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_are_quoted_and_texts_left_alone() {
        let quoted = |text: &str| String::from_utf8(quote_non_finite(text.as_bytes()).into_owned()).unwrap();
        assert_eq!(quoted("[NaN,-Infinity, Infinity]"), r#"["NaN","-Infinity", "Infinity"]"#);
        assert_eq!(quoted(r#"["NaN","\"NaN", NaN]"#), r#"["NaN","\"NaN", "NaN"]"#);
        assert_eq!(quoted(r#"["NaN\"#), r#"["NaN\"#);
    }
}
