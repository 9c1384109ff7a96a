//! Idle connections that died without anyone knowing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Barrier, watch},
    task::JoinHandle,
};

use crate::common::*;

/// How the connections end that are open when they are told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Not,
    /// They take requests and answer nothing.
    Silent,
    /// They are reset by the next request.
    Reset,
    /// The server closes them.
    Closed,
    /// The server closes its side and goes on reading.
    HalfClosed,
}

/// A registry that answers 200 to everything, on connections that it can let die.
struct Mortal {
    host: String,
    end: watch::Sender<End>,
    connections: Arc<AtomicUsize>,
    /// Requests that were answered.
    answered: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Mortal {
    /// The first `together` requests are answered once all of them are there, so that each has its own connection.
    async fn start(together: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (end, _) = watch::channel(End::Not);
        let (connections, answered) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let barrier = Arc::new(Barrier::new(together));
        let (ends, counts) = (
            end.clone(),
            (Arc::clone(&connections), Arc::clone(&answered)),
        );
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let nth = counts.0.fetch_add(1, Ordering::SeqCst);
                let barrier = (nth < together).then(|| Arc::clone(&barrier));
                let (mut end, answered) = (ends.subscribe(), Arc::clone(&counts.1));
                end.mark_unchanged();
                tokio::spawn(serve(stream, barrier, end, answered));
            }
        });
        Self {
            host,
            end,
            connections,
            answered,
            task,
        }
    }

    fn counts(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.connections), count(&self.answered))
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    mut barrier: Option<Arc<Barrier>>,
    mut end: watch::Receiver<End>,
    answered: Arc<AtomicUsize>,
) {
    let mut now = End::Not;
    loop {
        let request = tokio::select! {
            request = head(&mut stream) => request,
            Ok(()) = end.changed(), if now == End::Not => {
                now = *end.borrow();
                match now {
                    End::Closed => return,
                    End::HalfClosed => stream.shutdown().await.unwrap_or_default(),
                    End::Not | End::Silent | End::Reset => {}
                }
                continue;
            }
        };
        let Some(request) = request else { return };
        match now {
            End::Not => {}
            End::Reset => return stream.set_zero_linger().unwrap_or_default(),
            End::Silent | End::HalfClosed | End::Closed => continue,
        }
        if let Some(barrier) = barrier.take() {
            barrier.wait().await;
        }
        answered.fetch_add(1, Ordering::SeqCst);
        let body = r#"{"schemaVersion":2,"tags":[]}"#;
        let length = body.len();
        let body = if request.starts_with("HEAD") {
            ""
        } else {
            body
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.index.v1+json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The head of a request; bytes are lost when it is cancelled in the middle, which idle connections are not.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

async fn upstream_of(mortal: &Mortal) -> Upstream {
    let endpoint = Endpoint::parse(&format!("http://{}", mortal.host)).unwrap();
    Upstream::new(Config::new("registry.test", vec![endpoint])).unwrap()
}

/// So many idle connections.
async fn warm(upstream: &Upstream, count: usize) {
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let upstream = upstream.clone();
            tokio::spawn(async move { upstream.manifest(&tagged("library/app:1")).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Every kind of request, one after the other.
async fn ask_all(upstream: &Upstream) {
    let reference = tagged("library/app:1");
    let blob = canonical("library/app", &Digest::sha256(b"x").to_string());
    upstream.manifest(&reference).await.unwrap();
    upstream.resolve(&reference).await.unwrap();
    upstream.blob_size(&blob).await.unwrap();
    let mut download = upstream.blob(&blob, 0, None).await.unwrap();
    read(&mut download).await.unwrap();
    upstream.tags(reference.named(), None).await.unwrap();
    upstream.referrers(&blob, None).await.unwrap();
}

/// What the requests of [`ask_all`] ask.
const ASKED: usize = 6;

#[tokio::test]
async fn healthy_connections_are_used_again_and_asked_once() {
    let mortal = Mortal::start(1).await;
    let upstream = upstream_of(&mortal).await;
    for round in 1..=3 {
        ask_all(&upstream).await;
        assert_eq!(mortal.counts(), (1, round * ASKED));
    }
}

/// One of the dead connections is met, and takes the others with it.
#[tokio::test]
async fn connections_that_died_while_idle_cost_no_request() {
    for end in [End::Reset, End::Closed, End::HalfClosed] {
        let mortal = Mortal::start(8).await;
        let upstream = upstream_of(&mortal).await;
        warm(&upstream, 8).await;
        mortal.end.send(end).unwrap();
        let begun = Instant::now();
        ask_all(&upstream).await;
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "{end:?} {:?}",
            begun.elapsed()
        );
        assert_eq!(mortal.counts(), (9, 8 + ASKED), "{end:?}");
    }
}

#[tokio::test]
async fn a_silent_connection_is_raced_once_for_all_of_its_host() {
    let mortal = Mortal::start(8).await;
    let upstream = upstream_of(&mortal).await;
    warm(&upstream, 8).await;
    mortal.end.send(End::Silent).unwrap();
    let begun = Instant::now();
    ask_all(&upstream).await;
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(mortal.counts(), (9, 8 + ASKED));
}

/// All idle connections are met at once: each request opens one of its own.
#[tokio::test]
async fn silent_connections_that_are_met_at_once() {
    let mortal = Mortal::start(8).await;
    let upstream = upstream_of(&mortal).await;
    warm(&upstream, 8).await;
    mortal.end.send(End::Silent).unwrap();
    let begun = Instant::now();
    warm(&upstream, 8).await;
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(mortal.counts(), (16, 16));
}
