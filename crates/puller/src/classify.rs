//! THE table: what an answer means, and what follows from an error (pure).

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;

use crate::{
    Error,
    error::{Fault, Phase, Reason},
};

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask the same endpoint again after a pause, as often as the rules allow; then as `Endpoint`.
    Retry,
    /// Ask the next endpoint.
    Endpoint,
    /// This is the answer.
    Stop,
}

/// Which endpoint said it. Only the origin's word is final: a mirror may simply not have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Stands in for the origin.
    Mirror,
    /// Has the truth.
    Origin,
}

/// What a status other than success means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    NotFound { authoritative: bool },
    Denied,
    Limited,
    Unreachable,
    Misbehaved,
}

/// What follows from `error` when an endpoint of this role returned it.
pub(crate) fn next(error: &Error, role: Role) -> Next {
    match error {
        Error::Unreachable { reason, .. } => match reason {
            Reason::Connect | Reason::Lost | Reason::Status(408 | 500 | 502 | 503 | 504) => {
                Next::Retry
            }
            Reason::Tls | Reason::CircuitOpen | Reason::Status(_) => Next::Endpoint,
        },
        // A deadline has cost the caller its patience already: no second wait at the same place.
        Error::TimedOut {
            phase: Phase::Connect | Phase::Headers | Phase::Body,
            ..
        }
        | Error::Limited { .. }
        | Error::Misbehaved { .. }
        | Error::Unusable { .. } => Next::Endpoint,
        Error::NotFound { .. } | Error::Denied { .. } | Error::Rejected { .. } => match role {
            Role::Mirror => Next::Endpoint,
            Role::Origin => Next::Stop,
        },
        // Another endpoint may speak another version.
        Error::NotSupported { .. } => Next::Endpoint,
        Error::Reserved { .. }
        | Error::OtherRegistry { .. }
        | Error::OutOfRange { .. }
        | Error::NoEndpoints { .. }
        | Error::Config { .. } => Next::Stop,
    }
}

/// Whether an error of the v2 endpoints lets one of protocol v1 answer: there was no connection, what answered is not a
/// v2 registry, or it has not what was asked for or wants to know who asks. A registry that is overloaded, broken or
/// slow, or whose content is wrong, is no reason to ask it in another way.
pub(crate) fn asks_v1(error: &Error) -> bool {
    match error {
        Error::NotFound { .. } => true,
        Error::Denied { unauthorized, .. } => *unauthorized,
        Error::Unreachable { reason, .. } => {
            matches!(reason, Reason::Connect | Reason::Tls | Reason::Lost)
        }
        Error::Misbehaved { fault, .. } => {
            matches!(fault, Fault::Html | Fault::Json | Fault::Status(_))
        }
        Error::NotSupported { .. } => true,
        // Credentials that are no good are not shown around: some registries lock an account that keeps trying.
        Error::Rejected { .. }
        | Error::TimedOut { .. }
        | Error::Limited { .. }
        | Error::Unusable { .. }
        | Error::Reserved { .. }
        | Error::OtherRegistry { .. }
        | Error::OutOfRange { .. }
        | Error::NoEndpoints { .. }
        | Error::Config { .. } => false,
    }
}

/// Whether an error says that there was no connection at all: then the other scheme of the host may be asked, and
/// nothing was learnt of the registry.
pub(crate) fn is_no_answer(error: &Error) -> bool {
    match error {
        Error::Unreachable { reason, .. } => !matches!(reason, Reason::Status(_)),
        Error::TimedOut { .. } | Error::Config { .. } => true,
        Error::NotFound { .. }
        | Error::Denied { .. }
        | Error::Rejected { .. }
        | Error::Limited { .. }
        | Error::Misbehaved { .. }
        | Error::Unusable { .. }
        | Error::NotSupported { .. }
        | Error::Reserved { .. }
        | Error::OtherRegistry { .. }
        | Error::OutOfRange { .. }
        | Error::NoEndpoints { .. } => false,
    }
}

