//! What the kernel says of a process.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The anonymous memory of a process in bytes; 0 when it has ended.
#[must_use]
pub fn anonymous_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The processor time a process has used, in seconds.
///
/// # Panics
/// When it has ended.
#[must_use]
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name in parentheses may hold anything; utime and stime are the 12th and 13th field after it.
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields[at].parse::<u32>().expect("ticks");
    f64::from(ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

/// Looks at the anonymous memory of a process again and again.
#[derive(Debug)]
pub struct Peak {
    done: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Peak {
    /// Starts looking.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let (done, peak) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let thread = std::thread::spawn({
            let (done, peak) = (Arc::clone(&done), Arc::clone(&peak));
            move || {
                while !done.load(Ordering::Relaxed) {
                    peak.fetch_max(anonymous_bytes(pid), Ordering::Relaxed);
                    std::thread::sleep(EVERY);
                }
            }
        });
        Self {
            done,
            peak,
            thread: Some(thread),
        }
    }

    /// Stops looking: the most that was seen, in bytes.
    #[must_use]
    pub fn bytes(mut self) -> u64 {
        self.end();
        self.peak.load(Ordering::Relaxed)
    }

    fn end(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the thread only looks");
        }
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.end();
    }
}

/// `USER_HZ`, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;
const EVERY: Duration = Duration::from_millis(5);
