//! Days, times and durations (RFC 3339, section 5.6 and appendix A).

/// `full-date`, by the Gregorian calendar.
pub(super) fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let (Some(year), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2)) else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// `full-time`. A leap second is the last one of a day of UTC.
pub(super) fn is_time(text: &str) -> bool {
    let is_offset = |byte: u8| matches!(byte, b'Z' | b'z' | b'+' | b'-');
    let Some(end) = text.bytes().position(is_offset) else { return false };
    let (clock, offset) = text.split_at(end);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let (Some((hours, rest)), Some(offset)) = (clock.split_once(':'), minutes_ahead(offset)) else { return false };
    let Some((minutes, seconds)) = rest.split_once(':') else { return false };
    let (Some(hours), Some(minutes), Some(seconds)) = (number(hours, 2), number(minutes, 2), number(seconds, 2)) else {
        return false;
    };
    let minute_of_day = (hours * 60 + minutes) as i32 - offset;
    let is_last = minute_of_day.rem_euclid(24 * 60) == 24 * 60 - 1;
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    hours < 24 && minutes < 60 && (seconds < 60 || seconds == 60 && is_last) && is_fraction
}

/// `date-time`.
pub(super) fn is_date_time(text: &str) -> bool {
    text.split_once(['T', 't']).is_some_and(|(date, time)| is_date(date) && is_time(time))
}

/// `duration`: units in order, each once.
pub(super) fn is_duration(text: &str) -> bool {
    let Some(text) = text.strip_prefix('P') else { return false };
    if let Some(weeks) = text.strip_suffix('W') {
        return is_count(weeks);
    }
    match text.split_once('T') {
        Some((date, time)) => (date.is_empty() || has_units(date, "YMD")) && has_units(time, "HMS"),
        None => has_units(text, "YMD"),
    }
}

fn has_units(mut text: &str, mut units: &str) -> bool {
    if text.is_empty() {
        return false;
    }
    while !text.is_empty() {
        let Some(end) = text.find(|character: char| !character.is_ascii_digit()) else { return false };
        let (count, behind) = text.split_at(end);
        let Some((at, unit)) = units.char_indices().find(|(_, unit)| behind.starts_with(*unit)) else { return false };
        if !is_count(count) {
            return false;
        }
        (text, units) = (&behind[unit.len_utf8()..], &units[at + unit.len_utf8()..]);
    }
    true
}

/// The minutes that an offset is ahead of UTC.
fn minutes_ahead(text: &str) -> Option<i32> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, text) = match text.split_at_checked(1)? {
        ("+", text) => (1, text),
        ("-", text) => (-1, text),
        _ => return None,
    };
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) as i32)
}

fn number(text: &str, length: usize) -> Option<u32> {
    text.parse().ok().filter(|_| text.len() == length && is_count(text))
}

fn is_count(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
