//! The framing of OpenPGP's cleartext signature framework (RFC 9580, section 7), which `InRelease` files have.
//!
//! It is read more strictly than the specification asks: one block, nothing before or after it, no character that two
//! readers could take differently. Signatures are checked in `openpgp`.

use super::openpgp::SignatureError;

const BEGIN_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// Splits a message into the signed text, unescaped, and the armoured signatures.
pub(super) fn split<'a>(name: &str, message: &'a str) -> Result<(String, &'a str), SignatureError> {
    let malformed = |problem: &str| SignatureError::Malformed { name: name.to_owned(), problem: problem.to_owned() };
    let begins = message.lines().filter(|line| line.trim_end() == BEGIN_MESSAGE).count();
    match begins {
        0 => return Err(SignatureError::Unsigned { name: name.to_owned() }),
        1 if message.starts_with(BEGIN_MESSAGE) => {}
        1 => return Err(SignatureError::Outside { name: name.to_owned(), line: 1 }),
        _ => return Err(SignatureError::Several { name: name.to_owned() }),
    }
    // A carriage return would be a line's end to one reader and a character to another.
    if message.contains(['\r', '\0']) {
        return Err(malformed("it has control characters"));
    }
    let (headers, rest) = message.split_once("\n\n").ok_or_else(|| malformed("it ends in its headers"))?;
    if headers.lines().skip(1).any(|line| !line.starts_with("Hash: ")) {
        return Err(malformed("it has a header other than `Hash`"));
    }
    let start = rest.find(BEGIN_SIGNATURE).ok_or_else(|| malformed("its signature is missing"))?;
    let (body, armor) = rest.split_at(start);
    let body = body.strip_suffix('\n').ok_or_else(|| malformed("its signature does not begin a line"))?;
    let end = armor.find(END_SIGNATURE).ok_or_else(|| malformed("its signature has no end"))? + END_SIGNATURE.len();
    let (armor, after) = armor.split_at(end);
    if !after.trim_ascii().is_empty() {
        let line = message[..message.len() - after.trim_ascii_start().len()].lines().count();
        return Err(SignatureError::Outside { name: name.to_owned(), line: line + 1 });
    }
    Ok((unescape(body).ok_or_else(|| malformed("it has a line with a dash that is not escaped"))?, armor))
}

/// Undoes dash escaping and drops white space at the ends of lines, which signatures do not cover.
fn unescape(body: &str) -> Option<String> {
    let mut text = String::with_capacity(body.len());
    for (index, line) in body.split('\n').enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let line = if line.starts_with('-') { line.strip_prefix("- ")? } else { line };
        text.push_str(line.trim_end_matches([' ', '\t']));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_is_strict() {
        let good = format!("{BEGIN_MESSAGE}\nHash: SHA256\n\na \n- -b\n{BEGIN_SIGNATURE}\n\nxx\n{END_SIGNATURE}\n");
        let (text, armor) = split("x", &good).unwrap();
        assert_eq!(text, "a\n-b");
        assert_eq!(armor, format!("{BEGIN_SIGNATURE}\n\nxx\n{END_SIGNATURE}"));
        let error = |message: &str| split("x", message).unwrap_err();
        assert!(matches!(error("a"), SignatureError::Unsigned { .. }));
        assert!(matches!(error(&format!("a: 1\n{good}")), SignatureError::Outside { line: 1, .. }));
        assert!(matches!(error(&format!("{good}\n\na: 1\n")), SignatureError::Outside { line: 12, .. }));
        assert!(matches!(error(&format!("{good}{good}")), SignatureError::Several { .. }));
        for (from, to) in
            [("a \n", "a\r"), ("- -b", "-b"), ("Hash", "Date"), (END_SIGNATURE, ""), (BEGIN_SIGNATURE, "")]
        {
            assert!(matches!(error(&good.replace(from, to)), SignatureError::Malformed { .. }), "{from}");
        }
    }
}
