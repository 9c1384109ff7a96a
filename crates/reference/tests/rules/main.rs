//! The rules of the crate as tables, and the round trips as properties.

mod digest;
mod ecs;
mod familiar;
mod parsed;
mod raw;
mod reference;
mod round_trips;
#[cfg(feature = "serde")]
mod serde;
mod short;

const SHA256: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
