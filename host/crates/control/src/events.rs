//! The stream of audit events.
//!
//! Owns the channel and the end of its streams: when the server drains, so that watchers do not delay the drain, and when
//! the right of the watcher ends (its key is revoked or expires, or an open server gets its first key). The right is
//! checked before each event is delivered. A revocation is itself an event, sent after the snapshot has it, so that it
//! ends the streams of its key at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use lector_core::{Clock, Fault, Kind, TenantName};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::access::Grant;
use crate::directory::Directory;
use crate::store::AuditEntry;

/// Most events that a slow watcher may be behind; beyond it events are skipped and reported as [`Lagged`].
const EVENTS_BEHIND_MAX: usize = 256;

/// Most streams of one tenant, and of administrators.
const STREAMS_MAX: usize = 128;

/// Streams by owner; `None`: administrators.
type Streams = Arc<Mutex<HashMap<Option<TenantName>, usize>>>;

/// The channel of audit events.
#[derive(Clone, Debug)]
pub(crate) struct AuditEvents {
    sender: broadcast::Sender<Arc<AuditEntry>>,
    closed: CancellationToken,
    streams: Streams,
}

impl Default for AuditEvents {
    fn default() -> Self {
        Self {
            sender: broadcast::channel(EVENTS_BEHIND_MAX).0,
            closed: CancellationToken::new(),
            streams: Streams::default(),
        }
    }
}

impl AuditEvents {
    /// Sends an event to all watchers, if there are any.
    pub(crate) fn send(&self, entry: AuditEntry) {
        let _ = self.sender.send(Arc::new(entry));
    }

    /// Returns the events from now on, of one tenant or of all. Fault: `too_many_event_streams`.
    pub(crate) fn subscribe(
        &self,
        tenant: Option<TenantName>,
        access: StreamAccess,
    ) -> Result<AuditEventStream, Fault> {
        let counted = CountedStream::begin(&self.streams, tenant.clone())?;
        let (events, closed) = (self.sender.subscribe(), self.closed.clone());
        Ok(AuditEventStream { events, closed, tenant, access, _counted: counted })
    }

    /// Ends all streams, including those of later watchers.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }
}

/// The right of a watcher, and the snapshot that it depends on.
pub(crate) struct StreamAccess {
    grant: Grant,
    directory: Arc<ArcSwap<Directory>>,
    clock: Arc<dyn Clock>,
}

impl StreamAccess {
    pub(crate) fn new(grant: Grant, directory: Arc<ArcSwap<Directory>>, clock: Arc<dyn Clock>) -> Self {
        Self { grant, directory, clock }
    }

    fn valid_for(&self) -> Option<Duration> {
        self.grant.valid_for(&self.directory.load(), self.clock.now_ms())
    }
}

/// One stream in the count of its owner.
struct CountedStream {
    streams: Streams,
    owner: Option<TenantName>,
}

impl CountedStream {
    fn begin(streams: &Streams, owner: Option<TenantName>) -> Result<Self, Fault> {
        let mut counts = streams.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(owner.clone()).or_default();
        if *count >= STREAMS_MAX {
            let message =
                format!("There are {STREAMS_MAX} event streams, the limit of one tenant: close one of them.");
            return Err(
                Fault::new(Kind::Busy, "too_many_event_streams", message).retry_after(Duration::from_secs(5))
            );
        }
        *count += 1;
        drop(counts);
        Ok(Self { streams: streams.clone(), owner })
    }
}

impl Drop for CountedStream {
    fn drop(&mut self) {
        let mut counts = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.owner) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.owner);
            }
        }
    }
}

/// A stream of audit events of one tenant or of all tenants.
pub struct AuditEventStream {
    events: broadcast::Receiver<Arc<AuditEntry>>,
    closed: CancellationToken,
    tenant: Option<TenantName>,
    access: StreamAccess,
    _counted: CountedStream,
}

/// The number of events skipped because the watcher was too slow; the audit log has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(pub u64);

