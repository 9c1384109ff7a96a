//! How many connections speed a fill up: measured, one step after the other (pure).

use std::time::Duration;

use crate::fill::plan::CONNECTIONS_MAX;

/// How long the rate is measured before more connections are tried.
const MEASURED_FOR: Duration = Duration::from_millis(200);
/// How long new connections have to get up to speed before they are measured.
const SETTLED_AFTER: Duration = Duration::from_millis(100);
/// How long new connections have to bring a first byte.
const FIRST_BYTE_WITHIN: Duration = Duration::from_secs(5);
/// More connections are tried only while the rest takes longer than this.
const REST_MIN: Duration = Duration::from_secs(1);
/// How long the next trial waits after one that brought nothing; each further one waits twice as long.
const RESTED_FOR: Duration = Duration::from_secs(2);
/// Trials that may bring nothing.
const FAILED_MAX: u32 = 3;
/// A connection that brings this much needs no other: 64 MiB/s. A further one costs what is in flight where it begins.
const RATE_ENOUGH: f64 = (64 << 20) as f64;
/// Twice the connections must bring this many times as much, or those that were added go.
const GAIN_MIN: f64 = 1.3;
/// What each connection is to bring before it asks anew, in seconds.
const PIECE_SECONDS: f64 = 2.0;
/// Bounds of what one further request asks for: 8 and 256 MiB.
const PIECE_BYTES: (u64, u64) = (8 << 20, 256 << 20);

/// What was seen when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Since the fill began.
    pub(crate) at: Duration,
    /// Bytes that came so far.
    pub(crate) bytes: u64,
    /// Bytes that have yet to come.
    pub(crate) rest: u64,
    /// Connections that have brought something.
    pub(crate) flowing: usize,
}

/// Decides on the number of connections, sample by sample.
#[derive(Debug)]
pub(crate) struct Growth {
    target: usize,
    piece: u64,
    /// Trials that brought nothing.
    failed: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waits until all connections flow.
    Starting {
        since: Option<Duration>,
        before: Option<Trial>,
    },
    /// They flow; what comes now does not count yet.
    Settling {
        until: Duration,
        before: Option<Trial>,
    },
    Measuring {
        from: Sample,
        before: Option<Trial>,
    },
    /// The last trial brought nothing; the next one waits.
    Resting {
        until: Duration,
    },
    /// As many as there should be.
    Done,
}

/// What came on fewer connections.
#[derive(Clone, Copy, Debug)]
struct Trial {
    target: usize,
    rate: f64,
}

impl Growth {
    pub(crate) fn new() -> Self {
        Self {
            target: 1,
            piece: PIECE_BYTES.0,
            failed: 0,
            state: State::Starting {
                since: None,
                before: None,
            },
        }
    }

    /// How many connections there should be.
    pub(crate) fn target(&self) -> usize {
        self.target
    }

    /// How much a further connection asks for at once, in bytes.
    pub(crate) fn piece(&self) -> u64 {
        self.piece
    }

    /// Whether there is nothing more to decide.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// More connections are out of the question: the source does not take them.
    pub(crate) fn give_up(&mut self) {
        self.target = 1;
        self.state = State::Done;
    }

    /// There are no more connections to be had than these.
    pub(crate) fn stay_at(&mut self, connections: usize) {
        self.target = self.target.min(connections.max(1));
        self.state = State::Done;
    }

    /// Hears what came so far.
    pub(crate) fn hear(&mut self, sample: Sample) {
        match &self.state {
            State::Done => {}
            State::Starting { since, before } => {
                let (since, before) = (since.unwrap_or(sample.at), *before);
                if sample.flowing >= self.target {
                    let until = sample.at + SETTLED_AFTER;
                    self.state = State::Settling { until, before };
                } else if sample.at - since > FIRST_BYTE_WITHIN {
                    self.settle(before, sample);
                } else {
                    let since = Some(since);
                    self.state = State::Starting { since, before };
                }
            }
            State::Resting { until } if sample.at >= *until => {
                let before = None;
                self.state = State::Measuring {
                    from: sample,
                    before,
                };
            }
            State::Settling { until, before } if sample.at >= *until => {
                let before = *before;
                self.state = State::Measuring {
                    from: sample,
                    before,
                };
            }
            State::Measuring { from, before } if sample.at >= from.at + MEASURED_FOR => {
                let seconds = (sample.at - from.at).as_secs_f64();
                let rate = (sample.bytes - from.bytes) as f64 / seconds;
                self.measured(rate, *before, sample);
            }
            State::Settling { .. } | State::Measuring { .. } | State::Resting { .. } => {}
        }
    }

