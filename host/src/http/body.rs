//! Request bodies under limits: size, idle time, minimum rate and total time.
//!
//! Owns the reading of request bodies, independent of their content. Used by `upload.rs`. Bytes are read only on
//! demand: this is the backpressure for a client whose document has no permit yet, and it allows an error response to
//! `Expect: 100-continue` before the body is sent.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::BodyDataStream;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures::Stream;
use lector_core::{Blame, Fault, Kind};
use tokio::time::{Instant, Sleep};

use crate::config::Rate;

/// The limits of a body. Times count while the server waits for the client, and not while it does not read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// Maximum total bytes.
    pub(crate) bytes_max: u64,
    /// Maximum time without a byte while the reader waits for one.
    pub(crate) idle_max: Duration,
    /// Maximum time for which the reader waits for bytes, in all.
    pub(crate) waits_max: Duration,
    /// Deadline of the last byte.
    pub(crate) until: std::time::Instant,
    /// Minimum rate over a window of such time.
    pub(crate) rate_min: Rate,
}

/// The limit that a body has reached while the reader waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overdue {
    Idle,
    Rate,
    Total,
}

/// The waits of the reader for one body.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    /// Start of the wait in progress.
    since: Option<Instant>,
    /// Time of the finished waits, and the part of it in the window of the rate.
    total: Duration,
    window: Duration,
    /// Bytes received in the window.
    bytes: u64,
}

impl Waits {
    /// Returns the time at which the wait in progress must be looked at again.
    fn look_at(&self, since: Instant, limits: &BodyLimits) -> Instant {
        let total = since + limits.waits_max.saturating_sub(self.total);
        let rate = match limits.rate_min.bytes_per_s {
            0 => total,
            _ => since + limits.rate_min.window.saturating_sub(self.window),
        };
        total.min(rate).min(limits.until.into())
    }

    /// Ends the wait in progress, and the window if it is over. Returns the limit that is reached.
    fn end(&mut self, now: Instant, limits: &BodyLimits) -> Option<Overdue> {
        let waited = self.since.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.total += waited;
        self.window += waited;
        if now >= limits.until.into() || self.total >= limits.waits_max {
            return Some(Overdue::Total);
        }
        let Rate { bytes_per_s, window } = limits.rate_min;
        if bytes_per_s > 0 && self.window >= window {
            if (self.bytes as f64) < bytes_per_s as f64 * self.window.as_secs_f64() {
                return Some(Overdue::Rate);
            }
            (self.window, self.bytes) = (Duration::ZERO, 0);
        }
        None
    }
}

/// A request body under limits.
pub(crate) struct LimitedBody {
    body: BodyDataStream,
    limits: BodyLimits,
    seen_bytes: u64,
    /// Armed while the reader waits for a byte.
    timer: Pin<Box<Sleep>>,
    waits: Waits,
    /// Start of the current silence, which may last for several windows of the rate.
    silent_since: Option<Instant>,
    /// True for one poll after each chunk: see `poll_next`.
    pausing: bool,
    quota: ByteQuota,
}

/// Bytes that may arrive before the holder of the quota must renew it.
///
/// A parser that searches for the end of the head of a part buffers everything before it; the quota bounds that buffer.
#[derive(Clone, Debug)]
pub(crate) struct ByteQuota(Arc<AtomicU64>);

impl ByteQuota {
    /// Sets the quota to `bytes`.
    pub(crate) fn give(&self, bytes: u64) {
        self.0.store(bytes, Relaxed);
    }

