//! References between schemas (RFC 3986): resolved against a base, and taken apart at their fragment.
//!
//! Nothing is normalised: two names of one document must be written alike.

/// Splits a reference into what stands before its `#` and behind it.
pub(super) fn split(reference: &str) -> (&str, &str) {
    reference.split_once('#').unwrap_or((reference, ""))
}

/// Resolves a reference without a fragment against a base (section 5.2.2).
pub(super) fn resolve(base: &str, reference: &str) -> String {
    let (base, reference) = (Parts::of(base), Parts::of(reference));
    if reference.scheme.is_some() {
        return reference.with_path(&without_dots(reference.path));
    }
    if reference.authority.is_some() {
        return Parts { scheme: base.scheme, ..reference }.with_path(&without_dots(reference.path));
    }
    let whole = Parts { scheme: base.scheme, authority: base.authority, ..reference };
    if reference.path.is_empty() {
        return Parts { query: reference.query.or(base.query), ..whole }.with_path(base.path);
    }
    if reference.path.starts_with('/') {
        return whole.with_path(&without_dots(reference.path));
    }
    let folder = match base.path.rfind('/') {
        Some(end) => &base.path[..=end],
        None if base.authority.is_some() => "/",
        None => "",
    };
    whole.with_path(&without_dots(&format!("{folder}{}", reference.path)))
}

/// Decodes a fragment's percent signs (section 2.1); `None` where they stand for no text.
pub(super) fn decode(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        bytes.push((digit(0)? * 16 + digit(1)?) as u8);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

/// The parts of a reference (appendix B), without a fragment.
#[derive(Clone, Copy)]
struct Parts<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let is_scheme = |text: &str| text.starts_with(|first: char| first.is_ascii_alphabetic()) && !text.contains('/');
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
            _ => (None, text),
        };
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let Some(rest) = rest.strip_prefix("//") else { return Self { scheme, authority: None, path: rest, query } };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Self { scheme, authority: Some(authority), path, query }
    }

    /// Puts the parts together again (section 5.3).
    fn with_path(&self, path: &str) -> String {
        let mut text = String::new();
        for (before, part, behind) in [("", self.scheme, ":"), ("//", self.authority, "")] {
            if let Some(part) = part {
                text.extend([before, part, behind]);
            }
        }
        text.push_str(path);
        if let Some(query) = self.query {
            text.extend(["?", query]);
        }
        text
    }
}

/// Takes `.` and `..` out of a path (section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            ".." => {
                // The first segment of an absolute path is the empty one before its slash.
                if kept.last().is_some_and(|last| !last.is_empty() || kept.len() > 1) {
                    kept.pop();
                }
            }
            "." => {}
            segment => kept.push(segment),
        }
        if is_last && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    kept.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_as_the_specification_shows() {
        // RFC 3986, section 5.4, without the cases of fragments.
        for (reference, expected) in [
            ("g:h", "g:h"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/../h", "http://a/b/c/h"),
        ] {
            assert_eq!(resolve("http://a/b/c/d;p?q", reference), expected, "{reference}");
        }
    }

    #[test]
    fn bases_may_be_missing_or_have_no_folders() {
        assert_eq!(resolve("", "node.json"), "node.json");
        assert_eq!(resolve("urn:uuid:1?=q", ""), "urn:uuid:1?=q");
        assert_eq!(resolve("http://a", "g"), "http://a/g");
        assert_eq!(resolve("http://a/b/", "../c:d"), "http://a/c:d");
    }

    #[test]
    fn fragments_are_decoded() {
        assert_eq!(decode("/a%25b%22").as_deref(), Some("/a%b\""));
        for wrong in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
