//! One attempt at a blob's bytes: over one connection or several, from what is here and from upstream.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::error::{Error, Refusal};
use crate::event::Event;
use crate::fill::extents::Extents;
use crate::fill::front;
use crate::fill::growth::{Growth, Sample};
use crate::fill::job::Job;
use crate::fill::lane::{Ended, Lane, Sink, pump};
use crate::fill::plan::{Step, View, WINDOW};
use crate::fill::progress::Phase;
use crate::fill::sources::{Chunks, salvaged};
use crate::ingest::Hashed;
use crate::records::can_be;
use crate::remote::{BlobAsk, Source};

/// Readers of a fill whose rate is measured to find out whether further connections help.
const MEASURED_READERS_MAX: usize = 8;
/// Blobs smaller than this come over one connection unless a reader is far ahead: 32 MiB.
const FURTHER_MIN: u64 = 32 << 20;
/// How often the rate is looked at while more connections may help.
const SAMPLED_EVERY: Duration = Duration::from_millis(50);
/// How many connections may fail while others bring something.
const FAILURES_MAX: u32 = 3;
/// What is asked for at least where the first reader starts: 1 MiB.
const FIRST_MIN: u64 = 1 << 20;

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

type Distrust = Box<dyn FnOnce() + Send + Sync>;

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
    distrust: Arc<Mutex<Vec<Distrust>>>,
}

