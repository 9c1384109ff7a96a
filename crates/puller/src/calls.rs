//! What the calls of an upstream share.

use std::sync::Arc;

use longshore_reference::Digest;
use tokio::time::Instant;

use crate::{
    ask::Ask, attempt::Plan, endpoint::Endpoints, health::Subject, lookup::Version,
    request::Requests,
};

/// Whom to ask, how, and until when.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) requests: Arc<Requests>,
    pub(crate) deadline: Option<Instant>,
}

impl Calls {
    /// The endpoints of v2 in the order in which they are asked.
    pub(crate) fn plan(&self, ask: &Ask<'_>, digest: Option<Digest>) -> Plan<'_> {
        let order = self.endpoints.order(Version::V2, digest.as_ref());
        self.plan_of(order, ask.subject())
    }

    pub(crate) fn plan_of(&self, order: Vec<usize>, subject: Subject) -> Plan<'_> {
        Plan {
            endpoints: &self.endpoints,
            exchange: &self.requests.exchange,
            order,
            subject,
            deadline: self.deadline,
        }
    }
}
