//! The stream of audit events.
//!
//! Owns the newest events, from which a watcher continues after an interruption, and the end of the streams: when the
//! server drains, every stream ends, so that watchers do not delay the drain. The number of an audit entry is the id of
//! its event. An event that is no longer kept is reported as a [`Gap`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lector_core::TenantName;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::store::AuditEntry;

/// Events that are kept. A watcher that is further behind gets a [`Gap`].
const EVENTS_KEPT: usize = 1024;

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
}

impl AuditEvents {
    /// Creates the events of a server whose audit log ends with the entry of that number; 0: the log is empty.
    pub(crate) fn after(newest: u64) -> Self {
        let ring = Ring { events: VecDeque::new(), complete_after: newest, newest };
        Self {
            ring: Arc::new(Mutex::new(ring)),
            newest: watch::channel(newest).0,
            closed: CancellationToken::new(),
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

    /// Returns the events of one tenant or of all: those after the event `after`, or from now on.
    pub(crate) fn subscribe(&self, tenant: Option<TenantName>, after: Option<u64>) -> AuditEventStream {
        // Subscribed first, so that no event is missed between the two.
        let woken = self.newest.subscribe();
        let newest = self.ring().newest;
        AuditEventStream {
            events: self.clone(),
            woken,
            // An id that this log has not reached is of another log: only new events follow, after a gap.
            gap: after.filter(|after| *after > newest).map(|after| Gap { after, before: newest + 1 }),
            last: after.unwrap_or(newest).min(newest),
            tenant,
        }
    }

    /// Ends all streams, including those of later watchers.
    pub(crate) fn close(&self) {
        self.closed.cancel();
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
    /// Returns the next event; `None` when the server drains.
    pub async fn next(&mut self) -> Option<Result<Arc<AuditEntry>, Gap>> {
        loop {
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
    use super::*;

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
        let (mut own, mut all) = (events.subscribe(Some("a".into()), None), events.subscribe(None, None));
        events.send(entry(1, "a"));
        events.send(entry(2, "b"));
        events.close();
        assert_eq!(seqs(&mut own).await, [Ok(1)], "events of other tenants are not delivered");
        assert_eq!(seqs(&mut all).await, [Ok(1), Ok(2)]);
        assert!(events.subscribe(None, None).next().await.is_none(), "a later watcher does not wait either");
    }

    #[tokio::test]
    async fn a_watcher_continues_after_the_last_event_that_it_has() {
        let events = AuditEvents::after(7);
        for seq in 8..=11 {
            events.send(entry(seq, if seq == 9 { "b" } else { "a" }));
        }
        events.close();
        assert_eq!(seqs(&mut events.subscribe(Some("a".into()), Some(8))).await, [Ok(10), Ok(11)]);
        assert_eq!(seqs(&mut events.subscribe(None, Some(7))).await, [Ok(8), Ok(9), Ok(10), Ok(11)]);
        assert_eq!(seqs(&mut events.subscribe(None, Some(11))).await, []);
        assert_eq!(seqs(&mut events.subscribe(None, None)).await, [], "from now on");
    }

    #[tokio::test]
    async fn a_gap_is_reported_before_the_events_that_follow_it() {
        let events = AuditEvents::after(7);
        events.send(entry(8, "a"));
        let mut before_the_start = events.subscribe(None, Some(3));
        let mut of_another_log = events.subscribe(None, Some(90));
        events.send(entry(9, "a"));
        events.close();
        assert_eq!(seqs(&mut before_the_start).await, [Err(Gap { after: 3, before: 8 }), Ok(8), Ok(9)]);
        assert_eq!(seqs(&mut of_another_log).await, [Err(Gap { after: 90, before: 9 }), Ok(9)]);

        let events = AuditEvents::after(0);
        let mut slow = events.subscribe(None, None);
        let last = EVENTS_KEPT as u64 + 5;
        for seq in 1..=last {
            events.send(entry(seq, "a"));
        }
        events.close();
        let delivered = seqs(&mut slow).await;
        assert_eq!(delivered[..2], [Err(Gap { after: 0, before: 6 }), Ok(6)]);
        assert_eq!((delivered.len(), delivered.last()), (EVENTS_KEPT + 1, Some(&Ok(last))));
    }
}
