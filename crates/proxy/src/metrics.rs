//! What Prometheus is told.
//!
//! The labels of what happens with every request or chunk are resolved once and kept: a hit looks nothing up by strings.
//! No label ever holds a repository, a tag, or a name that a client made up.

use std::time::Duration;

use http::HeaderValue;
use prometheus::{
    Encoder, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder,
};

use crate::names::{Buffer, Names, UpstreamId};
use crate::route::Kind;

mod away;
mod cells;
mod families;
mod stored;
#[cfg(test)]
mod tests;

use away::Away;
use cells::Cells;
use families::{Families, SECONDS_OF_ANSWERS};
use stored::Stored;

/// The `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// As the store says.
    Served(longshore_store::Outcome),
    /// The client was refused, or its answer was cut.
    Error,
}

impl Outcome {
    /// The word for metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Served(outcome) => outcome.as_str(),
            Self::Error => "error",
        }
    }

    const COUNT: usize = 7;

    fn index(self) -> usize {
        use longshore_store::Outcome;
        match self {
            Self::Served(Outcome::Hit) => 0,
            Self::Served(Outcome::Miss) => 1,
            Self::Served(Outcome::Joined) => 2,
            Self::Served(Outcome::Stale) => 3,
            Self::Served(Outcome::Revalidated) => 4,
            Self::Served(Outcome::Bypass) => 5,
            Self::Error => 6,
        }
    }
}

/// All metrics of one proxy, in a registry of their own.
///
/// Where an upstream is asked for, `None` stands for a registry that is not configured; its label is `unknown`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    names: Names,
    requests: Cells<IntCounter, IntCounterVec>,
    served_bytes: Cells<IntCounter, IntCounterVec>,
    first_byte: Cells<prometheus::Histogram, HistogramVec>,
    away: Away,
    fills_in_flight: IntGauge,
    fill_seconds: HistogramVec,
    store: Stored,
    reloads: Reloads,
}

/// The families about the configuration.
#[derive(Debug, Clone)]
struct Reloads {
    total: IntCounterVec,
    last_successful: IntGauge,
}

