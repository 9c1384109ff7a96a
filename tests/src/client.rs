//! An HTTP/1.1 client that hides nothing: it sends any bytes as a path and tells how each body ended.

use crate::content::Content;
use crate::patience::PATIENCE;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Where requests go, and the headers they carry. One connection for each request.
#[derive(Clone, Debug)]
pub struct Client {
    host: String,
    headers: Vec<(String, String)>,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As its framing promised.
    Complete,
    /// The connection was closed or reset before that.
    Cut,
}

/// A response read to its end.
#[derive(Clone, Debug)]
pub struct Read {
    /// The status; 0 when the connection ended before the headers did.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// What came of the body.
    pub body: Vec<u8>,
    /// How the body ended.
    pub end: End,
}

impl Client {
    /// A client of `host:port`.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            headers: Vec::new(),
        }
    }

    /// The same client, with one header more on each request.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.into(), value.into()));
        client
    }

    /// The same client asking for `Range: bytes=<range>`.
    #[must_use]
    pub fn range(&self, range: &str) -> Self {
        self.with("Range", &format!("bytes={range}"))
    }

    /// GET, read to the end.
    pub async fn read(&self, path: &str) -> Read {
        self.get(path).await.read().await
    }

    /// GET, up to the headers.
    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path).await
    }

    /// HEAD.
    pub async fn head(&self, path: &str) -> Read {
        self.send("HEAD", path).await.read().await
    }

    /// Any method, up to the headers. `path` is sent as it stands.
    pub async fn send(&self, method: &str, path: &str) -> Reply {
        let mut head = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
        if !self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            head.extend(format!("Host: {}\r\n", self.host).bytes());
        }
        for (name, value) in &self.headers {
            head.extend(format!("{name}: {value}\r\n").bytes());
        }
        head.extend(b"Connection: close\r\n\r\n");
        self.send_raw(&head, method == "HEAD").await
    }

    /// Sends these bytes on a new connection and waits for the headers of a response.
    pub async fn send_raw(&self, bytes: &[u8], head_only: bool) -> Reply {
        let mut reply = Reply::empty(head_only);
        let Ok(mut stream) = timeout(PATIENCE, TcpStream::connect(&self.host))
            .await
            .expect("connects in time")
        else {
            return reply;
        };
        drop(stream.set_nodelay(true));
        // A server that refuses early may close before it read everything; what it answered still counts.
        drop(stream.write_all(bytes).await);
        reply.stream = Some(stream);
        timeout(PATIENCE, reply.read_head())
            .await
            .expect("headers in time");
        reply
    }
}

impl Read {
    /// The value of the header with this lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The codes of the error body; empty when it is none.
    #[must_use]
    pub fn codes(&self) -> Vec<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        errors
            .iter()
            .filter_map(|error| error["code"].as_str())
            .map(str::to_owned)
            .collect()
    }
}

/// A response under way. Dropping it hangs up.
#[derive(Debug)]
pub struct Reply {
    /// The status; 0 when the connection ended before the headers did.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    framing: Framing,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    /// Bytes left.
    Length(u64),
    /// Bytes left of the chunk.
    Chunked(u64),
    Close,
}

impl Reply {
    fn empty(head_only: bool) -> Self {
        // A length of zero stands for "no body" until the headers say otherwise.
        let framing = if head_only {
            Framing::Length(0)
        } else {
            Framing::Close
        };
        Self {
            status: 0,
            headers: Vec::new(),
            stream: None,
            buffer: Vec::new(),
            framing,
            end: None,
        }
    }

