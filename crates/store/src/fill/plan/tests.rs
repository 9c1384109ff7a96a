use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn connection(id: u64, at: u64, end: u64, reach: u64) -> Connection {
    Connection { id, at, end, reach }
}

/// In MiB, so that tables can be read.
fn view_of(
    came: &[(u64, u64)],
    connections: &[Connection],
    wants: &[(u64, u64)],
    size: Option<u64>,
    (ranges, target): (bool, usize),
) -> Option<Step> {
    let mut extents = Extents::default();
    came.iter()
        .for_each(|(from, to)| extents.insert(from * MIB..to * MIB));
    let scaled = |at: u64| at.saturating_mul(MIB);
    let connections: Vec<_> = connections
        .iter()
        .map(|c| connection(c.id, scaled(c.at), scaled(c.end), scaled(c.reach)))
        .collect();
    let wants: Vec<_> = wants
        .iter()
        .map(|(from, to)| scaled(*from)..scaled(*to))
        .collect();
    let view = View {
        came: &extents,
        connections: &connections,
        wants: &wants,
        size: size.map(scaled),
        ranges,
        target,
        piece: 16 * MIB,
    };
    view.next().map(|step| match step {
        Step::Open(bytes) => Step::Open(bytes.start / MIB..bytes.end.div_ceil(MIB)),
        Step::Extend(id, to) => Step::Extend(id, to.div_ceil(MIB)),
        Step::Stop(id) => Step::Stop(id),
    })
}

const END: u64 = u64::MAX;
const LAST: u64 = u64::MAX.div_ceil(MIB);

#[test]
fn one_connection_brings_all_there_is() {
    let one = [connection(0, 10, END, END)];
    assert_eq!(
        view_of(&[], &[], &[], None, (true, 1)),
        Some(Step::Open(0..LAST))
    );
    assert_eq!(
        view_of(&[], &[], &[], Some(100), (true, 1)),
        Some(Step::Open(0..100))
    );
    assert_eq!(view_of(&[(0, 10)], &one, &[], Some(100), (true, 1)), None);
    assert_eq!(view_of(&[(0, 100)], &[], &[], Some(100), (true, 1)), None);
    let rest = view_of(&[(0, 10), (90, 100)], &[], &[], Some(100), (true, 1));
    assert_eq!(rest, Some(Step::Open(10..90)));
}

#[test]
fn a_reader_far_ahead_gets_a_connection() {
    let one = [connection(0, 10, END, END)];
    let rows = [
        // Near enough to be waited for.
        (&[(18, 19)][..], None),
        (&[(19, 20)], Some(Step::Open(19..20))),
        (&[(50, END)], Some(Step::Open(50..100))),
        // What is left of the gap is no request of its own.
        (&[(98, 99)], Some(Step::Open(98..99))),
        (&[(5, 6), (60, 61)], Some(Step::Open(60..61))),
        (&[(200, 201)], None),
    ];
    for (wants, step) in rows {
        let found = view_of(&[(0, 10)], &one, wants, Some(100), (true, 1));
        assert_eq!(found, step, "{wants:?}");
    }
    let none = view_of(&[(0, 10)], &one, &[(50, 51)], Some(100), (false, 1));
    assert_eq!(none, None, "without ranges it waits");
    let two = [connection(0, 10, 50, END), connection(1, 52, 100, 100)];
    let next = view_of(
        &[(0, 10), (50, 52)],
        &two,
        &[(30, 60)],
        Some(100),
        (true, 1),
    );
    assert_eq!(next, Some(Step::Open(30..50)), "up to what has come");
}

#[test]
fn where_all_connections_are_taken_an_idle_one_is_stopped() {
    let mut all = vec![connection(0, 10, 100, END)];
    all.extend((1..=8).map(|id| connection(id, id * 100 + 5, id * 100 + 50, id * 100 + 50)));
    let mut wants: Vec<_> = (1..=8).map(|id| (id * 100, id * 100 + 50)).collect();
    let came: Vec<_> = (1..=8)
        .map(|id| (id * 100, id * 100 + 5))
        .chain([(0, 10)])
        .collect();
    wants.push((2000, 2001));
    assert_eq!(view_of(&came, &all, &wants, Some(5000), (true, 1)), None);
    wants.remove(2);
    assert_eq!(
        view_of(&came, &all, &wants, Some(5000), (true, 1)),
        Some(Step::Stop(3))
    );
}

