//! The `longshore` binary.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use longshore_proxy::cli::{self, Cli};
use longshore_proxy::config::Config;
use longshore_proxy::{Source, run};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    cli::run(Cli::parse(), serve)
}

/// Why the proxy could not run.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("cannot start the runtime")]
    Runtime(#[from] io::Error),
    #[error(transparent)]
    Run(#[from] longshore_proxy::Error),
}

/// Serves until a signal comes, then drains; a second signal ends the process at once.
fn serve(config: Config, source: Source) -> Result<(), Failed> {
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
        Ok(run(config, source, shutdown).await?)
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
