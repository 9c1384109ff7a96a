use std::path::Path;

use longshore_store::Options;
use tempfile::TempDir;

use super::*;

fn config(text: &str) -> Config {
    let folder = Some(Path::new("/"));
    Config::parse(Path::new("a"), text, &Overrides::default(), folder).unwrap()
}

async fn live(text: &str) -> (TempDir, Live) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(folder.path())).await.unwrap();
    let config = config(text);
    let metrics = Arc::new(ArcSwap::from_pointee(
        Metrics::new(&config.names()).unwrap(),
    ));
    let live = Live::new(config, store, metrics, Readiness::default());
    (folder, live.unwrap())
}

#[test]
fn changes_are_named() {
    let before =
        config("listen = \"127.0.0.1:1\"\n[upstreams.\"a.test\"]\n[upstreams.\"b.test\"]\n");
    let after = config("[upstreams.\"b.test\"]\nrevalidate = \"5m\"\n[upstreams.\"c.test\"]\n");
    let expected = Changes {
        added: vec!["c.test".to_owned()],
        removed: vec!["a.test".to_owned()],
        changed: vec!["b.test".to_owned()],
        at_restart: vec!["listen"],
    };
    assert_eq!(Changes::between(&before, &after), expected);
    assert_eq!(Changes::between(&after, &after), Changes::default());
}

/// The client of an upstream is kept, with what it learnt and holds, unless it would be made otherwise.
#[tokio::test]
async fn clients_of_unchanged_upstreams_are_kept() {
    let table = |lines: &str| format!("[upstreams.\"a.test\"]\n{lines}\n");
    let (_folder, live) = live(&table("")).await;
    let client = |text: &str| {
        live.replace(config(text)).unwrap();
        live.proxy().0.upstreams.client_of("a.test").unwrap()
    };
    let first = client(&table(""));
    assert_eq!(client(&table("revalidate = \"5m\"")), first);
    let moved = "[upstreams.\"0.test\"]\n".to_owned() + &table("hosts = [\"mirror.test\"]");
    assert_eq!(client(&moved), first);
    let v2 = table("api = \"v2\"");
    let second = client(&v2);
    assert_ne!(second, first);
    assert_ne!(
        client(&("insecure = [\"a.test\"]\n".to_owned() + &v2)),
        second
    );
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing() {
    let (_folder, live) = live("").await;
    let before = live.proxy();
    let missing = config("[upstreams.\"a.test\"]\nca = \"/nonexistent.pem\"\n");
    assert!(matches!(live.replace(missing), Err(Error::Read { .. })));
    assert!(Arc::ptr_eq(&live.proxy().0, &before.0));
    let in_force = live.config.lock().unwrap();
    assert!(
        in_force
            .upstreams
            .iter()
            .all(|upstream| upstream.name != "a.test")
    );
}
