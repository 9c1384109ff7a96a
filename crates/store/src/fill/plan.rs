//! Which bytes a fill asks for next, and on how many connections (pure).

use std::ops::Range;

use crate::fill::extents::Extents;

/// A reader that is further ahead of what lands than this gets a connection of its own: 8 MiB.
pub(crate) const WINDOW: u64 = 8 << 20;
/// Blobs up to this size come over one connection, whoever is how far ahead: 16 MiB.
pub(crate) const ONE_CONNECTION_MAX: u64 = 16 << 20;
/// Connections of one fill at once, the one at the front aside.
pub(crate) const CONNECTIONS_MAX: usize = 8;
/// What is asked for at least where a reader waits, so that its next read finds something: 256 KiB. A connection that has
/// no more than this left is waited for, where its place is wanted.
const READ_AHEAD: u64 = 256 << 10;
/// A connection is relieved of half its rest only if that half is at least this long: 2 MiB.
const SPLIT_MIN: u64 = 2 << 20;

/// A connection: the bytes that it has yet to bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    /// The next byte.
    pub(crate) at: u64,
    /// Where it stops; `u64::MAX` for the end of a blob of unknown size.
    pub(crate) end: u64,
    /// Where its response ends, if it is not stopped before.
    pub(crate) reach: u64,
}

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// What came, whether it is written already or not.
    pub(crate) came: &'a Extents,
    pub(crate) connections: &'a [Connection],
    /// What readers wait for that does not come soon, those that came first in front.
    pub(crate) wants: &'a [Range<u64>],
    /// As claimed, where known.
    pub(crate) size: Option<u64>,
    /// The source can serve ranges, as far as known.
    pub(crate) ranges: bool,
    /// Connections that speed the fill up.
    pub(crate) target: usize,
    /// What a further connection asks for at most, in bytes.
    pub(crate) piece: u64,
}

/// One change, to be made before the next one is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Opens a connection for these bytes. The connection on whose way they are stops there.
    Open(Range<u64>),
    /// Lets a connection go on to this byte, as nobody else brings what follows.
    Extend(u64, u64),
    /// Ends a connection: its place is wanted.
    Stop(u64),
}

impl View<'_> {
    /// The next step; `None` when all that is missing is on its way.
    pub(crate) fn next(&self) -> Option<Step> {
        let end = self.size.unwrap_or(u64::MAX);
        self.front(end)
            .or_else(|| self.wanted(end))
            .or_else(|| self.goes_on(end))
            .or_else(|| self.further(end))
    }

    /// The first missing byte always comes: the digest and every reader from the start wait for it.
    fn front(&self, end: u64) -> Option<Step> {
        let gap = self.came.gap_from(0);
        if gap.start >= end || self.connection_at(gap.start).is_some() {
            return None;
        }
        let stop = self.free_until(gap.start).min(end);
        let piece = if self.target > 1 {
            self.piece
        } else {
            u64::MAX
        };
        Some(Step::Open(
            gap.start..stop.min(gap.start.saturating_add(piece)),
        ))
    }

    /// What a reader waits for further ahead.
    fn wanted(&self, end: u64) -> Option<Step> {
        if !self.ranges {
            return None;
        }
        let missing = self.wants.iter().find_map(|want| {
            let at = self.came.end_from(want.start);
            let near = |connection: &&Connection| at - connection.at <= WINDOW;
            let waits = at < want.end.min(end);
            let comes = self.connection_at(at).filter(near).is_some();
            (waits && !comes).then_some((at, want.end))
        });
        let (at, want_end) = missing?;
        if self.connections.len() > CONNECTIONS_MAX {
            return self.idle().map(Step::Stop);
        }
        let gap = self.free_until(at).min(end);
        let enough = want_end.max(at.saturating_add(READ_AHEAD));
        // No sliver is left that would cost a request of its own.
        let rest = gap.saturating_sub(enough);
        let stop = if rest < READ_AHEAD { gap } else { enough };
        Some(Step::Open(at..stop))
    }

    /// Bytes that a connection would bring anyway, were it not stopped for one that has ended since.
    fn goes_on(&self, end: u64) -> Option<Step> {
        let gap = self.next_gap(end);
        let before = |connection: &&Connection| {
            connection.end == gap.start && connection.reach > gap.start && !gap.is_empty()
        };
        let connection = self.connections.iter().find(before)?;
        Some(Step::Extend(connection.id, gap.end.min(connection.reach)))
    }

    /// A further connection, where more of them bring more.
    fn further(&self, end: u64) -> Option<Step> {
        if !self.ranges || self.size.is_none() || self.connections.len() >= self.target {
            return None;
        }
        let gap = self.next_gap(end);
        if !gap.is_empty() {
            return Some(Step::Open(
                gap.start..gap.end.min(gap.start.saturating_add(self.piece)),
            ));
        }
        let rest = |connection: &&Connection| connection.end.min(end) - connection.at.min(end);
        let slowest = self.connections.iter().max_by_key(rest)?;
        let half = (rest(&slowest) / 2).min(self.piece);
        let (at, stop) = (slowest.at + half, slowest.end.min(end));
        (half >= SPLIT_MIN).then(|| Step::Open(at..stop.min(at.saturating_add(self.piece))))
    }

    /// The first bytes that neither landed nor are on their way.
    fn next_gap(&self, end: u64) -> Range<u64> {
        let mut busy = self.came.clone();
        for connection in self.connections {
            busy.insert(connection.at..connection.end);
        }
        let gap = busy.gap_from(0);
        gap.start.min(end)..gap.end.min(end)
    }

    fn connection_at(&self, position: u64) -> Option<&Connection> {
        self.connections
            .iter()
            .find(|connection| (connection.at..connection.end).contains(&position))
    }

    /// Where the bytes end that nobody has brought or brings from this position on; one that is on its way there stops.
    fn free_until(&self, position: u64) -> u64 {
        let next = self.connections.iter().map(|connection| connection.at);
        let next = next.filter(|at| *at > position).min();
        let landed = self.came.gap_from(position).end;
        landed.min(next.unwrap_or(u64::MAX))
    }

    /// The connection with most left of those that neither are at the front nor bring what a reader waits for.
    fn idle(&self) -> Option<u64> {
        let front = self.came.end_from(0);
        let idle = |connection: &&Connection| {
            let brings = connection.at..connection.end;
            let wanted = self.wants.iter().any(|want| {
                let at = self.came.end_from(want.start);
                at < want.end && brings.contains(&at)
            });
            !brings.contains(&front) && !wanted && connection.end - connection.at > READ_AHEAD
        };
        let left = |connection: &&Connection| connection.end - connection.at;
        let most = self.connections.iter().filter(idle).max_by_key(left);
        most.map(|connection| connection.id)
    }
}

#[cfg(test)]
mod tests;
