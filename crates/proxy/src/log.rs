//! Logs: readable lines on a terminal, JSON elsewhere; and the line that every request leaves.
//!
//! Nothing secret is ever given to this module: no query, no header, no credentials.

use std::fmt;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::time::Duration;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The environment variable that is read first for what to log, before `RUST_LOG`.
pub const FILTER_VARIABLE: &str = "LONGSHORE_LOG";

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter in the environment is not one.
    #[error("{variable} is not a filter for logs, like \"info\" or \"longshore_puller=debug\"")]
    Filter {
        /// Where it was read.
        variable: &'static str,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody else logs already.
    #[error("logging was set up before")]
    Twice(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// One request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// The method.
    pub method: &'a str,
    /// The kind of route.
    pub kind: &'a str,
    /// The upstream's name, or `unknown`.
    pub upstream: &'a str,
    /// The path of the repository. Empty where the request names none, or none that is valid.
    pub repository: &'a str,
    /// What it came to.
    pub outcome: &'a str,
    /// The status.
    pub status: u16,
    /// Bytes of the body that were sent.
    pub bytes: u64,
    /// From the request's headers to the end of the answer.
    pub took: Duration,
    /// Who asked.
    pub client: Option<SocketAddr>,
}

impl Access<'_> {
    /// Writes the line.
    pub fn log(&self) {
        tracing::info!(
            target: "longshore::access",
            method = self.method,
            kind = self.kind,
            upstream = self.upstream,
            repository = self.repository,
            outcome = self.outcome,
            status = self.status,
            bytes = self.bytes,
            seconds = self.took.as_secs_f64(),
            client = self.client.as_ref().map(tracing::field::display),
            "request"
        );
    }
}

/// Sends the logs of the whole process to standard error: as text if that is a terminal, else as JSON. What is logged is
/// said by [`FILTER_VARIABLE`], else by `RUST_LOG`, else it is `info` and above.
///
/// # Errors
/// For a filter that is none, and when called twice.
pub fn start() -> Result<(), Error> {
    let format = if io::stderr().is_terminal() {
        Format::Text
    } else {
        Format::Json
    };
    let filter = filter(|name| std::env::var(name).ok())?;
    tracing::subscriber::set_global_default(subscriber(format, filter, io::stderr))
        .map_err(Error::Twice)
}

fn filter(variable: impl Fn(&str) -> Option<String>) -> Result<EnvFilter, Error> {
    for name in [FILTER_VARIABLE, "RUST_LOG"] {
        if let Some(text) = variable(name).filter(|text| !text.is_empty()) {
            return EnvFilter::try_new(text).map_err(|source| Error::Filter {
                variable: name,
                source,
            });
        }
    }
    Ok(EnvFilter::new("info"))
}

fn subscriber<W>(format: Format, filter: EnvFilter, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    match format {
        Format::Text => Box::new(builder.finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

/// An error with all its causes, in one line.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, filter: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, EnvFilter::new(filter), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            Access {
                method: "GET",
                kind: "blob",
                upstream: "docker.io",
                repository: "library/alpine",
                outcome: "hit",
                status: 206,
                bytes: 1234,
                took: Duration::from_millis(1500),
                client: Some("192.0.2.1:999".parse().unwrap()),
            }
            .log();
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_request_is_one_json_object() {
        let line = logged(Format::Json, "info");
        let mut fields: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(fields["timestamp"].take().is_string());
        assert_eq!(
            fields,
            serde_json::json!({
                "timestamp": null, "level": "INFO", "target": "longshore::access", "message": "request",
                "method": "GET", "kind": "blob", "upstream": "docker.io", "repository": "library/alpine",
                "outcome": "hit", "status": 206, "bytes": 1234, "seconds": 1.5, "client": "192.0.2.1:999",
            })
        );
    }

    #[test]
    fn a_request_is_one_line_of_text() {
        let line = logged(Format::Text, "info");
        assert_eq!(line.lines().count(), 1, "{line}");
        for part in ["library/alpine", "206", "hit", "192.0.2.1:999"] {
            assert!(line.contains(part), "{line}");
        }
    }

    #[test]
    fn the_filter_can_silence_it() {
        assert_eq!(logged(Format::Json, "longshore::access=warn,info"), "");
        assert_eq!(logged(Format::Json, "warn"), "");
    }

    #[test]
    fn filters_of_the_environment() {
        let both = |name: &str| {
            Some(
                if name == FILTER_VARIABLE {
                    "warn"
                } else {
                    "debug"
                }
                .to_owned(),
            )
        };
        assert_eq!(filter(both).unwrap().to_string(), "warn");
        let old = |name: &str| (name == "RUST_LOG").then(|| "debug".to_owned());
        assert_eq!(filter(old).unwrap().to_string(), "debug");
        assert_eq!(filter(|_| None).unwrap().to_string(), "info");
        assert_eq!(filter(|_| Some(String::new())).unwrap().to_string(), "info");
        let error = filter(|_| Some("a=b=c".to_owned())).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("LONGSHORE_LOG is not a filter"),
            "{error}"
        );
    }

    #[test]
    fn a_chain_has_every_cause() {
        let source = io::Error::other("disk on fire");
        let error = crate::config::Error::Read {
            file: "/x".into(),
            source,
        };
        assert_eq!(Chain(&error).to_string(), "cannot read /x: disk on fire");
    }
}
