//! Letters of any script as ASCII (RFC 3492).

const BASE: u32 = 36;
const LEAST: u32 = 1;
const MOST: u32 = 26;
const SKEW: u32 = 38;
const DAMP: u32 = 700;
const FIRST_BIAS: u32 = 72;
const FIRST: u32 = 128;

/// Decodes a text in lower case without its prefix.
pub(super) fn decode(text: &str) -> Option<String> {
    let (plain, encoded) = text.rsplit_once('-').unwrap_or(("", text));
    let mut characters: Vec<char> = plain.chars().collect();
    let (mut next, mut at, mut bias) = (FIRST, 0_u32, FIRST_BIAS);
    let mut digits = encoded.bytes();
    while digits.len() > 0 {
        let (start, mut weight) = (at, 1_u32);
        for step in 1.. {
            let digit = match digits.next()? {
                letter @ b'a'..=b'z' => u32::from(letter - b'a'),
                number @ b'0'..=b'9' => u32::from(number - b'0') + 26,
                _ => return None,
            };
            at = at.checked_add(digit.checked_mul(weight)?)?;
            let threshold = threshold(step, bias);
            if digit < threshold {
                break;
            }
            weight = weight.checked_mul(BASE - threshold)?;
        }
        let length = characters.len() as u32 + 1;
        bias = adapt(at - start, length, start == 0);
        next = next.checked_add(at / length)?;
        at %= length;
        characters.insert(at as usize, char::from_u32(next)?);
        at += 1;
    }
    Some(characters.into_iter().collect())
}

/// The length of a text once encoded, without its prefix.
pub(super) fn length(text: &str) -> usize {
    let plain = text.chars().filter(char::is_ascii).count();
    let mut length = plain + usize::from(plain > 0);
    let (mut done, mut delta, mut bias, mut current) = (plain as u32, 0_u32, FIRST_BIAS, FIRST);
    while let Some(next) = text.chars().map(u32::from).filter(|&number| number >= current).min() {
        delta = delta.saturating_add((next - current).saturating_mul(done + 1));
        for number in text.chars().map(u32::from) {
            delta = delta.saturating_add(u32::from(number < next));
            if number == next {
                length += digits(delta, bias);
                bias = adapt(delta, done + 1, done as usize == plain);
                (delta, done) = (0, done + 1);
            }
        }
        (delta, current) = (delta.saturating_add(1), next + 1);
    }
    length
}

fn digits(mut number: u32, bias: u32) -> usize {
    let mut count = 1;
    loop {
        let threshold = threshold(count as u32, bias);
        if number < threshold {
            return count;
        }
        number = (number - threshold) / (BASE - threshold);
        count += 1;
    }
}

fn threshold(step: u32, bias: u32) -> u32 {
    (BASE * step).saturating_sub(bias).clamp(LEAST, MOST)
}

fn adapt(delta: u32, length: u32, is_first: bool) -> u32 {
    let mut delta = delta / if is_first { DAMP } else { 2 };
    delta += delta / length;
    let mut steps = 0;
    while delta > (BASE - LEAST) * MOST / 2 {
        delta /= BASE - LEAST;
        steps += 1;
    }
    BASE * steps + (BASE - LEAST + 1) * delta / (delta + SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_decoded_and_measured() {
        // RFC 3492, section 7.1.
        for (text, encoded) in [
            ("ليهمابتكلموشعربي؟", "egbpdaj6bu4bxfgehfvwxn"),
            ("他们为什么不说中文", "ihqwcrb4cv8a8dqg056pqjye"),
            ("3年b組金八先生", "3b-ww4c5e180e575a65lsy2b"),
            ("bücher", "bcher-kva"),
        ] {
            assert_eq!(decode(encoded).as_deref(), Some(text));
            assert_eq!(length(text), encoded.len(), "{text}");
        }
        for wrong in ["x", "ü", "99999999", "a-ß"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
