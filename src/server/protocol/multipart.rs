//! Uploads from forms: `multipart/form-data` (RFC 7578, in the form of RFC 2046, section 5.1) with one part, `file`, which
//! stands for the body. The body has been read as a whole and within its limit already.

use bytes::Bytes;

use crate::server::failure::{Code, Failure};

/// The media type.
pub(super) const MEDIA_TYPE: &str = "multipart/form-data";

/// A part of a form.
#[derive(Debug, PartialEq)]
pub(super) struct Part {
    /// Its own media type; empty where it has none.
    pub(super) media_type: String,
    pub(super) content: Bytes,
}

/// Takes the one part out of a body of this `Content-Type`.
pub(super) fn only(content_type: &str, body: &Bytes) -> Result<Part, Failure> {
    let boundary = boundary(content_type).ok_or_else(|| malformed("the form's `Content-Type` has no boundary"))?;
    let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
    // The first delimiter may open the body.
    let start = if body.starts_with(&delimiter[2..]) { delimiter.len() - 2 } else { after(body, 0, &delimiter)? };
    let head = after(body, start, b"\r\n")?;
    // A part may have no headers at all.
    let content = if body[head..].starts_with(b"\r\n") { head + 2 } else { after(body, head, b"\r\n\r\n")? };
    let end = after(body, content, &delimiter)?;
    if !body[end..].starts_with(b"--") {
        return Err(malformed("the form must have one part"));
    }
    let headers = String::from_utf8_lossy(&body[head..content]);
    let name = field(&headers, "content-disposition").and_then(|value| parameter(value, "name"));
    if name != Some("file") {
        return Err(Failure::new(Code::InvalidInput, "the form's part must have the name `file`"));
    }
    let media_type = field(&headers, "content-type").unwrap_or_default().to_owned();
    Ok(Part { media_type, content: body.slice(content..end - delimiter.len()) })
}

/// Returns the place after the next `mark`.
fn after(body: &[u8], start: usize, mark: &[u8]) -> Result<usize, Failure> {
    let found = body[start..].windows(mark.len()).position(|window| window == mark);
    found.map(|found| start + found + mark.len()).ok_or_else(|| malformed("the form is not whole"))
}

fn malformed(message: &str) -> Failure {
    Failure::new(Code::MalformedBody, message)
}

fn boundary(content_type: &str) -> Option<&str> {
    parameter(content_type, "boundary").filter(|boundary| (1..=70).contains(&boundary.len()))
}

/// Returns a parameter of a header's value, without its quotes.
fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let mut parameters = value.split(';').skip(1).filter_map(|parameter| parameter.trim().split_once('='));
    let (_, value) = parameters.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    value.strip_prefix('"').map_or(Some(value), |quoted| quoted.strip_suffix('"'))
}

/// Returns the value of a header.
fn field<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = headers.split("\r\n").filter_map(|line| line.split_once(':'));
    fields.find(|(found, _)| found.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"x y\"";

    fn read(body: &str) -> Result<Part, Failure> {
        only(TYPE, &Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn a_part_is_what_stands_between_its_delimiters() {
        let part = read(
            "--x y\r\nContent-Disposition: form-data; name=\"file\"\r\nCONTENT-TYPE: image/png\r\n\r\n--x\r\n\r\n--x y--\r\n",
        );
        assert_eq!(part.unwrap(), Part { media_type: "image/png".to_owned(), content: "--x\r\n".into() });
        let part =
            read("preamble\r\n--x y\r\ncontent-disposition: form-data; filename=b; NAME=file\r\n\r\n\r\n--x y--");
        assert_eq!(part.unwrap(), Part { media_type: String::new(), content: Bytes::new() });
    }

    #[test]
    fn forms_that_are_cut_off_or_have_more_parts_are_refused() {
        for wrong in [
            "",
            "--x y",
            "--x y--",
            "--x y\r\n",
            "--x y\r\nA: b\r\n\r\nc",
            "--x y\r\n\r\nc\r\n--x y",
            "--x y\r\n\r\na\r\n--x y\r\n\r\nb\r\n--x y--",
        ] {
            assert_eq!(read(wrong).unwrap_err().code, Code::MalformedBody, "{wrong}");
        }
        for wrong in
            ["--x y\r\n\r\n\r\n--x y--", "--x y\r\nContent-Disposition: form-data; name=other\r\n\r\n\r\n--x y--"]
        {
            assert_eq!(read(wrong).unwrap_err().code, Code::InvalidInput, "{wrong}");
        }
        for wrong in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"a"] {
            assert_eq!(only(wrong, &Bytes::new()).unwrap_err().code, Code::MalformedBody, "{wrong}");
        }
    }
}
