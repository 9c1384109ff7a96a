//! The circuit breakers of one endpoint (pure: the clock is passed in).
//!
//! A failure is counted for the object it belongs to. Only when several different objects fail, with no success
//! between them, is their repository, their class of requests, or the endpoint as a whole skipped for a while; an
//! answer for any object of these shows that they work. Connections that fail count for the endpoint at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use crate::{limit::RateClass, sync::lock};

/// What a request asks for: failures are counted by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    pub(crate) class: RateClass,
    pub(crate) repository: Arc<str>,
    pub(crate) object: Arc<str>,
}

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// There was no connection, whatever was asked for.
    Connection,
    /// The answer for this object: a status, a time-out, a connection lost while waiting.
    Object,
}

/// The circuits of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Those that failed since their last success.
    circuits: HashMap<Scope, Circuit>,
    /// What was last reported; `None` before the first answer.
    up: Option<bool>,
}

/// What a circuit covers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Scope {
    Endpoint,
    Class(RateClass),
    Repository(Arc<str>),
    Object(Subject),
}

#[derive(Debug)]
struct Circuit {
    /// In a row: of connections for the endpoint, of tries for an object.
    failures: u32,
    /// The different objects that failed.
    objects: Vec<Subject>,
    open: Option<Open>,
    failed_at: Instant,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    wait: Duration,
    /// Half-open: one call was let through at the end of the wait.
    probing: bool,
    /// When a call was last let through, as a probe or as the last resort.
    asked: Option<Instant>,
}

impl Health {
    /// Whether a call may be made now. When the wait of an open circuit has ended one call is let through; the next
    /// only after its outcome, or after another wait if it was abandoned.
    pub(crate) fn admit(&self, subject: &Subject, now: Instant) -> bool {
        let mut state = lock(&self.0);
        if state.circuits.is_empty() {
            return true;
        }
        let scopes = subject.scopes();
        if state.any_open(&scopes, |open| now < open.until) {
            return false;
        }
        state.each_open(&scopes, |open| {
            *open = Open {
                until: now + open.wait,
                wait: open.wait,
                probing: true,
                asked: Some(now),
            };
        });
        true
    }

    /// Whether a call that failed may be retried: no circuit has opened meanwhile.
    pub(crate) fn may_retry(&self, subject: &Subject, now: Instant) -> bool {
        !lock(&self.0).any_open(&subject.scopes(), |open| now < open.until)
    }

    /// Whether the last endpoint may be asked all the same because there is no other: once a second.
    pub(crate) fn admit_last(&self, subject: &Subject, now: Instant) -> bool {
        let (mut state, scopes) = (lock(&self.0), subject.scopes());
        let recent = |open: &Open| open.asked.is_some_and(|asked| now < asked + LAST_EVERY);
        if state.any_open(&scopes, recent) {
            return false;
        }
        state.each_open(&scopes, |open| open.asked = Some(now));
        true
    }

    /// The endpoint answered. Returns whether it was down or unknown before.
    pub(crate) fn succeeded(&self, subject: &Subject) -> bool {
        let mut state = lock(&self.0);
        if !state.circuits.is_empty() {
            for scope in &subject.scopes() {
                state.circuits.remove(scope);
            }
        }
        state.up.replace(true) != Some(true)
    }

    /// A call failed. Returns whether the endpoint is down from now on.
    pub(crate) fn failed(&self, subject: &Subject, failed: Failed, now: Instant) -> bool {
        let mut state = lock(&self.0);
        state.make_room(now);
        let down = match failed {
            Failed::Connection => state.count(Scope::Endpoint, now, |circuit| {
                circuit.failures += 1;
                circuit.failures >= FAILURES_MAX
            }),
            Failed::Object => state.count_object(subject, now),
        };
        down && state.up.replace(false) != Some(false)
    }
}

impl State {
    /// Whether the open circuit of any of these is so.
    fn any_open(&self, scopes: &[Scope], is_so: impl Fn(&Open) -> bool) -> bool {
        let circuits = scopes.iter().filter_map(|scope| self.circuits.get(scope));
        let mut open = circuits.filter_map(|circuit| circuit.open.as_ref());
        open.any(is_so)
    }

    /// Changes the open circuits among these.
    fn each_open(&mut self, scopes: &[Scope], change: impl Fn(&mut Open)) {
        for scope in scopes {
            let circuit = self.circuits.get_mut(scope);
            if let Some(open) = circuit.and_then(|circuit| circuit.open.as_mut()) {
                change(open);
            }
        }
    }