#[test]
fn further_connections_take_pieces_behind_the_front() {
    let one = vec![connection(0, 10, 1000, END)];
    let step = view_of(&[(0, 10)], &one, &[], Some(1000), (true, 2));
    assert_eq!(step, Some(Step::Open(26..42)));
    let two = [connection(0, 10, 26, END), connection(1, 26, 42, 42)];
    assert_eq!(view_of(&[(0, 10)], &two, &[], Some(1000), (true, 2)), None);
    let step = view_of(&[(0, 10)], &two, &[], Some(1000), (true, 4));
    assert_eq!(step, Some(Step::Open(42..58)));
    // The second one was given up: the first goes on where it was stopped.
    let left = [connection(0, 12, 26, END)];
    let step = view_of(&[(0, 12), (26, 27)], &left, &[], Some(1000), (true, 1));
    assert_eq!(step, None, "there is something behind it already");
    let step = view_of(&[(0, 12)], &left, &[], Some(1000), (true, 1));
    assert_eq!(step, Some(Step::Extend(0, 1000)));
    // The end of the blob: what is left is divided as long as it pays.
    let step = view_of(
        &[(0, 980)],
        &[connection(9, 980, 1000, 1000)],
        &[],
        Some(1000),
        (true, 2),
    );
    assert_eq!(step, Some(Step::Open(990..1000)));
    let step = view_of(
        &[(0, 997)],
        &[connection(9, 997, 1000, 1000)],
        &[],
        Some(1000),
        (true, 2),
    );
    assert_eq!(step, None);
    let step = view_of(
        &[(0, 10)],
        &[connection(0, 10, END, END)],
        &[],
        None,
        (true, 2),
    );
    assert_eq!(step, None, "nobody knows how much there is");
}

/// A fill without bytes: connections bring what they were opened for, in any order.
struct Simulation {
    size: u64,
    came: Extents,
    bytes: u64,
    connections: Vec<Connection>,
    wants: Vec<Range<u64>>,
    opened: u64,
}

impl Simulation {
    fn settle(&mut self, target: usize) {
        for _ in 0..100 {
            let view = View {
                came: &self.came,
                connections: &self.connections,
                wants: &self.wants,
                size: Some(self.size),
                ranges: true,
                target,
                piece: 16 * MIB,
            };
            match view.next() {
                None => return,
                Some(Step::Open(bytes)) => {
                    assert!(bytes.start < bytes.end && bytes.end <= self.size);
                    for other in &mut self.connections {
                        if (other.at..other.end).contains(&bytes.start) {
                            other.end = bytes.start;
                        }
                    }
                    self.connections.retain(|c| c.at < c.end);
                    let reach = if self.opened == 0 {
                        u64::MAX
                    } else {
                        bytes.end
                    };
                    self.connections
                        .push(connection(self.opened, bytes.start, bytes.end, reach));
                    self.opened += 1;
                }
                Some(Step::Extend(id, to)) => {
                    let found = self.connections.iter_mut().find(|c| c.id == id).unwrap();
                    assert!(to > found.end && to <= found.reach);
                    found.end = to;
                }
                Some(Step::Stop(id)) => self.connections.retain(|c| c.id != id),
            }
        }
        panic!("no end of steps: {:?}", self.connections);
    }

    fn bring(&mut self, which: usize, len: u64) {
        let which = which % self.connections.len().max(1);
        let Some(connection) = self.connections.get_mut(which) else {
            return;
        };
        let to = connection.end.min(connection.at + len);
        for at in [connection.at, to - 1] {
            assert_eq!(self.came.end_from(at), at, "a byte came twice");
        }
        self.came.insert(connection.at..to);
        self.bytes += to - connection.at;
        connection.at = to;
        self.connections.retain(|c| c.at < c.end);
    }

    fn check(&self) {
        assert!(self.connections.len() <= CONNECTIONS_MAX + 1);
        for (at, one) in self.connections.iter().enumerate() {
            assert!(self.came.gap_from(one.at) == (one.at..self.came.gap_from(one.at).end));
            assert!(
                self.came.gap_from(one.at).end >= one.end,
                "over what has come"
            );
            for other in &self.connections[at + 1..] {
                assert!(
                    one.end <= other.at || other.end <= one.at,
                    "two bring one byte"
                );
            }
        }
        let full = self.connections.len() > CONNECTIONS_MAX;
        for want in &self.wants {
            let at = self.came.end_from(want.start);
            let comes = self
                .connections
                .iter()
                .any(|c| (c.at..c.end).contains(&at) && at - c.at <= WINDOW);
            assert!(
                full || comes || at >= want.end.min(self.size),
                "{want:?} waits"
            );
        }
    }
}

proptest! {
    /// Whatever is wanted in whatever order, every byte comes once, and nobody far ahead waits while there is a place.
    #[test]
    fn every_byte_comes_once(
        size in 1u64..400,
        script in prop::collection::vec((0usize..9, 1u64..(20 << 20), 0u64..420, 1u64..64, 1usize..9), 1..120),
    ) {
        let mut fill = Simulation {
            size: size * MIB,
            came: Extents::default(),
            bytes: 0,
            connections: Vec::new(),
            wants: Vec::new(),
            opened: 0,
        };
        let mut target = 1;
        for (which, len, want, want_len, next) in script {
            match which {
                0 => fill.wants.push(want * MIB + len % MIB..(want + want_len) * MIB),
                1 => drop(fill.wants.pop()),
                2 => target = next,
                _ => fill.bring(which, len),
            }
            fill.settle(target);
            fill.check();
        }
        while fill.bytes < fill.size {
            fill.settle(target);
            fill.check();
            let before = fill.bytes;
            fill.bring(fill.bytes as usize, 3 * MIB);
            prop_assert!(fill.bytes > before, "nothing comes any more");
        }
        prop_assert_eq!(fill.came.end_from(0), fill.size);
        prop_assert_eq!(fill.bytes, fill.size);
    }
}
