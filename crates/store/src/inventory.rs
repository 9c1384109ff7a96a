//! The store as an operator sees it: what is held under which names, how much room it takes, whether it is intact; and
//! what is brought in, carried out and removed by hand.
//!
//! All of it works in a process of its own beside running servers, on the local tier alone. Nothing here is async: a
//! command waits for its files.

mod archive;
mod docker;
mod error;
mod export;
mod import;
mod list;
mod opened;
mod prune;
mod purge;
mod records;
mod referrers;
mod sink;
#[cfg(test)]
mod tests;
mod usage;
mod verify;

pub use self::error::InventoryError;
pub use self::export::{ExportFormat, Exported};
pub use self::import::Imported;
pub use self::list::HeldTag;
pub use self::opened::{Inventory, OnProgress, Progress};
pub use self::prune::{Pruned, Removed};
pub use self::purge::Purged;
pub use self::usage::{DiskUsage, RepositoryUsage, UpstreamUsage};
pub use self::verify::{Damage, Verified};
