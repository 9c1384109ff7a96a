//! What credential programs said: kept for a while, one run in flight.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use longshore_reference::Digest;
use tokio::{sync::OnceCell, time::Instant};

use super::Trouble;
use crate::{auth::credentials::Login, sync::lock};

/// The results of runs, by program and server.
#[derive(Default)]
pub(super) struct Runs(Mutex<Known>);

#[derive(Default)]
struct Known {
    slots: HashMap<(Box<str>, Box<str>), Arc<Slot>>,
    count: u64,
}

/// One run.
struct Slot {
    number: u64,
    /// What the run before it found.
    before: Option<Digest>,
    result: OnceCell<Kept>,
}

struct Kept {
    found: Found,
    at: Instant,
}

type Found = Result<Option<Login>, Arc<Trouble>>;

impl Runs {
    /// What the program has for `server`: kept, or found out by `run`. What the run `stale` found is not good any more.
    ///
    /// Cancel-safe: when the caller whose run it is goes away, one of those who wait starts its own.
    pub(super) async fn obtain(
        &self,
        program: &str,
        server: &str,
        stale: Option<u64>,
        run: impl Future<Output = Found>,
    ) -> Found {
        let slot = self.slot(program, server, stale);
        let kept = slot.result.get_or_init(|| async {
            let mut found = run.await;
            if let Ok(Some(login)) = &mut found {
                login.run = Some(slot.number);
            }
            let at = Instant::now();
            Kept { found, at }
        });
        kept.await.found.clone()
    }

    fn slot(&self, program: &str, server: &str, stale: Option<u64>) -> Arc<Slot> {
        let mut known = lock(&self.0);
        let key = (program.into(), server.into());
        let old = known.slots.get(&key);
        if let Some(slot) = old
            && slot.holds(stale, Instant::now())
        {
            return Arc::clone(slot);
        }
        let before = old.and_then(|slot| slot.found());
        if known.slots.len() >= SLOTS_MAX {
            known.slots.clear();
        }
        known.count += 1;
        let slot = Arc::new(Slot {
            number: known.count,
            before,
            result: OnceCell::new(),
        });
        known.slots.insert(key, Arc::clone(&slot));
        slot
    }
}

impl Slot {
    fn found(&self) -> Option<Digest> {
        let found = self.result.get()?.found.as_ref().ok()?;
        found.as_ref().map(|login| login.id)
    }

    fn holds(&self, stale: Option<u64>, now: Instant) -> bool {
        let Some(kept) = self.result.get() else {
            return true;
        };
        let life = match &kept.found {
            // A program that says the same again need not be asked a third time soon.
            Ok(Some(login)) if stale == Some(self.number) => match self.before == Some(login.id) {
                true => SAME_FOR,
                false => Duration::ZERO,
            },
            Ok(Some(_)) => FOUND_FOR,
            Ok(None) => NONE_FOR,
            Err(_) => FAILED_FOR,
        };
        now < kept.at + life
    }
}

const FOUND_FOR: Duration = Duration::from_secs(300);
const SAME_FOR: Duration = Duration::from_secs(60);
const NONE_FOR: Duration = Duration::from_secs(60);
const FAILED_FOR: Duration = Duration::from_secs(10);
const SLOTS_MAX: usize = 256;
