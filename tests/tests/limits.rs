//! Clients that are slow, too large, or speak something else; and the end of the process.

use longshore_tests::{Content, End, Fault, Gate, On, Origin, PATIENCE, Proxy};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

/// "a slow-loris client and a TLS ClientHello on the plain port are closed": one that says nothing, one
/// that stops in the middle of its headers, one that drips them.
#[tokio::test]
async fn a_slow_loris_is_closed() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin).await;
    let mut silent = TcpStream::connect(proxy.host()).await.unwrap();
    let mut half = TcpStream::connect(proxy.host()).await.unwrap();
    half.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-A: ")
        .await
        .unwrap();
    let mut drip = TcpStream::connect(proxy.host()).await.unwrap();
    let dripping = async {
        drip.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-A: ")
            .await
            .unwrap();
        let (mut read, mut write) = drip.split();
        let mut seconds = interval(Duration::from_secs(1));
        let mut buffer = [0; 1024];
        loop {
            tokio::select! {
                _ = seconds.tick() => if write.write_all(b"a").await.is_err() { break },
                read = read.read(&mut buffer) => if matches!(read, Ok(0) | Err(_)) { break },
            }
        }
    };
    let closed = async {
        let mut buffer = Vec::new();
        // A 408 before the end is welcome too.
        tokio::join!(
            async { drop(silent.read_to_end(&mut Vec::new()).await) },
            async { drop(half.read_to_end(&mut buffer).await) },
            dripping,
        );
    };
    timeout(2 * PATIENCE, closed)
        .await
        .expect("they are closed");
    assert_eq!(proxy.client().read("/v2/").await.status, 200);
}

/// "A plain-HTTP port gets TLS ClientHellos from `insecure` clients: close at once". Nothing but the plain
/// answer that lets Go's clients fall back may come before that, whether the record is whole or not.
#[tokio::test]
async fn a_client_hello_is_closed_at_once() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin).await;
    let mut record = vec![
        0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03,
    ];
    record.resize(5 + 512, 7);
    for hello in [&record[..], &record[..11], &record[..1]] {
        let mut stream = TcpStream::connect(proxy.host()).await.unwrap();
        let start = Instant::now();
        stream.write_all(hello).await.unwrap();
        let mut answer = Vec::new();
        drop(
            timeout(PATIENCE, stream.read_to_end(&mut answer))
                .await
                .expect("it is closed"),
        );
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
        let text = String::from_utf8_lossy(&answer);
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 400 "),
            "{text}"
        );
    }
}

/// "Header, URI and idle limits".
#[tokio::test]
async fn large_heads_are_refused() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin).await;
    let client = proxy.client();
    let big = client
        .with("X-Big", &"a".repeat(1 << 20))
        .read("/v2/")
        .await;
    assert!(matches!(big.status, 431 | 400 | 0), "{}", big.status);
    let many = (0..500).fold(client.clone(), |client, i| {
        client.with(&format!("X-{i}"), "a")
    });
    let many = many.read("/v2/").await;
    assert!(matches!(many.status, 431 | 400 | 0), "{}", many.status);
    let long = client
        .read(&format!("/v2/{}/manifests/1", "a".repeat(100_000)))
        .await;
    assert!(
        matches!(long.status, 414 | 431 | 400 | 404 | 0),
        "{}",
        long.status
    );
    for raw in [
        "\r\n\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET /v2/ HTTP/9.9\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nA\r\n\r\n",
    ] {
        let reply = client.send_raw(raw.as_bytes(), false).await;
        assert!(
            matches!(reply.status, 400 | 505 | 0),
            "{raw:?}: {}",
            reply.status
        );
    }
    assert_eq!(client.read("/v2/").await.status, 200);
}

