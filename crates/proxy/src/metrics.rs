//! What Prometheus is told.
//!
//! The labels of what happens with every request or chunk are resolved once and kept: a hit looks nothing up by strings.
//! No label ever holds a repository, a tag, or a name that a client made up.

use std::time::Duration;

use http::HeaderValue;
use prometheus::{
    Encoder, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};

use crate::names::{Buffer, Names, UpstreamId};
use crate::route::Kind;

mod away;
mod cells;
mod families;
#[cfg(test)]
mod tests;

use away::Away;
use cells::Cells;
use families::Families;

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
    store_bytes: IntGauge,
    store_objects: IntGauge,
    outbox_entries: IntGauge,
    outbox_oldest: IntGauge,
    quarantined: IntCounter,
    bucket_up: IntGaugeVec,
    bucket_errors: IntCounterVec,
    bucket_damaged: IntCounter,
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
            store_bytes: new.gauge("store_bytes", "Bytes of blobs in the local store.")?,
            store_objects: new.gauge("store_objects", "Blobs in the local store.")?,
            outbox_entries: new.gauge(
                "store_outbox_entries",
                "Blobs and records that wait to be sent to the bucket.",
            )?,
            outbox_oldest: new.gauge(
                "store_outbox_oldest_seconds",
                "How long the oldest of them has waited.",
            )?,
            quarantined: new.counter(
                "store_quarantined_total",
                "Kept files that were damaged and moved aside.",
            )?,
            bucket_up: new.gauges(
                "store_bucket_up",
                "Whether the bucket answers, or is left alone for a while.",
                &[],
            )?,
            bucket_damaged: new.counter(
                "store_bucket_damaged_total",
                "Blobs in the bucket that were not their digest's; they are replaced.",
            )?,
            bucket_errors: new.counters(
                "store_bucket_errors_total",
                "Requests to the bucket that failed.",
                &["action"],
            )?,
            names: names.clone(),
            registry,
        })
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
            Event::Quarantined => self.quarantined.inc(),
            // Without labels, but a family all the same: without a bucket it has no value.
            Event::BucketUp { up } => {
                let no_labels: [&str; 0] = [];
                self.bucket_up
                    .with_label_values(&no_labels)
                    .set(i64::from(up));
            }
            Event::BucketDamaged => self.bucket_damaged.inc(),
            Event::BucketFailed { action } => self.bucket_errors.with_label_values(&[action]).inc(),
            _ => {}
        }
    }

    /// Everything in Prometheus' text format, and its `Content-Type`.
    #[must_use]
    pub fn render(&self, usage: longshore_store::Usage) -> (HeaderValue, String) {
        let int = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.store_bytes.set(int(usage.bytes));
        self.store_objects.set(int(usage.objects));
        self.outbox_entries.set(int(usage.outbox));
        self.outbox_oldest.set(int(usage.outbox_oldest.as_secs()));
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

fn build_info(registry: &Registry) -> Result<(), prometheus::Error> {
    let family = Families(registry).gauges("build_info", "The version that runs.", &["version"])?;
    family
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1);
    Ok(())
}

/// Every status that an answer of ours can have, as numbers; the last stands for all others.
const CODES: [u16; 15] = [
    200, 206, 304, 400, 403, 404, 405, 416, 429, 499, 500, 502, 503, 504, 0,
];

/// [`CODES`] as labels.
const CODE_LABELS: [&str; 15] = [
    "200", "206", "304", "400", "403", "404", "405", "416", "429", "499", "500", "502", "503",
    "504", "other",
];

const SECONDS_OF_ANSWERS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0,
];

const SECONDS_OF_FILLS: [f64; 12] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
];
