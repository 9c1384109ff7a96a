//! One attempt at a blob's bytes: over one connection or several, from what is here and from upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::error::{Error, Refusal};
use crate::event::Event;
use crate::fill::connecting::Connecting;
use crate::fill::extents::Extents;
use crate::fill::first::{FIRST_ID, First};
use crate::fill::front;
use crate::fill::growth::{Growth, Sample};
use crate::fill::job::Job;
use crate::fill::lane::{Ended, Lane, Sink, pump};
use crate::fill::plan::{Step, View};
use crate::fill::progress::Phase;
use crate::fill::sources::Distrusts;
use crate::ingest::Hashed;

/// Readers of a fill whose rate is measured to find out whether further connections help.
const MEASURED_READERS_MAX: usize = 8;
/// Blobs smaller than this come over one connection unless a reader is far ahead: 32 MiB.
const FURTHER_MIN: u64 = 32 << 20;
/// How often the rate is looked at while more connections may help.
const SAMPLED_EVERY: Duration = Duration::from_millis(50);
/// How many connections may fail while others bring something.
const FAILURES_MAX: u32 = 3;

/// How an attempt failed.
pub(crate) enum Came {
    Failed(Error),
    /// All bytes came, and they are not the digest's.
    Wrong {
        found: String,
        /// Some of them were here already.
        local: bool,
    },
}

/// An attempt under way.
pub(crate) struct Transfer<'a> {
    job: &'a Job,
    /// What is here already may be used.
    local: bool,
    /// Bytes of it were used.
    used_local: bool,
    /// All bytes so far come from the bucket.
    from_bucket: bool,
    /// What ended connections brought.
    came: Extents,
    lanes: Vec<Arc<Lane>>,
    tasks: JoinSet<(Arc<Lane>, Ended)>,
    next_id: u64,
    ranges: bool,
    growth: Option<Growth>,
    sampled: Instant,
    failures: u32,
    len: Option<u64>,
    /// To be called when the bytes turn out wrong.
    distrust: Distrusts,
}

impl<'a> Transfer<'a> {
    pub(crate) fn new(job: &'a Job, local: bool) -> Self {
        Self {
            job,
            local,
            used_local: false,
            from_bucket: false,
            came: Extents::default(),
            lanes: Vec::new(),
            tasks: JoinSet::new(),
            next_id: FIRST_ID,
            ranges: true,
            growth: None,
            sampled: Instant::now(),
            failures: 0,
            len: None,
            distrust: Distrusts::default(),
        }
    }

    /// Brings all bytes here and compares their digest.
    pub(crate) async fn run(mut self) -> Result<Hashed, Came> {
        let fill = Arc::clone(&self.job.fill);
        let first = First::open(self.job, self.local, &self.distrust).await;
        let first = first.map_err(Came::Failed)?;
        let size = first.size;
        self.used_local = first.used_local;
        self.from_bucket = first.from_bucket;
        self.ranges = first.ranges;
        let ingest = self.job.spool(size).await.map_err(Came::Failed)?;
        fill.progress.send_modify(|progress| {
            progress.phase = Phase::Landing;
            progress.size = size;
            progress.kept = !first.lane.upstream;
            progress.file = Some(ingest.file());
        });
        if first.lane.upstream {
            self.job.upload(ingest.file());
        }
        let (recent, batches) = mpsc::channel(1);
        let tracker = self.job.tracker.clone();
        let hashing = front::hash(
            fill.digest().algorithm(),
            ingest.file(),
            fill.progress.subscribe(),
            batches,
            tracker.clone(),
        );
        let hashing = AbortOnDropHandle::new(tracker.spawn(hashing));
        let sink = Arc::new(Sink {
            fill: Arc::clone(&fill),
            ingest,
            recent,
            tracker,
            received: AtomicU64::new(0),
        });
        self.start(first, &sink);
        let landed = self.land(&sink).await;
        let len = landed.map_err(|came| self.blame(came))?;
        fill.progress
            .send_modify(|progress| progress.len = Some(len));
        let hashed = hashing.await.map_err(std::io::Error::other);
        let hashed = hashed
            .and_then(|hashed| hashed)
            .map_err(|cause| Came::Failed(self.job.not_written(cause)))?;
        if hashed.digest == fill.digest() {
            let in_bucket = self.from_bucket;
            return Ok(Hashed {
                in_bucket,
                ..hashed
            });
        }
        if self.from_bucket {
            self.job.context.tell(&Event::BucketDamaged);
        }
        let announced = size.filter(|size| *size != hashed.len);
        let found = match announced {
            Some(size) => format!("{} bytes instead of {size}", hashed.len),
            None => format!("digest {}", hashed.digest),
        };
        let local = self.used_local;
        Err(self.blame(Came::Wrong { found, local }))
    }

