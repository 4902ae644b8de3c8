//! The text files of a `.dist-info` folder: `RECORD`, `METADATA`, `WHEEL`, `entry_points.txt`.
//!
//! Follows the packaging specifications "Recording installed projects", "Core metadata" and "Entry points". Pure text:
//! nothing here knows archives or trees.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::digest::Digest;

/// What `RECORD` says of a file; `None` where it gives neither hash nor size.
pub(super) type Recorded = Option<(Digest, Option<u64>)>;

/// Reads `RECORD` into what it says of each path.
pub(super) fn parse_record(text: &str) -> Result<BTreeMap<String, Recorded>, &'static str> {
    let mut recorded = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let fields = parse_row(line).ok_or("a row of RECORD is not CSV")?;
        let [path, hash, size] = <[String; 3]>::try_from(fields).map_err(|_| "a row of RECORD has not three fields")?;
        let size = match size.as_str() {
            "" => None,
            size => Some(size.parse().map_err(|_| "RECORD has a size that is no number")?),
        };
        let value = match hash.as_str() {
            "" => None,
            hash => Some((parse_hash(hash).ok_or("RECORD has a hash that is not SHA-256")?, size)),
        };
        if recorded.insert(path, value).is_some_and(|before| before != value) {
            return Err("RECORD has two different rows for one file");
        }
    }
    Ok(recorded)
}

/// Returns the paths of `RECORD`, as written. Rows of another form are passed over.
pub fn recorded_paths(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter_map(|line| parse_row(line)?.into_iter().next())
}

fn parse_hash(hash: &str) -> Option<Digest> {
    let bytes = URL_SAFE_NO_PAD.decode(hash.strip_prefix("sha256=")?.trim_end_matches('=')).ok()?;
    Some(Digest::from_bytes(bytes.try_into().ok()?))
}

/// Splits one CSV row; `None` where quotes are left open.
fn parse_row(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields.last_mut()?;
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => field.push(character),
        }
    }
    (!quoted).then_some(fields)
}

/// Returns one row of `RECORD` with its line end.
pub(super) fn record_row(path: &str, recorded: Option<(Digest, u64)>) -> String {
    let path = if path.contains([',', '"']) { format!("\"{}\"", path.replace('"', "\"\"")) } else { path.to_owned() };
    match recorded {
        Some((digest, size)) => format!("{path},sha256={},{size}\n", URL_SAFE_NO_PAD.encode(digest.as_bytes())),
        None => format!("{path},,\n"),
    }
}

/// Returns the first value of a header field, as in `METADATA` and `WHEEL`.
pub(super) fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let fields = text.lines().take_while(|line| !line.is_empty());
    fields
        .filter_map(|line| line.split_once(':'))
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// A program that an entry point asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryPoint {
    /// The program's file name.
    pub(super) name: String,
    module: String,
    attribute: String,
}

impl EntryPoint {
    /// Returns the program's text.
    pub(super) fn script(&self, interpreter: &str) -> String {
        let Self { module, attribute, .. } = self;
        let imported = attribute.split('.').next().unwrap_or(attribute);
        format!(
            "#!{interpreter}\nimport sys\n\nfrom {module} import {imported}\n\n\
             if __name__ == \"__main__\":\n    sys.exit({attribute}())\n"
        )
    }
}

/// Reads the programs from `entry_points.txt`; other groups are skipped.
pub(super) fn parse_entry_points(text: &str) -> Result<Vec<EntryPoint>, &'static str> {
    let (mut points, mut programs) = (Vec::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(group) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            programs = matches!(group.trim(), "console_scripts" | "gui_scripts");
        } else if programs && !line.is_empty() && !line.starts_with(['#', ';']) {
            points.push(parse_entry_point(line).ok_or("an entry point is not `name = module:attribute`")?);
        }
    }
    Ok(points)
}

/// Accepts only what cannot leave the folder of programs or the two places in the script where it is written.
fn parse_entry_point(line: &str) -> Option<EntryPoint> {
    let (name, target) = line.split_once('=')?;
    let target = target.split('[').next()?;
    let (module, attribute) = target.split_once(':')?;
    let (name, module, attribute) = (name.trim(), module.trim(), attribute.trim());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+');
    let fits = !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain);
    (fits && is_dotted(module) && is_dotted(attribute)).then(|| EntryPoint {
        name: name.to_owned(),
        module: module.to_owned(),
        attribute: attribute.to_owned(),
    })
}

fn is_dotted(name: &str) -> bool {
    name.split('.').all(|part| {
        part.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && part.chars().all(|character| character.is_alphanumeric() || character == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_rows_survive() {
        let digest = Digest::of(b"x");
        for path in ["a/b.py", "a,b.py", "a\"b.py"] {
            let parsed = parse_record(&record_row(path, Some((digest, 1)))).unwrap();
            assert_eq!(parsed, [(path.to_owned(), Some((digest, Some(1))))].into());
        }
    }

    #[test]
    fn weak_hashes_and_broken_rows_are_refused() {
        for text in ["a,md5=abc,1\n", "a,sha256=xx,1\n", "a,b\n", "\"a,,\n", "a,,\na,sha256=,\n"] {
            assert!(parse_record(text).is_err(), "{text}");
        }
    }

    #[test]
    fn entry_points_become_scripts() {
        let text = "[console_scripts]\nf2py = numpy.f2py:main\nx=a:b.c [extra]\n[other]\nz = ../x\n";
        let points = parse_entry_points(text).unwrap();
        let script = points[1].script("/usr/bin/python3.11");
        assert_eq!(points.len(), 2);
        assert!(script.contains("from a import b\n") && script.contains("sys.exit(b.c())"), "{script}");
    }

    #[test]
    fn entry_points_that_escape_or_inject_are_refused() {
        for line in ["../x = a:b", "x/y = a:b", ".. = a:b", "x = a:b()", "x = a; import os:b", "x = a", " = a:b"] {
            assert!(parse_entry_points(&format!("[console_scripts]\n{line}\n")).is_err(), "{line}");
        }
    }

    #[test]
    fn headers_end_at_the_empty_line() {
        let text = "Name: a\nVersion: 1\n\nLicense: body\n";
        assert_eq!(header(text, "version"), Some("1"));
        assert_eq!(header(text, "License"), None);
    }
}
