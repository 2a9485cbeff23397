//! The stream of audit events.
//!
//! Owns the newest events, from which a watcher continues after an interruption. The number of an audit entry is the id
//! of its event. An event that is no longer kept is reported as a [`Gap`].
//!
//! Owns the end of the streams as well: when the server drains, so that watchers do not delay the drain, and when the
//! right of the watcher ends (its key is revoked or expires, or an open server gets its first key). The right is checked
//! before each event is delivered. A revocation is itself an event, sent after the snapshot has it, so that it ends the
//! streams of its key at once. Streams outside of this crate end by the same rule: they hold a [`StreamRight`] and a
//! [`CountedStream`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use lector_core::{Clock, Fault, KeyedLimit, KeyedPlace, Kind, TenantName};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::access::Grant;
use crate::directory::Directory;
use crate::store::AuditEntry;

/// Events that are kept. A watcher that is further behind gets a [`Gap`].
const EVENTS_KEPT: usize = 1024;

/// Most streams of one tenant, and of administrators.
const STREAMS_MAX: usize = 128;

/// Longest wait for the end of a right; also keeps the time within the range of the clock.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// Wakes with every event; the value is its number.
pub(crate) type Changes = watch::Receiver<u64>;

/// The newest events.
#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<AuditEntry>>,
    /// Number of the newest event that is not kept: every later event is in `events`.
    complete_after: u64,
    /// Number of the newest event.
    newest: u64,
}

/// The audit events of this server.
#[derive(Clone, Debug)]
pub(crate) struct AuditEvents {
    ring: Arc<Mutex<Ring>>,
    /// Number of the newest event, for watchers that wait.
    newest: watch::Sender<u64>,
    closed: CancellationToken,
    /// Streams by owner; `None`: administrators.
    streams: KeyedLimit<Option<TenantName>>,
}

