//! Durations and sizes as people write them: `500ms`, `30s`, `16MiB`.

use super::reader::{Cursor, Read};

const DURATIONS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

const MAX_DURATION: u64 = 24 * 3_600_000;
const MAX_SIZE: u64 = 4 << 30;

/// Reads a duration from one millisecond to a day, in milliseconds.
pub(super) fn duration(cursor: Cursor<'_>) -> Read<u64> {
    let duration = cursor.scalar().and_then(|text| scaled(text, DURATIONS));
    let fits = duration.filter(|milliseconds| (1..=MAX_DURATION).contains(milliseconds));
    fits.map_or_else(|| cursor.expected("a duration up to a day, such as `500ms`, `30s`, `2m` or `1h`"), Ok)
}

/// Reads a size from one byte to 4 GiB, in bytes.
pub(super) fn size(cursor: Cursor<'_>) -> Read<u64> {
    let size = cursor.scalar().and_then(|text| scaled(text, SIZES));
    let fits = size.filter(|bytes| (1..=MAX_SIZE).contains(bytes));
    fits.map_or_else(|| cursor.expected("a size up to 4GiB, such as `512KiB`, `16MiB` or `1GB`"), Ok)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units_and_refuses_the_rest() {
        assert_eq!(scaled("500ms", DURATIONS), Some(500));
        assert_eq!(scaled("2 m", DURATIONS), Some(120_000));
        assert_eq!(scaled("16MiB", SIZES), Some(16 << 20));
        for text in ["", "s", "30", "-1s", "1.5s", "30S", "99999999999999999999h", "18446744073709551615h", "٣s"] {
            assert_eq!(scaled(text, DURATIONS), None, "{text}");
        }
    }
}
