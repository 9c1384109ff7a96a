//! JSON as Go's `encoding/json` writes it: conversions must come out byte for byte as the tools
//! written in Go made them, because digests are made of these bytes.

use std::{borrow::Cow, collections::BTreeMap};

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

/// A time as Go reads and writes it (RFC 3339, no trailing zeros in the fraction, `Z` for UTC);
/// `None` if it is none. An empty text is Go's zero time.
pub(crate) fn time(text: &str) -> Option<Cow<'_, str>> {
    if text.is_empty() {
        return Some(Cow::Borrowed("0001-01-01T00:00:00Z"));
    }
    let (seconds, rest) = text.split_at_checked("0001-01-01T00:00:00".len())?;
    let shape = |(byte, model): (u8, u8)| match model {
        b'0' => byte.is_ascii_digit(),
        model => byte == model,
    };
    if !seconds.bytes().zip(*b"0000-00-00T00:00:00").all(shape) {
        return None;
    }
    let zone_at = rest.find(['Z', '+', '-'])?;
    let (fraction, zone) = rest.split_at_checked(zone_at)?;
    let digits = match fraction.strip_prefix('.') {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => digits,
        None if fraction.is_empty() => "",
        Some(_) | None => return None,
    };
    let zone = match zone {
        "Z" | "+00:00" | "-00:00" => "Z",
        zone if zone.len() == 6 && zone.bytes().skip(1).zip(*b"00:00").all(shape) => zone,
        _ => return None,
    };
    let digits = digits.get(..9).unwrap_or(digits).trim_end_matches('0');
    let dot = if digits.is_empty() { "" } else { "." };
    Some(Cow::Owned(format!("{seconds}{dot}{digits}{zone}")))
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
