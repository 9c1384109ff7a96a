//! One request with its redirects, observed.

use std::{fmt, time::Instant as Wall};

use crate::{
    Config, Error, Event, Kind, Observer, Timeouts,
    http::{Client, Failure, Followed, Origin, Request},
    wire::retry_after,
};

/// Sends the requests of one upstream, and reports them to its observer.
pub(crate) struct Exchange {
    /// The upstream's, for logs.
    name: String,
    client: Client,
    observer: Observer,
}

impl Exchange {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            name: config.name.clone(),
            client: Client::new(config)?,
            observer: Observer::clone(&config.observer),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.client.timeouts
    }

    pub(crate) fn observe(&self, event: Event<'_>) {
        (self.observer)(event);
    }

    /// [`Client::follow`], observed.
    pub(crate) async fn send(
        &self,
        origin: &Origin,
        kind: Kind,
        request: Request<'_>,
    ) -> Result<Followed, Failure> {
        let start = Wall::now();
        // Boxed: there are many places that send a request.
        let result = Box::pin(self.client.follow(origin, request)).await;
        let response = result.as_ref().ok().map(|followed| &followed.response);
        self.observe(Event::Request {
            endpoint: &origin.host,
            kind,
            code: response.map(|response| response.status().as_u16()),
            seconds: start.elapsed().as_secs_f64(),
        });
        if let Some(remaining) = response.and_then(|r| retry_after::remaining(r.headers())) {
            self.observe(Event::RateLimit { remaining });
        }
        result
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