impl Metrics {
    /// Registers every family, for these upstreams.
    ///
    /// # Errors
    /// None that could come at run time: the families are fixed.
    pub fn new(names: &Names) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let new = Families(&registry);
        let upstreams = names.ids().count() + 1;
        let (kinds, outcomes) = (Kind::ALL.len(), Outcome::COUNT);
        build_info(&registry)?;
        Ok(Self {
            requests: Cells::new(
                new.counters(
                    "requests_total",
                    "Requests of clients.",
                    &["upstream", "kind", "outcome", "code"],
                )?,
                upstreams * kinds * outcomes * CODES.len(),
            ),
            served_bytes: Cells::new(
                new.counters(
                    "served_bytes_total",
                    "Bytes of bodies sent to clients.",
                    &["upstream", "kind", "outcome"],
                )?,
                upstreams * kinds * outcomes,
            ),
            first_byte: Cells::new(
                new.histograms(
                    "first_byte_seconds",
                    "Time from a request's headers to the first byte of its answer.",
                    &["kind", "outcome"],
                    &SECONDS_OF_ANSWERS,
                )?,
                kinds * outcomes,
            ),
            away: Away::new(&new, upstreams)?,
            fills_in_flight: new.gauge("fills_in_flight", "Downloads from upstreams under way.")?,
            fill_seconds: new.histograms(
                "fill_seconds",
                "Duration of downloads.",
                &["result"],
                &SECONDS_OF_FILLS,
            )?,
            store: Stored::new(&new)?,
            reloads: Reloads::new(&new)?,
            names: names.clone(),
            registry,
        })
    }

    /// The same metrics, for another set of upstreams. Families and what was counted are shared.
    #[must_use]
    pub fn for_names(&self, names: &Names) -> Self {
        let upstreams = names.ids().count() + 1;
        let (kinds, outcomes) = (Kind::ALL.len(), Outcome::COUNT);
        Self {
            registry: self.registry.clone(),
            requests: self
                .requests
                .resized(upstreams * kinds * outcomes * CODES.len()),
            served_bytes: self.served_bytes.resized(upstreams * kinds * outcomes),
            first_byte: self.first_byte.resized(kinds * outcomes),
            away: self.away.resized(upstreams),
            fills_in_flight: self.fills_in_flight.clone(),
            fill_seconds: self.fill_seconds.clone(),
            store: self.store.clone(),
            reloads: self.reloads.clone(),
            names: names.clone(),
        }
    }

    /// Drops the gauges of an upstream that is no longer configured. Counters stay.
    pub fn forget(&self, upstream: &str) {
        self.away.forget(upstream);
    }

    /// An answer ended, after `bytes` bytes of its body. A status that we never give is counted as `other`.
    pub fn served(
        &self,
        upstream: Option<UpstreamId>,
        kind: Kind,
        outcome: Outcome,
        code: u16,
        bytes: u64,
    ) {
        let cell = (self.index(upstream) * Kind::ALL.len() + kind as usize) * Outcome::COUNT
            + outcome.index();
        let code = CODES
            .iter()
            .position(|known| *known == code)
            .unwrap_or(CODES.len() - 1);
        let label = || [self.label(upstream), kind.as_str(), outcome.as_str()];
        self.requests.with(
            cell * CODES.len() + code,
            |family| {
                let [upstream, kind, outcome] = label();
                family.with_label_values(&[
                    upstream,
                    kind,
                    outcome,
                    CODE_LABELS.get(code).unwrap_or(&"other"),
                ])
            },
            IntCounter::inc,
        );
        if bytes > 0 {
            let resolve = |family: &IntCounterVec| family.with_label_values(&label());
            self.served_bytes
                .with(cell, resolve, |counter| counter.inc_by(bytes));
        }
    }

    /// The first byte of an answer's body is ready to be sent.
    pub fn first_byte(&self, kind: Kind, outcome: Outcome, after: Duration) {
        let resolve =
            |family: &HistogramVec| family.with_label_values(&[kind.as_str(), outcome.as_str()]);
        let cell = kind as usize * Outcome::COUNT + outcome.index();
        self.first_byte.with(cell, resolve, |histogram| {
            histogram.observe(after.as_secs_f64())
        });
    }

    /// Something happened with an upstream: for its observer.
    pub fn upstream(&self, upstream: UpstreamId, event: longshore_puller::Event<'_>) {
        self.away
            .tell(self.label(Some(upstream)), upstream.index(), event);
    }

    /// Something happened in the store: for its observer.
    pub fn store(&self, event: longshore_store::Event<'_>) {
        use longshore_store::Event;
        match event {
            Event::FillEnded { seconds, whole } => {
                let result = if whole { "whole" } else { "failed" };
                self.fill_seconds
                    .with_label_values(&[result])
                    .observe(seconds.as_secs_f64());
            }
            Event::Mismatch { named } => {
                let mut buffer = Buffer::default();
                let upstream = self
                    .names
                    .find(named.domain(), &mut buffer)
                    .map(|(id, _)| id);
                self.away.mismatch(self.label(upstream));
            }
            event => self.store.tell(event),
        }
    }

    /// The configuration was read again, and is in force if `successful`.
    pub fn reloaded(&self, successful: bool) {
        let result = if successful { "ok" } else { "failed" };
        self.reloads.total.with_label_values(&[result]).inc();
        self.reloads.last_successful.set(successful.into());
    }

    /// Everything in Prometheus' text format, and its `Content-Type`.
    #[must_use]
    pub fn render(&self, usage: longshore_store::Usage) -> (HeaderValue, String) {
        self.store.usage(&usage);
        self.fills_in_flight
            .set(i64::try_from(usage.fills).unwrap_or(i64::MAX));
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "cannot write the metrics");
        }
        (CONTENT_TYPE, String::from_utf8_lossy(&text).into_owned())
    }

    fn index(&self, upstream: Option<UpstreamId>) -> usize {
        upstream.map_or_else(|| self.names.ids().count(), UpstreamId::index)
    }

    fn label(&self, upstream: Option<UpstreamId>) -> &str {
        upstream.map_or("unknown", |upstream| self.names.name(upstream))
    }
}

impl Reloads {
    fn new(new: &Families<'_>) -> Result<Self, prometheus::Error> {
        let reloads = Self {
            total: new.counters(
                "config_reloads_total",
                "Reloads of the configuration.",
                &["result"],
            )?,
            last_successful: new.gauge(
                "config_last_reload_successful",
                "Whether the configuration in force is the one that was last read.",
            )?,
        };
        reloads.last_successful.set(1);
        Ok(reloads)
    }
}

fn build_info(registry: &Registry) -> Result<(), prometheus::Error> {
    let family = Families(registry).gauges("build_info", "The version that runs.", &["version"])?;
    family
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1);
    Ok(())
}

/// Every status that an answer of ours can have, as numbers; the last stands for all others.
const CODES: [u16; 16] = [
    200, 206, 304, 400, 401, 403, 404, 405, 416, 429, 499, 500, 502, 503, 504, 0,
];

/// [`CODES`] as labels.
const CODE_LABELS: [&str; 16] = [
    "200", "206", "304", "400", "401", "403", "404", "405", "416", "429", "499", "500", "502",
    "503", "504", "other",
];

const SECONDS_OF_FILLS: [f64; 12] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
];
