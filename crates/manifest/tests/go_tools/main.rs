//! Our documents beside those of the tools written in Go; `tests/data/README.md` says which.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test data that is not as expected must fail the test"
)]

mod containerd;
mod distribution;
mod libtrust;
mod moby;

use serde::de::DeserializeOwned;

/// The cases of one file of test data.
fn cases<T: DeserializeOwned>(json: &str) -> Vec<T> {
    let cases: Vec<T> = serde_json::from_str(json).unwrap();
    assert!(!cases.is_empty(), "no cases");
    cases
}