    /// Upstream is blamed only where it supplied every byte.
    fn blame(&self, came: Came) -> Came {
        if matches!(came, Came::Wrong { local: false, .. }) {
            self.distrust.call();
        }
        came
    }

    fn start(&mut self, first: First, sink: &Arc<Sink>) {
        let First {
            lane, chunks, size, ..
        } = first;
        let (lane, sink) = (Arc::new(lane), Arc::clone(sink));
        self.lanes.push(Arc::clone(&lane));
        let tracker = sink.tracker.clone();
        self.tasks.spawn(tracker.track_future(async move {
            let ended = pump(&lane, chunks, &sink, size).await;
            (lane, ended)
        }));
    }

    /// Runs connections until every byte has come. Returns how many there are.
    async fn land(&mut self, sink: &Arc<Sink>) -> Result<u64, Came> {
        loop {
            self.plan(sink);
            let growing = self.growth.as_ref().is_some_and(|growth| !growth.is_done());
            tokio::select! {
                ended = self.tasks.join_next() => match ended {
                    None => break,
                    Some(Ok((lane, ended))) => self.ended(&lane, ended, sink)?,
                    Some(Err(_)) => return Err(Came::Failed(Error::GivenUp)),
                },
                () = self.job.fill.wanted() => {}
                () = sleep_until(self.sampled + SAMPLED_EVERY), if growing => self.sample(sink),
            }
        }
        let came = self.came.end_from(0);
        let len = self
            .len
            .or(sink.fill.progress.borrow().size)
            .unwrap_or(came);
        if came >= len && self.came.end() == came {
            return Ok(came);
        }
        let found = format!("{came} bytes instead of {len}");
        let local = self.used_local;
        Err(Came::Wrong { found, local })
    }

    /// Opens and stops connections until the plan has nothing to add.
    fn plan(&mut self, sink: &Arc<Sink>) {
        let size = self.len.or(sink.fill.progress.borrow().size);
        let first_is_local = self.lanes.iter().any(|lane| !lane.upstream);
        if self.growth.is_none()
            && self.ranges
            && !first_is_local
            && size.is_some_and(|size| size >= FURTHER_MIN)
        {
            self.growth = Some(Growth::new());
            self.sampled = Instant::now();
        }
        let wants = self.job.fill.wants();
        // Each step makes the next one smaller; the bound only guards against a mistake.
        for _ in 0..STEPS_MAX {
            let mut came = self.came.clone();
            let mut connections = Vec::with_capacity(self.lanes.len());
            for lane in &self.lanes {
                let connection = lane.connection();
                came.insert(lane.start..connection.at);
                if connection.at < connection.end {
                    connections.push(connection);
                }
            }
            let view = View {
                came: &came,
                connections: &connections,
                wants: &wants,
                size,
                ranges: self.ranges,
                target: self.growth.as_ref().map_or(1, Growth::target),
                piece: self.growth.as_ref().map_or(u64::MAX, Growth::piece),
            };
            match view.next() {
                None => return,
                Some(Step::Open(bytes)) => {
                    let in_the_way = self.lanes.iter().find(|lane| {
                        let connection = lane.connection();
                        (connection.at..connection.end).contains(&bytes.start)
                    });
                    let start = in_the_way.map_or(bytes.start, |lane| lane.stop_at(bytes.start));
                    let at_front = start == came.end_from(0);
                    let wanted = wants.iter().any(|want| want.contains(&start));
                    if start < bytes.end && !self.open(start..bytes.end, (at_front, wanted), sink) {
                        return;
                    }
                }
                Some(Step::Extend(id, end)) => {
                    if let Some(lane) = self.lanes.iter().find(|lane| lane.id == id) {
                        lane.extend_to(end);
                    }
                }
                Some(Step::Stop(id)) => {
                    if let Some(lane) = self.lanes.iter().find(|lane| lane.id == id) {
                        lane.stop_at(0);
                    }
                }
            }
        }
    }

