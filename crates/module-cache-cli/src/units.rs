//! Sizes, ages and counts as people write them on a command line, and as they are printed for people.

use std::time::Duration;

use bytesize::ByteSize;
use indicatif::BinaryBytes;

/// Reads a size, as in `500MiB`, `1.5G` or `0`.
pub(crate) fn parse_size(text: &str) -> Result<u64, &'static str> {
    let size: Option<ByteSize> = text.parse().ok();
    // Who leaves the unit out may mean any.
    let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
    let size = size.filter(|size| has_unit || size.as_u64() == 0);
    size.map(|size| size.as_u64()).ok_or(
        "a size is a number and its unit, as in 500MiB: KiB and so on (1024), or KB and so on (1000)",
    )
}

/// Reads an age, as in `30d`, `1h 30m` or `0`.
pub(crate) fn parse_age(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text)
        .map_err(|_| "an age is numbers and their units, as in 30d: s, m (minutes), h, d, w or y")
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
pub(crate) fn stale_files(count: u64) -> String {
    counted(count, "stale file", "stale files")
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_the_units_people_write() {
        for (text, bytes) in [
            ("0", 0),
            ("4096B", 4096),
            ("500MiB", 500 << 20),
            ("1.5 GiB", 3 << 29),
            ("2GB", 2_000_000_000),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", " ", "B", "500", "1.2.3M", "-1M", "1PiBB", "much"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ages_are_read_in_the_units_people_write() {
        for (text, seconds) in [
            ("0", 0),
            ("90s", 90),
            ("15m", 900),
            ("1h 30m", 5400),
            ("30d", 2_592_000),
            ("2w", 1_209_600),
        ] {
            assert_eq!(parse_age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "30", "d", "1mo", "-1d", "999999999999999999w"] {
            assert!(parse_age(text).is_err(), "{text}");
        }
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
