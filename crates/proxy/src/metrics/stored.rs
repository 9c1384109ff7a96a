//! What the store does and holds, for Prometheus.

use longshore_store::{Event, Usage};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::families::Families;

/// The families about the store.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    bytes: IntGauge,
    objects: IntGauge,
    capacity: IntGauge,
    reserved: IntGauge,
    free: IntGauge,
    evicted: IntCounterVec,
    errors: IntCounterVec,
    quarantined: IntCounter,
    bucket_up: IntGaugeVec,
    bucket_errors: IntCounterVec,
    bucket_damaged: IntCounter,
    outbox_entries: IntGauge,
    outbox_oldest: IntGauge,
}

impl Stored {
    pub(super) fn new(new: &Families<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            bytes: new.gauge("store_bytes", "Bytes of blobs in the local store.")?,
            objects: new.gauge("store_objects", "Blobs in the local store.")?,
            capacity: new.gauge(
                "store_capacity_bytes",
                "Bytes that the local store may hold; 0 until its files are counted.",
            )?,
            reserved: new.gauge(
                "store_reserved_bytes",
                "Bytes of the local store that downloads under way have reserved.",
            )?,
            free: new.gauge(
                "store_free_bytes",
                "Free bytes of the local store's file system, as they were last looked at.",
            )?,
            evicted: new.counters(
                "evicted_bytes_total",
                "Bytes that were evicted from the local store.",
                &["reason"],
            )?,
            errors: new.counters(
                "store_errors_total",
                "Files of the local store that could not be opened, written, moved or removed.",
                &["action"],
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
            bucket_errors: new.counters(
                "store_bucket_errors_total",
                "Requests to the bucket that failed.",
                &["action"],
            )?,
            bucket_damaged: new.counter(
                "store_bucket_damaged_total",
                "Blobs in the bucket that were not their digest's; they are replaced.",
            )?,
            outbox_entries: new.gauge(
                "store_outbox_entries",
                "Blobs and records that wait to be sent to the bucket.",
            )?,
            outbox_oldest: new.gauge(
                "store_outbox_oldest_seconds",
                "How long the oldest of them has waited.",
            )?,
        })
    }

    /// Counts what happened.
    pub(super) fn tell(&self, event: Event<'_>) {
        match event {
            Event::Quarantined => self.quarantined.inc(),
            Event::Evicted { reason, bytes } => {
                let reason = [reason.as_str()];
                self.evicted.with_label_values(&reason).inc_by(bytes);
            }
            Event::LocalFailed { action } => self.errors.with_label_values(&[action]).inc(),
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

    /// Sets the gauges to what is held now.
    pub(super) fn usage(&self, usage: &Usage) {
        let int = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.bytes.set(int(usage.bytes));
        self.objects.set(int(usage.objects));
        self.capacity.set(int(usage.capacity_bytes));
        self.reserved.set(int(usage.reserved_bytes));
        self.free.set(int(usage.free_bytes));
        self.outbox_entries.set(int(usage.outbox));
        self.outbox_oldest.set(int(usage.outbox_oldest.as_secs()));
    }
}
