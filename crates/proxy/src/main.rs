//! The `longshore` binary.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use longshore_proxy::cli::{self, Cli};
use longshore_proxy::config::Config;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    cli::run(Cli::parse(), serve)
}

/// Serves until a signal comes, then drains; a second signal ends the process at once.
fn serve(config: Config) -> Result<(), io::Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let (terminate, interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        tokio::spawn(end_by_signals(terminate, interrupt, shutdown.clone()));
        run(config, shutdown).await
    })
}

async fn end_by_signals(mut terminate: Signal, mut interrupt: Signal, shutdown: CancellationToken) {
    let mut signalled = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    signalled().await;
    tracing::info!("shutting down");
    shutdown.cancel();
    signalled().await;
    tracing::warn!("ended by a second signal");
    std::process::exit(1);
}

/// Stands where the proxy will be: does nothing until it is shut down.
async fn run(config: Config, shutdown: CancellationToken) -> Result<(), io::Error> {
    tracing::info!(listen = %config.listen, "nothing is served yet");
    shutdown.cancelled().await;
    Ok(())
}
