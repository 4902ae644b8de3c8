//! URIs, IRIs and templates of them (RFC 3986, 3987 and 6570).

use std::net::Ipv6Addr;

/// Returns whether a text is a URI, or an IRI: a reference with a scheme.
pub(super) fn is_absolute(text: &str, international: bool) -> bool {
    scheme(text).is_some() && is_reference(text, international)
}

/// Returns whether a text is a URI reference, or an IRI reference.
pub(super) fn is_reference(text: &str, international: bool) -> bool {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let rest = match scheme(rest) {
        Some(scheme) => &rest[scheme.len() + 1..],
        // A first segment with a colon would be a scheme.
        None if rest.split('/').next().is_some_and(|first| first.contains(':')) => return false,
        None => rest,
    };
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if !is_authority(authority, international) {
                return false;
            }
            path
        }
    };
    consists_of(path, ":@/", international)
        && consists_of(query, ":@/?", international)
        && consists_of(fragment, ":@/?", international)
}

/// Returns whether a text is a URI template of any level.
pub(super) fn is_template(text: &str) -> bool {
    let mut rest = text;
    loop {
        let (literal, behind) = match rest.split_once('{') {
            Some((literal, behind)) => (literal, Some(behind)),
            None => (rest, None),
        };
        if !is_literal(literal) {
            return false;
        }
        let Some(behind) = behind else { return true };
        let Some((expression, behind)) = behind.split_once('}') else { return false };
        if !is_expression(expression) {
            return false;
        }
        rest = behind;
    }
}

fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some(scheme)
}

fn is_authority(text: &str, international: bool) -> bool {
    let (user, host) = text.rsplit_once('@').unwrap_or(("", text));
    let (host, port) = match host.strip_prefix('[') {
        Some(literal) => {
            let Some((literal, port)) = literal.split_once(']') else { return false };
            if literal.parse::<Ipv6Addr>().is_err() && !is_future_address(literal) {
                return false;
            }
            ("", port)
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = port.is_empty() || port.starts_with(':') && port[1..].bytes().all(|byte| byte.is_ascii_digit());
    is_port && consists_of(user, ":", international) && consists_of(host, "", international)
}

/// `IPvFuture`.
fn is_future_address(text: &str) -> bool {
    let Some((version, address)) = text.strip_prefix(['v', 'V']).and_then(|text| text.split_once('.')) else {
        return false;
    };
    !version.is_empty()
        && version.bytes().all(|byte| byte.is_ascii_hexdigit())
        && !address.is_empty()
        && !address.contains('%')
        && consists_of(address, ":", false)
}

/// Returns whether a text has only unreserved characters, `sub-delims`, percent-encoded ones and those given.
fn consists_of(text: &str, more: &str, international: bool) -> bool {
    has_whole_percents(text)
        && text.chars().all(|character| match character {
            '%' => true,
            ascii if ascii.is_ascii() => {
                ascii.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(ascii) || more.contains(ascii)
            }
            other => international && is_international(other),
        })
}

fn has_whole_percents(text: &str) -> bool {
    let is_escape = |behind: &str| {
        let digits = behind.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    };
    text.split('%').skip(1).all(is_escape)
}

/// `ucschar` and `iprivate` (RFC 3987, section 2.2).
fn is_international(character: char) -> bool {
    let number = u32::from(character);
    number >= 0xa0
        && !(0xfdd0..0xfdf0).contains(&number)
        && !(0xfff0..0x1_0000).contains(&number)
        && number % 0x1_0000 < 0xfffe
}

fn is_literal(text: &str) -> bool {
    let is_forbidden = |character: char| character <= ' ' || "\"'<>\\^`|}\u{7f}".contains(character);
    has_whole_percents(text) && !text.contains(is_forbidden)
}

fn is_expression(text: &str) -> bool {
    let variables = text.strip_prefix(['+', '#', '.', '/', ';', '?', '&', '=', ',', '!', '@', '|']).unwrap_or(text);
    variables.split(',').all(|variable| {
        let name = match variable.split_once(':') {
            Some((name, length)) => {
                let is_length = (1..=4).contains(&length.len()) && length.bytes().all(|byte| byte.is_ascii_digit());
                if !is_length || length.starts_with('0') {
                    return false;
                }
                name
            }
            None => variable.strip_suffix('*').unwrap_or(variable),
        };
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'%')
        };
        has_whole_percents(name) && name.split('.').all(is_part)
    })
}
