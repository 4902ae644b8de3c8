//! Numbers of JSON as exact decimals, and the order of all JSON values.
//!
//! A number with a fraction or an exponent counts as the shortest decimal that stands for it, so that 0.3 is a multiple of 0.1.

use std::cmp::Ordering;
use std::io::Write;

use serde_json::{Number, Value};

/// Whole numbers up to this one are floating-point numbers, too.
const EXACT: u128 = 1 << 53;

/// A number: `digits` × 10^`exponent`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    negative: bool,
    digits: u64,
    exponent: i32,
}

impl Decimal {
    fn of(number: &Number) -> Self {
        if let Some(digits) = number.as_u64() {
            return Self { negative: false, digits, exponent: 0 };
        }
        if let Some(whole) = number.as_i64() {
            return Self { negative: true, digits: whole.unsigned_abs(), exponent: 0 };
        }
        let number = number.as_f64().unwrap_or_default();
        Self::short(number).unwrap_or_else(|| Self::shortest(number))
    }

    /// A number with few digits, as most have: found by trying. No other decimal of up to 15 digits is read as the same number.
    #[expect(clippy::float_cmp, reason = "only the very same number will do")]
    fn short(number: f64) -> Option<Self> {
        let size = number.abs();
        [1.0, 10.0, 100.0, 1000.0, 10_000.0].into_iter().zip(0..).find_map(|(power, places)| {
            let digits = (size * power).round();
            // Both are exact, so that the quotient is what the decimal is read as.
            let is_same = digits < 1e15 && digits / power == size;
            is_same.then_some(Self { negative: number < 0.0, digits: digits as u64, exponent: -places })
        })
    }

    /// The shortest decimal that is read as this number; it has at most 17 digits.
    fn shortest(number: f64) -> Self {
        let mut text = [0_u8; 32];
        let mut free = &mut text[..];
        write!(free, "{number:e}").expect("a floating-point number has at most 25 characters");
        let unused = free.len();
        let (mut digits, mut exponent, mut behind_point) = (0, 0, false);
        for (at, &byte) in text[..text.len() - unused].iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    digits = digits * 10 + u64::from(byte - b'0');
                    exponent -= i32::from(behind_point);
                }
                b'.' => behind_point = true,
                b'e' => {
                    let power = std::str::from_utf8(&text[at + 1..text.len() - unused]);
                    exponent += power.ok().and_then(|power| power.parse::<i32>().ok()).unwrap_or_default();
                    break;
                }
                _ => {}
            }
        }
        Self { negative: number < 0.0, digits, exponent }
    }

    /// Where the first digit stands: 1 for units, 2 for tens.
    fn magnitude(self) -> i32 {
        self.digits.checked_ilog10().map_or(i32::MIN, |power| power as i32 + 1 + self.exponent)
    }

    fn compare(self, other: Self) -> Ordering {
        let sign = |number: Self| if number.digits == 0 { 0 } else { 1 - 2 * i32::from(number.negative) };
        let by_sign = sign(self).cmp(&sign(other));
        if by_sign.is_ne() || self.digits == 0 {
            return by_sign;
        }
        let sizes = self.magnitude().cmp(&other.magnitude()).then_with(|| {
            // First digits stand in the same place, so that exponents are less than 20 apart.
            let least = self.exponent.min(other.exponent);
            let scaled = |number: Self| u128::from(number.digits) * ten_to(number.exponent.abs_diff(least));
            scaled(self).cmp(&scaled(other))
        });
        if self.negative { sizes.reverse() } else { sizes }
    }

    fn is_multiple_of(self, divisor: Self) -> bool {
        if self.digits == 0 || divisor.digits == 0 {
            return self.digits == 0;
        }
        let (own, other) = (u128::from(self.digits), u128::from(divisor.digits));
        let apart = self.exponent.abs_diff(divisor.exponent);
        if self.exponent < divisor.exponent {
            // What has fewer than 20 digits is no multiple of what ends in 20 noughts.
            return apart < 20 && own % (other * ten_to(apart)) == 0;
        }
        // (own × 10^apart) mod other; all factors are below 2^64.
        let (mut rest, mut power, mut left) = (own % other, 10 % other, apart);
        while left > 0 {
            if left % 2 == 1 {
                rest = rest * power % other;
            }
            power = power * power % other;
            left /= 2;
        }
        rest == 0
    }
}

fn ten_to(power: u32) -> u128 {
    10_u128.pow(power)
}

/// Compares two numbers by their exact values.
pub(super) fn compare_numbers(one: &Number, other: &Number) -> Ordering {
    if let (Some(one), Some(other)) = (one.as_i128(), other.as_i128()) {
        return one.cmp(&other);
    }
    let is_exact = |number: &Number| number.as_i128().is_none_or(|whole| whole.unsigned_abs() <= EXACT);
    let quickly = || one.as_f64()?.partial_cmp(&other.as_f64()?);
    match quickly() {
        Some(order) if is_exact(one) && is_exact(other) => order,
        _ => Decimal::of(one).compare(Decimal::of(other)),
    }
}

