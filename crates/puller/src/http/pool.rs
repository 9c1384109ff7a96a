//! Connections that are kept for the next request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::time::{Instant, timeout};
use url::Url;

use super::{dial::Access, io::Reused};
use crate::sync::lock;

/// The idle connections of one upstream, and how fast its hosts answer.
#[derive(Debug, Default)]
pub(super) struct Pool {
    hosts: Mutex<HashMap<Key, Host>>,
}

/// Whose connections may stand in for each other: same origin, same rules when they were opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    is_tls: bool,
    host: String,
    port: u16,
    is_endpoint: bool,
    may_be_insecure: bool,
}

#[derive(Debug, Default)]
struct Host {
    idle: Vec<(Connection, Instant)>,
    /// The slowest answer of late.
    slowest: Duration,
}

/// An open connection, used for one request at a time.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    pub(super) reused: Reused,
    /// Requests go to an HTTP proxy, with this authorization.
    pub(super) proxy: Option<Option<HeaderValue>>,
}

/// A connection that is given back when its response has been read, and closed otherwise.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: Connection,
    pub(super) pool: Arc<Pool>,
    pub(super) key: Key,
}

impl Key {
    pub(super) fn new(url: &Url, access: &Access) -> Self {
        Self {
            is_tls: url.scheme() == "https",
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
            is_endpoint: matches!(access, Access::Endpoint(_)),
            may_be_insecure: matches!(access, Access::Endpoint(Some(_))),
        }
    }

    fn is_same_host(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }
}

impl Pool {
    /// The connection that was used last, if one is still open.
    pub(super) fn take(&self, key: &Key, now: Instant) -> Option<Connection> {
        let mut hosts = self.lock();
        let idle = &mut hosts.get_mut(key)?.idle;
        while let Some((connection, since)) = idle.pop() {
            if now.duration_since(since) < IDLE_MAX && connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn give_back(&self, key: &Key, connection: Connection, now: Instant) {
        let mut hosts = self.lock();
        let idle = &mut hosts.entry(key.clone()).or_default().idle;
        idle.retain(|(kept, since)| {
            now.duration_since(*since) < IDLE_MAX && !kept.sender.is_closed()
        });
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push((connection, now));
        }
    }

    /// A connection that was idle is dead: those that were idle with it go the same way.
    pub(super) fn lost(&self, key: &Key) {
        let mut hosts = self.lock();
        let of_host = hosts
            .iter_mut()
            .filter(|(other, _)| key.is_same_host(other));
        let idle: Vec<_> = of_host.flat_map(|(_, host)| host.idle.drain(..)).collect();
        drop(hosts);
        drop(idle);
    }

    /// Headers came after so long.
    pub(super) fn answered(&self, key: &Key, after: Duration) {
        let mut hosts = self.lock();
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(key) {
            hosts.retain(|_, host| !host.idle.is_empty());
        }
        let slowest = &mut hosts.entry(key.clone()).or_default().slowest;
        *slowest = after.max(*slowest - *slowest / 16);
    }

    /// How long a connection that was idle may be silent before another one is tried.
    pub(super) fn patience(&self, key: &Key) -> Duration {
        let slowest = self
            .lock()
            .get(key)
            .map_or(Duration::ZERO, |host| host.slowest);
        (slowest * 3).clamp(PATIENCE_MIN, PATIENCE_MAX)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Host>> {
        lock(&self.hosts)
    }
}

impl Lease {
    /// The response has been read to its end.
    pub(super) fn give_back(mut self) {
        if self.connection.sender.is_ready() {
            return self
                .pool
                .give_back(&self.key, self.connection, Instant::now());
        }
        if self.connection.sender.is_closed() {
            return;
        }
        // The connection's own task has yet to see the end.
        tokio::spawn(async move {
            let ready = timeout(READY_WITHIN, self.connection.sender.ready()).await;
            if let Ok(Ok(())) = ready {
                self.pool
                    .give_back(&self.key, self.connection, Instant::now());
            }
        });
    }
}

/// As long as servers and the boxes on the way usually keep them.
const IDLE_MAX: Duration = Duration::from_secs(90);
const IDLE_CONNECTIONS_MAX: usize = 64;
const HOSTS_MAX: usize = 1024;
const READY_WITHIN: Duration = Duration::from_secs(5);
const PATIENCE_MIN: Duration = Duration::from_millis(1500);
const PATIENCE_MAX: Duration = Duration::from_secs(4);
