//! What credential programs said: kept for a while, one run in flight.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use longshore_reference::Digest;
use tokio::time::Instant;

use super::error::KeyringError;
use crate::{auth::login::Login, single_flight::SingleFlight};

/// The results of runs, by program and server.
pub(super) struct Runs {
    runs: SingleFlight<(Box<str>, Box<str>), Run>,
    count: AtomicU64,
}

/// One run.
#[derive(Clone)]
struct Run {
    number: u64,
    /// What the run before it found.
    before: Option<Digest>,
    found: Found,
    at: Instant,
}

type Found = Result<Option<Login>, Arc<KeyringError>>;

impl Runs {
    /// What the program has for `server`: kept, or found out by `run`. What the run `stale` found is not good any more.
    pub(super) async fn obtain(
        &self,
        program: &str,
        server: &str,
        stale: Option<u64>,
        run: impl Future<Output = Found>,
    ) -> Found {
        let key = (program.into(), server.into());
        let now = Instant::now();
        let holds = |run: &Run| run.holds(stale, now);
        let make = |before: Option<Run>| async move {
            let number = self.count.fetch_add(1, Ordering::Relaxed);
            let mut found = run.await;
            if let Ok(Some(login)) = &mut found {
                login.run = Some(number);
            }
            Run {
                number,
                before: before.and_then(|before| before.login_id()),
                found,
                at: Instant::now(),
            }
        };
        self.runs.obtain(&key, holds, make).await.value.found
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self {
            runs: SingleFlight::new(RUNS_MAX),
            count: AtomicU64::new(0),
        }
    }
}

impl Run {
    fn login_id(&self) -> Option<Digest> {
        let found = self.found.as_ref().ok()?;
        found.as_ref().map(|login| login.id)
    }

    fn holds(&self, stale: Option<u64>, now: Instant) -> bool {
        let life = match &self.found {
            // A program that says the same again need not be asked a third time soon.
            Ok(Some(login)) if stale == Some(self.number) => match self.before == Some(login.id) {
                true => SAME_FOR,
                false => Duration::ZERO,
            },
            Ok(Some(_)) => FOUND_FOR,
            Ok(None) => NONE_FOR,
            Err(_) => FAILED_FOR,
        };
        now < self.at + life
    }
}

const FOUND_FOR: Duration = Duration::from_secs(300);
const SAME_FOR: Duration = Duration::from_secs(60);
const NONE_FOR: Duration = Duration::from_secs(60);
const FAILED_FOR: Duration = Duration::from_secs(10);
const RUNS_MAX: usize = 256;
