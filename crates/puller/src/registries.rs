//! `registries.conf`: mirrors, blocked registries, search registries and aliases (containers-registries.conf(5)).
//!
//! A [`RegistriesConf`] is one file with its drop-ins merged into it. Everything but [`Files::load`] is pure: a text and the
//! name of the file it is from go in, facts come out.
//!
//! ```
//! use longshore_puller::registries::RegistriesConf;
//! use longshore_reference::Parsed;
//!
//! let registries = RegistriesConf::parse(
//!     r#"
//!     unqualified-search-registries = ["quay.io"]
//!     [[registry]]
//!     prefix = "docker.io"
//!     location = "docker.io"
//!     [[registry.mirror]]
//!     location = "mirror.example:5000/hub"
//!     "#,
//!     "registries.conf",
//! )?;
//! let reference = Parsed::parse("alpine:3.22")?;
//! let sources = registries.sources(&reference)?;
//! let sources: Vec<_> = sources.iter().map(|s| s.reference.to_string()).collect();
//! assert_eq!(sources, ["mirror.example:5000/hub/library/alpine:3.22", "docker.io/library/alpine:3.22"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Formats
//!
//! Version 1 (`[registries.search]` and its siblings) is read as what it means in version 2. A file that has both is
//! refused, as is a drop-in in version 1. Unknown keys are ignored. Keys are compared by case, which the Go programs
//! do not do.

mod aliases;
mod conf;
mod document;
mod error;
mod files;
mod matching;
mod registry;
#[cfg(test)]
mod tests;

pub use aliases::{Alias, Aliases};
pub use conf::{AUTH_FILES, RegistriesConf, ShortNameMode};
pub use error::{AliasError, Error, Invalid, SourceError};
pub use files::{CONFIG_BYTES_MAX, Files, Paths};
pub use matching::matched;
pub use registry::{Location, PullFromMirror, PullSource, Registry};
