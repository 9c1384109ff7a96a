//! How long fixtures wait.

/// How long a fixture waits for what must happen before it fails the test.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
