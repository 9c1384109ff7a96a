//! Replays a trace of pulls against the store's eviction policy, and against FIFO, LRU and SIEVE.
//!
//! The trace: repositories whose popularity is Zipf-distributed, new versions that a whole cluster pulls within minutes,
//! and a scanner that pulls the last versions of everything once a night. Images share layers, and go whole. Printed for
//! caches of some shares of the working set: the share of bytes that came from the cache, and the bytes from upstream.
//!
//! `cargo bench -p longshore-store --bench replay`
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program of its own, with a module of the crate in it"
)]

use std::collections::{BTreeMap, HashMap, VecDeque};

#[allow(dead_code, reason = "what a restart needs is not replayed")]
#[path = "../src/tier/policy.rs"]
mod policy;

const DAYS: u64 = 30;
const DAY: u64 = 24 * 3600;
const REPOSITORIES: usize = 500;
const PULLS_A_DAY: usize = 3000;
const DEPLOYMENTS_A_DAY: usize = 25;
const VERSIONS_SCANNED: usize = 3;
/// The requests of one pull are one use: see `USE_SECS` of the index.
const USE_SECS: u64 = 300;
const MIB: u64 = 1 << 20;

/// SplitMix64: the trace is the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Sizes of layers: many small ones, a few large ones.
    fn layer_bytes(&mut self) -> u64 {
        (0.1 * 2f64.powf(self.unit() * 11.0) * MIB as f64) as u64
    }
}

#[derive(Default)]
struct World {
    layers: Vec<u64>,
    /// The layers of each image.
    images: Vec<Vec<usize>>,
}

struct Pull {
    at: u64,
    image: u32,
}

fn trace() -> (World, Vec<Pull>) {
    let mut random = Random(7);
    let mut world = World::default();
    let layer = |random: &mut Random, world: &mut World| {
        world.layers.push(random.layer_bytes());
        world.layers.len() - 1
    };
    let bases: Vec<Vec<usize>> = (0..12)
        .map(|_| (0..3).map(|_| layer(&mut random, &mut world)).collect())
        .collect();
    let mut versions: Vec<Vec<u32>> = Vec::new();
    for _ in 0..REPOSITORIES {
        let mut image = bases[random.below(bases.len())].clone();
        for _ in 0..2 + random.below(4) {
            image.push(layer(&mut random, &mut world));
        }
        versions.push(vec![world.images.len() as u32]);
        world.images.push(image);
    }
    let mut weights: Vec<f64> = (1..=REPOSITORIES).map(|rank| 1.0 / rank as f64).collect();
    for at in 1..weights.len() {
        weights[at] += weights[at - 1];
    }
    let zipf = |random: &mut Random| {
        let drawn = random.unit() * weights[weights.len() - 1];
        weights.partition_point(|sum| *sum < drawn)
    };
    let mut pulls = Vec::new();
    for day in 0..DAYS {
        let start = day * DAY;
        for _ in 0..DEPLOYMENTS_A_DAY {
            let repository = zipf(&mut random);
            let mut image = world.images[*versions[repository].last().unwrap() as usize].clone();
            let last = image.len() - 1;
            image[last] = layer(&mut random, &mut world);
            let id = world.images.len() as u32;
            world.images.push(image);
            versions[repository].push(id);
            let begun = start + random.next() % DAY;
            for _ in 0..10 + random.below(90) {
                let at = begun + random.next() % 1800;
                pulls.push(Pull { at, image: id });
            }
        }
        for _ in 0..PULLS_A_DAY {
            let of = &versions[zipf(&mut random)];
            // Mostly the latest, sometimes one of those before.
            let back = match random.below(5) {
                0 => random.below(of.len().min(5)),
                _ => 0,
            };
            let at = start + random.next() % DAY;
            pulls.push(Pull {
                at,
                image: of[of.len() - 1 - back],
            });
        }
        let scanned = versions
            .iter()
            .flat_map(|of| of.iter().rev().take(VERSIONS_SCANNED));
        for (number, image) in scanned.enumerate() {
            let at = start + 2 * 3600 + number as u64 * 5;
            pulls.push(Pull { at, image: *image });
        }
    }
    pulls.sort_by_key(|pull| pull.at);
    (world, pulls)
}

/// The order in which images go.
trait Order {
    fn insert(&mut self, image: u32);
    fn touch(&mut self, image: u32, again: bool);
    fn evict(&mut self) -> Option<u32>;
}

impl Order for policy::Policy {
    fn insert(&mut self, image: u32) {
        Self::insert(self, image, image.into());
    }

    fn touch(&mut self, image: u32, again: bool) {
        if !again {
            Self::touch(self, image);
        }
    }