impl AuditEvents {
    /// Creates the events of a server whose audit log ends with the entry of that number; 0: the log is empty.
    pub(crate) fn after(newest: u64) -> Self {
        let ring = Ring { events: VecDeque::new(), complete_after: newest, newest };
        Self {
            ring: Arc::new(Mutex::new(ring)),
            newest: watch::channel(newest).0,
            closed: CancellationToken::new(),
            streams: KeyedLimit::new(STREAMS_MAX, usize::MAX),
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an event and wakes the watchers. Called with the write lock, so that the numbers increase.
    pub(crate) fn send(&self, entry: AuditEntry) {
        let newest = {
            let mut ring = self.ring();
            ring.newest = entry.seq;
            ring.events.push_back(Arc::new(entry));
            while ring.events.len() > EVENTS_KEPT {
                if let Some(dropped) = ring.events.pop_front() {
                    ring.complete_after = dropped.seq;
                }
            }
            ring.newest
        };
        self.newest.send_replace(newest);
    }

    /// Returns the events of one tenant or of all: those after the event `after`, or from now on. Fault:
    /// `too_many_event_streams`.
    pub(crate) fn subscribe(
        &self,
        tenant: Option<TenantName>,
        after: Option<u64>,
        access: StreamAccess,
    ) -> Result<AuditEventStream, Fault> {
        let counted = CountedStream::begin(&self.streams, tenant.clone())?;
        // Subscribed first, so that no event is missed between the two.
        let woken = self.newest.subscribe();
        let newest = self.ring().newest;
        Ok(AuditEventStream {
            events: self.clone(),
            woken,
            // An id that this log has not reached is of another log: only new events follow, after a gap.
            gap: after.filter(|after| *after > newest).map(|after| Gap { after, before: newest + 1 }),
            last: after.unwrap_or(newest).min(newest),
            tenant,
            access,
            _counted: counted,
        })
    }

    /// Counts a stream of another kind among those of the tenant. Fault: `too_many_event_streams`.
    pub(crate) fn count(&self, tenant: TenantName) -> Result<CountedStream, Fault> {
        CountedStream::begin(&self.streams, Some(tenant))
    }

    /// Returns a receiver that every event wakes.
    pub(crate) fn changes(&self) -> Changes {
        self.newest.subscribe()
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

    /// Returns the time for which the right still applies; `None`: it has ended.
    pub(crate) fn valid_for(&self) -> Option<Duration> {
        self.grant.valid_for(&self.directory.load(), self.clock.now_ms())
    }
}

/// The right of a watcher, for streams outside of this crate.
pub struct StreamRight {
    access: StreamAccess,
    /// Wakes with every change of a key.
    changes: Changes,
}

impl StreamRight {
    pub(crate) fn new(access: StreamAccess, changes: Changes) -> Self {
        Self { access, changes }
    }

    /// Returns whether the right still applies.
    pub fn holds(&self) -> bool {
        self.access.valid_for().is_some()
    }

    /// Checks that the right still applies. Faults: `key_invalid`; `key_missing` if the server has keys meanwhile.
    pub fn check(&self) -> Result<(), Fault> {
        if self.holds() { Ok(()) } else { Err(self.access.grant.ended()) }
    }

    /// Waits until the right has ended.
    pub async fn ended(&mut self) {
        loop {
            // Seen before the look, so that no change is missed.
            self.changes.borrow_and_update();
            let Some(valid_for) = self.access.valid_for() else { return };
            let clock = &self.access.clock;
            let look_again = clock.sleep_until(clock.now() + valid_for.min(LOOK_AGAIN));
            tokio::select! {
                changed = self.changes.changed() => if changed.is_err() { return },
                () = look_again => {}
            }
        }
    }
}

/// One stream in the count of its owner; ends with this value.
pub struct CountedStream {
    _place: KeyedPlace<Option<TenantName>>,
}

impl CountedStream {
    fn begin(streams: &KeyedLimit<Option<TenantName>>, owner: Option<TenantName>) -> Result<Self, Fault> {
        let place = streams.take(&owner).ok_or_else(|| {
            let message =
                format!("There are {STREAMS_MAX} event streams, the limit of one tenant: close one of them.");
            Fault::new(Kind::Busy, "too_many_event_streams", message).retry_after(Duration::from_secs(5))
        })?;
        Ok(Self { _place: place })
    }
}

/// A stream of audit events of one tenant or of all tenants.
pub struct AuditEventStream {
    events: AuditEvents,
    woken: watch::Receiver<u64>,
    gap: Option<Gap>,
    /// Number of the last event that was delivered, or that is not for this watcher.
    last: u64,
    tenant: Option<TenantName>,
    access: StreamAccess,
    _counted: CountedStream,
}

/// Events that are no longer kept, so that the stream does not deliver them; the audit log has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Number of the last event before the gap.
    pub after: u64,
    /// Number of the first event after the gap.
    pub before: u64,
}

impl AuditEventStream {
    /// Returns the next event; `None` when the server drains or the right of the watcher has ended.
    pub async fn next(&mut self) -> Option<Result<Arc<AuditEntry>, Gap>> {
        loop {
            let valid_for = self.access.valid_for()?;
            if let Some(gap) = self.gap.take() {
                return Some(Err(gap));
            }
            self.woken.borrow_and_update();
            // Events sent before the drain are delivered first.
            if let Some(next) = self.kept() {
                return Some(next);
            }
            tokio::select! {
                biased;
                () = self.events.closed.cancelled() => return None,
                woken = self.woken.changed() => if woken.is_err() { return None },
                () = tokio::time::sleep(valid_for) => {}
            }
        }
    }

    /// Returns the next event that is kept.
    fn kept(&mut self) -> Option<Result<Arc<AuditEntry>, Gap>> {
        let ring = self.events.ring();
        if ring.complete_after > self.last {
            let gap = Gap { after: self.last, before: ring.complete_after + 1 };
            self.last = ring.complete_after;
            return Some(Err(gap));
        }
        let from = ring.events.partition_point(|kept| kept.seq <= self.last);
        let own = |entry: &&Arc<AuditEntry>| self.tenant.is_none() || entry.tenant == self.tenant;
        let found = ring.events.range(from..).find(own).cloned();
        self.last = found.as_ref().map_or(ring.newest, |entry| entry.seq);
        found.map(Ok)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use futures::FutureExt;

    use super::*;
    use crate::clock::SystemClock;
    use crate::key::{self, KeyRecord, Scope};

    fn entry(seq: u64, tenant: &str) -> AuditEntry {
        AuditEntry {
            seq,
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

    fn host() -> StreamAccess {
        StreamAccess::new(
            Grant::Host,
            Arc::new(ArcSwap::from_pointee(Directory::with_keys(Vec::new()))),
            Arc::new(SystemClock),
        )
    }

    async fn seqs(stream: &mut AuditEventStream) -> Vec<Result<u64, Gap>> {
        let mut seqs = Vec::new();
        while let Some(next) = stream.next().await {
            seqs.push(next.map(|entry| entry.seq));
        }
        seqs
    }

    #[tokio::test]
    async fn a_stream_ends_when_the_channel_is_closed_and_delivers_what_was_sent_before() {
        let events = AuditEvents::after(0);
        let (mut own, mut all) = (
            events.subscribe(Some("a".into()), None, host()).unwrap(),
            events.subscribe(None, None, host()).unwrap(),
        );
        events.send(entry(1, "a"));
        events.send(entry(2, "b"));
        events.close();
        assert_eq!(seqs(&mut own).await, [Ok(1)], "events of other tenants are not delivered");
        assert_eq!(seqs(&mut all).await, [Ok(1), Ok(2)]);
        assert!(
            events.subscribe(None, None, host()).unwrap().next().await.is_none(),
            "a later watcher does not wait either"
        );
    }

    #[tokio::test]
    async fn a_watcher_continues_after_the_last_event_that_it_has() {
        let events = AuditEvents::after(7);
        for seq in 8..=11 {
            events.send(entry(seq, if seq == 9 { "b" } else { "a" }));
        }
        events.close();
        assert_eq!(
            seqs(&mut events.subscribe(Some("a".into()), Some(8), host()).unwrap()).await,
            [Ok(10), Ok(11)]
        );
        assert_eq!(
            seqs(&mut events.subscribe(None, Some(7), host()).unwrap()).await,
            [Ok(8), Ok(9), Ok(10), Ok(11)]
        );
        assert_eq!(seqs(&mut events.subscribe(None, Some(11), host()).unwrap()).await, []);
        assert_eq!(seqs(&mut events.subscribe(None, None, host()).unwrap()).await, [], "from now on");
    }

    #[tokio::test]
    async fn a_gap_is_reported_before_the_events_that_follow_it() {
        let events = AuditEvents::after(7);
        events.send(entry(8, "a"));
        let mut before_the_start = events.subscribe(None, Some(3), host()).unwrap();
        let mut of_another_log = events.subscribe(None, Some(90), host()).unwrap();
        events.send(entry(9, "a"));
        events.close();
        assert_eq!(seqs(&mut before_the_start).await, [Err(Gap { after: 3, before: 8 }), Ok(8), Ok(9)]);
        assert_eq!(seqs(&mut of_another_log).await, [Err(Gap { after: 90, before: 9 }), Ok(9)]);

        let events = AuditEvents::after(0);
        let mut slow = events.subscribe(None, None, host()).unwrap();
        let last = EVENTS_KEPT as u64 + 5;
        for seq in 1..=last {
            events.send(entry(seq, "a"));
        }
        events.close();
        let delivered = seqs(&mut slow).await;
        assert_eq!(delivered[..2], [Err(Gap { after: 0, before: 6 }), Ok(6)]);
        assert_eq!((delivered.len(), delivered.last()), (EVENTS_KEPT + 1, Some(&Ok(last))));
    }

    #[tokio::test]
    async fn a_revoked_or_expired_key_gets_no_further_event() {
        let events = AuditEvents::after(0);
        let key = key::make(Scope::Tenant("a".into()), String::new(), 0).unwrap().record;
        let current = Arc::new(ArcSwap::from_pointee(Directory::with_keys(vec![key.clone()])));
        let access = || StreamAccess::new(Grant::Key(key.id.clone()), current.clone(), Arc::new(SystemClock));
        let mut stream = events.subscribe(Some("a".into()), None, access()).unwrap();
        events.send(entry(1, "a"));
        assert!(stream.next().await.unwrap().is_ok());
        // Revoked, as `Mutation::write` does it: first the snapshot, then the event.
        events.send(entry(2, "a"));
        let revoked = KeyRecord { revoked_at_ms: Some(SystemClock.now_ms()), ..key.clone() };
        current.store(Arc::new(Directory::with_keys(vec![revoked])));
        assert!(stream.next().await.is_none(), "not even an event that was sent before");
        // A waiting stream is woken by any event, also of another tenant.
        current.store(Arc::new(Directory::with_keys(vec![key.clone()])));
        let mut stream = events.subscribe(Some("a".into()), None, access()).unwrap();
        assert!(stream.next().now_or_never().is_none());
        current.store(Arc::new(Directory::with_keys(Vec::new())));
        events.send(entry(3, "b"));
        assert!(stream.next().await.is_none());
        // Without any event, a stream ends when its key expires.
        let expiring = KeyRecord { expires_at_ms: Some(SystemClock.now_ms() + 30), ..key.clone() };
        current.store(Arc::new(Directory::with_keys(vec![expiring])));
        let mut stream = events.subscribe(Some("a".into()), None, access()).unwrap();
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn the_right_of_a_stream_elsewhere_ends_with_its_key() {
        let events = AuditEvents::after(0);
        let clock = lector_core::clock::ManualClock::default();
        let key = key::make(Scope::Tenant("a".into()), String::new(), 0).unwrap().record;
        let keys = |keys| Arc::new(Directory::with_keys(keys));
        let expires = KeyRecord { expires_at_ms: Some(clock.now_ms() + 5000), ..key.clone() };
        let current = Arc::new(ArcSwap::new(keys(vec![expires])));
        let access = StreamAccess::new(Grant::Key(key.id.clone()), current.clone(), Arc::new(clock.clone()));
        let mut right = StreamRight::new(access, events.changes());
        assert!(right.holds() && right.ended().now_or_never().is_none());
        let mut ended = Box::pin(right.ended());
        assert!((&mut ended).now_or_never().is_none());
        clock.advance(Duration::from_secs(5));
        ended.await;
        assert_eq!(right.check().unwrap_err().code, "key_invalid");
        current.store(keys(vec![key]));
        assert!(right.check().is_ok());
        let mut ended = Box::pin(right.ended());
        assert!((&mut ended).now_or_never().is_none());
        current.store(keys(Vec::new()));
        events.send(entry(1, "b"));
        ended.await;
    }

    #[test]
    fn the_streams_of_a_tenant_are_bounded() {
        let events = AuditEvents::after(0);
        let of = |tenant: &str| events.subscribe(Some(tenant.into()), None, host());
        let other = events.count("a".into()).unwrap();
        let held: Vec<_> = (1..STREAMS_MAX).map(|_| of("a").unwrap()).collect();
        assert_eq!(of("a").err().map(|fault| fault.code), Some("too_many_event_streams"));
        assert_eq!(events.count("a".into()).err().map(|fault| fault.code), Some("too_many_event_streams"));
        drop(other);
        assert!(of("b").is_ok());
        drop(held);
        assert!(of("a").is_ok());
        assert!(events.streams.is_empty(), "no count is left behind");
    }
}
