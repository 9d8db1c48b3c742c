//! Sizes, ages and counts as people write them on a command line, and as they are printed for people.

use std::time::Duration;

use indicatif::BinaryBytes;

const SIZE_UNITS: &str = "write a number and its unit, as in 500MiB: B; K, M, G, T or KiB and so on, of \
                          1024; KB and so on, of 1000";

const AGE_UNITS: &str = "write a number and its unit, as in 30d: s, m (minutes), h, d or w";

const TOO_LARGE: &str = "it is more than can be counted";

/// Reads a size, as in `500MiB`, `1.5G` or `0`.
pub(crate) fn parse_size(text: &str) -> Result<u64, &'static str> {
    let quantity = Quantity::parse(text).ok_or(SIZE_UNITS)?;
    let (base, power): (u128, u32) = match quantity.unit.as_str() {
        "" if quantity.digits == 0 => (1, 0),
        "b" => (1, 0),
        "k" | "kib" => (1024, 1),
        "m" | "mib" => (1024, 2),
        "g" | "gib" => (1024, 3),
        "t" | "tib" => (1024, 4),
        "kb" => (1000, 1),
        "mb" => (1000, 2),
        "gb" => (1000, 3),
        "tb" => (1000, 4),
        _ => return Err(SIZE_UNITS),
    };
    quantity.times(base.pow(power)).ok_or(TOO_LARGE)
}

/// Reads an age, as in `30d`, `1.5h` or `0`.
pub(crate) fn parse_age(text: &str) -> Result<Duration, &'static str> {
    let quantity = Quantity::parse(text).ok_or(AGE_UNITS)?;
    let seconds = match quantity.unit.as_str() {
        "" if quantity.digits == 0 => 1,
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return Err(AGE_UNITS),
    };
    let milliseconds = quantity.times(seconds * 1000).ok_or(TOO_LARGE)?;
    Ok(Duration::from_millis(milliseconds))
}

/// A size, in the unit that suits it.
pub(crate) fn size(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// An age, in the largest unit of which it has one.
pub(crate) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

/// So many entries.
pub(crate) fn entries(count: u64) -> String {
    counted(count, "entry", "entries")
}

/// So many files that dead processes left.
pub(crate) fn leftovers(count: u64) -> String {
    counted(count, "leftover file", "leftover files")
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A decimal number and what stands behind it, in lower case.
struct Quantity {
    /// The number without its point.
    digits: u128,
    /// What to divide that by.
    scale: u128,
    unit: String,
}

impl Quantity {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        // With leading zeros, too, as long as nobody needs more.
        let is_number = |digits: &str| (1..=18).contains(&digits.len()) && !digits.contains('.');
        if !is_number(whole) || !is_number(fraction) {
            return None;
        }
        Some(Self {
            digits: format!("{whole}{fraction}").parse().ok()?,
            scale: 10_u128.pow(u32::try_from(fraction.len()).ok()?),
            unit: unit.trim().to_ascii_lowercase(),
        })
    }

    fn times(&self, factor: u128) -> Option<u64> {
        u64::try_from(self.digits.checked_mul(factor)? / self.scale).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_the_units_people_write() {
        for (text, bytes) in [
            ("0", 0),
            ("0MiB", 0),
            ("4096B", 4096),
            ("1K", 1024),
            ("1kib", 1024),
            ("1KB", 1000),
            ("500MiB", 500 << 20),
            ("500 m", 500 << 20),
            ("1.5G", 3 << 29),
            ("2GB", 2_000_000_000),
            ("1TiB", 1 << 40),
            ("0.5tb", 500_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn ages_are_read_in_the_units_people_write() {
        for (text, seconds) in [
            ("0", 0),
            ("90s", 90),
            ("15m", 900),
            ("1.5h", 5400),
            ("30d", 2_592_000),
            ("2 W", 1_209_600),
        ] {
            assert_eq!(parse_age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "", " ", "B", "500", "1.2.3M", ".5M", "1.M", "-1M", "+1M", "1e3M", "1PiBB", "1MiBs",
            "٣M",
        ] {
            assert_eq!(parse_size(text), Err(SIZE_UNITS), "{text}");
        }
        for text in ["", "30", "d", "1y", "1mo", "1d12h", "-1d", "∞d"] {
            assert_eq!(parse_age(text), Err(AGE_UNITS), "{text}");
        }
        assert_eq!(parse_size("99999999T"), Err(TOO_LARGE));
        assert_eq!(parse_age("999999999999999999w"), Err(TOO_LARGE));
    }

    #[test]
    fn an_age_is_printed_so_that_it_can_be_read_again() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (7199, "1h"),
            (864_000, "10d"),
        ] {
            let printed = age(Duration::from_secs(seconds));
            assert_eq!(printed, text);
            assert!(parse_age(&printed).unwrap() <= Duration::from_secs(seconds));
        }
    }
}
