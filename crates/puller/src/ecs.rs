//! How the Amazon ECS agent resolves the digest of a container's image before it is pulled.
//!
//! [`resolve`] does it. Its decisions are pure functions: [`plan`] says what is to be asked, [`from_held`] or
//! [`from_registry`] makes the outcome of the answer. What references are turned into is in [`longshore_reference::ecs`].
//!
//! ```
//! use longshore_puller::ecs::{self, Container, Held, Plan, PullBehavior};
//!
//! let container = Container::new("quay.io/app:1");
//! let behavior = PullBehavior::from_env(Some("prefer-cached"));
//! assert_eq!(ecs::plan(&container, behavior, Held::default()), Plan::AskRegistry);
//! let held = Held { present: true, ..Held::default() };
//! assert_eq!(ecs::plan(&container, behavior, held), Plan::LookAtHeld);
//! assert_eq!(ecs::manifest_timeout(Some("10s")).as_secs(), 30);
//! ```

mod backoff;
mod errors;
mod plan;
mod resolve;
#[cfg(test)]
mod tests;

pub use backoff::{Backoff, IMAGE_PULL, MANIFEST_PULL, Retries, TAG_IMAGE};
pub use errors::{CannotPullManifest, TimedOut, redact_layer_urls};
pub use plan::{
    Container, Held, MANIFEST_TIMEOUT, MANIFEST_TIMEOUT_MIN, Outcome, Plan, PullBehavior, Skip,
    Source, engine_resolves, from_held, from_registry, manifest_timeout, plan,
};
pub use resolve::{LocalImage, ResolveError, Settings, resolve};
