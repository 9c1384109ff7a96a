//! JSON as Go's `encoding/json` writes it: conversions must come out byte for byte as the tools
//! written in Go made them, because digests are made of these bytes.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::{Error, wire};

/// An object whose values are kept as they were written: `map[string]json.RawMessage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object(BTreeMap<String, String>);

impl Object {
    /// Reads an object; of equal keys the last counts.
    pub(crate) fn parse(part: &'static str, bytes: &[u8]) -> Result<Self, Error> {
        let map: BTreeMap<String, &RawValue> = wire::read(part, bytes)?;
        let compacted = |(key, value): (String, &RawValue)| (key, compact(value.get()));
        Ok(Self(map.into_iter().map(compacted).collect()))
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Sets a value that is compact JSON.
    pub(crate) fn set(&mut self, key: &str, json: String) {
        self.0.insert(key.to_owned(), json);
    }

    /// Keys sorted by their bytes, without white space.
    pub(crate) fn to_json(&self) -> String {
        let mut json = String::from("{");
        for (key, value) in &self.0 {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&string(key));
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
        json
    }
}

/// A string with quotes, escaped as Go does from 1.22 on.
pub(crate) fn string(text: &str) -> String {
    let mut json = String::with_capacity(text.len().saturating_add(2));
    json.push('"');
    for char in text.chars() {
        match char {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\0'..='\u{1f}' => json.push_str(&format!("\\u{:04x}", u32::from(char))),
            other => push_html_safe(other, &mut json),
        }
    }
    json.push('"');
    json
}

/// Valid JSON without white space between its tokens, with `<`, `>`, `&` and the line
/// separators U+2028 and U+2029 escaped inside strings.
pub(crate) fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let mut chars = json.chars();
    let mut in_string = false;
    while let Some(char) = chars.next() {
        match char {
            ' ' | '\t' | '\n' | '\r' if !in_string => {}
            '\\' if in_string => {
                compact.push('\\');
                compact.extend(chars.next());
            }
            '"' => {
                in_string = !in_string;
                compact.push('"');
            }
            other => push_html_safe(other, &mut compact),
        }
    }
    compact
}

/// Compact JSON over several lines, as `json.Indent` has it: every line but the first starts
/// with `prefix`, then one `indent` for each level; empty lists and objects stay closed.
pub(crate) fn indent(compact: &str, prefix: &str, indent: &str) -> String {
    let mut text = String::with_capacity(compact.len().saturating_mul(2));
    let mut chars = compact.chars().peekable();
    let mut in_string = false;
    let mut level = 0_usize;
    let line = |text: &mut String, level: usize| {
        text.push('\n');
        text.push_str(prefix);
        (0..level).for_each(|_| text.push_str(indent));
    };
    while let Some(char) = chars.next() {
        match char {
            '\\' if in_string => {
                text.push('\\');
                text.extend(chars.next());
            }
            '"' => {
                in_string = !in_string;
                text.push('"');
            }
            _ if in_string => text.push(char),
            '{' | '[' => {
                text.push(char);
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(close) => text.push(close),
                    None => {
                        level = level.saturating_add(1);
                        line(&mut text, level);
                    }
                }
            }
            '}' | ']' => {
                level = level.saturating_sub(1);
                line(&mut text, level);
                text.push(char);
            }
            ',' => {
                text.push(',');
                line(&mut text, level);
            }
            ':' => text.push_str(": "),
            other => text.push(other),
        }
    }
    text
}

/// A time as Go reads and writes it (RFC 3339, also with a comma; no trailing zeros in the
/// fraction, `Z` for UTC); none is Go's zero time.
pub(crate) fn time(text: Option<&str>) -> Result<String, Error> {
    let Some(text) = text else {
        return Ok("0001-01-01T00:00:00Z".to_owned());
    };
    parse_time(text).ok_or_else(|| Error::Time { text: text.into() })
}

fn parse_time(text: &str) -> Option<String> {
    let (seconds, rest) = text.split_at_checked("0000-00-00T00:00:00".len())?;
    if !has_shape(seconds, "0000-00-00T00:00:00") || !exists(seconds)? {
        return None;
    }
    let zone_at = rest.find(['Z', '+', '-'])?;
    let (fraction, zone) = rest.split_at_checked(zone_at)?;
    let digits = match fraction.strip_prefix(['.', ',']) {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => digits,
        None if fraction.is_empty() => "",
        Some(_) | None => return None,
    };
    let digits = digits.get(..9).unwrap_or(digits).trim_end_matches('0');
    let dot = if digits.is_empty() { "" } else { "." };
    let zone = parse_zone(zone)?;
    Some(format!("{seconds}{dot}{digits}{zone}"))
}

/// Whether a time of the right shape is on the calendar and the clock; no leap seconds.
fn exists(seconds: &str) -> Option<bool> {
    let number = |from: usize, to: usize| seconds.get(from..to)?.parse::<u16>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    let on_clock = number(11, 13)? < 24 && number(14, 16)? < 60 && number(17, 19)? < 60;
    Some((1..=days).contains(&day) && on_clock)
}

/// A zone as Go writes it. It reads 60 minutes and 24 hours, and writes less than a day.
fn parse_zone(zone: &str) -> Option<String> {
    if zone == "Z" {
        return Some(zone.to_owned());
    }
    let (sign, offset) = zone.split_at_checked(1)?;
    if !has_shape(offset, "00:00") {
        return None;
    }
    let (hours, minutes) = offset.split_once(':')?;
    let minutes: u16 = minutes.parse().ok().filter(|minutes| *minutes <= 60)?;
    let offset = hours.parse::<u16>().ok()? * 60 + minutes;
    match offset {
        0 => Some("Z".to_owned()),
        1..1440 => Some(format!("{sign}{:02}:{:02}", offset / 60, offset % 60)),
        _ => None,
    }
}

/// Whether `text` is like `model`, in which `0` stands for any digit.
fn has_shape(text: &str, model: &str) -> bool {
    let fits = |(byte, model): (u8, u8)| match model {
        b'0' => byte.is_ascii_digit(),
        model => byte == model,
    };
    text.len() == model.len() && text.bytes().zip(model.bytes()).all(fits)
}

fn push_html_safe(char: char, json: &mut String) {
    match char {
        '<' => json.push_str("\\u003c"),
        '>' => json.push_str("\\u003e"),
        '&' => json.push_str("\\u0026"),
        '\u{2028}' => json.push_str("\\u2028"),
        '\u{2029}' => json.push_str("\\u2029"),
        other => json.push(other),
    }
}

#[cfg(test)]
mod tests;
