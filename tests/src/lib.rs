//! What the tests and benchmarks of Longshore stand on.
//!
//! [`Origin`] is a registry on a real socket that misbehaves on order ([`Fault`], [`Gate`]) and writes down what it
//! was asked ([`Seen`]). [`Client`] is an HTTP client that shows every byte and every ending. Both speak HTTP/1.1
//! themselves, because a library would refuse to tell the lies the tests need. [`Proxy`] is the program under test: the
//! binary `longshore`, run as its users run it. Nothing here knows the crates it is made of.
//!
//! [`S3`] is an object server for a store in a bucket.
//!
//! [`V1Registry`], [`Schema1`] and [`TokenServer`] are what came before and what stands beside: registries of protocol
//! v1, signed manifests of schema 1, tokens that real registries accept. Each is a [`Server`], so that all of them
//! misbehave and remember alike; the program `fixture` serves them to shell scripts.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use longshore_tests::{Client, Fault, On, Origin};
//! let origin = Origin::start().await;
//! let image = origin.image("library/app", "1", &[1000, 2000]);
//! origin.order(On::get(&image.layers[0]), [Fault::CutAt(10)]);
//! let client = Client::new(origin.host());
//! let path = format!("/v2/library/app/blobs/{}", image.layers[0]);
//! assert_eq!(client.read(&path).await.body.len(), 10);
//! assert_eq!(client.read(&path).await.body.len(), 1000);
//! assert_eq!(origin.count("GET", &path), 2);
//! # }
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "fixtures fail the test that uses them by panicking"
)]

mod answer;
mod auth;
mod client;
mod content;
mod fault;
mod gzip;
mod images;
mod keys;
mod origin;
mod patience;
pub mod process;
mod proxy;
mod pull;
mod registry;
mod request;
mod s3;
mod schema1;
mod server;
mod tar;
mod token;
mod v1;
mod wire;

pub use auth::{Auth, Bearer};
pub use client::{Client, End, Read, Reply};
pub use content::Content;
pub use fault::{Fault, Gate, On};
pub use images::{Image, Index};
pub use origin::Origin;
pub use patience::PATIENCE;
pub use proxy::{Proxy, Settings, binary};
pub use registry::media;
pub use s3::S3;
pub use schema1::{Forgery, Schema1, Signer};
pub use server::{Seen, Server};
pub use token::TokenServer;
pub use v1::{V1Image, V1Layer, V1Registry, V1Style};
