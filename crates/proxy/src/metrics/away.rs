//! What upstreams do, for Prometheus.

use longshore_puller::Event;
use prometheus::core::Collector;
use prometheus::proto::LabelPair;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};

use super::cells::Cells;
use super::families::{Families, SECONDS_OF_ANSWERS};

/// The families about upstreams.
#[derive(Debug)]
pub(super) struct Away {
    requests: IntCounterVec,
    bytes: Cells<IntCounter, IntCounterVec>,
    seconds: Cells<Histogram, HistogramVec>,
    up: IntGaugeVec,
    ratelimit: IntGaugeVec,
    rejected: IntCounterVec,
    resumed: IntCounterVec,
    mismatches: IntCounterVec,
}

impl Away {
    pub(super) fn new(new: &Families<'_>, upstreams: usize) -> Result<Self, prometheus::Error> {
        Ok(Self {
            requests: new.counters(
                "upstream_requests_total",
                "Requests to upstreams; code none: no answer.",
                &["upstream", "endpoint", "kind", "code"],
            )?,
            bytes: Cells::new(
                new.counters(
                    "upstream_bytes_total",
                    "Bytes received from upstreams.",
                    &["upstream"],
                )?,
                upstreams,
            ),
            seconds: Cells::new(
                new.histograms(
                    "upstream_seconds",
                    "Time from a request to an upstream to its headers or its failure.",
                    &["upstream"],
                    &SECONDS_OF_ANSWERS,
                )?,
                upstreams,
            ),
            up: new.gauges(
                "upstream_up",
                "Whether an endpoint of an upstream answers.",
                &["upstream", "endpoint"],
            )?,
            ratelimit: new.gauges(
                "upstream_ratelimit_remaining",
                "Requests that an upstream's rate limit leaves, as it last said.",
                &["upstream"],
            )?,
            rejected: new.counters(
                "upstream_credentials_rejected_total",
                "Times an upstream did not take the configured credentials.",
                &["upstream"],
            )?,
            resumed: new.counters(
                "upstream_resumed_total",
                "Downloads that were cut and went on with a range.",
                &["upstream"],
            )?,
            mismatches: new.counters(
                "digest_mismatch_total",
                "Downloads whose bytes were not those of the digest.",
                &["upstream"],
            )?,
        })
    }

    /// An event of the upstream with this label and number. The hosts of a wildcard share its label: a client chooses
    /// them, and a series stays for ever.
    pub(super) fn tell(&self, label: &str, index: usize, event: Event<'_>) {
        let configured = |endpoint| match label.starts_with('*') {
            true => label,
            false => endpoint,
        };
        match event {
            Event::Request {
                endpoint,
                kind,
                code,
                seconds,
            } => {
                let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
                let labels = [label, configured(endpoint), kind.as_str(), &code];
                self.requests.with_label_values(&labels).inc();
                let resolve = |family: &HistogramVec| family.with_label_values(&[label]);
                self.seconds
                    .with(index, resolve, |histogram| histogram.observe(seconds));
            }
            Event::Bytes(bytes) => {
                let resolve = |family: &IntCounterVec| family.with_label_values(&[label]);
                self.bytes
                    .with(index, resolve, |counter| counter.inc_by(bytes));
            }
            Event::Up { endpoint, up } => {
                let labels = [label, configured(endpoint)];
                self.up.with_label_values(&labels).set(up.into());
            }
            Event::RateLimit { remaining } => {
                let remaining = i64::try_from(remaining).unwrap_or(i64::MAX);
                self.ratelimit.with_label_values(&[label]).set(remaining);
            }
            Event::CredentialsRejected => self.rejected.with_label_values(&[label]).inc(),
            Event::Resumed => self.resumed.with_label_values(&[label]).inc(),
            Event::Mismatch => self.mismatch(label),
            _ => {}
        }
    }

    /// The same families, for another number of upstreams.
    pub(super) fn resized(&self, upstreams: usize) -> Self {
        Self {
            requests: self.requests.clone(),
            bytes: self.bytes.resized(upstreams),
            seconds: self.seconds.resized(upstreams),
            up: self.up.clone(),
            ratelimit: self.ratelimit.clone(),
            rejected: self.rejected.clone(),
            resumed: self.resumed.clone(),
            mismatches: self.mismatches.clone(),
        }
    }

    /// Drops the gauges of an upstream.
    pub(super) fn forget(&self, upstream: &str) {
        let _ = self.ratelimit.remove_label_values(&[upstream]);
        let of = |labels: &[LabelPair], name: &str| {
            let label = labels.iter().find(|label| label.name() == name);
            label.map(|label| label.value().to_owned())
        };
        for family in self.up.collect() {
            for metric in family.get_metric() {
                let labels = metric.get_label();
                if of(labels, "upstream").as_deref() == Some(upstream)
                    && let Some(endpoint) = of(labels, "endpoint")
                {
                    let _ = self.up.remove_label_values(&[upstream, &endpoint]);
                }
            }
        }
    }

    pub(super) fn mismatch(&self, label: &str) {
        self.mismatches.with_label_values(&[label]).inc();
    }
}
