//! The lines of the stream that the engine sends.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Progress;

/// One line: a status, the progress of something, an error, or data for programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Message {
    /// Text that is printed as it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stream: String,
    /// What happens, or what is said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// How far it is.
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub detail: Option<Progress>,
    /// The same as a bar, for old clients.
    #[serde(rename = "progress", skip_serializing_if = "String::is_empty")]
    pub bar: String,
    /// What it is about: a layer, a tag.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What went wrong; the last line.
    #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorDetail>,
    /// The same as a text, for old clients.
    #[serde(rename = "error", skip_serializing_if = "String::is_empty")]
    pub error_text: String,
    /// Data that is not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<Value>,
}

/// What went wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(default)]
#[non_exhaustive]
pub struct ErrorDetail {
    /// A status of HTTP; 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub code: i64,
    /// The text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Message {
    /// A line that is said once.
    #[must_use]
    pub fn status(id: &str, status: &str) -> Self {
        Self {
            id: id.to_owned(),
            status: status.to_owned(),
            ..Self::default()
        }
    }

    /// A line that takes the place of the last one with its id.
    #[must_use]
    pub fn update(id: &str, action: &str) -> Self {
        Self::progress(id, action, Progress::default())
    }

    /// The same with how far it is.
    #[must_use]
    pub fn progress(id: &str, action: &str, progress: Progress) -> Self {
        let untimed = Progress {
            start: 0,
            ..progress.clone()
        };
        Self {
            id: id.to_owned(),
            status: action.to_owned(),
            bar: untimed.show(COLUMNS, 0),
            detail: Some(progress),
            ..Self::default()
        }
    }

    /// The line that ends a stream that failed.
    #[must_use]
    pub fn error(code: i64, message: &str) -> Self {
        let message = message.to_owned();
        Self {
            error_text: message.clone(),
            error: Some(ErrorDetail { code, message }),
            ..Self::default()
        }
    }

    /// Data for programs.
    #[must_use]
    pub fn aux(id: &str, aux: Value) -> Self {
        Self {
            id: id.to_owned(),
            aux: Some(aux),
            ..Self::default()
        }
    }

    /// The line as it is sent, with its end. Escapes are those of Go.
    ///
    /// ```
    /// use longshore_puller::docker::Message;
    ///
    /// assert_eq!(Message::status("latest", "Pulling from library/alpine").to_json(),
    ///     "{\"status\":\"Pulling from library/alpine\",\"id\":\"latest\"}\r\n");
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        // No map with keys that are no texts, nothing that cannot be written.
        let json = serde_json::to_string(self).unwrap_or_else(|_| FORMAT_ERROR.to_owned());
        let mut line = String::with_capacity(json.len() + 2);
        for c in json.chars() {
            match c {
                '<' => line.push_str("\\u003c"),
                '>' => line.push_str("\\u003e"),
                '&' => line.push_str("\\u0026"),
                '\u{2028}' => line.push_str("\\u2028"),
                '\u{2029}' => line.push_str("\\u2029"),
                c => line.push(c),
            }
        }
        line.push_str("\r\n");
        line
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The width that bars are made for.
const COLUMNS: u16 = 200;

const FORMAT_ERROR: &str = r#"{"error":"format error"}"#;
