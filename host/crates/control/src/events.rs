//! The stream of audit events.
//!
//! Owns the channel and its end: when the server drains, every stream ends, so that watchers do not delay the drain.

use std::sync::Arc;

use lector_core::TenantName;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::store::AuditEntry;

/// Most events that a slow watcher may be behind; beyond it events are skipped and reported as [`Lagged`].
const EVENTS_BEHIND_MAX: usize = 256;

/// The channel of audit events.
#[derive(Clone, Debug)]
pub(crate) struct AuditEvents {
    sender: broadcast::Sender<Arc<AuditEntry>>,
    closed: CancellationToken,
}

impl Default for AuditEvents {
    fn default() -> Self {
        Self { sender: broadcast::channel(EVENTS_BEHIND_MAX).0, closed: CancellationToken::new() }
    }
}

impl AuditEvents {
    /// Sends an event to all watchers, if there are any.
    pub(crate) fn send(&self, entry: AuditEntry) {
        let _ = self.sender.send(Arc::new(entry));
    }

    /// Returns the events from now on, of one tenant or of all.
    pub(crate) fn subscribe(&self, tenant: Option<TenantName>) -> AuditEventStream {
        AuditEventStream { events: self.sender.subscribe(), closed: self.closed.clone(), tenant }
    }

    /// Ends all streams, including those of later watchers.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }
}

/// A stream of audit events of one tenant or of all tenants.
pub struct AuditEventStream {
    events: broadcast::Receiver<Arc<AuditEntry>>,
    closed: CancellationToken,
    tenant: Option<TenantName>,
}

/// The number of events skipped because the watcher was too slow; the audit log has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(pub u64);

impl AuditEventStream {
    /// Returns the next event; `None` when the server drains.
    pub async fn next(&mut self) -> Option<Result<Arc<AuditEntry>, Lagged>> {
        loop {
            let received = tokio::select! {
                biased;
                // Events sent before the drain are delivered first.
                received = self.events.recv() => received,
                () = self.closed.cancelled() => return None,
            };
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
    use super::*;

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

    #[tokio::test]
    async fn a_stream_ends_when_the_channel_is_closed_and_delivers_what_was_sent_before() {
        let events = AuditEvents::default();
        let (mut own, mut all) = (events.subscribe(Some("a".into())), events.subscribe(None));
        events.send(entry("a"));
        events.send(entry("b"));
        events.close();
        assert!(own.next().await.unwrap().is_ok());
        assert!(own.next().await.is_none(), "events of other tenants are not delivered");
        assert_eq!([all.next().await.is_some(), all.next().await.is_some()], [true, true]);
        assert!(all.next().await.is_none());
        assert!(events.subscribe(None).next().await.is_none(), "a later watcher does not wait either");
    }
}