    fn measured(&mut self, rate: f64, before: Option<Trial>, sample: Sample) {
        if before.is_some_and(|before| rate < before.rate * GAIN_MIN) {
            return self.settle(before, sample);
        }
        let per_connection = rate / self.target as f64;
        self.piece = ((per_connection * PIECE_SECONDS) as u64).clamp(PIECE_BYTES.0, PIECE_BYTES.1);
        let worth_it =
            per_connection < RATE_ENOUGH && sample.rest as f64 > rate * REST_MIN.as_secs_f64();
        if self.target >= CONNECTIONS_MAX {
            self.state = State::Done;
        } else if worth_it {
            let before = Some(Trial {
                target: self.target,
                rate,
            });
            self.target *= 2;
            self.state = State::Starting {
                since: None,
                before,
            };
        } else {
            self.state = State::Measuring {
                from: sample,
                before: None,
            };
        }
    }

    /// Goes back to what was before the last trial. A moment's noise may have decided it, so that others follow.
    fn settle(&mut self, before: Option<Trial>, sample: Sample) {
        self.target = before.map_or(self.target, |before| before.target);
        self.failed += 1;
        self.state = if self.failed > FAILED_MAX || before.is_none() {
            State::Done
        } else {
            let rest = RESTED_FOR * 2_u32.pow(self.failed - 1);
            State::Resting {
                until: sample.at + rest,
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = (1 << 20) as f64;

    /// Runs a transfer of `mib` MiB, sampled every 50 ms. Returns the seconds it took, and the targets on the way.
    fn run(mib: f64, rate: impl Fn(usize) -> f64) -> (f64, Vec<usize>) {
        let mut growth = Growth::new();
        let (mut bytes, mut at, mut targets) = (0.0, 0.0, vec![1]);
        while bytes < mib * MIB {
            at += 0.05;
            bytes += 0.05 * rate(growth.target()) * MIB;
            growth.hear(Sample {
                at: Duration::from_secs_f64(at),
                bytes: bytes as u64,
                rest: (mib * MIB - bytes).max(0.0) as u64,
                flowing: growth.target(),
            });
            if targets.last() != Some(&growth.target()) {
                targets.push(growth.target());
            }
        }
        (at, targets)
    }

    #[test]
    fn capped_connections_are_added_up_to_eight() {
        let (seconds, targets) = run(256.0, |connections| 20.0 * connections as f64);
        assert_eq!(targets, [1, 2, 4, 8]);
        assert!(seconds < 256.0 / 20.0 / 4.0, "{seconds}");
    }

    #[test]
    fn where_one_fills_the_line_one_stays() {
        assert_eq!(run(125.0, |_| 50.0).1, [1, 2, 1]);
        // It is tried again now and then, and no more in the end.
        let all = run(10_000.0, |_| 50.0).1;
        assert_eq!(all, [1, 2, 1, 2, 1, 2, 1, 2, 1]);
        // The line takes no more than four.
        let line = |connections| (20.0 * connections as f64).min(80.0);
        assert_eq!(run(250.0, line).1, [1, 2, 4, 8, 4]);
    }

    #[test]
    fn a_trial_that_noise_decided_is_made_again() {
        let tries = std::cell::Cell::new(0);
        let (_, targets) = run(2000.0, |connections| {
            tries.set(tries.get() + 1);
            match tries.get() {
                0..40 => 20.0,
                _ => 20.0 * connections as f64,
            }
        });
        assert_eq!(targets, [1, 2, 1, 2, 4, 8]);
    }

    #[test]
    fn a_fast_connection_stays_alone() {
        assert_eq!(
            run(10_000.0, |connections| 65.0 * connections as f64).1,
            [1]
        );
        assert_eq!(
            run(1_000.0, |connections| 63.0 * connections as f64).1[1],
            2
        );
    }

    #[test]
    fn what_is_there_in_a_moment_needs_no_second_connection() {
        assert_eq!(run(256.0, |_| 1000.0).1, [1]);
        assert_eq!(run(20.0, |connections| 20.0 * connections as f64).1, [1]);
    }

    #[test]
    fn connections_that_never_flow_are_given_up() {
        let mut growth = Growth::new();
        for tick in 0..1000 {
            growth.hear(Sample {
                at: Duration::from_millis(tick * 50),
                bytes: tick << 20,
                rest: 1 << 40,
                flowing: 1,
            });
        }
        assert_eq!(growth.target(), 1);
        assert!(growth.is_done());
    }

    #[test]
    fn pieces_follow_the_rate() {
        let mut growth = Growth::new();
        for tick in 0..20 {
            growth.hear(Sample {
                at: Duration::from_millis(tick * 50),
                bytes: tick * (5 << 20),
                rest: 0,
                flowing: 1,
            });
        }
        assert_eq!((growth.target(), growth.piece() >> 20), (1, 200));
    }
}