    /// Whether the class or the endpoint is down.
    fn count_object(&mut self, subject: &Subject, now: Instant) -> bool {
        let [endpoint, class, repository, object] = subject.scopes();
        let known = self.circuits.get(&object);
        let known = known.is_some_and(|circuit| circuit.open.is_some());
        self.count(object, now, |circuit| {
            circuit.failures += 1;
            circuit.failures >= FAILURES_MAX
        });
        // What is known to fail is no news about anything else.
        if known {
            return false;
        }
        self.count(repository, now, |circuit| {
            circuit.add(subject) >= OBJECTS_MAX
        });
        let class = self.count(class, now, |circuit| {
            circuit.add(subject) >= OBJECTS_MAX && circuit.spans(|one| &one.repository)
        });
        // Lists never close manifests and blobs.
        if !subject.class.is_content() {
            return false;
        }
        let endpoint = self.count(endpoint, now, |circuit| {
            circuit.add(subject) >= OBJECTS_MAX
                && circuit.spans(|one| &one.repository)
                && circuit.spans(|one| &one.class)
        });
        endpoint || class
    }

    /// Counts a failure by `trips`, which says whether it is one too many. Returns whether the circuit is open.
    fn count(
        &mut self,
        scope: Scope,
        now: Instant,
        trips: impl FnOnce(&mut Circuit) -> bool,
    ) -> bool {
        let (wait_min, wait_max) = scope.waits();
        let circuit = self
            .circuits
            .entry(scope)
            .or_insert_with(|| Circuit::new(now));
        if now > circuit.failed_at + FORGET_AFTER {
            *circuit = Circuit::new(now);
        }
        circuit.failed_at = now;
        match &mut circuit.open {
            // Calls that were under way when it opened, and last resorts, say nothing new.
            Some(open) if !open.probing => {}
            Some(open) => {
                let wait = (open.wait * 2).min(wait_max);
                *open = Open {
                    until: now + wait,
                    wait,
                    probing: false,
                    asked: open.asked,
                };
            }
            None => {
                if trips(circuit) {
                    circuit.open = Some(Open {
                        until: now + wait_min,
                        wait: wait_min,
                        probing: false,
                        asked: None,
                    });
                }
            }
        }
        circuit.open.is_some()
    }

    /// Keeps the memory bounded: what failed long ago is forgotten first, then single objects and repositories.
    fn make_room(&mut self, now: Instant) {
        if self.circuits.len() >= CIRCUITS_MAX {
            let circuits = &mut self.circuits;
            circuits.retain(|_, circuit| now <= circuit.failed_at + FORGET_AFTER);
        }
        if self.circuits.len() >= CIRCUITS_MAX {
            let wide = |scope: &Scope| matches!(scope, Scope::Endpoint | Scope::Class(_));
            self.circuits.retain(|scope, _| wide(scope));
        }
    }
}

impl Circuit {
    fn new(now: Instant) -> Self {
        Self {
            failures: 0,
            objects: Vec::new(),
            open: None,
            failed_at: now,
        }
    }

    /// Adds an object; how many different ones there are.
    fn add(&mut self, subject: &Subject) -> usize {
        if !self.objects.contains(subject) {
            if self.objects.len() >= 4 * OBJECTS_MAX {
                self.objects.remove(0);
            }
            self.objects.push(subject.clone());
        }
        self.objects.len()
    }

    /// Whether the objects differ in this.
    fn spans<T: PartialEq + ?Sized>(&self, part: impl Fn(&Subject) -> &T) -> bool {
        let mut parts = self.objects.iter().map(part);
        let first = parts.next();
        parts.any(|part| Some(part) != first)
    }
}

impl Subject {
    /// From the widest to the narrowest.
    fn scopes(&self) -> [Scope; 4] {
        [
            Scope::Endpoint,
            Scope::Class(self.class),
            Scope::Repository(Arc::clone(&self.repository)),
            Scope::Object(self.clone()),
        ]
    }
}

impl Scope {
    /// The shortest and the longest wait of an open circuit.
    fn waits(&self) -> (Duration, Duration) {
        let secs = Duration::from_secs;
        match self {
            Self::Endpoint => (secs(10), secs(60)),
            Self::Class(_) => (secs(2), secs(60)),
            Self::Repository(_) => (secs(2), secs(30)),
            Self::Object(_) => (secs(2), secs(10)),
        }
    }
}

impl RateClass {
    /// Whether images cannot be pulled without it.
    fn is_content(self) -> bool {
        match self {
            Self::Manifest | Self::Check | Self::Blob | Self::Index => true,
            Self::Tags | Self::Referrers => false,
        }
    }
}

/// Connections that fail, or tries of one object.
const FAILURES_MAX: u32 = 5;
/// Different objects that fail with no success between them.
const OBJECTS_MAX: usize = 8;
const LAST_EVERY: Duration = Duration::from_secs(1);
const FORGET_AFTER: Duration = Duration::from_secs(300);
const CIRCUITS_MAX: usize = 1024;

#[cfg(test)]
mod tests;
