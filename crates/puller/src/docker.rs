//! What `docker pull` shows and says, and the labels of containerd: as pure functions, for programs that look like them.
//!
//! [`Message`] is one line of the stream that the engine sends; [`Screen`] is what the command line makes of these lines.
//! [`Countdown`] says how often a layer is tried and what is shown in between. [`PullError`] and [`ContainerdError`] have
//! the texts of errors, [`labels`] what containerd keeps with layers.
//!
//! ```
//! use longshore_puller::docker::{self, Message, Progress};
//!
//! let id = docker::short_id("sha256:4e38e38c8ce0b8d9041a9c4fefe786631d1416225e13b0bfe8cfa2321aec4bba");
//! let line = Message::progress(id, "Downloading", Progress::new(512, 2048)).to_json();
//! assert!(line.starts_with(r#"{"status":"Downloading","progressDetail":{"current":512,"total":2048},"progress":"["#));
//! assert!(line.ends_with("\"id\":\"4e38e38c8ce0\"}\r\n"));
//! ```

use longshore_reference::{Digest, Familiar, Parsed};

mod errors;
mod human;
pub mod labels;
mod message;
mod progress;
mod retry;
mod screen;
#[cfg(test)]
mod tests;

pub use errors::{ContainerdError, PullError, schema1_refused};
pub use human::human_size;
pub use message::{ErrorDetail, Message};
pub use progress::{Progress, Throttle};
pub use retry::{Countdown, DOWNLOAD_ATTEMPTS, DOWNLOADS, retrying_in};
pub use screen::Screen;

/// A digest or an id as people are shown it: what follows the colon, cut to 12 characters.
///
/// ```
/// assert_eq!(longshore_puller::docker::short_id("sha256:4e38e38c8ce0b8d9"), "4e38e38c8ce0");
/// ```
#[must_use]
pub fn short_id(id: &str) -> &str {
    let id = id.split_once(':').map_or(id, |(_, id)| id);
    let end = id
        .char_indices()
        .nth(SHORT_ID_LENGTH)
        .map_or(id.len(), |(end, _)| end);
    id.get(..end).unwrap_or_default()
}

/// Whether a text looks like a short id: 12 hexadecimal digits.
#[must_use]
pub fn is_short_id(text: &str) -> bool {
    text.len() == SHORT_ID_LENGTH && text.bytes().all(is_hex)
}

/// Whether a text is an image id of protocol v1: 64 hexadecimal digits.
#[must_use]
pub fn is_image_id(text: &str) -> bool {
    text.len() == IMAGE_ID_LENGTH && text.bytes().all(is_hex)
}

/// The first line of a pull; its id is [`pulling_id`].
#[must_use]
pub fn pulling_from(reference: &Parsed) -> String {
    format!("Pulling from {}", reference.named().path())
}

/// The id of the first line: the digest of a reference with one, else its tag. The containerd engine shows the tag of a
/// reference that has both, and for a digest alone the whole reference.
#[must_use]
pub fn pulling_id(reference: &Parsed, containerd: bool) -> String {
    match (reference.tag(), reference.digest()) {
        (Some(tag), Some(_)) if containerd => tag.to_string(),
        (None, Some(_)) if containerd => reference.to_string(),
        (_, Some(digest)) => digest.to_string(),
        (Some(tag), None) => tag.to_string(),
        (None, None) => String::new(),
    }
}

/// The line with the digest of what was pulled: that of an index, where the tag names one.
#[must_use]
pub fn digest_line(digest: Digest) -> String {
    format!("Digest: {digest}")
}

/// The last line of a pull.
///
/// ```
/// use longshore_puller::docker::status_line;
/// use longshore_reference::Parsed;
///
/// let reference = Parsed::parse("docker.io/library/alpine:3.22")?;
/// assert_eq!(status_line(reference.familiar(), false), "Status: Image is up to date for alpine:3.22");
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[must_use]
pub fn status_line(reference: Familiar<'_>, newer: bool) -> String {
    match newer {
        true => format!("Status: Downloaded newer image for {reference}"),
        false => format!("Status: Image is up to date for {reference}"),
    }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

const SHORT_ID_LENGTH: usize = 12;
const IMAGE_ID_LENGTH: usize = 64;
