//! New connections: proxy, addresses, TCP, TLS. What is allowed is decided on the address that is connected to.

use std::{
    error::Error as StdError,
    io::Error as IoError,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use http::{HeaderValue, Uri};
use hyper_util::{
    client::{
        legacy::connect::proxy::{SocksV4, SocksV5, Tunnel},
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tower_service::Service;
use url::Url;

use super::{
    address::{self, PrivateAddresses},
    certificates,
    connector::{Connect, Stream, Tcp},
    io::Io,
    resolver::{Resolve, System},
    tls::Tls,
};
use crate::{Config, Error, Insecure};

/// What a connection may lead to.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// An endpoint itself, at whatever address. One without a scheme need not be verified where the rule covers the
    /// address, and is asked in plain there only.
    Endpoint(Option<Arc<Insecure>>),
    /// Whatever an endpoint points to: public addresses, and these.
    Pointed(Arc<PrivateAddresses>),
}

/// A new connection.
pub(super) struct Dialed {
    pub(super) io: Io,
    /// Requests go to an HTTP proxy, with this authorization.
    pub(super) proxy: Option<Option<HeaderValue>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("a private address")]
    Private,
    #[error("not an insecure address")]
    NotInsecure,
    #[error("no certificates to verify with")]
    NoCertificates,
    #[error("the name has no address")]
    NoAddress,
    #[error("not looked up")]
    Resolve(#[source] IoError),
    #[error("not connected")]
    Connect(#[source] IoError),
    #[error("no tls")]
    Tls(#[source] IoError),
    #[error("refused by the proxy")]
    Proxy(#[source] Box<dyn StdError + Send + Sync>),
    #[error("took too long")]
    TimedOut,
}

/// Opens the connections of one upstream.
#[derive(Debug)]
pub(super) struct Dialer {
    resolver: Arc<dyn Resolve>,
    connector: Arc<dyn Connect>,
    proxies: Matcher,
    tls: Tls,
    /// For all of it, the look-up included.
    within: Duration,
}

impl Dialer {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            resolver: config
                .resolver
                .clone()
                .unwrap_or_else(|| Arc::new(System::default())),
            connector: config.connector.clone().unwrap_or_else(|| Arc::new(Tcp)),
            proxies: Matcher::from_env(),
            tls: Tls::new(config)?,
            within: config.timeouts.connect,
        })
    }

    /// A connection for requests to `url`, within the deadline for connections.
    pub(super) async fn dial(
        self: &Arc<Self>,
        url: &Url,
        access: &Access,
    ) -> Result<Dialed, DialError> {
        let dialing = async {
            match self.intercept(url) {
                Some(proxy) => self.dial_proxy(&proxy, url, access).await,
                None => self.dial_direct(url, access).await,
            }
        };
        timeout(self.within, dialing)
            .await
            .unwrap_or(Err(DialError::TimedOut))
    }

    /// Whether the host of `url`, an endpoint without a scheme, is insecure at some address now.
    pub(super) async fn is_insecure(&self, url: &Url, rule: &Insecure) -> bool {
        if self.intercept(url).is_some() {
            let literal: Vec<IpAddr> = address::literal(url).into_iter().collect();
            return rule.covers(url, &literal);
        }
        if rule.covers(url, &[]) {
            return true;
        }
        let found = timeout(self.within, self.resolve(url)).await;
        found.is_ok_and(|found| found.is_ok_and(|found| rule.covers(url, &found)))
    }

    async fn dial_direct(&self, url: &Url, access: &Access) -> Result<Dialed, DialError> {
        let port = url.port_or_known_default().unwrap_or_default();
        let found = self.resolve(url).await?;
        let addresses = admitted(url, access, found)?;
        let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, port));
        let (stream, address) = self.connect(addresses.collect()).await?;
        let io = self
            .secure(url, access, Some(address.ip()), Io::new(stream))
            .await?;
        Ok(Dialed { io, proxy: None })
    }

    /// Where the proxy alone knows the addresses of the host, its name decides.
    async fn dial_proxy(
        self: &Arc<Self>,
        proxy: &Intercept,
        url: &Url,
        access: &Access,
    ) -> Result<Dialed, DialError> {
        let at = proxy.uri().clone();
        let scheme = at.scheme_str().unwrap_or_default().to_owned();
        let resolves_here = matches!(scheme.as_str(), "socks4" | "socks5");
        let address = match resolves_here {
            true => {
                let found = admitted(url, access, self.resolve(url).await?)?;
                let usable = found
                    .into_iter()
                    .find(|ip| ip.is_ipv4() || scheme != "socks4");
                Some(usable.ok_or(DialError::NoAddress)?)
            }
            false => address::literal(url),
        };
        admitted_name(url, access, address)?;
        let is_http = matches!(scheme.as_str(), "http" | "https");
        if is_http && url.scheme() == "http" {
            return Ok(Dialed {
                io: self.dial_leg(&at).await?,
                proxy: Some(proxy.basic_auth().cloned()),
            });
        }
        let to = uri(url, address.filter(|_| resolves_here)).ok_or(DialError::NoAddress)?;
        let way = Way(Arc::clone(self));
        let io = match (is_http, scheme.as_str()) {
            (true, _) => {
                let mut tunnel = Tunnel::new(at, way);
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                tunnel.call(to).await.map_err(refused)?
            }
            (false, "socks4" | "socks4a") => {
                SocksV4::new(at, way).call(to).await.map_err(refused)?
            }
            (false, _) => {
                let mut socks = SocksV5::new(at, way);
                if let Some((user, password)) = proxy.raw_auth() {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                socks.call(to).await.map_err(refused)?
            }
        };
        let io = self.secure(url, access, address, io.into_inner()).await?;
        Ok(Dialed { io, proxy: None })
    }

    /// A connection to a proxy itself, which may be anywhere.
    async fn dial_leg(&self, proxy: &Uri) -> Result<Io, DialError> {
        let url = Url::parse(&proxy.to_string()).map_err(|_| DialError::NoAddress)?;
        let port = url.port_or_known_default().unwrap_or(SOCKS_PORT);
        let host = proxy.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = self.resolver.resolve(host).await;
                found.map_err(DialError::Resolve)?
            }
        };
        let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, port));
        let (stream, _) = self.connect(addresses.collect()).await?;
        let io = Io::new(stream);
        match url.scheme() {
            "https" => {
                let tls = self.tls.pointed().ok_or(DialError::NoCertificates)?;
                handshake(tls, host, io).await
            }
            _ => Ok(io),
        }
    }

    async fn secure(
        &self,
        url: &Url,
        access: &Access,
        address: Option<IpAddr>,
        io: Io,
    ) -> Result<Io, DialError> {
        if url.scheme() != "https" {
            return Ok(io);
        }
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let tls = match access {
            Access::Endpoint(Some(rule)) if rule.covers(url, address.as_slice()) => {
                let handshake = handshake(self.tls.unverified(), host, io);
                let in_time = timeout(PLAIN_AFTER, handshake).await;
                return in_time.unwrap_or(Err(DialError::TimedOut));
            }
            Access::Endpoint(_) => self.tls.endpoint(&certificates::host(url)),
            Access::Pointed(_) => self.tls.pointed(),
        };
        let tls = tls.ok_or(DialError::NoCertificates)?;
        handshake(tls, host, io).await
    }

    async fn resolve(&self, url: &Url) -> Result<Vec<IpAddr>, DialError> {
        match (address::literal(url), url.host_str()) {
            (Some(address), _) => Ok(vec![address]),
            (None, Some(host)) => {
                let found = self.resolver.resolve(host).await;
                found.map_err(DialError::Resolve)
            }
            (None, None) => Err(DialError::NoAddress),
        }
    }

    /// The first of these addresses that answers. Each has a head start before the next is tried too (RFC 8305).
    async fn connect(
        &self,
        addresses: Vec<SocketAddr>,
    ) -> Result<(Box<dyn Stream>, SocketAddr), DialError> {
        let mut left = alternate(addresses).into_iter().take(ADDRESSES_MAX);
        let mut trying = FuturesUnordered::new();
        let mut failed = None;
        loop {
            if let Some(address) = left.next() {
                let connecting = self.connector.connect(address);
                trying.push(async move { (connecting.await, address) });
            }
            if trying.is_empty() {
                return Err(failed.map_or(DialError::NoAddress, DialError::Connect));
            }
            let more = left.len() > 0;
            tokio::select! {
                Some((result, address)) = trying.next() => match result {
                    Ok(stream) => return Ok((stream, address)),
                    Err(error) => failed = failed.or(Some(error)),
                },
                () = sleep(HEAD_START), if more => {}
            }
        }
    }

    fn intercept(&self, url: &Url) -> Option<Intercept> {
        self.proxies.intercept(&uri(url, None)?)
    }
}

