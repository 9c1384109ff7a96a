//! What a pull shows: lines for people, lines for programs.

use std::io::{self, IsTerminal, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use futures_util::StreamExt;
use longshore_puller::docker::Screen;
use longshore_puller::pull::{Event, EventStream};
use longshore_reference::Parsed;

/// How progress is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// One line a layer on a terminal, one line a change elsewhere.
    Text,
    /// The lines of docker's engine, in JSON.
    Json,
}

/// Writes events to standard output.
pub(super) struct Show {
    output: Output,
    quiet: bool,
    screen: Screen,
}

impl Show {
    pub(super) fn new(output: Output, quiet: bool) -> Self {
        let screen = match io::stdout().is_terminal() {
            true => Screen::terminal(columns()),
            false => Screen::plain(),
        };
        Self {
            output,
            quiet,
            screen,
        }
    }

    /// Shows all that happens until the stream ends.
    pub(super) async fn all(&mut self, mut stream: EventStream) {
        while let Some(event) = stream.next().await {
            self.event(&event);
        }
    }

    fn event(&mut self, event: &Event) {
        if self.quiet {
            return;
        }
        let Some(message) = event.message() else {
            return;
        };
        let text = match self.output {
            Output::Json => message.to_json(),
            Output::Text => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let now = now.map_or(0, |since| since.as_secs());
                // No event is an error.
                self.screen.show(&message, now).unwrap_or_default()
            }
        };
        write(&text);
    }

    /// The last line, as docker has it: the whole reference.
    pub(super) fn pulled(&self, reference: &Parsed) {
        if self.output == Output::Text || self.quiet {
            write(&format!("{reference}\n"));
        }
    }
}

/// Nobody has to read it.
fn write(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// The width of the terminal.
fn columns() -> u16 {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let columns = size.map_or(0, |size| size.ws_col);
    match columns {
        0 => COLUMNS,
        columns => columns,
    }
}

/// Of a terminal that does not say.
const COLUMNS: u16 = 80;
