//! STUB
use longshore_proxy::config::{Config, Overrides, StoreUrl, UpstreamName, Endpoint};
fn main() {
    let mut args = std::env::args().skip(1);
    let mut file = None; let mut o = Overrides::default();
    while let Some(a) = args.next() { match a.as_str() {
        "serve" => {}
        "--config" => file = args.next(),
        "--listen" => o.listen = Some(args.next().unwrap().parse().unwrap()),
        "--store" => o.store = Some(StoreUrl::parse(&args.next().unwrap()).unwrap()),
        "--upstream" => { let v = args.next().unwrap(); let (n,u) = v.split_once('=').unwrap(); o.upstreams.push((UpstreamName::parse(n).unwrap(), Endpoint::parse(u).unwrap())); }
        _ => panic!("{a}") } }
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = Config::load(file.as_deref().map(std::path::Path::new), &o).unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let rt = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    rt.block_on(async move {
        let s = shutdown.clone();
        tokio::spawn(async move { let mut t = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap(); t.recv().await; s.cancel(); });
        longshore_proxy::run(config, shutdown).await.unwrap();
    });
}
