//! API keys: one a line as `name:key`, or as `name:sha256:` and the key's SHA-256 in hexadecimal digits. Lines that begin
//! with `#` are comments. Keys are kept as digests only.

use std::fmt;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

/// The shortest key taken: what is shorter can be guessed.
const SHORTEST_KEY: usize = 16;

/// The keys that are known.
#[derive(Debug, Default)]
pub struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    name: String,
    digest: [u8; 32],
}

/// Where keys were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(&'static str),
}

/// A line that is no key.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of {place} {problem}")]
pub struct KeyError {
    place: Place,
    line: usize,
    problem: &'static str,
}

impl Keys {
    /// Reads keys.
    pub fn parse(text: &str, place: &Place) -> Result<Self, KeyError> {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let key = |(number, line)| {
            Key::parse(line).map_err(|problem| KeyError { place: place.clone(), line: number + 1, problem })
        };
        lines.map(key).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the name of a key. How long it takes does not depend on how much of a key is right.
    pub fn find(&self, presented: &[u8]) -> Option<&str> {
        let digest: [u8; 32] = Sha256::digest(presented).into();
        self.0.iter().fold(None, |found, key| if same(&key.digest, &digest) { Some(key.name.as_str()) } else { found })
    }

    /// Adds other keys.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Key {
    fn parse(line: &str) -> Result<Self, &'static str> {
        let (name, key) = line.split_once(':').ok_or("has no name: write `name:key`")?;
        let digest = match key.strip_prefix("sha256:") {
            Some(digits) => from_hex(digits).ok_or("has no SHA-256 of 64 hexadecimal digits after `sha256:`")?,
            None if key.len() < SHORTEST_KEY => return Err("has a key of fewer than 16 characters"),
            None => Sha256::digest(key).into(),
        };
        if name.is_empty() {
            return Err("has an empty name");
        }
        Ok(Self { name: name.to_owned(), digest })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "`{}`", path.display()),
            Self::Variable(name) => write!(formatter, "`{name}`"),
        }
    }
}

/// Compares in the same time whatever differs.
fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    std::hint::black_box(one.iter().zip(other).fold(0, |difference, (one, other)| difference | (one ^ other))) == 0
}

fn from_hex(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (byte, place) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&digits[place..place + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Keys, String> {
        Keys::parse(text, &Place::Variable("KEYS")).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_found_plain_and_hashed() {
        // The SHA-256 of `correct horse battery staple`.
        let hashed = "two:sha256:c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a";
        let keys = parse(&format!("# keys\n\n one:0123456789abcdef \n{hashed}\n")).unwrap();
        assert_eq!(keys.find(b"0123456789abcdef"), Some("one"));
        assert_eq!(keys.find(b"correct horse battery staple"), Some("two"));
        assert_eq!((keys.find(b""), keys.find(b"0123456789abcdee")), (None, None));
    }

    #[test]
    fn lines_that_are_no_keys_are_named() {
        for (text, problem) in [
            ("\nkey", "line 2 of `KEYS` has no name: write `name:key`"),
            (":0123456789abcdef", "line 1 of `KEYS` has an empty name"),
            ("a:short", "line 1 of `KEYS` has a key of fewer than 16 characters"),
            ("a:sha256:12", "line 1 of `KEYS` has no SHA-256 of 64 hexadecimal digits after `sha256:`"),
        ] {
            assert_eq!(parse(text).unwrap_err(), problem);
        }
    }
}