    fn evict(&mut self) -> Option<u32> {
        Self::evict(self, |_| true, u64::from)
    }
}

#[derive(Default)]
struct Fifo(VecDeque<u32>);

impl Order for Fifo {
    fn insert(&mut self, image: u32) {
        self.0.push_back(image);
    }

    fn touch(&mut self, _: u32, _: bool) {}

    fn evict(&mut self) -> Option<u32> {
        self.0.pop_front()
    }
}

#[derive(Default)]
struct Lru {
    turn: u64,
    turns: HashMap<u32, u64>,
    order: BTreeMap<u64, u32>,
}

impl Order for Lru {
    fn insert(&mut self, image: u32) {
        self.touch(image, false);
    }

    fn touch(&mut self, image: u32, _: bool) {
        self.turn += 1;
        if let Some(before) = self.turns.insert(image, self.turn) {
            self.order.remove(&before);
        }
        self.order.insert(self.turn, image);
    }

    fn evict(&mut self) -> Option<u32> {
        let (_, image) = self.order.pop_first()?;
        self.turns.remove(&image);
        Some(image)
    }
}

/// The hand goes from the oldest to the newest and takes the first that was not used since it came by.
#[derive(Default)]
struct Sieve {
    next: u64,
    places: BTreeMap<u64, u32>,
    used: HashMap<u32, bool>,
    hand: u64,
}

impl Order for Sieve {
    fn insert(&mut self, image: u32) {
        self.next += 1;
        self.places.insert(self.next, image);
        self.used.insert(image, false);
    }

    fn touch(&mut self, image: u32, again: bool) {
        if !again {
            self.used.insert(image, true);
        }
    }

    fn evict(&mut self) -> Option<u32> {
        loop {
            let at = self.places.range(self.hand..).next();
            let (place, image) = at.or_else(|| self.places.iter().next())?;
            let (place, image) = (*place, *image);
            self.hand = place + 1;
            if let Some(used) = self.used.get_mut(&image)
                && std::mem::take(used)
            {
                continue;
            }
            self.places.remove(&place);
            self.used.remove(&image);
            return Some(image);
        }
    }
}

/// Bytes that were pulled, and those of them that came from upstream.
fn replay(world: &World, pulls: &[Pull], capacity: u64, order: &mut dyn Order) -> (u64, u64) {
    let (mut pulled, mut upstream, mut held) = (0, 0, 0);
    let mut holders = vec![0u32; world.layers.len()];
    let mut used: HashMap<u32, u64> = HashMap::new();
    for pull in pulls {
        let layers = &world.images[pull.image as usize];
        pulled += layers.iter().map(|layer| world.layers[*layer]).sum::<u64>();
        if let Some(last) = used.get_mut(&pull.image) {
            let again = pull.at - *last < USE_SECS;
            if !again {
                *last = pull.at;
            }
            order.touch(pull.image, again);
            continue;
        }
        used.insert(pull.image, pull.at);
        order.insert(pull.image);
        for layer in layers {
            if holders[*layer] == 0 {
                upstream += world.layers[*layer];
                held += world.layers[*layer];
            }
            holders[*layer] += 1;
        }
        let low = capacity - capacity / 20;
        let mut above = capacity;
        while held > above {
            above = low;
            let Some(gone) = order.evict() else { break };
            used.remove(&gone);
            for layer in &world.images[gone as usize] {
                holders[*layer] -= 1;
                if holders[*layer] == 0 {
                    held -= world.layers[*layer];
                }
            }
        }
    }
    (pulled, upstream)
}

fn main() {
    let (world, pulls) = trace();
    let working_set: u64 = world.layers.iter().sum();
    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    println!(
        "{} pulls of {} images, working set {:.1} GiB",
        pulls.len(),
        world.images.len(),
        gib(working_set)
    );
    println!("| cache | policy | byte hit ratio | upstream GiB |\n|---|---|---|---|");
    for percent in [5, 10, 25, 50] {
        let capacity = working_set / 100 * percent;
        let orders: [(&str, Box<dyn Order>); 4] = [
            ("Longshore", Box::new(policy::Policy::default())),
            ("SIEVE", Box::new(Sieve::default())),
            ("LRU", Box::new(Lru::default())),
            ("FIFO", Box::new(Fifo::default())),
        ];
        for (name, mut order) in orders {
            let (pulled, upstream) = replay(&world, &pulls, capacity, order.as_mut());
            let ratio = 1.0 - upstream as f64 / pulled as f64;
            println!(
                "| {percent} % | {name} | {ratio:.4} | {:.1} |",
                gib(upstream)
            );
        }
    }
}
