//! From a configuration to a running proxy, and to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use longshore_store::{Options, Store};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::config::{Config, StoreUrl};
use crate::descriptors;
use crate::error::Error;
use crate::live::{Live, Source};
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::server::tls::Tls;
use crate::server::{Limits, Server};

/// How long commits and uploads may go on after the last client was served.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Serves until `shutdown` is cancelled and everything is drained. No upstream is needed to start. `source` is where the
/// configuration was read from, and is read from again on SIGHUP and when its file changes.
///
/// # Errors
/// What the configuration names cannot be used: an address, the store, a certificate file.
pub async fn run(config: Config, source: Source, shutdown: CancellationToken) -> Result<(), Error> {
    let open_files = descriptors::raise_limit();
    let limits = Limits {
        connections_max: descriptors::connections_max(
            config.connections_max,
            config.store.fills_max,
            open_files,
        ),
        ..Limits::default()
    };
    let tls = config.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
    let server = bind(config.listen, limits).await?.with_tls(tls.clone());
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
    if let Some(tls) = tls {
        let shutdown = shutdown.clone();
        tokio::spawn(async move { shutdown.run_until_cancelled(tls.watch()).await });
    }
    let readiness = Readiness::default();
    let live = Arc::new(live(config, readiness.clone()).await?);
    if source.file.is_some() {
        let (shutdown, live) = (shutdown.clone(), Arc::clone(&live));
        tokio::spawn(async move { shutdown.run_until_cancelled(live.follow(source)).await });
    }
    tracing::info!(listen = %address_of(&server), "serving");
    readiness.set(true);

    let unready = async {
        shutdown.cancelled().await;
        readiness.set(false);
        tracing::info!("draining");
    };
    serve(&live, server, admin, &shutdown, unready).await;
    if timeout(CLOSE_WITHIN, live.proxy().0.store.close())
        .await
        .is_err()
    {
        tracing::warn!("writes to the store are cut off; what is missing is fetched again");
    }
    Ok(())
}

/// Serves clients, and health and metrics beside them, until everything is drained.
async fn serve(
    live: &Arc<Live>,
    server: Server,
    admin: Option<Server>,
    shutdown: &CancellationToken,
    unready: impl Future<Output = ()>,
) {
    let answering = Arc::clone(live);
    let answer = move |client: SocketAddr| {
        let live = Arc::clone(&answering);
        service_fn(move |request: Request<Incoming>| {
            let proxy = live.proxy();
            async move { Ok::<Response<Body>, Infallible>(proxy.respond(request, client).await) }
        })
    };
    let serving = server.serve(answer, shutdown.clone());
    match admin {
        None => {
            tokio::join!(serving, unready);
        }
        Some(admin) => {
            tracing::info!(listen = %address_of(&admin), "serving health and metrics");
            // Health and metrics are answered until the last client is served.
            let ended = CancellationToken::new();
            let serving = serving.map(|()| ended.cancel());
            let answering = Arc::clone(live);
            let answer = move |_: SocketAddr| {
                let live = Arc::clone(&answering);
                service_fn(move |request: Request<Incoming>| {
                    let proxy = live.proxy();
                    async move { Ok::<Response<Body>, Infallible>(proxy.respond_admin(request).await) }
                })
            };
            tokio::join!(serving, unready, admin.serve(answer, ended.clone()));
        }
    }
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

/// The proxy without its listeners.
pub(crate) async fn live(config: Config, readiness: Readiness) -> Result<Live, Error> {
    let metrics = Arc::new(ArcSwap::from_pointee(Metrics::new(&config.names())?));
    let told = Arc::clone(&metrics);
    let Config { store, .. } = config.clone();
    let bucket = match store.url {
        StoreUrl::File(_) => None,
        StoreUrl::Memory => Some("memory:///".to_owned()),
        StoreUrl::Bucket(url) => Some(url),
    };
    let bucket = bucket
        .map(|url| url.parse().map_err(|source| Error::Bucket { url, source }))
        .transpose()?;
    let store = Store::open(Options {
        spool: Some(store.spool),
        bucket,
        capacity: store.capacity,
        min_free: store.min_free,
        pins: store.pins,
        scrub: store.scrub,
        fills_max: store.fills_max,
        observer: Arc::new(move |event| told.load().store(*event)),
        ..Options::new(store.local)
    });
    Live::new(config, store.await?, metrics, readiness)
}