/// Those of a host's addresses that may be connected to.
fn admitted(url: &Url, access: &Access, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, DialError> {
    if found.is_empty() {
        return Err(DialError::NoAddress);
    }
    let host = url.host_str().unwrap_or_default();
    let (admits, refused): (&dyn Fn(IpAddr) -> bool, _) = match access {
        Access::Pointed(private) => (&|ip| private.admits(host, ip), DialError::Private),
        Access::Endpoint(Some(rule)) if url.scheme() == "http" => {
            (&|ip| rule.covers(url, &[ip]), DialError::NotInsecure)
        }
        Access::Endpoint(_) => return Ok(found),
    };
    let left: Vec<IpAddr> = found.into_iter().filter(|&ip| admits(ip)).collect();
    match left.is_empty() {
        true => Err(refused),
        false => Ok(left),
    }
}

/// The families in turn, the first one's first.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::new();
    loop {
        match (first.next(), second.next()) {
            (None, None) => return order,
            pair => order.extend([pair.0, pair.1].into_iter().flatten()),
        }
    }
}

async fn handshake(tls: Arc<ClientConfig>, host: &str, io: Io) -> Result<Io, DialError> {
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| DialError::Tls(IoError::other(error)))?;
    let stream = TlsConnector::from(tls).connect(name, io).await;
    stream.map(Io::encrypted).map_err(DialError::Tls)
}

