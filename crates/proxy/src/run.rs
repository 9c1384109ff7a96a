//! From a configuration to a running proxy, and to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use longshore_store::{Options, Store};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::config::{Config, StoreUrl};
use crate::convert::Converter;
use crate::descriptors;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::proxy::{Inner, Proxy};
use crate::readiness::Readiness;
use crate::server::{Limits, Server};
use crate::upstreams::Upstreams;

/// How long commits and uploads may go on after the last client was served.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Serves until `shutdown` is cancelled and everything is drained. No upstream is needed to start.
///
/// # Errors
/// What the configuration names cannot be used: an address, the store, a certificate file.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let open_files = descriptors::raise_limit();
    let limits = Limits {
        connections_max: descriptors::connections_max(
            config.connections_max,
            config.store.fills_max,
            open_files,
        ),
        ..Limits::default()
    };
    let server = bind(config.listen, limits).await?;
    let admin = match config.admin_listen {
        Some(address) => {
            let at_once = Limits {
                accept_while_draining: Duration::ZERO,
                answer_while_draining: Duration::from_secs(1),
                ..limits
            };
            Some(bind(address, at_once).await?)
        }
        None => None,
    };
    let readiness = Readiness::default();
    let proxy = proxy(config, readiness.clone(), admin.is_some()).await?;
    tracing::info!(listen = %address_of(&server), "serving");
    readiness.set(true);

    let unready = async {
        shutdown.cancelled().await;
        readiness.set(false);
        tracing::info!("draining");
    };
    let answer = |proxy: &Proxy| {
        let proxy = proxy.clone();
        move |client: SocketAddr| {
            let proxy = proxy.clone();
            service_fn(move |request: Request<Incoming>| {
                let proxy = proxy.clone();
                async move { Ok::<Response<Body>, Infallible>(proxy.respond(request, client).await) }
            })
        }
    };
    let serving = server.serve(answer(&proxy), shutdown.clone());
    match admin {
        None => {
            tokio::join!(serving, unready);
        }
        Some(admin) => {
            tracing::info!(listen = %address_of(&admin), "serving health and metrics");
            // Health and metrics are answered until the last client is served.
            let ended = CancellationToken::new();
            let serving = serving.map(|()| ended.cancel());
            let answering = proxy.clone();
            let answer = move |_: SocketAddr| {
                let proxy = answering.clone();
                service_fn(move |request: Request<Incoming>| {
                    let proxy = proxy.clone();
                    async move { Ok::<Response<Body>, Infallible>(proxy.respond_admin(request).await) }
                })
            };
            tokio::join!(serving, unready, admin.serve(answer, ended.clone()));
        }
    }
    if timeout(CLOSE_WITHIN, proxy.0.store.close()).await.is_err() {
        tracing::warn!("writes to the store are cut off; what is missing is fetched again");
    }
    Ok(())
}

async fn bind(address: SocketAddr, limits: Limits) -> Result<Server, Error> {
    Server::bind(address, limits)
        .await
        .map_err(|source| Error::Listen { address, source })
}

fn address_of(server: &Server) -> String {
    server.local_addr().map_or_else(
        |_| "an unknown address".to_owned(),
        |address| address.to_string(),
    )
}

async fn proxy(
    config: Config,
    readiness: Readiness,
    admin_elsewhere: bool,
) -> Result<Proxy, Error> {
    let names = config.names();
    let metrics = Arc::new(Metrics::new(&names)?);
    let told = Arc::clone(&metrics);
    let bucket = match config.store.url {
        StoreUrl::File(_) => None,
        StoreUrl::Memory => Some("memory:///".to_owned()),
        StoreUrl::Bucket(url) => Some(url),
    };
    let bucket = bucket
        .map(|url| url.parse().map_err(|source| Error::Bucket { url, source }))
        .transpose()?;
    let store = Store::open(Options {
        spool: Some(config.store.spool),
        bucket,
        capacity: config.store.capacity,
        min_free: config.store.min_free,
        pins: config.store.pins,
        scrub: config.store.scrub,
        fills_max: config.store.fills_max,
        observer: Arc::new(move |event| told.store(*event)),
        ..Options::new(config.store.local)
    });
    let store = store.await?;
    let upstreams = Upstreams::new(config.upstreams, names.ids(), &config.insecure, &metrics)?;
    let converters = upstreams
        .iter()
        .map(|upstream| Arc::new(Converter::new(&store, upstream)))
        .collect();
    Ok(Proxy(Arc::new(Inner {
        names,
        upstreams,
        converters,
        store,
        metrics,
        readiness,
        admin_elsewhere,
    })))
}