/// Returns whether a number is a whole one.
pub(super) fn is_whole(number: &Number) -> bool {
    !number.is_f64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// Returns whether a number is a whole multiple of another, which is more than 0.
pub(super) fn is_multiple(number: &Number, divisor: &Number) -> bool {
    match (number.as_i64(), divisor.as_i64()) {
        (Some(number), Some(divisor)) if divisor != 0 => number.checked_rem(divisor).is_none_or(|rest| rest == 0),
        _ => Decimal::of(number).is_multiple_of(Decimal::of(divisor)),
    }
}

/// An order of all values in which those are equal that JSON Schema calls so: `1` and `1.0`, objects whatever their members' order.
pub(super) fn compare(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Number(one), Value::Number(other)) => compare_numbers(one, other),
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Array(one), Value::Array(other)) => one.len().cmp(&other.len()).then_with(|| {
            let pairs = one.iter().zip(other);
            pairs.map(|(one, other)| compare(one, other)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        }),
        (Value::Object(one), Value::Object(other)) => one.len().cmp(&other.len()).then_with(|| {
            let pairs = one.iter().zip(other);
            let mut orders = pairs.map(|(one, other)| one.0.cmp(other.0).then_with(|| compare(one.1, other.1)));
            orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        }),
        _ => rank(one).cmp(&rank(other)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn numbers_are_compared_to_the_last_digit() {
        for (less, more) in [
            ("9007199254740992.0", "9007199254740993"),
            ("9007199254740993", "9007199254740994.0"),
            ("18446744073709551614", "18446744073709551615"),
            ("18446744073709551615", "1e300"),
            ("-1e300", "-9223372036854775808"),
            ("-9223372036854775808", "-9223372036854775807"),
            ("-0.1", "5e-324"),
            ("5e-324", "0.1"),
            ("9223372036854775807", "9223372036854775808"),
            ("0.1", "0.10000000000000002"),
            ("99.5", "100"),
        ] {
            assert_eq!(compare_numbers(&number(less), &number(more)), Ordering::Less, "{less} {more}");
            assert_eq!(compare_numbers(&number(more), &number(less)), Ordering::Greater, "{less} {more}");
        }
        for (one, other) in [("1", "1.0"), ("0", "-0.0"), ("1e3", "1000"), ("9007199254740992", "9007199254740992.0")] {
            assert_eq!(compare_numbers(&number(one), &number(other)), Ordering::Equal, "{one} {other}");
        }
    }

    #[test]
    fn multiples_are_exact() {
        for (multiple, of) in [
            ("0.3", "0.1"),
            ("0.0075", "0.0001"),
            ("4.35", "0.01"),
            ("1e308", "0.123456789"),
            ("1e308", "7e300"),
            ("18446744073709551615", "5"),
            ("-9223372036854775808", "-1"),
            ("0", "1e-300"),
            ("0.0", "3"),
            ("1e22", "1e2"),
            ("0.29", "0.01"),
            ("-1234567890.1234", "0.0001"),
            ("123456789012345.6", "0.1"),
            ("0.1234567", "1e-7"),
        ] {
            let expected = !matches!((multiple, of), ("1e308", "0.123456789" | "7e300"));
            assert_eq!(is_multiple(&number(multiple), &number(of)), expected, "{multiple} {of}");
        }
        for (multiple, of) in [("0.00751", "0.0001"), ("35", "1.5e1"), ("1e-300", "1e300"), ("0.5", "1"), ("1", "2.5")]
        {
            assert!(!is_multiple(&number(multiple), &number(of)), "{multiple} {of}");
        }
    }

    #[test]
    fn few_digits_are_found_as_many_are() {
        for text in ["0.29", "1.005", "4.35", "-0.1", "1e14", "999999999999999", "99999999999.9999", "0.0001", "2.5e-3"]
        {
            let number: f64 = text.parse().unwrap();
            let (short, shortest) = (Decimal::short(number).unwrap(), Decimal::shortest(number));
            assert_eq!(short.compare(shortest), Ordering::Equal, "{text}: {short:?} {shortest:?}");
        }
        for text in ["0.00001", "1e15", "0.30000000000000004", "5e-324", "1e300"] {
            assert!(Decimal::short(text.parse().unwrap()).is_none(), "{text}");
        }
    }

    #[test]
    fn whole_numbers_may_have_a_point() {
        for (text, expected) in [("1.0", true), ("1e308", true), ("-3", true), ("1.5", false), ("5e-324", false)] {
            assert_eq!(is_whole(&number(text)), expected, "{text}");
        }
    }

    #[test]
    fn values_are_equal_by_what_they_say() {
        let nested = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let equal = |one: &str, other: &str| compare(&nested(one), &nested(other)).is_eq();
        assert!(equal(r#"{"a": [1, 2.0], "b": null}"#, r#"{"b": null, "a": [1.0, 2]}"#));
        for (one, other) in
            [("[1]", "[true]"), ("0", "false"), ("{}", "[]"), (r#"{"a": 0}"#, r#"{"b": 0}"#), ("[[1]]", "[1]")]
        {
            assert!(!equal(one, other), "{one} {other}");
        }
        let mut values = [json!("b"), json!({}), json!(2), json!([]), json!("a"), json!(null), json!(1.5), json!(true)];
        values.sort_unstable_by(compare);
        assert_eq!(json!(values), json!([null, true, 1.5, 2, "a", "b", [], {}]));
    }
}
