//! Name resolution.

use std::{
    fmt, io,
    net::{IpAddr, ToSocketAddrs},
    pin::Pin,
    sync::Arc,
};

use tokio::sync::Semaphore;

/// Looks up the addresses of hosts. The client checks the addresses and connects to no others; it also sets the deadline.
pub trait Resolve: Send + Sync + fmt::Debug {
    /// The addresses of `host`, in the order in which they are tried.
    fn resolve(&self, host: &str) -> Resolving;
}

/// A look-up under way.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The resolver of the operating system.
pub(crate) struct System {
    /// A look-up blocks a thread for as long as the system likes, also after its deadline.
    permits: Arc<Semaphore>,
}

impl Default for System {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }
}

impl Resolve for System {
    fn resolve(&self, host: &str) -> Resolving {
        let (permits, host) = (Arc::clone(&self.permits), host.to_owned());
        Box::pin(async move {
            let permit = permits.acquire_owned().await.map_err(io::Error::other)?;
            let looked_up = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                let found = (host.as_str(), 0).to_socket_addrs()?;
                Ok(found.map(|address| address.ip()).collect())
            });
            looked_up.await.map_err(io::Error::other)?
        })
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("System")
    }
}

/// Threads that look up names at the same time.
const LOOKUPS_MAX: usize = 16;
