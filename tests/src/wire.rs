//! Responses of HTTP/1.1 as the origin sends them, with every lie that was ordered.

use crate::answer::Answer;
use crate::content::Content;
use crate::fault::{Fault, Gate};
use std::fmt::Write as _;
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// How a body leaves, made of the faults of delivery.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    stops: Vec<(u64, Stop)>,
    length_lies: i64,
    framing: Framing,
    pace: Option<u64>,
}

#[derive(Debug)]
enum Stop {
    Cut,
    Reset,
    Stall(Gate),
}

#[derive(Debug, Default, PartialEq)]
enum Framing {
    #[default]
    Length,
    Chunked,
    Close,
}

impl Delivery {
    /// Takes what it knows of `faults`.
    pub(crate) fn of(faults: &[Fault]) -> Self {
        let mut delivery = Self::default();
        for fault in faults {
            match fault {
                Fault::CutAt(at) => delivery.stops.push((*at, Stop::Cut)),
                Fault::ResetAt(at) => delivery.stops.push((*at, Stop::Reset)),
                Fault::Stall(at, gate) => delivery.stops.push((*at, Stop::Stall(gate.clone()))),
                Fault::LengthLies(by) => delivery.length_lies = *by,
                Fault::Chunked => delivery.framing = Framing::Chunked,
                Fault::UntilClose => delivery.framing = Framing::Close,
                Fault::Pace(rate) => delivery.pace = Some(*rate),
                _ => {}
            }
        }
        delivery.stops.sort_by_key(|(at, _)| *at);
        delivery
    }

    /// Sends the answer; `sent` hears of each piece of the body. `true`: the connection can carry another request.
    pub(crate) async fn send(
        self,
        stream: &mut TcpStream,
        answer: &Answer,
        head_only: bool,
        sent: &mut (dyn FnMut(u64) + Send),
    ) -> io::Result<bool> {
        let len = answer.len;
        let mut head = format!("HTTP/1.1 {} Ordered\r\n", answer.status);
        for (name, value) in &answer.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        match self.framing {
            Framing::Length => write!(
                head,
                "Content-Length: {}\r\n",
                len.saturating_add_signed(self.length_lies)
            ),
            Framing::Chunked => write!(head, "Transfer-Encoding: chunked\r\n"),
            Framing::Close => write!(head, "Connection: close\r\n"),
        }
        .unwrap();
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await?;
        if head_only {
            return Ok(self.framing != Framing::Close);
        }
        let whole = self
            .body(stream, &answer.content, answer.start, len, sent)
            .await?;
        if whole && self.framing == Framing::Chunked {
            stream.write_all(b"0\r\n\r\n").await?;
        }
        Ok(whole && self.framing != Framing::Close && self.length_lies == 0)
    }

    async fn body(
        &self,
        stream: &mut TcpStream,
        content: &Content,
        start: u64,
        len: u64,
        sent: &mut (dyn FnMut(u64) + Send),
    ) -> io::Result<bool> {
        let mut stops = self.stops.as_slice();
        let mut buffer = vec![0; PIECE.min(len.max(1) as usize)];
        let mut at = 0;
        loop {
            while let Some(((stop, what), rest)) = stops.split_first()
                && *stop <= at
            {
                stops = rest;
                match what {
                    Stop::Cut => return Ok(false),
                    Stop::Reset => return stream.set_zero_linger().map(|()| false),
                    Stop::Stall(gate) => unless_gone(stream, gate.pass()).await?,
                }
            }
            if at == len {
                return Ok(true);
            }
            let until = stops.first().map_or(len, |(stop, _)| len.min(*stop));
            let take = (until - at).min(buffer.len() as u64);
            let piece = &mut buffer[..take as usize];
            content.fill(start + at, piece);
            if self.framing == Framing::Chunked {
                stream.write_all(format!("{take:x}\r\n").as_bytes()).await?;
            }
            stream.write_all(piece).await?;
            if self.framing == Framing::Chunked {
                stream.write_all(b"\r\n").await?;
            }
            at += take;
            sent(take);
            if let Some(rate) = self.pace {
                tokio::time::sleep(Duration::from_secs_f64(take as f64 / rate as f64)).await;
            }
        }
    }
}

/// Waits for `event`, but not longer than the other side is there.
pub(crate) async fn unless_gone(
    stream: &TcpStream,
    event: impl Future<Output = ()>,
) -> io::Result<()> {
    let gone = async {
        match stream.peek(&mut [0]).await {
            Ok(1..) => std::future::pending().await,
            Ok(0) => io::ErrorKind::UnexpectedEof.into(),
            Err(error) => error,
        }
    };
    tokio::select! {
        () = event => Ok(()),
        error = gone => Err(error),
    }
}

/// Bytes written at a time, and so the grain of what [`Seen`](crate::Seen) counts.
const PIECE: usize = 64 * 1024;