    /// Opens a connection in a task of its own. False when there are too many of those that only speed the fill up.
    fn open(
        &mut self,
        bytes: std::ops::Range<u64>,
        (at_front, wanted): (bool, bool),
        sink: &Arc<Sink>,
    ) -> bool {
        let further = !at_front && !wanted;
        let mut permit = None;
        if further {
            permit = self.job.context.fills.further();
            if permit.is_none() {
                let running = self.lanes.len();
                self.growth
                    .iter_mut()
                    .for_each(|growth| growth.stay_at(running));
                return false;
            }
        }
        let (start, end) = (bytes.start, bytes.end);
        let lane = Arc::new(Lane::new(self.id(), start, (end, end), further));
        self.lanes.push(Arc::clone(&lane));
        let size = sink.fill.progress.borrow().size;
        let ends = Some(end).filter(|end| *end < u64::MAX);
        let connection = Connecting {
            remote: Arc::clone(&self.job.request.remote),
            canonical: self.job.request.target.clone(),
            origin: self
                .job
                .known
                .as_ref()
                .and_then(|known| known.origin.clone()),
            distrust: self.distrust.clone(),
            size,
            ends,
            at_front,
        };
        let (sink, tracker) = (Arc::clone(sink), sink.tracker.clone());
        self.tasks.spawn(tracker.track_future(async move {
            let ended = connection.run(&lane, &sink, permit).await;
            (lane, ended)
        }));
        true
    }

    /// Takes the end of a connection in.
    fn ended(&mut self, lane: &Arc<Lane>, ended: Ended, sink: &Arc<Sink>) -> Result<(), Came> {
        self.lanes.retain(|other| other.id != lane.id);
        let connection = lane.connection();
        self.came.insert(lane.start..connection.at);
        let size = sink.fill.progress.borrow().size;
        let at_end = connection.end >= size.unwrap_or(u64::MAX);
        match ended {
            Ended::Done if connection.at >= connection.end => Ok(()),
            Ended::Done if lane.upstream && at_end => {
                self.len = Some(connection.at);
                Ok(())
            }
            Ended::Done if lane.upstream => {
                self.failed(lane, Refusal::misbehaved("a range ended early"))
            }
            // Upstream has what is missing.
            Ended::Done | Ended::Refused(_) if !lane.upstream => {
                let known = self.job.known.as_ref();
                self.ranges = known.is_none_or(|known| known.origin.is_none());
                Ok(())
            }
            Ended::Done => Ok(()),
            Ended::Refused(refusal) => self.failed(lane, refusal),
            Ended::NoRanges => {
                let what = "no answer to a range that fits the blob";
                self.failed(lane, Refusal::misbehaved(what))
            }
            Ended::TooLong => {
                let found = format!("more than {} bytes", size.unwrap_or_default());
                let local = self.used_local;
                Err(Came::Wrong { found, local })
            }
            Ended::NotWritten(cause) => Err(Came::Failed(self.job.not_written(cause))),
        }
    }

    /// A connection that fails beside others is one too many; the only one that fails ends the fill.
    fn failed(&mut self, lane: &Arc<Lane>, refusal: Refusal) -> Result<(), Came> {
        self.failures += 1;
        if self.lanes.is_empty() || self.failures > FAILURES_MAX {
            return Err(Came::Failed(refusal.into()));
        }
        tracing::debug!(digest = %self.job.fill.digest(), at = lane.start, error = &refusal as &dyn std::error::Error, "a further connection failed");
        self.ranges = false;
        self.growth.iter_mut().for_each(Growth::give_up);
        Ok(())
    }

    /// Looks at the rate, and stops connections that add nothing to it.
    fn sample(&mut self, sink: &Arc<Sink>) {
        self.sampled = Instant::now();
        let size = sink.fill.progress.borrow().size.unwrap_or_default();
        let bytes = sink.received.load(Ordering::Relaxed);
        let flows = |lane: &&Arc<Lane>| lane.connection().at > lane.start;
        let sample = Sample {
            at: self.job.fill.started.elapsed(),
            bytes,
            rest: size.saturating_sub(bytes),
            flowing: self.lanes.iter().filter(flows).count(),
        };
        let Some(growth) = &mut self.growth else {
            return;
        };
        let before = growth.target();
        // Where many read, the rate tells of this machine rather than of the connection to upstream.
        if before == 1 && self.job.fill.readers() > MEASURED_READERS_MAX {
            return;
        }
        growth.hear(sample);
        if growth.target() != before {
            let digest = self.job.fill.digest();
            tracing::debug!(%digest, connections = growth.target(), ?growth, "connections of a fill");
        }
        if growth.target() < before {
            let mut further: Vec<_> = self.lanes.iter().filter(|lane| lane.further).collect();
            further.sort_by_key(|lane| lane.id);
            further
                .iter()
                .skip(growth.target().saturating_sub(1))
                .for_each(|lane| {
                    lane.stop_at(0);
                });
        }
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// Steps of one plan.
const STEPS_MAX: usize = 64;