/// Whether an error tells nothing of what is there: nobody could be asked.
pub(crate) fn is_trouble(error: &Error) -> bool {
    is_no_answer(error) || matches!(error, Error::Unreachable { .. } | Error::Limited { .. })
}

/// Whether a later error is told instead of the one that is kept: the last one is, but what is not supported hides no
/// real error, and neither does the error of something that does not even speak the protocol. That nothing is known is
/// no answer where somebody else could not be asked.
pub(crate) fn replaces(kept: &Error, later: &Error, speaks: bool) -> bool {
    match (kept, later) {
        (Error::NotSupported { .. }, _) => true,
        (_, Error::NotSupported { .. }) => false,
        (
            Error::NotFound {
                authoritative: false,
                ..
            },
            later,
        ) if is_trouble(later) => true,
        _ => speaks,
    }
}

/// What follows when the endpoint of a v1 registry that an index named could not tell a tag: others of the list may
/// have answered a status, but no connection and a 404 end it.
pub(crate) fn next_of_list(error: &Error) -> Next {
    match error {
        Error::NotFound { .. } => Next::Stop,
        _ if is_no_answer(error) => Next::Stop,
        _ => Next::Endpoint,
    }
}

/// Whether the JSON of a v1 image is asked for again after this error.
pub(crate) fn asks_image_again(error: &Error) -> bool {
    match error {
        Error::NotFound { .. } | Error::Unreachable { .. } | Error::TimedOut { .. } => true,
        Error::Misbehaved { fault, .. } => matches!(fault, Fault::Status(_)),
        Error::Denied { .. }
        | Error::Rejected { .. }
        | Error::Limited { .. }
        | Error::Unusable { .. }
        | Error::NotSupported { .. }
        | Error::Reserved { .. }
        | Error::OtherRegistry { .. }
        | Error::OutOfRange { .. }
        | Error::NoEndpoints { .. }
        | Error::Config { .. } => false,
    }
}

/// What `status` means when the body carried these error codes.
pub(crate) fn meaning(status: StatusCode, reply: &Reply) -> Meaning {
    if reply.has(&["TOOMANYREQUESTS"]) {
        return Meaning::Limited;
    }
    match status.as_u16() {
        401 | 403 => Meaning::Denied,
        404 | 410 => Meaning::NotFound {
            authoritative: reply.has(&UNKNOWN_CODES),
        },
        // The registry cannot have what it finds no valid name for.
        400 if reply.has(&INVALID_CODES) => Meaning::NotFound {
            authoritative: true,
        },
        429 => Meaning::Limited,
        408 | 425 | 500..=599 => Meaning::Unreachable,
        _ => Meaning::Misbehaved,
    }
}

/// What `status` means when a v1 registry answers it.
pub(crate) fn meaning_v1(status: StatusCode, reply: &Reply) -> Meaning {
    match status.as_u16() {
        404 => Meaning::NotFound {
            authoritative: reply.message.is_some(),
        },
        // `Image is being uploaded, retry later`
        400 if reply.says_uploading() => Meaning::Unreachable,
        _ => meaning(status, reply),
    }
}

/// A registry's error body (distribution specification, "Error codes").
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    codes: Vec<String>,
    message: Option<String>,
    /// What the body says without a form that is known.
    text: Option<String>,
}

impl Reply {
    /// Reads what it can; a body that is something else says nothing.
    pub(crate) fn parse(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Document {
            errors: Vec<Item>,
        }
        #[derive(Deserialize)]
        struct Item {
            #[serde(default)]
            code: Option<String>,
            #[serde(default)]
            message: Option<String>,
            #[serde(default)]
            detail: serde_json::Value,
        }
        let Ok(Document { errors }) = serde_json::from_slice(body) else {
            return Self {
                codes: Vec::new(),
                message: loose_message(body),
                text: plain_text(body),
            };
        };
        let filled = |text: &String| !text.trim().is_empty();
        let message = errors.iter().find_map(|item| item.message.clone());
        let message = message.filter(filled);
        let detail = errors.iter().find_map(|item| words(&item.detail));
        Self {
            codes: errors.into_iter().filter_map(|item| item.code).collect(),
            message: message.or(detail),
            text: None,
        }
    }

