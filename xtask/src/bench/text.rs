//! Numbers as people read them.

/// Three digits that matter and a unit of time.
pub(super) fn time(nanoseconds: f64) -> String {
    let units = [("s", 1e9), ("ms", 1e6), ("µs", 1e3)];
    let unit = units.into_iter().find(|(_, size)| nanoseconds >= *size);
    let (unit, size) = unit.unwrap_or(("ns", 1.0));
    format!("{} {unit}", number(nanoseconds / size))
}

/// Three digits that matter, and no fewer than are before the point.
pub(super) fn number(value: f64) -> String {
    if value >= 1.0 && value.fract().abs() < 1e-9 {
        return format!("{value:.0}");
    }
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// A name that a file, or the anchor of a heading, can have.
pub(super) fn slug(name: &str) -> String {
    name.replace(' ', "-").replace(',', "").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let times = [0.4, 19.04, 240_000.0, 7_130_000.0, 7_130_000_000.0];
        let texts = ["0.400 ns", "19.0 ns", "240 µs", "7.13 ms", "7.13 s"];
        assert_eq!(times.map(time), texts);
    }

    #[test]
    fn numbers_have_three_digits() {
        let numbers = [512.4, 12.345, 1.5, 0.0123, 8.0];
        assert_eq!(numbers.map(number), ["512", "12.3", "1.50", "0.012", "8"]);
    }
}
