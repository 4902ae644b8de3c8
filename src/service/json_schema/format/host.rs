//! Names of hosts and addresses of mail (RFC 1123, 5321, 5890 to 5892, 6531).
//!
//! Of Unicode's tables only the general categories are here, not those of normal forms and of how letters join: a character that only
//! they would forbid is taken.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::Regex;

use super::punycode;

/// The longest name, and the longest part of one, in characters of ASCII.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;
/// The longest mail address and the longest part of it before `@`, in bytes.
const MAX_ADDRESS: usize = 254;
const MAX_LOCAL: usize = 64;

/// Letters, digits and marks (RFC 5892, section 2.1), those that the next section adds, and those that have rules of their own.
static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    class(
        r"^[\p{L}\p{Nd}\p{Mn}\p{Mc}\-\x{6fd}\x{6fe}\x{f0b}\x{3007}\x{b7}\x{375}\x{5f3}\x{5f4}\x{30fb}\x{200c}\x{200d}]+$",
    )
});
static MARK: LazyLock<Regex> = LazyLock::new(|| class(r"^[\p{Mn}\p{Mc}]"));
/// Characters that the exceptions forbid (RFC 5892, section 2.6), and old letters of Hangul (section 2.9).
static FORBIDDEN: LazyLock<Regex> = LazyLock::new(|| {
    class(
        r"[\x{640}\x{7fa}\x{302e}\x{302f}\x{3031}-\x{3035}\x{303b}\x{1100}-\x{11ff}\x{a960}-\x{a97f}\x{d7b0}-\x{d7ff}]",
    )
});

fn class(text: &str) -> Regex {
    Regex::new(text).expect("the class is sound")
}

/// A name of letters, digits and hyphens.
pub(super) fn is_host(text: &str) -> bool {
    text.is_ascii() && is_international_host(text)
}

/// A name that may have letters of any script.
pub(super) fn is_international_host(text: &str) -> bool {
    let is_dot = |character: char| matches!(character, '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}');
    let lengths: Option<Vec<usize>> = text.split(is_dot).map(label).collect();
    lengths.is_some_and(|lengths| lengths.iter().sum::<usize>() + lengths.len() - 1 <= MAX_NAME)
}

/// A mail address.
pub(super) fn is_email(text: &str) -> bool {
    text.is_ascii() && is_international_email(text)
}

/// A mail address that may have letters of any script.
pub(super) fn is_international_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    text.len() <= MAX_ADDRESS && local.len() <= MAX_LOCAL && is_local(local) && is_domain(domain)
}

fn is_local(text: &str) -> bool {
    if let Some(quoted) = text.strip_prefix('"') {
        let Some(quoted) = quoted.strip_suffix('"') else { return false };
        let mut characters = quoted.chars();
        while let Some(character) = characters.next() {
            let is_sound = match character {
                '\\' => characters.next().is_some_and(|escaped| !escaped.is_control()),
                other => other != '"' && !other.is_control(),
            };
            if !is_sound {
                return false;
            }
        }
        return true;
    }
    let is_part = |character: char| {
        !character.is_ascii() || character.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(character)
    };
    text.split('.').all(|part| !part.is_empty() && part.chars().all(is_part))
}

fn is_domain(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(literal) => match literal.strip_prefix("IPv6:") {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => literal.parse::<Ipv4Addr>().is_ok(),
        },
        None => is_international_host(text),
    }
}

/// Returns how many characters of ASCII a part of a name takes; `None` where it is none.
fn label(text: &str) -> Option<usize> {
    if text.starts_with('-') || text.ends_with('-') || text.is_empty() {
        return None;
    }
    // Each character takes at least one of ASCII. What follows is slow for long texts.
    let most = if text.is_ascii() { MAX_LABEL } else { 4 * MAX_LABEL };
    if text.len() > most {
        return None;
    }
    let has_prefix = text.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"));
    let length = if text.is_ascii() {
        let is_sound = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let encoded = || punycode::decode(&text[4..].to_ascii_lowercase());
        let is_encoding = || encoded().is_some_and(|decoded| !decoded.is_ascii() && is_label(&decoded));
        (is_sound && (!has_prefix || is_encoding())).then_some(text.len())?
    } else {
        is_label(text).then(|| punycode::length(text))? + 4
    };
    (length <= MAX_LABEL).then_some(length)
}

/// RFC 5891, section 4.2.3, and the rules of RFC 5892.
fn is_label(text: &str) -> bool {
    let has_hyphens = text.chars().skip(2).take(2).eq(['-', '-']);
    let characters: Vec<char> = text.chars().collect();
    LABEL.is_match(text)
        && !has_hyphens
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !MARK.is_match(text)
        && !FORBIDDEN.is_match(text)
        && (0..characters.len()).all(|at| fits_neighbours(&characters, at))
}

/// The rules for single characters (RFC 5892, appendix A).
fn fits_neighbours(text: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).map(|at| text[at]);
    let behind = text.get(at + 1).copied();
    let is_mark = |character: char| MARK.is_match(character.encode_utf8(&mut [0; 4]));
    let is_arabic = |character: char| ('\u{620}'..'\u{700}').contains(&character);
    let is_hebrew = |character: char| ('\u{591}'..='\u{5f4}').contains(&character);
    let is_japanese = |character: char| {
        matches!(character, '\u{3041}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}'
            | '\u{3005}' | '\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{3134f}')
    };
    match text[at] {
        '\u{200c}' => before.is_some_and(is_mark) || before.is_some_and(is_arabic) && behind.is_some_and(is_arabic),
        '\u{200d}' => before.is_some_and(is_mark),
        '\u{b7}' => before == Some('l') && behind == Some('l'),
        '\u{375}' => behind.is_some_and(|behind| matches!(behind, '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}')),
        '\u{5f3}' | '\u{5f4}' => before.is_some_and(is_hebrew),
        '\u{30fb}' => text.iter().any(|&character| is_japanese(character)),
        // The two kinds of Arabic digits do not stand together.
        '\u{660}'..='\u{669}' => !text.iter().any(|character| ('\u{6f0}'..='\u{6f9}').contains(character)),
        _ => true,
    }
}
