//! `WWW-Authenticate` (RFC 9110 section 11.6.1) as registries really write it (pure).

use std::{fmt, sync::Arc};

use http::{HeaderMap, header::WWW_AUTHENTICATE};
use url::Url;

/// What to do to be let in. `Debug` leaves out the realm's query.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Fetch a token from `realm`.
    Bearer {
        realm: Url,
        service: Option<String>,
        scope: Option<String>,
    },
    /// Send user and password.
    Basic,
}

/// What a response says about being let in.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Challenges {
    /// The best challenge: Bearer with a usable realm, else Basic.
    pub(crate) chosen: Option<Challenge>,
    /// What a Bearer challenge found wrong with the token that was sent (RFC 6750 section 3): code and description for
    /// logs, in one line, shortened.
    pub(crate) complaint: Option<Arc<str>>,
}

impl Challenge {
    /// The best challenge of a response.
    pub(crate) fn choose(headers: &HeaderMap) -> Option<Self> {
        Challenges::read(headers).chosen
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer {
                realm,
                service,
                scope,
            } => f
                .debug_struct("Bearer")
                .field("realm", &realm.host_str())
                .field("service", service)
                .field("scope", scope)
                .finish(),
            Self::Basic => f.write_str("Basic"),
        }
    }
}

impl Challenges {
    /// Everything in the `WWW-Authenticate` lines of a response.
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let offers: Vec<Offer> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .flat_map(|value| parse(&String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let basic = || {
            offers
                .iter()
                .any(|o| o.scheme == "basic")
                .then_some(Challenge::Basic)
        };
        Self {
            chosen: offers.iter().find_map(Offer::bearer).or_else(basic),
            complaint: offers.iter().find_map(Offer::complaint),
        }
    }
}

/// One challenge as it stands in the header: scheme and keys in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offer {
    scheme: String,
    params: Vec<(String, String)>,
}

impl Offer {
    fn param(&self, key: &str) -> Option<&str> {
        let value = self
            .params
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.trim())?;
        (!value.is_empty()).then_some(value)
    }

    fn bearer(&self) -> Option<Challenge> {
        if self.scheme != "bearer" {
            return None;
        }
        let realm = Url::parse(self.param("realm")?).ok()?;
        if !matches!(realm.scheme(), "http" | "https") || realm.host_str().is_none_or(str::is_empty)
        {
            return None;
        }
        // Whoever names the realm does not choose what we log in with.
        if !realm.username().is_empty() || realm.password().is_some() {
            return None;
        }
        Some(Challenge::Bearer {
            realm,
            service: self.param("service").map(str::to_owned),
            scope: self.param("scope").map(str::to_owned),
        })
    }

    fn complaint(&self) -> Option<Arc<str>> {
        let code = self.param("error").filter(|_| self.scheme == "bearer")?;
        let parts = [Some(code), self.param("error_description")];
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
        let text: String = text
            .chars()
            .filter(|c| !c.is_control())
            .take(COMPLAINT_CHARS_MAX)
            .collect();
        Some(text.into())
    }
}

/// The challenges of one header line. Never fails: it stops at the first malformed piece and keeps what it has read.
///
/// A word followed by `=` is a parameter of the challenge before it, any other word begins a challenge; commas,
/// semicolons and spaces separate alike, because registries write all of them.
fn parse(line: &str) -> Vec<Offer> {
    let mut offers: Vec<Offer> = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches(is_separator);
        let end = rest
            .find(|c: char| is_separator(c) || c == '=')
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() || !word.chars().all(is_word) {
            return offers;
        }
        let Some(value) = after.trim_start().strip_prefix('=') else {
            offers.push(Offer {
                scheme: word.to_ascii_lowercase(),
                params: Vec::new(),
            });
            rest = after;
            continue;
        };
        let (Some((value, after)), Some(offer)) =
            (take_value(value.trim_start()), offers.last_mut())
        else {
            return offers;
        };
        offer.params.push((word.to_ascii_lowercase(), value));
        rest = after;
    }
}

/// A quoted string with backslash escapes, or a bare word, perhaps empty, and what follows it. `None` for a quote that
/// never closes or does not end its value.
fn take_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            .find(|c: char| c == ',' || c.is_ascii_whitespace())
            .unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Some((value.trim_end_matches('"').to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => break,
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
    let rest = chars.as_str();
    rest.chars()
        .next()
        .is_none_or(is_separator)
        .then_some((value, rest))
}

fn is_separator(c: char) -> bool {
    matches!(c, ',' | ';') || c.is_ascii_whitespace()
}

/// The characters of schemes, keys and token68 values (RFC 9110 section 5.6.2 and 11.2).
fn is_word(c: char) -> bool {
    c.is_ascii_graphic()
        && !matches!(
            c,
            '"' | '(' | ')' | '<' | '>' | '[' | ']' | '{' | '}' | '\\'
        )
}

const COMPLAINT_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests;
