//! `WWW-Authenticate` (RFC 9110 section 11.6.1) as registries really write it (pure).

use http::{HeaderMap, header::WWW_AUTHENTICATE};
use url::Url;

/// What to do to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
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

impl Challenge {
    /// The best challenge of a response: Bearer with a usable realm, else Basic.
    pub(crate) fn choose(headers: &HeaderMap) -> Option<Self> {
        let offers: Vec<Offer> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .flat_map(|value| parse(&String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let bearer = offers.iter().find_map(Offer::bearer);
        bearer.or_else(|| {
            offers
                .iter()
                .any(|o| o.scheme == "basic")
                .then_some(Self::Basic)
        })
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
        Some(Challenge::Bearer {
            realm,
            service: self.param("service").map(str::to_owned),
            scope: self.param("scope").map(str::to_owned),
        })
    }
}

/// All challenges of one header line. Never fails: what cannot be read is skipped.
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
        if word.is_empty() && after.is_empty() {
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
        let (value, after) = take_value(value.trim_start());
        if let (Some(offer), false) = (offers.last_mut(), word.is_empty()) {
            offer.params.push((word.to_ascii_lowercase(), value));
        }
        rest = after;
    }
}

/// A quoted string with backslash escapes, or a bare word; a quote that never closes takes the rest.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            .find(|c: char| c == ',' || c.is_ascii_whitespace())
            .unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.trim_end_matches('"').to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return (value, chars.as_str()),
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    (value, "")
}

fn is_separator(c: char) -> bool {
    matches!(c, ',' | ';') || c.is_ascii_whitespace()
}

#[cfg(test)]
mod tests;
