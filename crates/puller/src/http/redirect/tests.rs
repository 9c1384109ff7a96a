use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
};

use longshore_tests::{Fault as Order, On, Origin as Registry};
use tokio::net::TcpStream;

use super::*;
use crate::{
    Config, Connect, Connecting, Endpoint, PrivateAddresses, Resolve, Resolving, classify::Role,
    endpoint::EndpointState, lookup::Version,
};

#[test]
fn where_a_redirect_may_lead() {
    let from = "https://r.example/v2/a/blobs/sha256:0";
    for (from, location, to) in [
        (
            from,
            "https://cdn.example/x?sig=1",
            Some("https://cdn.example/x?sig=1"),
        ),
        (from, "/artifacts/x", Some("https://r.example/artifacts/x")),
        (from, "//cdn.example/x", Some("https://cdn.example/x")),
        (from, "sha256:1", None),
        (
            from,
            "./sha256:1",
            Some("https://r.example/v2/a/blobs/sha256:1"),
        ),
        (
            from,
            "https://cdn.example/x#part",
            Some("https://cdn.example/x"),
        ),
        (from, "http://cdn.example/x", None),
        (from, "http://r.example/x", None),
        (from, "https://user:secret@cdn.example/x", None),
        (from, "ftp://cdn.example/x", None),
        (from, "file:///etc/passwd", None),
        (from, "https://", None),
        (
            "http://r.example/a",
            "http://cdn.example/x",
            Some("http://cdn.example/x"),
        ),
        (
            "http://r.example/a",
            "https://cdn.example/x",
            Some("https://cdn.example/x"),
        ),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_str(location).unwrap());
        let found = redirect(&Url::parse(from).unwrap(), &headers);
        assert_eq!(found.as_ref().map(Url::as_str), to, "{from} to {location}");
    }
    assert_eq!(
        redirect(&Url::parse(from).unwrap(), &HeaderMap::new()),
        None
    );
}

#[test]
fn origins() {
    for (a, b, same) in [
        ("https://r.example/a", "https://r.example:443/b", true),
        ("https://R.example/a", "https://r.example/b", true),
        ("https://r.example/a", "https://r.example:8443/a", false),
        ("https://r.example/a", "http://r.example/a", false),
        ("https://r.example/a", "https://cdn.r.example/a", false),
        ("http://127.0.0.1:1/a", "http://127.0.0.1:2/a", false),
    ] {
        assert_eq!(
            same_origin(&Url::parse(a).unwrap(), &Url::parse(b).unwrap()),
            same,
            "{a} {b}"
        );
    }
}

/// Hosts and their addresses: each look-up takes the next list, the last one stays.
#[derive(Debug, Default)]
struct Names(Mutex<HashMap<String, Vec<Vec<IpAddr>>>>);

impl Names {
    fn new<const N: usize>(names: [(&str, &[&str]); N]) -> Arc<Self> {
        let parse = |lists: &[&str]| {
            let addresses = |list: &&str| list.split(' ').map(|a| a.parse().unwrap()).collect();
            lists.iter().map(addresses).collect()
        };
        let names = names.map(|(name, lists)| (name.to_owned(), parse(lists)));
        Arc::new(Self(Mutex::new(HashMap::from(names))))
    }
}

impl Resolve for Names {
    fn resolve(&self, host: &str) -> Resolving {
        let mut names = self.0.lock().unwrap();
        let found = names.get_mut(host).map(|lists| match lists.len() {
            0 | 1 => lists.first().cloned().unwrap_or_default(),
            _ => lists.remove(0),
        });
        Box::pin(async move { found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)) })
    }
}

/// Leads every address to this machine, and writes down the addresses.
#[derive(Debug, Default)]
struct Here(Mutex<Vec<SocketAddr>>);

impl Connect for Here {
    fn connect(&self, address: SocketAddr) -> Connecting {
        self.0.lock().unwrap().push(address);
        Box::pin(async move {
            let stream = TcpStream::connect(("127.0.0.1", address.port())).await?;
            Ok(Box::new(stream) as Box<dyn crate::Stream>)
        })
    }
}

/// The answer of a registry at `registry.test`, a public address, that redirects to `location`.
async fn follow(
    location: String,
    names: Arc<Names>,
    private: &[&str],
) -> (Result<Followed, Failure>, Arc<Here>) {
    let registry = Registry::start().await;
    registry.order(On::get("/v2/"), [Order::Redirect(location, 307)]);
    let port = registry.host().rsplit_once(':').unwrap().1.to_owned();
    let endpoint = Endpoint::parse(&format!("http://registry.test:{port}")).unwrap();
    let mut config = Config::new("registry.test", vec![endpoint.clone()]);
    config.private_addresses = PrivateAddresses::parse(private.iter().copied()).unwrap();
    let here = Arc::new(Here::default());
    config.resolver = Some(names);
    config.connector = Some(Arc::clone(&here) as _);
    let url = endpoint.url().clone();
    let private = &config.private_addresses;
    let endpoint = EndpointState::new(url, Version::V2, None, Role::Origin, None, private);
    let request = Request::new(Method::GET, endpoint.url().clone(), HeaderMap::new());
    let client = Client::new(&config).unwrap();
    (client.follow(endpoint.origin(), request).await, here)
}