    /// The value of the header with this lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// How the body ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The next bytes of the body; `None` at its [`end`](Self::end).
    ///
    /// # Panics
    /// When nothing comes for [`PATIENCE`].
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let chunk = timeout(PATIENCE, self.next())
            .await
            .expect("the body goes on");
        if chunk.is_none() {
            self.stream = None;
        }
        chunk
    }

    /// Reads to the end.
    pub async fn read(mut self) -> Read {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await {
            body.extend(chunk);
        }
        Read {
            status: self.status,
            headers: self.headers,
            body,
            end: self.end.unwrap_or(End::Cut),
        }
    }

    /// Reads at least `n` bytes, or to the end if that comes first.
    pub async fn take(&mut self, n: u64) -> Vec<u8> {
        let mut body = Vec::new();
        while (body.len() as u64) < n {
            let Some(chunk) = self.chunk().await else {
                break;
            };
            body.extend(chunk);
        }
        body
    }

    /// Reads to the end and compares with `content` from `offset` on, keeping nothing: how many bytes came, all right
    /// or not, and how the body ended. `rate` bounds the bytes per second.
    pub async fn compare(
        mut self,
        content: &Content,
        offset: u64,
        rate: Option<u64>,
    ) -> (u64, bool, End) {
        let start = Instant::now();
        let (mut count, mut right) = (0, true);
        while let Some(chunk) = self.chunk().await {
            right &= content.matches(offset + count, &chunk);
            count += chunk.len() as u64;
            if let Some(rate) = rate {
                tokio::time::sleep_until(
                    start + Duration::from_secs_f64(count as f64 / rate as f64),
                )
                .await;
            }
        }
        (count, right, self.end.unwrap_or(End::Cut))
    }

    async fn read_head(&mut self) {
        let end = loop {
            if let Some(end) = self
                .buffer
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
            {
                break end;
            }
            if !self.more().await {
                self.end = Some(End::Cut);
                return;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse().ok());
        self.status = status.unwrap_or(0);
        let headers = lines.filter_map(|line| line.split_once(':'));
        self.headers = headers
            .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
            .collect();
        if matches!(self.framing, Framing::Length(0)) || self.status == 304 {
            self.framing = Framing::Length(0);
        } else if self.header("transfer-encoding") == Some("chunked") {
            self.framing = Framing::Chunked(0);
        } else if let Some(len) = self
            .header("content-length")
            .and_then(|len| len.parse().ok())
        {
            self.framing = Framing::Length(len);
        }
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        if self.end.is_some() {
            return None;
        }
        let left = match self.framing {
            Framing::Length(left) => left,
            Framing::Chunked(0) => self.chunk_size().await?,
            Framing::Chunked(left) => left,
            Framing::Close => u64::MAX,
        };
        if left == 0 {
            self.end = Some(End::Complete);
            return None;
        }
        if self.buffer.is_empty() && !self.more().await {
            self.end = Some(if matches!(self.framing, Framing::Close) {
                End::Complete
            } else {
                End::Cut
            });
            return None;
        }
        let take = left.min(self.buffer.len() as u64);
        let rest = self.buffer.split_off(take as usize);
        let chunk = std::mem::replace(&mut self.buffer, rest);
        match &mut self.framing {
            Framing::Length(left) => *left -= take,
            Framing::Chunked(left) => {
                *left -= take;
                if *left == 0 && !self.skip_line().await {
                    self.end = Some(End::Cut);
                }
            }
            Framing::Close => {}
        }
        Some(chunk)
    }

    /// Reads the size of the next chunk; `None` at the end of the body.
    async fn chunk_size(&mut self) -> Option<u64> {
        let line = self.line().await;
        let size =
            line.and_then(|line| u64::from_str_radix(line.split(';').next()?.trim(), 16).ok());
        match size {
            None => self.end = Some(End::Cut),
            Some(0) => {
                self.end = Some(if self.skip_line().await {
                    End::Complete
                } else {
                    End::Cut
                })
            }
            Some(size) => self.framing = Framing::Chunked(size),
        }
        size.filter(|size| *size > 0)
    }

    async fn skip_line(&mut self) -> bool {
        self.line().await.is_some()
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|bytes| bytes == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Some(line);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn more(&mut self) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        self.buffer.reserve(64 * 1024);
        matches!(stream.read_buf(&mut self.buffer).await, Ok(1..))
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(held, _)| held == name)
        .map(|(_, value)| value.as_str())
}
