//! The first connection of a fill: to the nearest source that has the bytes.

use std::ops::Range;

use crate::error::{Error, Refusal};
use crate::fill::job::Job;
use crate::fill::lane::Lane;
use crate::fill::plan::WINDOW;
use crate::fill::sources::{Chunks, Distrusts, Salvage, salvaged};
use crate::records::can_be;
use crate::remote::{BlobAsk, Source};

/// What is asked for at least where the first reader starts: 1 MiB.
const FIRST_MIN: u64 = 1 << 20;
/// The number of the first connection; others follow it.
pub(super) const FIRST_ID: u64 = 1;

/// The first connection, and what it announced.
pub(super) struct First {
    pub(super) lane: Lane,
    pub(super) chunks: Chunks,
    pub(super) size: Option<u64>,
    /// Its bytes were here already.
    pub(super) used_local: bool,
    pub(super) from_bucket: bool,
    /// Its source can serve ranges, as far as known.
    pub(super) ranges: bool,
}

impl First {
    /// Opens the nearest source: what can be salvaged, the bucket, upstream. `local`: what is here already may be used.
    pub(super) async fn open(job: &Job, local: bool, distrust: &Distrusts) -> Result<Self, Error> {
        let (context, digest) = (&job.context, job.fill.digest());
        if let Some(salvage) = job.salvage.clone().filter(|_| local) {
            return Ok(Self::salvaged(job, salvage));
        }
        if let Some(bucket) = context
            .bucket
            .as_ref()
            .filter(|_| local && !context.distrust.holds(&digest))
            && let Some((size, chunks)) = bucket.open_blob(&digest).await
        {
            job.confirm().await?;
            let mut lane = Lane::new(FIRST_ID, 0, (u64::MAX, u64::MAX), false);
            lane.upstream = false;
            return Ok(Self {
                lane,
                chunks,
                size: Some(size),
                // An empty object is a wrong copy too.
                used_local: true,
                from_bucket: true,
                ranges: false,
            });
        }
        Ok(Self::of_upstream(job, distrust).await?)
    }

    fn salvaged(job: &Job, salvage: Salvage) -> Self {
        let mut lane = Lane::new(FIRST_ID, 0, (salvage.len, salvage.len), false);
        lane.upstream = false;
        Self {
            lane,
            used_local: salvage.len > 0,
            chunks: salvaged(salvage),
            size: verified_size(job),
            from_bucket: false,
            ranges: true,
        }
    }

    /// Opens the connection where the first reader starts, if that is far from the start of the blob.
    async fn of_upstream(job: &Job, distrust: &Distrusts) -> Result<Self, Refusal> {
        let known = job.known.as_ref();
        let mut ranges = known.is_none_or(|known| known.origin.is_none());
        let far = |want: &Range<u64>| want.start > WINDOW;
        let wants = job.fill.wants();
        if let Some(want) = wants.into_iter().find(far).filter(|_| ranges) {
            let end = want.end.max(want.start.saturating_add(FIRST_MIN));
            let asked = ask(
                job,
                want.start,
                Some(end).filter(|end| *end < u64::MAX),
                None,
            );
            match asked.await {
                Ok(source) if !source.whole => {
                    let end = end.min(source.size.unwrap_or(u64::MAX));
                    return Ok(Self::opened(source, want.start..end, ranges, distrust));
                }
                // The answer to the range may be at fault: the whole blob is another question.
                Ok(_) | Err(Refusal::Misbehaved { .. }) => ranges = false,
                Err(refusal) => return Err(refusal),
            }
        }
        let source = ask(job, 0, None, verified_size(job)).await?;
        let is_possible = |size| can_be(size, &job.fill.digest());
        if !source.size.is_none_or(is_possible) {
            drop(source.chunks);
            (source.distrust)();
            let what = "no bytes for a digest that has some";
            return Err(Refusal::misbehaved(what));
        }
        Ok(Self::opened(source, 0..u64::MAX, ranges, distrust))
    }

    fn opened(source: Source, bytes: Range<u64>, ranges: bool, distrust: &Distrusts) -> Self {
        distrust.push(source.distrust);
        Self {
            lane: Lane::new(FIRST_ID, bytes.start, (bytes.end, bytes.end), false),
            chunks: source.chunks,
            size: source.size,
            used_local: false,
            from_bucket: false,
            ranges,
        }
    }
}

async fn ask(
    job: &Job,
    start: u64,
    end: Option<u64>,
    size: Option<u64>,
) -> Result<Source, Refusal> {
    let (request, known) = (&job.request, job.known.as_ref());
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
fn verified_size(job: &Job) -> Option<u64> {
    let known = job.known.as_ref()?;
    known.size.filter(|_| known.verified)
}
