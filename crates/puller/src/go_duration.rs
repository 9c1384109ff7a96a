//! Durations as Go programs read and write them.

use std::time::Duration;

/// Nanoseconds; `None` for what Go's `time.ParseDuration` refuses.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: i64 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, tail) = rest.split_at_checked(number?)?;
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, tail) = tail.split_at_checked(unit.unwrap_or(tail.len()))?;
        nanos = nanos.checked_add(amount(number, unit_nanos(unit)?)?)?;
        rest = tail;
    }
    Some(if negative { -nanos } else { nanos })
}

/// As Go's `Duration.String`: `1m30s`, `1.5s`, `100ms`.
pub(crate) fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (unit, name) = match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => return format_seconds(nanos),
    };
    [&decimal(nanos, unit), name].concat()
}

fn format_seconds(nanos: u128) -> String {
    let minutes = nanos / MINUTE;
    let seconds = decimal(nanos % MINUTE, SECOND);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// In this unit, with as many digits after the point as it takes.
fn decimal(nanos: u128, unit: u128) -> String {
    let (whole, rest) = (nanos / unit, nanos % unit);
    if rest == 0 {
        return whole.to_string();
    }
    // The unit is a power of ten: its digits but one stand after the point.
    let width = unit.to_string().len() - 1;
    let text = format!("{whole}.{rest:0width$}");
    text.trim_end_matches('0').to_owned()
}

/// A number with an optional fraction, in this unit. Digits of the fraction that do not count are cut.
fn amount(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: i64 = match whole {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    let mut nanos = whole.checked_mul(unit)?;
    let mut place = unit as f64;
    let mut part = 0.0;
    for digit in fraction.bytes() {
        place /= 10.0;
        part += f64::from(digit - b'0') * place;
    }
    #[allow(clippy::cast_possible_truncation, reason = "less than one unit")]
    let part = part.round() as i64;
    nanos = nanos.checked_add(part)?;
    Some(nanos)
}

fn unit_nanos(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

const SECOND: u128 = 1_000_000_000;
const MINUTE: u128 = 60 * SECOND;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        const S: i64 = 1_000_000_000;
        for (text, expected) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("5s", Some(5 * S)),
            ("30s", Some(30 * S)),
            ("1478s", Some(1478 * S)),
            ("-5s", Some(-5 * S)),
            ("+5s", Some(5 * S)),
            ("-0", Some(0)),
            ("5.0s", Some(5 * S)),
            ("5.6s", Some(5_600_000_000)),
            ("5.s", Some(5 * S)),
            (".5s", Some(S / 2)),
            ("1.0040s", Some(1_004_000_000)),
            ("10ns", Some(10)),
            ("11us", Some(11_000)),
            ("12µs", Some(12_000)),
            ("13ms", Some(13_000_000)),
            ("1m30s", Some(90 * S)),
            ("3h30m", Some(12_600 * S)),
            ("10.5s4m", Some(250_500_000_000)),
            ("-2m3.4s", Some(-123_400_000_000)),
            ("", None),
            ("3", None),
            ("-", None),
            ("s", None),
            (".", None),
            ("-.", None),
            (".s", None),
            ("1.2.3s", None),
            ("1d", None),
            ("invalid", None),
            ("9223372036854775808ns", None),
            ("9999999999h", None),
            ("1é", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_are_written() {
        for (nanos, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (60_000_000_000, "1m0s"),
            (245_000_000_000, "4m5s"),
            (245_001_000_000, "4m5.001s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (480_000_000_001, "8m0.000000001s"),
        ] {
            assert_eq!(format(Duration::from_nanos(nanos)), expected);
        }
    }
}