impl AuditEventStream {
    /// Returns the next event; `None` when the server drains or the right of the watcher has ended.
    pub async fn next(&mut self) -> Option<Result<Arc<AuditEntry>, Lagged>> {
        loop {
            let valid_for = self.access.valid_for()?;
            let received = tokio::select! {
                biased;
                // Events sent before the drain are delivered first.
                received = self.events.recv() => received,
                () = self.closed.cancelled() => return None,
                () = tokio::time::sleep(valid_for) => continue,
            };
            self.access.valid_for()?;
            match received {
                Ok(entry) if self.tenant.is_none() || entry.tenant == self.tenant => return Some(Ok(entry)),
                Ok(_) => {}
                Err(RecvError::Lagged(count)) => return Some(Err(Lagged(count))),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::BTreeMap;

    use futures::FutureExt;

    use super::*;
    use crate::clock::SystemClock;
    use crate::key::{self, KeyRecord, Scope};

    fn entry(tenant: &str) -> AuditEntry {
        AuditEntry {
            seq: 1,
            at_ms: 0,
            tenant: Some(tenant.into()),
            actor: "k1".into(),
            action: "promote".into(),
            target: "d".into(),
            from: serde_json::Value::Null,
            to: serde_json::Value::Null,
            request: None,
        }
    }

    fn directory(keys: Vec<KeyRecord>) -> Directory {
        Directory {
            host: "default".into(),
            default: "standard".into(),
            tenants: BTreeMap::new(),
            keys: keys.into_iter().map(|key| (key.id.clone(), Arc::new(key))).collect(),
            deployments: BTreeMap::new(),
            quarantined: BTreeMap::new(),
            damaged: Vec::new(),
        }
    }

    fn host() -> StreamAccess {
        StreamAccess::new(
            Grant::Host,
            Arc::new(ArcSwap::from_pointee(directory(Vec::new()))),
            Arc::new(SystemClock),
        )
    }

    #[tokio::test]
    async fn a_stream_ends_when_the_channel_is_closed_and_delivers_what_was_sent_before() {
        let events = AuditEvents::default();
        let mut own = events.subscribe(Some("a".into()), host()).unwrap();
        let mut all = events.subscribe(None, host()).unwrap();
        events.send(entry("a"));
        events.send(entry("b"));
        events.close();
        assert!(own.next().await.unwrap().is_ok());
        assert!(own.next().await.is_none(), "events of other tenants are not delivered");
        assert_eq!([all.next().await.is_some(), all.next().await.is_some()], [true, true]);
        assert!(all.next().await.is_none());
        let mut later = events.subscribe(None, host()).unwrap();
        assert!(later.next().await.is_none(), "a later watcher does not wait either");
    }

    #[tokio::test]
    async fn a_revoked_or_expired_key_gets_no_further_event() {
        let events = AuditEvents::default();
        let key = key::make(Scope::Tenant("a".into()), String::new(), 0).unwrap().record;
        let current = Arc::new(ArcSwap::from_pointee(directory(vec![key.clone()])));
        let access = || StreamAccess::new(Grant::Key(key.id.clone()), current.clone(), Arc::new(SystemClock));
        let mut stream = events.subscribe(Some("a".into()), access()).unwrap();
        events.send(entry("a"));
        assert!(stream.next().await.unwrap().is_ok());
        // Revoked, as `Mutation::write` does it: first the snapshot, then the event.
        events.send(entry("a"));
        let revoked = KeyRecord { revoked_at_ms: Some(SystemClock.now_ms()), ..key.clone() };
        current.store(Arc::new(directory(vec![revoked])));
        assert!(stream.next().await.is_none(), "not even an event that was sent before");
        // A waiting stream is woken by any event, also of another tenant.
        current.store(Arc::new(directory(vec![key.clone()])));
        let mut stream = events.subscribe(Some("a".into()), access()).unwrap();
        assert!(stream.next().now_or_never().is_none());
        current.store(Arc::new(directory(Vec::new())));
        events.send(entry("b"));
        assert!(stream.next().await.is_none());
        // Without any event, a stream ends when its key expires.
        let expiring = KeyRecord { expires_at_ms: Some(SystemClock.now_ms() + 30), ..key.clone() };
        current.store(Arc::new(directory(vec![expiring])));
        let mut stream = events.subscribe(Some("a".into()), access()).unwrap();
        assert!(stream.next().await.is_none());
    }

    #[test]
    fn the_streams_of_a_tenant_are_bounded() {
        let events = AuditEvents::default();
        let of = |tenant: &str| events.subscribe(Some(tenant.into()), host());
        let held: Vec<_> = (0..STREAMS_MAX).map(|_| of("a").unwrap()).collect();
        assert_eq!(of("a").err().map(|fault| fault.code), Some("too_many_event_streams"));
        assert!(of("b").is_ok());
        drop(held);
        assert!(of("a").is_ok());
        assert!(events.streams.lock().unwrap().is_empty(), "no count is left behind");
    }
}
