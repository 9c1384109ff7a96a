//! STUB
use longshore_store::{Outcome, Usage};
use http::{HeaderValue, StatusCode};
use crate::error::About;
use crate::names::UpstreamId;
#[derive(Debug, Default)]
pub(crate) struct Metrics;
pub(crate) struct Served { pub(crate) upstream: Option<UpstreamId>, pub(crate) kind: About, pub(crate) outcome: Option<Outcome>, pub(crate) status: StatusCode, pub(crate) bytes: u64, pub(crate) first_byte: Option<std::time::Duration> }
impl Metrics {
    pub(crate) fn new(_: &crate::names::Names) -> Self { Self }
    pub(crate) fn served(&self, _: &Served) {}
    pub(crate) fn upstream(&self, _: UpstreamId, _: longshore_puller::Event<'_>) {}
    pub(crate) fn store(&self, _: &longshore_store::Event<'_>) {}
    pub(crate) fn render(&self, _: Usage) -> (HeaderValue, String) { (HeaderValue::from_static("text/plain"), String::new()) }
}