    /// Takes `bytes` from the quota; returns whether they were within it.
    fn take(&self, bytes: u64) -> bool {
        self.0.try_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

impl LimitedBody {
    /// Wraps a body. Rejects a declared length beyond the limit at once.
    pub(crate) fn new(
        headers: &HeaderMap,
        body: axum::body::Body,
        limits: BodyLimits,
    ) -> Result<Self, Fault> {
        if declared_bytes(headers).is_some_and(|bytes| bytes > limits.bytes_max) {
            return Err(too_large(limits.bytes_max));
        }
        let timer = Box::pin(tokio::time::sleep_until(limits.until.into()));
        Ok(Self {
            body: body.into_data_stream(),
            limits,
            seen_bytes: 0,
            timer,
            waits: Waits::default(),
            silent_since: None,
            pausing: false,
            quota: ByteQuota(Arc::new(AtomicU64::new(u64::MAX))),
        })
    }

    /// Returns the quota of the body, initially unlimited.
    pub(crate) fn quota(&self) -> ByteQuota {
        self.quota.clone()
    }

    fn overdue(&self, overdue: Overdue) -> Fault {
        let BodyLimits { rate_min, idle_max, .. } = self.limits;
        let (code, message) = match overdue {
            Overdue::Total => (
                "body_too_slow",
                "The body did not arrive within the timeout: increase the timeout, or send less.".to_owned(),
            ),
            Overdue::Rate => (
                "body_too_slow",
                format!(
                    "{} bytes of the body arrived in {} s, and the minimum is {} bytes per second: send the request \
                     again over a faster connection.",
                    self.waits.bytes,
                    self.waits.window.as_secs(),
                    rate_min.bytes_per_s
                ),
            ),
            Overdue::Idle => (
                "body_stalled",
                format!(
                    "No byte of the body arrived for {} s: send the request again.",
                    idle_max.as_secs_f64()
                ),
            ),
        };
        Fault::new(Kind::Deadline, code, message).blaming(Blame::Client)
    }
}

/// Returns the declared length of the body in bytes.
pub(crate) fn declared_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(most: u64) -> Fault {
    Fault::new(
        Kind::TooLarge,
        "body_too_large",
        format!("The body exceeds {most} bytes: send less, or split it."),
    )
}

impl Stream for LimitedBody {
    type Item = Result<Bytes, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if std::mem::take(&mut this.pausing) {
            // The multipart parser reads its source as long as it is ready. This pause makes it process its buffer
            // after each chunk, so that it does not buffer a second copy of a document.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = Pin::new(&mut this.body).poll_next(cx);
        let Poll::Ready(chunk) = polled else {
            loop {
                let now = Instant::now();
                let silent = *this.silent_since.get_or_insert(now);
                if this.waits.since.is_none() {
                    this.waits.since = Some(now);
                    let look_at = this.waits.look_at(now, &this.limits);
                    this.timer.as_mut().reset(look_at.min(silent + this.limits.idle_max));
                }
                ready!(this.timer.as_mut().poll(cx));
                let now = Instant::now();
                let idle = now.saturating_duration_since(silent) >= this.limits.idle_max;
                let overdue = this.waits.end(now, &this.limits).or_else(|| idle.then_some(Overdue::Idle));
                if let Some(overdue) = overdue {
                    return Poll::Ready(Some(Err(this.overdue(overdue))));
                }
            }
        };
        this.silent_since = None;
        if let Some(Ok(bytes)) = &chunk {
            this.waits.bytes = this.waits.bytes.saturating_add(bytes.len() as u64);
            if this.waits.since.is_some()
                && let Some(overdue) = this.waits.end(Instant::now(), &this.limits)
            {
                return Poll::Ready(Some(Err(this.overdue(overdue))));
            }
        }
        this.pausing = true;
        Poll::Ready(match chunk {
            None => None,
            Some(Err(error)) => Some(Err(incomplete(&error))),
            Some(Ok(bytes)) => {
                this.seen_bytes = this.seen_bytes.saturating_add(bytes.len() as u64);
                Some(if this.seen_bytes > this.limits.bytes_max {
                    Err(too_large(this.limits.bytes_max))
                } else if !this.quota.take(bytes.len() as u64) {
                    let message =
                        "The head of a part of the form has no end: send the form as RFC 7578 requires.";
                    Err(Fault::new(Kind::Invalid, "multipart_invalid", message))
                } else {
                    Ok(bytes)
                })
            }
        })
    }
}

fn incomplete(error: &axum::Error) -> Fault {
    Fault::new(
        Kind::Invalid,
        "body_incomplete",
        "The body ended before its declared end: send the request again.",
    )
    .with_detail(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use axum::body::Body;
    use futures::{StreamExt, stream};

    use super::*;

    fn limits(bytes_max: u64) -> BodyLimits {
        let (soon, late) = (Duration::from_millis(30), Duration::from_secs(60));
        let rate_min = Rate { bytes_per_s: 0, window: late };
        let until = std::time::Instant::now() + late;
        BodyLimits { bytes_max, idle_max: soon, waits_max: late, until, rate_min }
    }

    async fn read(body: Body, limits: BodyLimits) -> Result<usize, &'static str> {
        let mut limited_body = LimitedBody::new(&HeaderMap::new(), body, limits).unwrap();
        let mut seen = 0;
        while let Some(chunk) = limited_body.next().await {
            seen += chunk.map_err(|fault| fault.code)?.len();
        }
        Ok(seen)
    }

    #[tokio::test]
    async fn reads_up_to_the_limit() {
        assert_eq!(read(Body::from("12345"), limits(5)).await, Ok(5));
        assert_eq!(read(Body::from("123456"), limits(5)).await, Err("body_too_large"));
        let chunks = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[0; 100])));
        assert_eq!(read(Body::from_stream(chunks), limits(1000)).await, Err("body_too_large"));
    }

    #[tokio::test]
    async fn a_stall_and_an_incomplete_body_have_different_codes() {
        let begun = || stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"%PDF")) });
        let stalled = Body::from_stream(begun().chain(stream::pending()));
        assert_eq!(read(stalled, limits(1000)).await, Err("body_stalled"));
        let broken =
            Body::from_stream(begun().chain(stream::once(async { Err(std::io::Error::other("gone")) })));
        assert_eq!(read(broken, limits(1000)).await, Err("body_incomplete"));
        let until = std::time::Instant::now() + Duration::from_millis(5);
        let slow = BodyLimits { until, idle_max: Duration::from_secs(60), ..limits(1000) };
        assert_eq!(
            read(Body::from_stream(begun().chain(stream::pending())), slow).await,
            Err("body_too_slow")
        );
    }

    /// Returns a body that sends `bytes` bytes every `every`, without an end.
    fn trickle(bytes: usize, every: Duration) -> Body {
        Body::from_stream(stream::unfold((), move |()| async move {
            tokio::time::sleep(every).await;
            Some((Ok::<_, std::io::Error>(Bytes::from(vec![0; bytes])), ()))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_below_the_minimum_rate_ends() {
        let s = Duration::from_secs;
        let minute = BodyLimits {
            idle_max: s(20),
            waits_max: s(300),
            until: std::time::Instant::now() + s(3000),
            rate_min: Rate { bytes_per_s: 1024, window: s(10) },
            ..limits(1 << 20)
        };
        let ended = async |body: Body, limits: BodyLimits| {
            let began = Instant::now();
            (read(body, limits).await, began.elapsed().as_secs())
        };
        assert_eq!(ended(trickle(2, s(1)), minute).await, (Err("body_too_slow"), 10));
        // No byte at all: the window ends before the idle timeout.
        assert_eq!(
            ended(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()), minute).await,
            (Err("body_too_slow"), 10)
        );
        // A fast start does not pay for a slow rest.
        let begun = stream::once(async { Ok::<_, std::io::Error>(Bytes::from(vec![0; 50_000])) });
        let body = Body::from_stream(
            begun.chain(trickle(2, s(1)).into_data_stream().map(|c| c.map_err(std::io::Error::other))),
        );
        assert_eq!(ended(body, minute).await, (Err("body_too_slow"), 20));
        // A sufficient rate is limited by the total time alone.
        let (end, took) = ended(trickle(2048, s(1)), minute).await;
        assert_eq!((end, took), (Err("body_too_slow"), 300));
        let stalled = BodyLimits { rate_min: Rate { bytes_per_s: 0, window: s(10) }, ..minute };
        assert_eq!(ended(trickle(1, s(25)), stalled).await, (Err("body_stalled"), 20));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_server_does_not_read_is_not_the_clients() {
        let s = Duration::from_secs;
        let limits = BodyLimits {
            idle_max: s(20),
            waits_max: s(30),
            until: std::time::Instant::now() + s(3000),
            rate_min: Rate { bytes_per_s: 1024, window: s(10) },
            ..limits(1 << 20)
        };
        let mut body = LimitedBody::new(&HeaderMap::new(), trickle(2048, s(1)), limits).unwrap();
        for _ in 0..20 {
            body.next().await.unwrap().unwrap();
            // The document waits for its place.
            tokio::time::sleep(s(60)).await;
        }
    }

    #[tokio::test]
    async fn a_declared_length_beyond_the_limit_is_rejected_unread() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, 6.into());
        let unread = Body::from_stream(stream::poll_fn(|_| -> Poll<Option<Result<Bytes, std::io::Error>>> {
            panic!("read")
        }));
        let refused = LimitedBody::new(&headers, unread, limits(5));
        assert_eq!(refused.err().map(|f| f.code), Some("body_too_large"));
    }
}
