//! Clients that only count: what they cost is not what is measured.

use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that asks for one path again and again.
pub(crate) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

/// One answer.
pub(crate) struct Answer {
    /// From the request to the first byte of the body.
    pub(crate) first_byte: Duration,
    /// Bytes of the body.
    pub(crate) bytes: u64,
}

impl Connection {
    pub(crate) async fn open(host: &str, path: &str) -> Self {
        let stream = TcpStream::connect(host).await.expect("connects");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let accept =
            "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n").into_bytes();
        Self {
            stream,
            request,
            buffer: vec![0; BUFFER],
        }
    }

    /// Asks once and reads the whole answer, which must be 200 with a length.
    pub(crate) async fn ask(&mut self) -> Answer {
        let start = Instant::now();
        self.stream
            .write_all(&self.request)
            .await
            .expect("the request leaves");
        let mut filled = 0;
        let head = loop {
            filled += self.read(filled).await;
            if let Some(end) = self.buffer[..filled]
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break end + 4;
            }
        };
        let bytes = length(&self.buffer[..head]);
        let mut left = bytes - (filled - head) as u64;
        let mut first_byte = (filled > head).then(|| start.elapsed());
        while left > 0 {
            left -= self.read(0).await as u64;
            first_byte.get_or_insert_with(|| start.elapsed());
        }
        Answer {
            first_byte: first_byte.unwrap_or_default(),
            bytes,
        }
    }

    async fn read(&mut self, from: usize) -> usize {
        let read = self
            .stream
            .read(&mut self.buffer[from..])
            .await
            .expect("the answer goes on");
        assert!(
            read > 0,
            "cut after: {}",
            String::from_utf8_lossy(&self.buffer[..from])
        );
        read
    }
}

fn length(head: &[u8]) -> u64 {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let (_, rest) = head.split_once("\r\ncontent-length:").expect("a length");
    rest.split("\r\n")
        .next()
        .and_then(|text| text.trim().parse().ok())
        .expect("a number")
}

/// Asks for `path` over `connections` connections for `time`: answers and bytes of bodies per second.
pub(crate) async fn hammer(
    host: &str,
    path: &str,
    connections: usize,
    time: Duration,
) -> (f64, f64) {
    let start = Instant::now();
    let asking: Vec<_> = (0..connections)
        .map(|_| {
            let (host, path) = (host.to_owned(), path.to_owned());
            tokio::spawn(async move {
                let mut connection = Connection::open(&host, &path).await;
                let (mut count, mut bytes) = (0_u32, 0);
                while start.elapsed() < time {
                    bytes += connection.ask().await.bytes;
                    count += 1;
                }
                (count, bytes)
            })
        })
        .collect();
    let (mut count, mut bytes) = (0, 0);
    for one in asking {
        let (answers, read) = one.await.expect("a client");
        count += answers;
        bytes += read;
    }
    let secs = start.elapsed().as_secs_f64();
    (f64::from(count) / secs, bytes as f64 / secs)
}

/// Asks for `path` with `clients` clients at once: seconds until the last has all, and the median first byte.
pub(crate) async fn crowd(host: &str, path: &str, clients: usize) -> (f64, f64) {
    let start = Instant::now();
    let asking: Vec<_> = (0..clients)
        .map(|_| {
            let (host, path) = (host.to_owned(), path.to_owned());
            tokio::spawn(async move { Connection::open(&host, &path).await.ask().await.first_byte })
        })
        .collect();
    let mut first_bytes = Vec::new();
    for one in asking {
        first_bytes.push(one.await.expect("a client"));
    }
    first_bytes.sort();
    (
        start.elapsed().as_secs_f64(),
        first_bytes[clients / 2].as_secs_f64(),
    )
}

const BUFFER: usize = 256 * 1024;