fn is_private(result: &Result<Followed, Failure>) -> bool {
    let fault = |failure: &Failure| {
        matches!(
            failure.error,
            Error::Misbehaved {
                fault: Fault::PrivateAddress,
                ..
            }
        )
    };
    result.as_ref().is_err_and(fault)
}

#[tokio::test]
async fn an_upstream_may_not_point_to_private_addresses() {
    let target = Registry::start().await;
    let port = target.host().rsplit_once(':').unwrap().1.to_owned();
    for (host, private, allowed) in [
        ("127.0.0.1", &[][..], false),
        ("127.1", &[], false),
        ("0.0.0.0", &[], false),
        ("[::1]", &[], false),
        ("[::ffff:127.0.0.1]", &[], false),
        ("localhost", &[], false),
        ("storage.corp", &[], false),
        ("metadata.test", &["10.0.0.0/8"], false),
        ("storage.corp", &["192.168.0.0/16"], false),
        ("storage.corp", &["10.0.0.0/8"], true),
        ("storage.corp", &["storage.corp"], true),
        ("127.0.0.1", &["127.0.0.0/8"], true),
        ("public.test", &[], true),
    ] {
        let names = Names::new([
            ("registry.test", &["192.0.2.1"]),
            ("localhost", &["127.0.0.1"]),
            ("storage.corp", &["10.1.2.3"]),
            ("metadata.test", &["169.254.169.254"]),
            ("public.test", &["192.0.2.2"]),
        ]);
        let location = format!("http://{host}:{port}/v2/");
        let (result, here) = follow(location, names, private).await;
        assert_eq!(is_private(&result), !allowed, "{host} {result:?}");
        assert_eq!(result.is_ok(), allowed, "{host} {result:?}");
        assert_eq!(
            here.0.lock().unwrap().len(),
            1 + usize::from(allowed),
            "{host}"
        );
    }
}

/// That it resolves to a private address itself is no permission: whoever answers for its name could give it that.
#[tokio::test]
async fn an_upstream_cannot_allow_itself_private_addresses() {
    let target = Registry::start().await;
    for addresses in ["10.0.0.5", "192.0.2.1 10.0.0.5", "127.0.0.1"] {
        let names = Names::new([("registry.test", &[addresses])]);
        let (result, here) = follow(format!("{}/v2/", target.url()), names, &[]).await;
        assert!(is_private(&result), "{addresses}: {result:?}");
        assert_eq!(here.0.lock().unwrap().len(), 1, "{addresses}");
        assert_eq!(target.requests().len(), 0);
    }
}

/// Only the checked addresses of a name are connected to, whatever it resolves to before or after.
#[tokio::test]
async fn a_name_cannot_change_its_address_after_it_was_checked() {
    let target = Registry::start().await;
    let port: u16 = target.host().rsplit_once(':').unwrap().1.parse().unwrap();
    let lists: [(&[&str], Option<&str>); 4] = [
        (&["192.0.2.9", "10.0.0.1"], Some("192.0.2.9")),
        (&["10.0.0.1", "192.0.2.9"], None),
        (&["10.0.0.1 192.0.2.9 ::ffff:10.0.0.2"], Some("192.0.2.9")),
        (&["::ffff:10.0.0.2 64:ff9b::a00:1 fe80::1"], None),
    ];
    for (addresses, connected) in lists {
        let names = Names::new([("registry.test", &["192.0.2.1"]), ("cdn.test", addresses)]);
        let (result, here) = follow(format!("http://cdn.test:{port}/v2/"), names, &[]).await;
        assert_eq!(
            result.is_ok(),
            connected.is_some(),
            "{addresses:?} {result:?}"
        );
        let seen = here.0.lock().unwrap().clone();
        let to = connected.map(|a| SocketAddr::new(a.parse().unwrap(), port));
        assert_eq!(seen.get(1).copied(), to, "{addresses:?}");
    }
}

/// A resolver that hangs costs the deadline for connections, no more.
#[tokio::test(start_paused = true)]
async fn a_look_up_has_a_deadline() {
    #[derive(Debug)]
    struct Hangs;
    impl Resolve for Hangs {
        fn resolve(&self, _host: &str) -> Resolving {
            Box::pin(std::future::pending())
        }
    }
    let endpoint = Endpoint::of_host("registry.test").unwrap();
    let mut config = Config::new("registry.test", vec![endpoint.clone()]);
    config.resolver = Some(Arc::new(Hangs));
    let client = Client::new(&config).unwrap();
    let begun = tokio::time::Instant::now();
    assert!(!client.is_insecure(endpoint.url(), &config.insecure).await);
    assert_eq!(begun.elapsed(), config.timeouts.connect);
    let url = endpoint.url().clone();
    let private = PrivateAddresses::default();
    let endpoint = EndpointState::new(url.clone(), Version::V2, None, Role::Origin, None, &private);
    let request = Request::new(Method::GET, url, HeaderMap::new());
    let failure = client.follow(endpoint.origin(), request).await.unwrap_err();
    let timed_out = matches!(
        failure.error,
        Error::TimedOut {
            phase: Phase::Connect,
            ..
        }
    );
    assert!(timed_out, "{failure:?}");
    assert_eq!(begun.elapsed(), 2 * config.timeouts.connect);
}
