//! What the command line shows of the stream.

use std::{collections::HashMap, fmt::Write};

use super::{ErrorDetail, Message};

/// Turns messages into what is written: on a terminal one line for each id, which is rewritten; elsewhere each status
/// once, and no bars.
///
/// ```
/// use longshore_puller::docker::{Message, Progress, Screen};
///
/// let mut plain = Screen::plain();
/// assert_eq!(plain.show(&Message::status("latest", "Pulling from app"), 0)?, "latest: Pulling from app\n");
/// assert_eq!(plain.show(&Message::progress("4e38e38c8ce0", "Downloading", Progress::new(1, 2)), 0)?, "");
/// # Ok::<(), longshore_puller::docker::ErrorDetail>(())
/// ```
#[derive(Debug, Clone)]
pub struct Screen {
    /// The columns of a terminal.
    columns: Option<u16>,
    /// On which line an id is, from the top.
    lines: HashMap<String, usize>,
}

impl Screen {
    /// For a terminal with so many columns.
    #[must_use]
    pub fn terminal(columns: u16) -> Self {
        Self {
            columns: Some(columns),
            lines: HashMap::new(),
        }
    }

    /// For a file or a pipe.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            columns: None,
            lines: HashMap::new(),
        }
    }

    /// The terminal has another width now.
    pub fn resize(&mut self, columns: u16) {
        self.columns = self.columns.map(|_| columns);
    }

    /// What to write for a message, at a time in seconds since 1970. Data for programs is not shown.
    ///
    /// # Errors
    /// The error that the message is.
    pub fn show(&mut self, message: &Message, now: u64) -> Result<String, ErrorDetail> {
        if message.aux.is_some() {
            return Ok(String::new());
        }
        let mut text = String::new();
        let mut below = 0;
        let is_progress = message.detail.is_some() || !message.bar.is_empty();
        if !message.id.is_empty() && is_progress {
            let next = self.lines.len();
            let line = *self.lines.entry(message.id.clone()).or_insert(next);
            if self.columns.is_some() && line == next {
                text.push('\n');
            }
            below = self.lines.len() - line;
        } else {
            // Lines of an earlier image are not rewritten any more.
            self.lines.clear();
        }
        let on_terminal = self.columns.is_some();
        if on_terminal && below > 0 {
            let _ = write!(text, "\u{1b}[{below}A");
        }
        text.push_str(&self.line(message, now)?);
        if on_terminal && below > 0 {
            let _ = write!(text, "\u{1b}[{below}B");
        }
        Ok(text)
    }

    fn line(&self, message: &Message, now: u64) -> Result<String, ErrorDetail> {
        if let Some(error) = &message.error {
            return Err(match error.code {
                UNAUTHORIZED => ErrorDetail {
                    code: UNAUTHORIZED,
                    message: "authentication is required".to_owned(),
                },
                _ => error.clone(),
            });
        }
        let mut text = String::new();
        let bar = message
            .detail
            .as_ref()
            .map(|detail| detail.show(self.columns.unwrap_or(COLUMNS), now));
        let mut end = "";
        match (&bar, self.columns) {
            (Some(_), Some(_)) if message.stream.is_empty() => {
                text.push_str("\u{1b}[2K\r");
                end = "\r";
            }
            (Some(bar), None) if !bar.is_empty() => return Ok(String::new()),
            _ => {}
        }
        if !message.id.is_empty() {
            let _ = write!(text, "{}: ", message.id);
        }
        let Message {
            stream,
            status,
            bar: old,
            ..
        } = message;
        let _ = match bar {
            Some(bar) if self.columns.is_some() => write!(text, "{status} {bar}{end}"),
            _ if !old.is_empty() => write!(text, "{status} {old}{end}"),
            _ if !stream.is_empty() => write!(text, "{stream}{end}"),
            _ => writeln!(text, "{status}{end}"),
        };
        Ok(text)
    }
}

const UNAUTHORIZED: i64 = 401;
const COLUMNS: u16 = 200;