/// Whether a proxy may be asked for the host of `url`.
fn admitted_name(url: &Url, access: &Access, address: Option<IpAddr>) -> Result<(), DialError> {
    match access {
        Access::Pointed(private) if !private.admits_name(url) => Err(DialError::Private),
        Access::Endpoint(Some(rule))
            if url.scheme() == "http" && !rule.covers(url, address.as_slice()) =>
        {
            Err(DialError::NotInsecure)
        }
        Access::Pointed(_) | Access::Endpoint(_) => Ok(()),
    }
}

/// Scheme, host (or its address) and port.
fn uri(url: &Url, address: Option<IpAddr>) -> Option<Uri> {
    let port = url.port_or_known_default()?;
    let host = match address {
        Some(IpAddr::V6(v6)) => format!("[{v6}]"),
        Some(IpAddr::V4(v4)) => v4.to_string(),
        None => url.host_str()?.to_owned(),
    };
    format!("{}://{host}:{port}/", url.scheme()).parse().ok()
}

fn refused(error: impl Into<Box<dyn StdError + Send + Sync>>) -> DialError {
    DialError::Proxy(error.into())
}

/// Leads to a proxy.
#[derive(Clone)]
struct Way(Arc<Dialer>);

impl Service<Uri> for Way {
    type Response = TokioIo<Io>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Io>, DialError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, proxy: Uri) -> Self::Future {
        let dialer = Arc::clone(&self.0);
        Box::pin(async move { dialer.dial_leg(&proxy).await.map(TokioIo::new) })
    }
}

const HEAD_START: Duration = Duration::from_millis(250);
const ADDRESSES_MAX: usize = 16;
/// How long an insecure host has for a handshake before it is asked in plain: a server that speaks plain HTTP waits for
/// the end of a request, and says nothing to the beginning of a handshake.
const PLAIN_AFTER: Duration = Duration::from_secs(1);
const SOCKS_PORT: u16 = 1080;
