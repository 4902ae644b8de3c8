//! Names of images in the local store: `name:tag`, with a registry's host in front or not.
//!
//! How a name is turned into a registry's address is `registry`'s.

use super::error::ImageError;

/// The longest name, tag excluded, in bytes.
const MAX_NAME: usize = 255;
/// The longest tag, in bytes.
const MAX_TAG: usize = 128;

/// Returns the name with its tag, which is `latest` where none is given; checks the grammar of the OCI distribution
/// specification.
pub fn normalize(reference: &str) -> Result<String, ImageError> {
    let refuse = |reason| Err(ImageError::Name { name: reference.to_owned(), reason });
    if reference.contains('@') {
        return refuse("a digest cannot be part of a name");
    }
    let (name, tag) = split_tag(reference);
    let tag = tag.unwrap_or("latest");
    if !is_tag(tag) {
        return refuse("the tag has a character that it cannot have, or is empty or too long");
    }
    if name.len() > MAX_NAME {
        return refuse("it is too long");
    }
    let path = match name.split_once('/') {
        Some((host, path)) if is_host(host) => path,
        _ => name,
    };
    if !path.split('/').all(is_component) {
        return refuse("it has a character that it cannot have, or an empty part");
    }
    Ok(format!("{name}:{tag}"))
}

/// Splits a name from its tag. A colon before the last slash is a port's.
pub(super) fn split_tag(reference: &str) -> (&str, Option<&str>) {
    let last = reference.rfind('/').map_or(0, |slash| slash + 1);
    match reference[last..].find(':') {
        Some(colon) => (&reference[..last + colon], Some(&reference[last + colon + 1..])),
        None => (reference, None),
    }
}

/// Whether a name begins with a registry's host: a dot, a port, or `localhost` tells it from a folder.
pub(super) fn has_host(reference: &str) -> bool {
    reference.split_once('/').is_some_and(|(host, _)| is_host(host))
}

fn is_host(text: &str) -> bool {
    let shaped = text == "localhost" || text.contains(['.', ':']);
    shaped && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']'))
}

/// Whether a tag has the form that the distribution specification gives it.
pub(crate) fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// Whether a part of a repository's path has its form: letters and digits, with one `.`, one or two `_`, or any number
/// of `-` between them.
pub(crate) fn is_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separator = |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    component.starts_with(alphanumeric)
        && component.ends_with(alphanumeric)
        && component.split(alphanumeric).filter(|text| !text.is_empty()).all(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_a_tag() {
        for (given, expected) in [
            ("model", "model:latest"),
            ("model:1.0", "model:1.0"),
            ("team/my_model--x:v1", "team/my_model--x:v1"),
            ("localhost:5000/model", "localhost:5000/model:latest"),
            ("Registry.example:443/a/b:T_1", "Registry.example:443/a/b:T_1"),
        ] {
            assert_eq!(normalize(given).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(300);
        for name in ["", "Model", "a//b", "a/", "-a", "a._b", "a:", "a:b c", "a:-", "a@sha256:00", "a/../b", &long] {
            assert!(normalize(name).is_err(), "{name}");
        }
    }
}
