//! The limit on open files: raised at start, and what it allows in connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for listeners, logs, the runtime, the spool's lock and the bucket's connections.
const RESERVED: u64 = 256;
/// Descriptors of one fill: its spool file and its connections to upstream.
const PER_FILL: u64 = 10;
/// Descriptors of one client: its socket and the file that is sent to it.
const PER_CONNECTION: u64 = 2;
/// Connections that are always allowed, whatever the limit.
const CONNECTIONS_MIN: usize = 16;

/// Raises the soft limit on open files to the hard limit. Returns the limit in force, `None` if there is none.
pub(crate) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(cause) => {
            tracing::warn!(limit = limit.current, %cause, "cannot raise the limit on open files");
            limit.current
        }
    }
}

/// The connections that a limit on open files leaves room for, at most as many as configured.
pub(crate) fn connections_max(configured: usize, fills_max: usize, limit: Option<u64>) -> usize {
    let Some(limit) = limit else {
        return configured;
    };
    let fills = PER_FILL.saturating_mul(fills_max as u64);
    let room = limit.saturating_sub(RESERVED).saturating_sub(fills) / PER_CONNECTION;
    let allowed = usize::try_from(room).unwrap_or(usize::MAX);
    let allowed = allowed.max(CONNECTIONS_MIN);
    if allowed < configured {
        tracing::warn!(
            open_files = limit,
            connections_max = configured,
            allowed,
            "the limit on open files (RLIMIT_NOFILE) allows fewer connections than configured"
        );
    }
    configured.min(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_the_limit_on_open_files() {
        let rows = [
            // connections_max, fills_max, limit, allowed
            (4096, 64, None, 4096),
            (4096, 64, Some(1 << 20), 4096),
            (4096, 64, Some(1024), 64),
            (4096, 16, Some(1024), 304),
            (10, 64, Some(1024), 10),
            (4096, 64, Some(0), CONNECTIONS_MIN),
            (4096, usize::MAX, Some(1 << 20), CONNECTIONS_MIN),
        ];
        for (configured, fills_max, limit, allowed) in rows {
            assert_eq!(
                connections_max(configured, fills_max, limit),
                allowed,
                "{configured} connections, {fills_max} fills, {limit:?} files"
            );
        }
    }

    #[test]
    fn the_limit_on_open_files_is_raised_to_the_hard_limit() {
        let hard = getrlimit(Resource::Nofile).maximum;
        assert_eq!(raise_limit(), hard);
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
    }
}
