//! The delivery of responses: how fast a client takes one, and what it holds meanwhile.
//!
//! Owns the data of a response between its handler and the connection. A client that does not read (an HTTP/2 window
//! of 0), or reads a few bytes a minute, would otherwise pin a finished response of many megabytes. The connection asks
//! at intervals ([`Deliveries::cut_slow`]); a response that the client does not take fast enough loses its data, with
//! its memory and its work. Data goes to the connection in small copies, because the connection keeps what it has
//! accepted. Independent of routes and of the meaning of responses.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Buf, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use crate::config::Rate;

/// Largest piece that the connection gets at once.
const PIECE_BYTES_MAX: usize = 16 << 10;

/// The limits of a delivery. Times count while data is ready and the client does not take it.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeliveryLimits {
    /// Minimum rate.
    pub(super) rate_min: Rate,
    /// Maximum time without progress.
    pub(super) idle_max: Duration,
    /// Maximum time in all.
    pub(super) total_max: Duration,
}

/// The responses that a connection is sending.
#[derive(Clone, Debug, Default)]
pub(super) struct Deliveries(Arc<Mutex<Vec<Weak<Mutex<State>>>>>);

impl Deliveries {
    fn add(&self, state: &Arc<Mutex<State>>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|state| state.strong_count() > 0);
        open.push(Arc::downgrade(state));
    }

    /// Drops the data of the responses that their client takes too slowly; returns their number.
    pub(super) fn cut_slow(&self) -> usize {
        let open: Vec<_> = {
            let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            open.iter().filter_map(Weak::upgrade).collect()
        };
        let now = Instant::now();
        let cut = |state: &Arc<Mutex<State>>| {
            let mut locked = lock(state);
            if !locked.is_slow(now) {
                return false;
            }
            let content = locked.content.take();
            drop(locked);
            // Outside of the lock: this cancels the work on the response, and writes its log line.
            drop(content);
            true
        };
        open.iter().filter(|state| cut(state)).count()
    }
}

/// The data of a response.
#[derive(Debug)]
struct Content {
    body: Body,
    /// The rest of the chunk that is being sent.
    rest: Bytes,
}

#[derive(Debug)]
struct State {
    /// `None`: the client was too slow.
    content: Option<Content>,
    limits: DeliveryLimits,
    /// Since when the client has not taken what is ready, and the bytes that it got last.
    ready_since: Option<(Instant, u64)>,
    /// Time for which the client let the server wait, since it last had taken everything.
    waited: Duration,
}

impl State {
    fn is_slow(&self, now: Instant) -> bool {
        let (Some((since, bytes)), true) = (self.ready_since, self.content.is_some()) else { return false };
        let waits = now.saturating_duration_since(since);
        let Rate { bytes_per_s, window } = self.limits.rate_min;
        // The last piece may take as long as the minimum rate needs for it.
        let for_piece = match bytes_per_s {
            0 => Duration::MAX,
            rate => window.saturating_add(Duration::from_secs_f64(bytes as f64 / rate as f64)),
        };
        waits >= self.limits.idle_max.max(window).min(for_piece)
            || self.waited + waits >= self.limits.total_max
    }