    /// Code and message for logs: one line, shortened.
    pub(crate) fn detail(&self) -> Option<Arc<str>> {
        let said = self.message.as_ref().or(self.text.as_ref());
        let parts = self.codes.first().into_iter().chain(said);
        let text = parts.map(String::as_str).collect::<Vec<_>>().join(": ");
        let text: String = text
            .chars()
            .filter(|c| !c.is_control())
            .take(DETAIL_CHARS_MAX)
            .collect();
        (!text.is_empty()).then(|| text.into())
    }

    /// The registry says that what we sent has ended (ECR: "Your authorization token has expired").
    pub(crate) fn says_expired(&self) -> bool {
        let said = self.message.as_ref().or(self.text.as_ref());
        said.is_some_and(|text| text.to_ascii_lowercase().contains("expired"))
    }

    /// A v1 registry says that the image is not complete yet.
    fn says_uploading(&self) -> bool {
        self.message
            .as_ref()
            .is_some_and(|m| m.to_ascii_lowercase().contains("being uploaded"))
    }

    /// Whether the code is one with which a registry of another protocol may hide behind a gateway: it does not confirm
    /// that this is a v2 registry.
    pub(crate) fn leaves_v2_open(&self) -> bool {
        self.has(&OPEN_CODES)
    }

    /// Whether the registry wants to know who asks, and does not forbid it: its first code, else the status.
    pub(crate) fn says_unauthorized(&self, status: StatusCode) -> bool {
        let code = self.codes.first();
        code.map_or(status == StatusCode::UNAUTHORIZED, |code| {
            code == "UNAUTHORIZED"
        })
    }

    /// Whether any registry code is there.
    pub(crate) fn has_code(&self) -> bool {
        !self.codes.is_empty()
    }

    fn has(&self, wanted: &[&str]) -> bool {
        self.codes
            .iter()
            .any(|code| wanted.contains(&code.as_str()))
    }
}

/// ECR and some gateways answer `{"message": …}` or `{"Message": …}`, v1 registries `{"error": …}`; others put it into
/// `details` or `detail`.
fn loose_message(body: &[u8]) -> Option<String> {
    let document: serde_json::Value = serde_json::from_slice(body).ok()?;
    let keys = ["message", "Message", "error", "details", "detail"];
    keys.iter().find_map(|key| words(document.get(key)?))
}

/// The words of a detail, which may be any JSON: a text, or the text in it that says most.
fn words(detail: &serde_json::Value) -> Option<String> {
    use serde_json::Value;
    let filled = |text: &str| !text.trim().is_empty();
    match detail {
        Value::String(text) => Some(text.clone()).filter(|text| filled(text)),
        Value::Object(map) => {
            let keys = ["message", "Message", "error", "details", "detail", "reason"];
            let found = keys.iter().find_map(|key| map.get(*key)?.as_str());
            found.filter(|text| filled(text)).map(str::to_owned)
        }
        Value::Array(items) => items
            .iter()
            .find_map(|item| item.as_str().map(str::to_owned)),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// The first line of a body that is plain text.
fn plain_text(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let line = text.lines().next()?.trim();
    let is_text = !line.is_empty() && !line.starts_with(['<', '{', '[']);
    is_text.then(|| line.to_owned())
}

const DETAIL_CHARS_MAX: usize = 200;
const OPEN_CODES: [&str; 3] = ["UNAUTHORIZED", "MANIFEST_UNKNOWN", "NAME_UNKNOWN"];
/// `NOT_FOUND` is Harbor's.
const UNKNOWN_CODES: [&str; 6] = [
    "MANIFEST_UNKNOWN",
    "NAME_UNKNOWN",
    "BLOB_UNKNOWN",
    "NOT_FOUND",
    "TAG_UNKNOWN",
    "REPOSITORY_NOT_FOUND",
];
const INVALID_CODES: [&str; 6] = [
    "NAME_INVALID",
    "TAG_INVALID",
    "DIGEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_UNKNOWN",
    "BLOB_UNKNOWN",
];

#[cfg(test)]
mod tests;
