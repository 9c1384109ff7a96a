//! Limits of what is read.

/// Longest manifest that is read, in bytes: what registries accept and containers/image reads.
pub const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest image configuration that is read, in bytes.
pub const CONFIG_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Deepest nesting of lists and objects inside one document.
pub const DEPTH_MAX: usize = 64;

/// Most entries of one list or object inside a document. Entries with a digest each cannot be more
/// in [`MANIFEST_BYTES_MAX`]; empty ones could, and would take hundreds of megabytes when read.
pub const ENTRIES_MAX: usize = 50_000;
