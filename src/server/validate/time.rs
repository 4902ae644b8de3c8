//! Days and moments between their text (RFC 3339) and numbers since 1970-01-01, in the proleptic Gregorian calendar.
//! It knows no clock, no time zone by name and no leap second.

use std::fmt::Write as _;

const MICROS: i64 = 1_000_000;
const DAY: i64 = 86_400;

/// Reads `2026-11-23` as days since 1970-01-01.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..])?);
    let known = year >= 1 && (1..=12).contains(&month) && day >= 1 && day <= month_length(year, month);
    known.then(|| days(year, month, day) as i32)
}

/// Reads `2026-11-23T16:09:31.25+02:00` as microseconds since 1970-01-01 UTC; finer digits are cut off.
pub(crate) fn parse_datetime(text: &str) -> Option<i64> {
    let day = i64::from(parse_date(text.get(..10)?)?);
    let bytes = &text.as_bytes()[10..];
    if bytes.len() < 10 || !matches!(bytes[0], b'T' | b't' | b' ') || bytes[3] != b':' || bytes[6] != b':' {
        return None;
    }
    let (hour, minute, second) = (digits(&bytes[1..3])?, digits(&bytes[4..6])?, digits(&bytes[7..9])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, zone) = fraction(&bytes[9..])?;
    let seconds = day * DAY + hour * 3600 + minute * 60 + second - offset(zone)?;
    Some(seconds * MICROS + micros)
}

/// Writes days since 1970-01-01 as `2026-11-23`.
pub(crate) fn format_date(days: i32) -> String {
    let (year, month, day) = civil(i64::from(days));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Writes microseconds since 1970-01-01 UTC as `2026-11-23T16:09:31.25Z`.
pub(crate) fn format_datetime(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(MICROS), micros.rem_euclid(MICROS));
    let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, date) = civil(day);
    let mut text =
        format!("{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    if fraction != 0 {
        write!(text, ".{fraction:06}").expect("writing to a String cannot fail");
        text.truncate(text.trim_end_matches('0').len());
    }
    text.push('Z');
    text
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = bytes.strip_prefix(b".") else { return Some((0, bytes)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let kept = length.min(6);
    Some((digits(&rest[..kept])? * 10_i64.pow(6 - kept as u32), &rest[length..]))
}

fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), clock @ ..] if clock.len() == 5 && clock[2] == b':' => {
            let (hour, minute) = (digits(&clock[..2])?, digits(&clock[3..])?);
            let seconds = hour * 3600 + minute * 60;
            (hour <= 23 && minute <= 59).then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. Years start in March here, so that the leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// The year, month and day that are `days` after 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_since_1970() {
        assert_eq!(parse_date("1970-01-01"), Some(0));
        assert_eq!(parse_date("2026-11-23"), Some(20_780));
        assert_eq!(parse_date("1969-12-31"), Some(-1));
        for text in ["2026-02-29", "2026-13-01", "0000-01-01", "2026-1-01", "2026-11-23x", "२०२६-११-२३"]
        {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn moments_are_microseconds_in_utc() {
        assert_eq!(parse_datetime("1970-01-01T02:00:00.5+02:00"), Some(500_000));
        assert_eq!(parse_datetime("2026-11-23T16:09:31Z"), Some(1_795_450_171_000_000));
        for text in [
            "2026-11-23",
            "2026-11-23T16:09:31",
            "2026-11-23T24:00:00Z",
            "2026-11-23T16:09:31.Z",
            "2026-11-23T16:09:3é",
        ] {
            assert_eq!(parse_datetime(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_round_trips() {
        for day in -719_162..150_000 {
            assert_eq!(parse_date(&format_date(day)), Some(day));
        }
    }

    #[test]
    fn moments_round_trip() {
        for micros in [0, -1, 1_795_450_171_250_000, -62_135_596_800_000_000] {
            assert_eq!(parse_datetime(&format_datetime(micros)), Some(micros));
        }
        assert_eq!(format_datetime(1_250_000), "1970-01-01T00:00:01.25Z");
    }
}
