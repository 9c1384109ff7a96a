//! Images in every transport: round trips byte for byte, and archives that were made to harm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "transports/fixture.rs"]
mod fixture;
#[path = "transports/hostile.rs"]
mod hostile;
#[path = "transports/images.rs"]
mod images;
#[path = "transports/rules.rs"]
mod rules;
