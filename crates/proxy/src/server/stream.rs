//! The socket of a client, with deadlines that hyper does not have.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::activity::Activity;

/// Fails when a request takes too long from its first byte on, and when a write makes no progress for too long.
pub(super) struct Stream<T> {
    io: T,
    activity: Arc<Activity>,
    /// Runs while the headers of a request are incomplete.
    head: Clock,
    /// The number of requests before the one whose bytes started `head`.
    head_of: usize,
    /// Runs while a write waits.
    write: Clock,
}

impl<T> Stream<T> {
    pub(super) fn new(io: T, activity: Arc<Activity>, head: Duration, stall: Duration) -> Self {
        Self {
            io,
            activity,
            head: Clock::new(head),
            head_of: 0,
            write: Clock::new(stall),
        }
    }

    /// Bytes came. Between two requests they begin the next one.
    fn have_read(&mut self) {
        let requests = self.activity.requests();
        if self.head_of != requests {
            self.head_of = requests;
            self.head.stop();
        }
        if !self.activity.is_answering() {
            self.head.start();
        }
    }

    fn is_head_late(&mut self, cx: &mut Context<'_>) -> bool {
        let under_way = self.head_of == self.activity.requests() && !self.activity.is_answering();
        under_way && self.head.is_running() && self.head.has_run_out(cx)
    }

    fn check_write<R>(
        &mut self,
        written: Poll<io::Result<R>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.write.stop();
            return written;
        }
        self.write.start();
        if self.write.has_run_out(cx) {
            return Poll::Ready(Err(late("the client does not read")));
        }
        Poll::Pending
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        match read {
            Poll::Ready(Ok(())) if buf.filled().len() > before => self.have_read(),
            Poll::Ready(_) => {}
            Poll::Pending => {
                if self.is_head_late(cx) {
                    return Poll::Ready(Err(late("the client does not finish its request")));
                }
            }
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Stream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.check_write(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.check_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A deadline that is moved often and reached seldom: the timer is set anew only when it fires too early.
struct Clock {
    limit: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            since: None,
            timer: None,
        }
    }

    fn start(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    fn stop(&mut self) {
        self.since = None;
    }

    fn is_running(&self) -> bool {
        self.since.is_some()
    }

    /// Whether it has run for its limit; wakes the task when it has.
    fn has_run_out(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(since) = self.since else {
            return false;
        };
        let deadline = since + self.limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= deadline {
                return true;
            }
            timer.as_mut().reset(deadline);
        }
        false
    }
}

fn late(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const LIMIT: Duration = Duration::from_secs(60);

    fn stream<T>(io: T) -> Stream<T> {
        Stream::new(io, Arc::default(), LIMIT, LIMIT)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_is_given_up_after_the_limit() {
        let (server, _client) = duplex(4);
        let started = Instant::now();
        let error = stream(server)
            .write_all(b"more than four")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_waited_for() {
        let (server, mut client) = duplex(4);
        let started = Instant::now();
        let reading = tokio::spawn(async move {
            let mut bytes = [0; 4];
            for _ in 0..10 {
                tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
                client.read_exact(&mut bytes).await.unwrap();
            }
            client
        });
        let mut server = stream(server);
        server.write_all(&[7; 44]).await.unwrap();
        assert!(started.elapsed() > LIMIT * 9);
        // The clock of the last wait does not run on.
        let client = reading.await.unwrap();
        let stalled = Instant::now();
        server.write_all(b"x").await.unwrap_err();
        assert_eq!(stalled.elapsed().as_secs(), LIMIT.as_secs());
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_pieces_has_one_deadline() {
        let (server, mut client) = duplex(64);
        let trickling = tokio::spawn(async move {
            for _ in 0..3 * LIMIT.as_secs() {
                if client.write_all(b"G").await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let started = Instant::now();
        let mut bytes = Vec::new();
        let error = stream(server).read_to_end(&mut bytes).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), LIMIT.as_secs());
        trickling.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_has_no_deadline_here() {
        let (server, client) = duplex(64);
        let waiting = tokio::spawn(async move {
            let mut byte = [0];
            stream(server).read(&mut byte).await
        });
        tokio::time::sleep(LIMIT * 10).await;
        drop(client);
        assert_eq!(waiting.await.unwrap().unwrap(), 0);
    }
}
