//! Shell patterns with the meaning of Go's `path.Match`.

/// The pattern has an empty or open class, or ends in a backslash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Whether the pattern matches the whole name: `*` any run without a slash, `?` one character but a slash, `[a-z]` and
/// `[^a-z]` one character (the second a slash too), `\x` the character itself.
///
/// Like Go, a star takes as little as it can and is not reconsidered once a later star was reached.
pub(crate) fn matches(pattern: &str, name: &str) -> Result<bool, Malformed> {
    // A pattern is malformed whatever it is held against, so nothing may match before all of it was read.
    let mut unread = pattern;
    while let Some((_, rest)) = element(unread)? {
        unread = rest;
    }
    let (mut pattern, mut name) = (pattern, name);
    // What follows the last star, and the part of the name that the star has not taken.
    let mut star: Option<(&str, &str)> = None;
    loop {
        match element(pattern)? {
            Some((Element::Star, rest)) => {
                star = Some((rest, name));
                pattern = rest;
                continue;
            }
            Some((one, rest)) => {
                let mut chars = name.chars();
                if chars.next().is_some_and(|char| one.matches(char)) {
                    (pattern, name) = (rest, chars.as_str());
                    continue;
                }
            }
            None if name.is_empty() => return Ok(true),
            None => {}
        }
        let Some((after, left)) = star else {
            return Ok(false);
        };
        let mut chars = left.chars();
        if matches!(chars.next(), None | Some('/')) {
            return Ok(false);
        }
        star = Some((after, chars.as_str()));
        (pattern, name) = (after, chars.as_str());
    }
}

enum Element<'a> {
    Star,
    Any,
    Char(char),
    Class { negated: bool, ranges: &'a str },
}

impl Element<'_> {
    fn matches(&self, char: char) -> bool {
        match self {
            Self::Star => false,
            Self::Any => char != '/',
            Self::Char(own) => *own == char,
            Self::Class { negated, ranges } => {
                let mut unread = *ranges;
                while let Ok((low, high, rest)) = range(unread) {
                    if (low..=high).contains(&char) {
                        return !negated;
                    }
                    unread = rest;
                }
                *negated
            }
        }
    }
}

/// The first element of a pattern and what follows it.
fn element(pattern: &str) -> Result<Option<(Element<'_>, &str)>, Malformed> {
    let mut chars = pattern.chars();
    let Some(first) = chars.next() else {
        return Ok(None);
    };
    let rest = chars.as_str();
    Ok(Some(match first {
        '*' => (Element::Star, rest),
        '?' => (Element::Any, rest),
        '[' => class(rest)?,
        '\\' => {
            let own = chars.next().ok_or(Malformed)?;
            (Element::Char(own), chars.as_str())
        }
        own => (Element::Char(own), rest),
    }))
}

/// A class from behind its bracket: at least one range, then `]`.
fn class(text: &str) -> Result<(Element<'_>, &str), Malformed> {
    let (negated, ranges) = match text.strip_prefix('^') {
        Some(ranges) => (true, ranges),
        None => (false, text),
    };
    let (_, _, mut rest) = range(ranges)?;
    while !rest.starts_with(']') {
        (_, _, rest) = range(rest)?;
    }
    let ranges = ranges.strip_suffix(rest).unwrap_or_default();
    Ok((
        Element::Class { negated, ranges },
        rest.strip_prefix(']').unwrap_or_default(),
    ))
}

/// `x` or `x-y`.
fn range(text: &str) -> Result<(char, char, &str), Malformed> {
    let (low, rest) = bound(text)?;
    let Some(rest) = rest.strip_prefix('-') else {
        return Ok((low, low, rest));
    };
    let (high, rest) = bound(rest)?;
    Ok((low, high, rest))
}

/// One character of a class, escaped where it is `-`, `]` or a backslash.
fn bound(text: &str) -> Result<(char, &str), Malformed> {
    let mut chars = text.chars();
    let char = match chars.next() {
        None | Some('-' | ']') => return Err(Malformed),
        Some('\\') => chars.next().ok_or(Malformed)?,
        Some(char) => char,
    };
    Ok((char, chars.as_str()))
}

#[cfg(test)]
mod tests;