/// A connection that is open, and what it announced.
struct Opened {
    lane: Lane,
    chunks: Chunks,
    size: Option<u64>,
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
            next_id: 0,
            ranges: true,
            growth: None,
            sampled: Instant::now(),
            failures: 0,
            len: None,
            distrust: Arc::default(),
        }
    }

    /// Brings all bytes here and compares their digest.
    pub(crate) async fn run(mut self) -> Result<Hashed, Came> {
        let fill = Arc::clone(&self.job.fill);
        let opened = self.first().await.map_err(Came::Failed)?;
        let size = opened.size;
        let ingest = self.job.spool(size).await.map_err(Came::Failed)?;
        fill.progress.send_modify(|progress| {
            progress.phase = Phase::Landing;
            progress.size = size;
            progress.kept = !opened.lane.upstream;
            progress.file = Some(ingest.file());
        });
        if opened.lane.upstream {
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
        self.start(opened, &sink);
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
            let distrust =
                std::mem::take(&mut *self.distrust.lock().unwrap_or_else(PoisonError::into_inner));
            distrust.into_iter().for_each(|distrust| distrust());
        }
        came
    }

    /// Opens the nearest source: what can be salvaged, the bucket, upstream.
    async fn first(&mut self) -> Result<Opened, Error> {
        let (context, digest) = (&self.job.context, self.job.fill.digest());
        if let Some(salvage) = self.job.salvage.clone().filter(|_| self.local) {
            self.used_local = salvage.len > 0;
            let mut lane = Lane::new(self.id(), 0, (salvage.len, salvage.len), false);
            lane.upstream = false;
            return Ok(Opened {
                lane,
                chunks: salvaged(salvage),
                size: self.verified_size(),
            });
        }
        if let Some(bucket) = context
            .bucket
            .as_ref()
            .filter(|_| self.local && !context.distrust.holds(&digest))
            && let Some((size, chunks)) = bucket.open_blob(&digest).await
        {
            self.job.confirm().await?;
            // An empty object is a wrong copy too.
            self.used_local = true;
            self.from_bucket = true;
            self.ranges = false;
            let mut lane = Lane::new(self.id(), 0, (u64::MAX, u64::MAX), false);
            lane.upstream = false;
            let size = Some(size);
            return Ok(Opened { lane, chunks, size });
        }
        self.ranges = self
            .job
            .known
            .as_ref()
            .is_none_or(|known| known.origin.is_none());
        Ok(self.first_of_upstream().await?)
    }

    /// Opens the first connection where the first reader starts, if that is far from the start of the blob.
    async fn first_of_upstream(&mut self) -> Result<Opened, Refusal> {
        let far = |want: &std::ops::Range<u64>| want.start > WINDOW;
        let wants = self.job.fill.wants();
        if let Some(want) = wants.into_iter().find(far).filter(|_| self.ranges) {
            let end = want.end.max(want.start.saturating_add(FIRST_MIN));
            let asked = self.ask(want.start, Some(end).filter(|end| *end < u64::MAX), None);
            match asked.await {
                Ok(source) if !source.whole => {
                    let end = end.min(source.size.unwrap_or(u64::MAX));
                    return Ok(self.opened(source, want.start, end));
                }
                // The answer to the range may be at fault: the whole blob is another question.
                Ok(_) | Err(Refusal::Misbehaved { .. }) => self.ranges = false,
                Err(refusal) => return Err(refusal),
            }
        }
        let source = self.ask(0, None, self.verified_size()).await?;
        self.checked(source)
    }

    /// Only the empty digest has no bytes.
    fn checked(&mut self, source: Source) -> Result<Opened, Refusal> {
        if source
            .size
            .is_some_and(|size| !can_be(size, &self.job.fill.digest()))
        {
            drop(source.chunks);
            (source.distrust)();
            let what = "no bytes for a digest that has some";
            return Err(Refusal::misbehaved(what));
        }
        Ok(self.opened(source, 0, u64::MAX))
    }

    fn opened(&mut self, source: Source, start: u64, end: u64) -> Opened {
        self.from_bucket = false;
        self.distrust
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(source.distrust);
        Opened {
            lane: Lane::new(self.id(), start, (end, end), false),
            chunks: source.chunks,
            size: source.size,
        }
    }

    async fn ask(
        &self,
        start: u64,
        end: Option<u64>,
        size: Option<u64>,
    ) -> Result<Source, Refusal> {
        let request = &self.job.request;
        let known = self.job.known.as_ref();
        let ask = BlobAsk {
            start,
            end,
            size,
            origin: known.and_then(|known| known.origin.as_ref()),
            ..BlobAsk::whole(&request.target)
        };
        request.remote.blob(ask).await
    }

    /// The size of bytes that had the digest once. A claim is never passed on: upstream's own answer is surer.
    fn verified_size(&self) -> Option<u64> {
        let known = self.job.known.as_ref()?;
        known.size.filter(|_| known.verified)
    }

    fn start(&mut self, opened: Opened, sink: &Arc<Sink>) {
        let Opened { lane, chunks, size } = opened;
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
            distrust: Arc::clone(&self.distrust),
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

/// A connection that is not open yet.
struct Connecting {
    remote: Arc<dyn crate::remote::Remote>,
    canonical: longshore_reference::Canonical,
    origin: Option<crate::records::Origin>,
    distrust: Arc<Mutex<Vec<Distrust>>>,
    size: Option<u64>,
    ends: Option<u64>,
    at_front: bool,
}

impl Connecting {
    async fn run(
        self,
        lane: &Lane,
        sink: &Arc<Sink>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Ended {
        let ask = BlobAsk {
            start: lane.start,
            end: self.ends,
            // What this fill goes by: an answer about another size is of no use to it.
            size: self.size,
            origin: self.origin.as_ref(),
            ..BlobAsk::whole(&self.canonical)
        };
        let source = match self.remote.blob(ask).await {
            Ok(source) => source,
            Err(Refusal::Misbehaved { .. }) if !self.at_front => return Ended::NoRanges,
            Err(refusal) => return Ended::Refused(refusal),
        };
        // At the front there is no other way than to let pass what has come.
        if source.whole && !self.at_front {
            return Ended::NoRanges;
        }
        let other = self.size.zip(source.size);
        if other.is_some_and(|(size, found)| size != found) {
            return Ended::NoRanges;
        }
        self.distrust
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(source.distrust);
        if self.size.is_none() {
            sink.fill
                .progress
                .send_modify(|progress| progress.size = progress.size.or(source.size));
        }
        let ended = pump(lane, source.chunks, sink, None).await;
        drop(permit);
        ended
    }
}

/// Steps of one plan.
const STEPS_MAX: usize = 64;
