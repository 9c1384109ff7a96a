//! The values of `[store]` about room: amounts of bytes, the time of a scrub, pins.

use std::fmt;
use std::time::Duration;

use longshore_store::{Amount, Pin};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::value::{ValueError, parse_duration};

/// The default of [`Store::min_free`](super::Store::min_free).
pub const MIN_FREE_DEFAULT: Amount = Amount::Percent(10);

/// The default of [`Store::scrub`](super::Store::scrub): 30 days.
pub const SCRUB_DEFAULT: Duration = Duration::from_secs(30 * 24 * 3600);

/// An amount of room as it is written: bytes with a unit, or percent of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room(pub(super) Amount);

/// How long a scrub takes; `0` is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scrub(pub(super) Duration);

/// What is never evicted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(super) struct Pins(pub(super) Vec<Pin>);

impl TryFrom<Vec<String>> for Pins {
    type Error = ValueError;

    fn try_from(pins: Vec<String>) -> Result<Self, Self::Error> {
        let pins: Result<_, _> = pins.iter().map(|pin| pin.parse()).collect();
        let wrong = |_| ValueError::new(PINS);
        pins.map(Self).map_err(wrong)
    }
}

/// Reads an amount of room, such as `50GiB` or `10%`.
pub(crate) fn parse_room(text: &str) -> Result<Amount, ValueError> {
    let wrong = ValueError::new(ROOM);
    let digits = text.find(|char: char| !char.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| wrong)?;
    let unit = match unit.trim_start() {
        "%" => {
            let percent = u8::try_from(number).ok().filter(|percent| *percent <= 100);
            return percent.map(Amount::Percent).ok_or(wrong);
        }
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000_u64.pow(2),
        "GB" => 1000_u64.pow(3),
        "TB" => 1000_u64.pow(4),
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(wrong),
    };
    let bytes = number.checked_mul(unit).ok_or(wrong)?;
    Ok(Amount::Bytes(bytes))
}

fn parse_scrub(text: &str) -> Result<Duration, ValueError> {
    match text {
        "0" => Ok(Duration::ZERO),
        text => parse_duration(text),
    }
}

/// A value that is written as a string or, without a unit, as a number.
struct TextOrNumber<T>(&'static str, fn(&str) -> Result<T, ValueError>);

impl<T> Visitor<'_> for TextOrNumber<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        (self.1)(&number.to_string()).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.1)(&number.to_string()).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Room {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let amount = from.deserialize_any(TextOrNumber(ROOM, parse_room));
        amount.map(Self)
    }
}

impl<'de> Deserialize<'de> for Scrub {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let time = from.deserialize_any(TextOrNumber(SCRUB, parse_scrub));
        time.map(Self)
    }
}

const ROOM: &str = "an amount is bytes like \"100GiB\" or a share of the file system like \"10%\"";
const SCRUB: &str = "a duration like \"30d\", or 0";
const PINS: &str = "a pin is a digest, or a repository with its registry, like \"docker.io/library/alpine\", \
                    \"docker.io/library/alpine:3.*\" or \"registry.example/*\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        let rows = [
            ("0", Some(Amount::Bytes(0))),
            ("1000", Some(Amount::Bytes(1000))),
            ("100GiB", Some(Amount::Bytes(100 << 30))),
            ("2 TB", Some(Amount::Bytes(2_000_000_000_000))),
            ("64KiB", Some(Amount::Bytes(65536))),
            ("10%", Some(Amount::Percent(10))),
            ("100 %", Some(Amount::Percent(100))),
            ("101%", None),
            ("", None),
            ("GiB", None),
            ("-1", None),
            ("1.5GiB", None),
            ("99999999999TiB", None),
            ("1gib", None),
        ];
        for (text, amount) in rows {
            assert_eq!(parse_room(text).ok(), amount, "{text}");
        }
    }

    #[test]
    fn no_scrub_is_zero() {
        assert_eq!(parse_scrub("0"), Ok(Duration::ZERO));
        assert_eq!(parse_scrub("30d"), Ok(SCRUB_DEFAULT));
        assert!(parse_scrub("7").is_err());
    }
}
