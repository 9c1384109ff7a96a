//! What can be wrong with a configuration, and where.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something in the file is not valid. The text never holds the value of a secret.
    #[error("{place}: {}{message}", key.as_ref().map(|key| format!("`{key}`: ")).unwrap_or_default())]
    Invalid {
        /// Where.
        place: Place,
        /// The key whose value it is.
        key: Option<String>,
        /// What should be there instead.
        message: String,
    },
    /// The environment names no folder for data.
    #[error("no folder for the data: give `url` in [store], or set HOME or XDG_DATA_HOME")]
    NoFolder,
    /// The spool cannot be the root of the file system.
    #[error("`spool` in [store] cannot be the root folder")]
    SpoolIsRoot,
    /// A certificate is shown with its key.
    #[error("upstream `{name}` has one of `client_cert` and `client_key` without the other")]
    ClientCertificate {
        /// The upstream.
        name: String,
    },
    /// One `Host` name cannot mean two upstreams.
    #[error("host `{host}` is given to upstream `{first}` and to upstream `{second}`")]
    HostTwice {
        /// The host.
        host: String,
        /// The upstream that has it.
        first: String,
        /// The upstream that wants it too.
        second: String,
    },
    /// A `Host` name cannot mean many upstreams.
    #[error("`{name}` stands for many registries and has no `hosts`")]
    WildcardHost {
        /// The upstream.
        name: String,
    },
    /// A wildcard has no endpoints.
    #[error("`{name}` stands for many registries and has no endpoints")]
    WildcardEndpoint {
        /// The upstream.
        name: String,
    },
}

/// A place in a file, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line and the column in it, where they are known.
    pub line_and_column: Option<(usize, usize)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.line_and_column {
            write!(f, ":{line}:{column}")?;
        }
        Ok(())
    }
}

/// Says where and why the TOML of `file` was refused, without its text: that may hold secrets.
pub(super) fn locate(file: &Path, text: &str, source: &toml::de::Error) -> Error {
    let before = source.span().and_then(|span| text.get(..span.start));
    let place = Place {
        file: file.to_owned(),
        line_and_column: before.map(line_and_column),
    };
    let message = source.message();
    if let Some((unknown, known)) = unknown_field(message) {
        return Error::Invalid {
            place,
            key: None,
            message: suggest(unknown, &known),
        };
    }
    let key = before.and_then(key_of_value);
    let is_secret = key.as_deref().is_some_and(|key| SECRET_KEYS.contains(&key));
    let message = match message.split_once(", expected ") {
        Some((_, expected)) if is_secret => format!("expected {expected}"),
        _ => message.to_owned(),
    };
    Error::Invalid {
        place,
        key,
        message,
    }
}

fn line_and_column(before: &str) -> (usize, usize) {
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The key whose value starts where `before` ends, or in whose list.
fn key_of_value(before: &str) -> Option<String> {
    let (before, between) = before.rsplit_once('=')?;
    let between = between.trim();
    let in_value = between.is_empty() || between.starts_with('[');
    if !in_value {
        return None;
    }
    let key = before.trim_end();
    let start = key.rfind(['\n', '{', ',', ' ']).map_or(0, |at| at + 1);
    let key = key.get(start..)?.trim();
    (!key.is_empty()).then(|| key.to_owned())
}

/// Reads serde's words for an unknown field: the field, and the ones there are.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut quoted = message
        .strip_prefix("unknown field ")?
        .split('`')
        .skip(1)
        .step_by(2);
    let unknown = quoted.next()?;
    Some((unknown, quoted.collect()))
}

fn suggest(unknown: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|key| (distance(unknown, key), key))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((distance, key)) if distance <= key.len() / 3 + 1 => {
            format!("unknown key `{unknown}`, did you mean `{key}`?")
        }
        _ => format!(
            "unknown key `{unknown}`, there are `{}`",
            known.join("`, `")
        ),
    }
}

/// How many letters have to be added, removed or replaced (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&to) {
            let here = (diagonal + usize::from(letter != *other))
                .min(left + 1)
                .min(*cell + 1);
            diagonal = std::mem::replace(cell, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Keys whose values are never repeated in an error.
const SECRET_KEYS: [&str; 5] = [
    "credentials",
    "username",
    "password",
    "token",
    "identity_token",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (from, to, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("listen", "listen", 0),
            ("lsiten", "listen", 2),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }
}