    /// Notes that the client asks for data.
    fn asked(&mut self, now: Instant) {
        if let Some((since, _)) = self.ready_since.take() {
            self.waited += now.saturating_duration_since(since);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.asked(Instant::now());
        let Some(content) = &mut self.content else {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the client does not read its response");
            return Poll::Ready(Some(Err(axum::Error::new(error))));
        };
        if content.rest.is_empty() {
            let polled = Pin::new(&mut content.body).poll_frame(cx);
            if polled.is_pending() {
                // The client has taken everything so far.
                self.waited = Duration::ZERO;
            }
            match ready!(polled) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.len() > PIECE_BYTES_MAX => content.rest = data,
                    Ok(data) => return self.gives(Frame::data(data)),
                    Err(trailers) => return self.gives(trailers),
                },
                other => return Poll::Ready(other),
            }
        }
        let bytes = content.rest.len().min(PIECE_BYTES_MAX);
        let Some(piece) = content.rest.get(..bytes) else { return Poll::Ready(None) };
        // A copy: a slice would keep the whole chunk in memory as long as the connection keeps the slice.
        let piece = Bytes::copy_from_slice(piece);
        content.rest.advance(bytes);
        if content.rest.is_empty() {
            content.rest = Bytes::new();
        }
        self.gives(Frame::data(piece))
    }

    fn gives(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.ready_since = Some((Instant::now(), bytes));
        Poll::Ready(Some(Ok(frame)))
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A panic of the body leaves a state that can only be dropped.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A response body that gives up its data when the client does not take it.
pub(super) struct Delivery(Arc<Mutex<State>>);

impl Delivery {
    /// Wraps a body of a connection. What the body owns ends with its data.
    pub(super) fn new(body: Body, limits: DeliveryLimits, deliveries: &Deliveries) -> Self {
        let ready_since = (!body.is_end_stream()).then(|| (Instant::now(), 0));
        let content = Some(Content { body, rest: Bytes::new() });
        let state = Arc::new(Mutex::new(State { content, limits, ready_since, waited: Duration::ZERO }));
        deliveries.add(&state);
        Self(state)
    }
}

impl HttpBody for Delivery {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        lock(&self.0).poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.0);
        state.content.as_ref().is_some_and(|content| content.rest.is_empty() && content.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let state = lock(&self.0);
        let Some(content) = &state.content else { return SizeHint::default() };
        let (hint, rest) = (content.body.size_hint(), content.rest.len() as u64);
        let mut sum = SizeHint::new();
        sum.set_lower(hint.lower().saturating_add(rest));
        if let Some(upper) = hint.upper() {
            sum.set_upper(upper.saturating_add(rest));
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use futures::{FutureExt, StreamExt};

    use super::*;

    const S: Duration = Duration::from_secs(1);

    /// A body that owns something.
    struct Owning {
        body: Body,
        _held: Arc<()>,
    }

    impl HttpBody for Owning {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            Pin::new(&mut self.body).poll_frame(cx)
        }

        fn is_end_stream(&self) -> bool {
            self.body.is_end_stream()
        }

        fn size_hint(&self) -> SizeHint {
            self.body.size_hint()
        }
    }

    fn delivery(body: Body) -> (Deliveries, Body, Weak<()>) {
        let limits = DeliveryLimits {
            rate_min: Rate { bytes_per_s: 1024, window: S * 10 },
            idle_max: S * 20,
            total_max: S * 300,
        };
        let (deliveries, held) = (Deliveries::default(), Arc::new(()));
        let weak = Arc::downgrade(&held);
        let body = Owning { body, _held: held };
        let body = Body::new(Delivery::new(Body::new(body), limits, &deliveries));
        (deliveries, body, weak)
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_not_read_loses_its_data() {
        let (deliveries, body, held) = delivery(Body::from(vec![7; 38 << 20]));
        tokio::time::advance(S * 9).await;
        assert_eq!((deliveries.cut_slow(), held.strong_count()), (0, 1));
        tokio::time::advance(S * 2).await;
        assert_eq!((deliveries.cut_slow(), held.strong_count()), (1, 0));
        assert_eq!(deliveries.cut_slow(), 0);
        assert!(axum::body::to_bytes(body, usize::MAX).await.is_err(), "it does not end like a complete one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_that_the_connection_keeps_does_not_keep_the_response() {
        #[allow(dead_code, reason = "held for its count")]
        struct Owner(Arc<()>, Vec<u8>);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.1
            }
        }
        let memory = Arc::new(());
        let chunk = Bytes::from_owner(Owner(memory.clone(), vec![7; 1 << 20]));
        let (deliveries, body, _) = delivery(Body::from(chunk));
        let mut stream = body.into_data_stream();
        let piece = stream.next().await.unwrap().unwrap();
        assert_eq!(piece.len(), PIECE_BYTES_MAX);
        tokio::time::advance(S * 27).await;
        assert_eq!(deliveries.cut_slow(), 1);
        assert_eq!(Arc::strong_count(&memory), 1, "only the piece is left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sufficient_rate_is_bounded_by_the_total_time_and_reads_everything() {
        let whole: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let (deliveries, body, held) = delivery(Body::from(whole.clone()));
        assert_eq!(body.size_hint().exact(), Some(100_000));
        let mut stream = body.into_data_stream();
        let mut read = Vec::new();
        while let Some(piece) = stream.next().await {
            read.extend_from_slice(&piece.unwrap());
            // 2 KiB a second.
            tokio::time::advance(S * 8).await;
            assert_eq!(deliveries.cut_slow(), 0);
        }
        assert_eq!(read, whole);
        drop(stream);
        assert_eq!(held.strong_count(), 0);

        let (deliveries, body, _) = delivery(Body::from(vec![0; 10 << 20]));
        let mut stream = body.into_data_stream();
        for _ in 0..37 {
            stream.next().await.unwrap().unwrap();
            tokio::time::advance(S * 8).await;
            assert_eq!(deliveries.cut_slow(), 0);
        }
        stream.next().await.unwrap().unwrap();
        tokio::time::advance(S * 8).await;
        assert_eq!(deliveries.cut_slow(), 1, "300 s in all");
    }

    /// A stream of events is idle most of the time, and that is not the client's fault.
    #[tokio::test(start_paused = true)]
    async fn a_response_that_waits_for_the_server_is_not_slow() {
        let (sender, receiver) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(4);
        let events =
            futures::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        let (deliveries, body, _) = delivery(Body::from_stream(events));
        let mut stream = body.into_data_stream();
        for _ in 0..5 {
            assert!(stream.next().now_or_never().is_none());
            tokio::time::advance(S * 1000).await;
            assert_eq!(deliveries.cut_slow(), 0);
            sender.send(Ok(Bytes::from_static(b"event"))).await.unwrap();
            assert_eq!(stream.next().await.unwrap().unwrap(), "event");
        }
        tokio::time::advance(S * 11).await;
        assert_eq!(deliveries.cut_slow(), 1, "the last event was not taken");
    }
}
