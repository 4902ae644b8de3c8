//! The order of Debian versions, as Debian policy section 5.6.12 defines it and dpkg computes it.
//!
//! Versions are compared, never checked for syntax: what an archive publishes is taken as it is.

use std::cmp::Ordering;

/// Compares two versions, each `[epoch:]upstream[-revision]`.
///
/// Different texts may be equal: `1.0` and `0:1.0-0` are.
pub fn compare(left: &str, right: &str) -> Ordering {
    let left = split(left);
    let right = split(right);
    // An absent epoch or revision is like 0, and so is an empty part.
    left.iter()
        .zip(&right)
        .map(|(left, right)| compare_part(left, right))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Returns epoch, upstream version and revision.
fn split(version: &str) -> [&[u8]; 3] {
    let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    [epoch.as_bytes(), upstream.as_bytes(), revision.as_bytes()]
}

/// Compares alternating runs of non-digits and digits.
fn compare_part(mut left: &[u8], mut right: &[u8]) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let order = compare_text(
            take(&mut left, |byte| !byte.is_ascii_digit()),
            take(&mut right, |byte| !byte.is_ascii_digit()),
        )
        .then_with(|| compare_number(take(&mut left, u8::is_ascii_digit), take(&mut right, u8::is_ascii_digit)));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Splits the longest run of matching bytes off the front.
fn take<'a>(text: &mut &'a [u8], matches: impl Fn(&u8) -> bool) -> &'a [u8] {
    let length = text.iter().position(|byte| !matches(byte)).unwrap_or(text.len());
    let (run, rest) = text.split_at(length);
    *text = rest;
    run
}

fn compare_text(left: &[u8], right: &[u8]) -> Ordering {
    (0..left.len().max(right.len()))
        .map(|index| weight(left.get(index)).cmp(&weight(right.get(index))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// `~` sorts before the end of the text, letters before all other characters.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(b'~') => -1,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    }
}

/// Compares digits of any number.
fn compare_number(mut left: &[u8], mut right: &[u8]) -> Ordering {
    take(&mut left, |byte| *byte == b'0');
    take(&mut right, |byte| *byte == b'0');
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_as_dpkg_says() {
        let less = [
            ("1.0~rc1", "1.0"),
            ("1.0~~", "1.0~"),
            ("1.0", "1.0a"),
            ("1.0a", "1.0+"),
            ("1.9", "1.10"),
            ("9", "1:0"),
            ("1.0-1", "1.0-2"),
            ("1.0", "1.0-1"),
            ("1-3", "1-2-1"),
            ("0.9+ds0-3", "0.9+ds-4"),
            ("2.36-9+deb12u4", "2.36-9+deb12u10"),
            ("99999999999999999998", "99999999999999999999"),
        ];
        for (left, right) in less {
            assert_eq!(compare(left, right), Ordering::Less, "{left} < {right}");
            assert_eq!(compare(right, left), Ordering::Greater, "{right} > {left}");
        }
    }

    #[test]
    fn different_texts_may_be_the_same_version() {
        for (left, right) in [("1.0", "0:1.0-0"), ("1.01", "1.1"), ("1.1.1+dfsg-1", "1.1.1+dfsg0-1"), ("", "0")] {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} = {right}");
        }
    }
}
