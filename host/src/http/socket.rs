//! A connection with a write timeout and a lingering close.
//!
//! Owns what hyper leaves to its caller: a bound on the time without progress of a write, the record of bytes that have not
//! left the process, and lingering at the end. If a server closes a socket with unread bytes, the kernel sends a reset, which can overtake
//! the response. Therefore the write side is closed first, and the bytes that the client still sends are read and
//! discarded for up to 2 s (RFC 9112, section 9.6).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::connection_table::Activity;
use super::stream::Stream;

/// Maximum time for which the bytes of the client are discarded after the last response.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// The connection of a client.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    /// Bytes read before hyper received the connection.
    begun: Bytes,
    write_stall_max: Duration,
    activity: Arc<Activity>,
    /// Armed while a write makes no progress.
    write_timer: Option<Pin<Box<Sleep>>>,
    /// Set when the write side is closed.
    linger_timer: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(
        stream: impl Into<Stream>,
        begun: Bytes,
        write_stall_max: Duration,
        activity: Arc<Activity>,
    ) -> Self {
        let stream = stream.into();
        Self { stream, begun, write_stall_max, activity, write_timer: None, linger_timer: None }
    }

    /// Applies the write timeout to the result of a write.
    fn with_write_timeout<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.write_timer = None;
            return polled;
        }
        let stall = self.write_stall_max;
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its response")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.begun.is_empty() {
            let bytes = self.begun.len().min(buf.remaining());
            let begun = self.begun.copy_to_bytes(bytes);
            buf.put_slice(&begun);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.activity.written();
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.with_write_timeout(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.activity.written();
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.with_write_timeout(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(polled, Poll::Ready(Ok(()))) {
            // hyper flushes when its own buffer is empty.
            self.activity.flushed();
        }
        self.with_write_timeout(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger_timer.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let timer = this.linger_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER_MAX)));
        let mut scratch = [0u8; 16 << 10];
        // Bounded by the timer. Reading consumes the cooperative budget of tokio, so that other tasks run in between.
        while timer.as_mut().poll(cx).is_pending() {
            let mut unwanted = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut unwanted)) {
                Ok(()) if !unwanted.filled().is_empty() => {}
                // The client has closed its side, or is gone.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The protocol of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// First bytes of HTTP/2 with prior knowledge (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Detects the protocol of a client from its first bytes, until `until` at the latest: an idle client must not hold a
/// connection slot. Returns `None` if the client sent too little or disconnected.
pub(super) async fn sniff(
    stream: &mut (impl AsyncRead + Unpin),
    until: Instant,
) -> Option<(Protocol, Bytes)> {
    let mut begun = Vec::with_capacity(PREFACE.len());
    loop {
        match PREFACE.strip_prefix(begun.as_slice()) {
            Some([]) => return Some((Protocol::Http2, begun.into())),
            None => return Some((Protocol::Http1, begun.into())),
            Some(_) => {}
        }
        let mut more = [0u8; PREFACE.len()];
        let free = more.get_mut(begun.len()..)?;
        let read = tokio::io::AsyncReadExt::read(stream, free);
        let bytes = tokio::time::timeout_at(until.into(), read).await.ok()?.ok()?;
        let read = more.get(begun.len()..begun.len() + bytes).filter(|read| !read.is_empty())?;
        begun.extend_from_slice(read);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    #[tokio::test]
    async fn protocols_are_detected() {
        for (sent, expect) in [
            (&b"GET / HTTP/1.1\r\n"[..], Some(Protocol::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0", Some(Protocol::Http2)),
            (b"PRINT / HTTP/1.1", Some(Protocol::Http1)),
            (b"PRI * HTTP/2.0\r\n", None),
            (b"", None),
        ] {
            let (mut client, mut server) = pair().await;
            client.write_all(sent).await.unwrap();
            // A short timeout where no protocol is expected.
            let timeout = expect.map_or(Duration::from_millis(100), |_| Duration::from_secs(60));
            let sniffed = sniff(&mut server, Instant::now() + timeout).await;
            assert_eq!(sniffed.as_ref().map(|(protocol, _)| *protocol), expect, "{sent:?}");
            if let Some((_, begun)) = sniffed {
                let mut socket = Socket::new(server, begun, Duration::from_secs(60), Activity::detached());
                let mut read = vec![0; sent.len()];
                socket.read_exact(&mut read).await.unwrap();
                assert_eq!(read, sent);
            }
        }
    }

    #[tokio::test]
    async fn the_last_response_arrives_while_the_client_still_sends() {
        let (mut client, server) = pair().await;
        let mut socket = Socket::new(server, Bytes::new(), Duration::from_secs(60), Activity::detached());
        client.write_all(&vec![b'x'; 100_000]).await.unwrap();
        socket.write_all(b"refused").await.unwrap();
        let closing = tokio::spawn(async move {
            socket.shutdown().await.unwrap();
        });
        client.write_all(&vec![b'x'; 3_000_000]).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"refused");
        closing.await.unwrap();
    }

    /// A response that waits for a slow reader keeps its connection from being closed to make room.
    #[tokio::test]
    async fn a_connection_is_not_idle_before_its_last_byte_has_left() {
        let (mut client, server) = pair().await;
        let activity = Activity::detached();
        let mut socket = Socket::new(server, Bytes::new(), Duration::from_secs(60), activity.clone());
        assert!(activity.is_idle());
        let piece = vec![b'x'; 1 << 20];
        let mut sent = 0;
        // Until the buffers of the kernel are full.
        while let Some(bytes) = socket.write(&piece).now_or_never() {
            sent += bytes.unwrap();
        }
        assert!(!activity.is_idle());
        let rest = tokio::spawn(async move {
            socket.write_all(&piece).await.unwrap();
            socket.flush().await.unwrap();
            socket
        });
        let mut read = vec![0; sent + (1 << 20)];
        client.read_exact(&mut read).await.unwrap();
        let _socket = rest.await.unwrap();
        assert!(activity.is_idle());
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_disconnected() {
        let (client, server) = pair().await;
        let mut socket = Socket::new(server, Bytes::new(), Duration::from_millis(50), Activity::detached());
        let error = loop {
            if let Err(error) = socket.write_all(&vec![0; 1 << 20]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }
}
