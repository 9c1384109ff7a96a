//! The endpoints of an upstream.

pub(crate) mod plan;
pub(crate) mod state;

pub(crate) use self::{plan::Endpoints, state::EndpointState};
