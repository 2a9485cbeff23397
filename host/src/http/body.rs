//! Request bodies under limits: size, idle time and total time.
//!
//! Owns the reading of request bodies, independent of their content. Used by `upload.rs`. Bytes are read only on
//! demand: this is the backpressure for a client whose document has no permit yet, and it allows an error response to
//! `Expect: 100-continue` before the body is sent.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::BodyDataStream;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures::Stream;
use lector_core::{Blame, Fault, Kind};
use tokio::time::Sleep;

/// The limits of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// Maximum total bytes.
    pub(crate) bytes_max: u64,
    /// Maximum time without a byte while the reader waits for one.
    pub(crate) idle_max: Duration,
    /// Deadline of the last byte.
    pub(crate) until: Instant,
}

/// A request body under limits.
pub(crate) struct LimitedBody {
    body: BodyDataStream,
    limits: BodyLimits,
    seen_bytes: u64,
    /// Expires at the earlier of idle timeout and deadline; armed while the reader waits for a byte.
    timer: Pin<Box<Sleep>>,
    waiting: bool,
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
            waiting: false,
            pausing: false,
            quota: ByteQuota(Arc::new(AtomicU64::new(u64::MAX))),
        })
    }

    /// Returns the quota of the body, initially unlimited.
    pub(crate) fn quota(&self) -> ByteQuota {
        self.quota.clone()
    }

    fn overdue(&self) -> Fault {
        let (code, message) = if Instant::now() >= self.limits.until {
            (
                "body_too_slow",
                "The body did not arrive within the timeout: increase the timeout, or send less.".to_owned(),
            )
        } else {
            let idle_s = self.limits.idle_max.as_secs_f64();
            ("body_stalled", format!("No byte of the body arrived for {idle_s} s: send the request again."))
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
        let Poll::Ready(chunk) = Pin::new(&mut this.body).poll_next(cx) else {
            if !this.waiting {
                this.waiting = true;
                let stall = Instant::now() + this.limits.idle_max;
                this.timer.as_mut().reset(stall.min(this.limits.until).into());
            }
            ready!(this.timer.as_mut().poll(cx));
            return Poll::Ready(Some(Err(this.overdue())));
        };
        this.waiting = false;
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
        let soon = Duration::from_millis(30);
        BodyLimits { bytes_max, idle_max: soon, until: Instant::now() + Duration::from_secs(60) }
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
        let until = Instant::now() + Duration::from_millis(5);
        let slow = BodyLimits { until, idle_max: Duration::from_secs(60), ..limits(1000) };
        assert_eq!(
            read(Body::from_stream(begun().chain(stream::pending())), slow).await,
            Err("body_too_slow")
        );
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