/// No more fills than `fills_max`; who waits for one gets an answer within `answer_within`; a fill that
/// nobody reads is given up for one that is wanted.
#[tokio::test]
async fn fills_are_bounded() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[4 << 20, 4 << 20, 4 << 20]);
    let proxy = Proxy::unsure(&origin)
        .store_line("fills_max = 1")
        .start()
        .await;
    let paths = image
        .layers
        .iter()
        .map(|layer| format!("/v2/library/app/blobs/{layer}"));
    let paths: Vec<_> = paths.collect();
    let gate = Gate::new();
    origin.order(On::get(&paths[0]), [Fault::Stall(2 << 20, gate.clone())]);
    let first = proxy.client().get(&paths[0]).await;
    gate.reached().await;
    let busy = proxy.client().read(&paths[1]).await;
    assert_eq!(busy.status, 503);
    assert!(busy.header("retry-after").is_some());
    drop(first);
    // The process learns that the reader is gone a moment later.
    let wanted = async { while proxy.client().read(&paths[2]).await.status != 200 {} };
    timeout(PATIENCE, wanted)
        .await
        .expect("the fill that nobody reads makes room");
    gate.open();
    proxy
        .client()
        .pull(&origin, "/v2/library/app", &image, "1", "")
        .await;
}

/// Keep-alive; and pipelined requests are answered in order.
#[tokio::test]
async fn a_connection_carries_many_requests() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin).await;
    let mut stream = TcpStream::connect(proxy.host()).await.unwrap();
    let one = b"HEAD /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(&one.repeat(3)).await.unwrap();
    let mut read = Vec::new();
    while read
        .windows(4)
        .filter(|window| window == b"\r\n\r\n")
        .count()
        < 3
    {
        assert!(
            timeout(PATIENCE, stream.read_buf(&mut read))
                .await
                .unwrap()
                .unwrap()
                > 0,
            "{}",
            String::from_utf8_lossy(&read)
        );
    }
    let text = String::from_utf8(read).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200").count(), 3, "{text}");
}

/// Drain on SIGTERM: readyz fails, requests are still taken for a while, the body under
/// way ends, the process ends well.
#[tokio::test]
async fn a_drain_lets_bodies_end() {
    let origin = Origin::start().await;
    let content = Content::seeded(1, 4 << 20);
    let path = format!(
        "/v2/library/app/blobs/{}",
        origin.push_blob("library/app", content.clone())
    );
    let mut proxy = Proxy::start(&origin).await;
    let gate = Gate::new();
    origin.order(On::get(&path), [Fault::Stall(2 << 20, gate.clone())]);
    let mut reply = proxy.client().get(&path).await;
    let first = reply.take(1).await;
    gate.reached().await;
    proxy.terminate();
    let unready = async {
        while proxy.client().read("/readyz").await.status == 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, unready).await.expect("readyz fails");
    assert_eq!(proxy.client().read("/readyz").await.status, 503);
    assert_eq!(proxy.client().read("/healthz").await.status, 200);
    assert_eq!(
        proxy.client().read("/v2/").await.status,
        200,
        "5 s go on accepting"
    );
    gate.open();
    let at = first.len() as u64;
    assert_eq!(
        reply.compare(&content, at, None).await,
        (content.len() - at, true, End::Complete)
    );
    assert!(proxy.ended().await.success());
}

/// "(in-flight bodies finish, bounded)": one that never ends does not hold the process.
#[tokio::test]
async fn a_drain_is_bounded() {
    let origin = Origin::start().await;
    let content = Content::seeded(1, 4 << 20);
    let path = format!(
        "/v2/library/app/blobs/{}",
        origin.push_blob("library/app", content.clone())
    );
    let mut proxy = Proxy::start(&origin).await;
    origin.order_always(On::get(&path), Fault::Stall(2 << 20, Gate::new()));
    let mut reply = proxy.client().get(&path).await;
    reply.take(1).await;
    let start = Instant::now();
    proxy.terminate();
    proxy.ended().await;
    assert!(
        start.elapsed() < Duration::from_secs(40),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(reply.read().await.end, End::Cut);
}

/// Two signals: the second one ends at once.
#[tokio::test]
async fn the_second_signal_ends_at_once() {
    let origin = Origin::start().await;
    let mut proxy = Proxy::start(&origin).await;
    let start = Instant::now();
    proxy.terminate();
    while proxy.client().read("/readyz").await.status == 200 {
        tokio::task::yield_now().await;
    }
    proxy.terminate();
    proxy.ended().await;
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
}
