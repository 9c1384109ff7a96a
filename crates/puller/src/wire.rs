//! Parsers of header fields as registries write them (pure).

pub(crate) mod fields;
pub(crate) mod link;
pub(crate) mod range;
pub(crate) mod retry_after;
