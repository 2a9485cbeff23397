//! Mutations: all changes of tenants, keys, deployments and routes; one at a time, first in the store, then in the
//! snapshot.
//!
//! Owns the order that makes a mutation safe: take the write lock (in fair order over tenants), compute the change
//! (pure), commit, swap the snapshot, send the audit event. A crash before the commit changes nothing; after it, the next start serves the
//! committed state. Requests never wait for a mutation. Each module in `mutations/` holds the mutations of one kind of
//! object.

pub(crate) mod configuration;
pub(crate) mod deploy;
pub(crate) mod engines;
pub(crate) mod grants;
pub(crate) mod keys;
pub(crate) mod routes;
pub(crate) mod tenants;
pub(crate) mod write_lock;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use lector_core::{Clock, Fault, Kind, TenantName};
use serde_json::Value;

use self::write_lock::WriteGuard;
use crate::access::Actor;
use crate::directory::Directory;
use crate::events::AuditEvents;
use crate::plane::ControlPlane;
use crate::storage::{Collection, ComponentPins};
use crate::store::{AuditEntry, AuditQuery, Change, ChangeSet, Store, StoreError};

/// The fields of a mutation's audit event.
pub(super) struct AuditContext<'a> {
    pub(super) actor: &'a Actor,
    pub(super) tenant: Option<&'a TenantName>,
    pub(super) action: &'static str,
    pub(super) target: String,
    pub(super) from: Value,
    pub(super) to: Value,
}

/// One mutation, from the write lock to the swap of the snapshot.
pub(super) struct Mutation {
    clock: Arc<dyn Clock>,
    events: AuditEvents,
    store: Arc<dyn Store>,
    current: Arc<ArcSwap<Directory>>,
    /// The snapshot after the mutation.
    pub(super) directory: Directory,
    changes: Vec<Change>,
    collection: Arc<Collection>,
    /// Of the components that the mutation names.
    pub(super) pins: Option<ComponentPins>,
    /// Runs after a successful commit, even if the client is gone.
    after: Option<BoxFuture<'static, ()>>,
    write_lock: WriteGuard,
}

impl ControlPlane {
    /// Begins a mutation when it is the turn of the actor's account: no other mutation begins until it is committed or
    /// dropped. Long work (loading, compiling, waiting for engines) is done before. Faults: `too_many_changes`; that of a key
    /// that was revoked or has expired meanwhile.
    pub(super) async fn begin(&self, actor: &Actor) -> Result<Mutation, Fault> {
        let write_lock = self.write_lock.lock(actor).await?;
        let directory = (**self.directory.load()).clone();
        // The changes that wait, a new key among them, end with the key that they were sent with.
        if actor.grant.valid_for(&directory, self.clock.now_ms()).is_none() {
            return Err(actor.grant.ended());
        }
        Ok(Mutation {
            clock: self.clock.clone(),
            events: self.events.clone(),
            store: self.store.clone(),
            directory,
            current: self.directory.clone(),
            changes: Vec::new(),
            collection: self.collection.clone(),
            pins: None,
            after: None,
            write_lock,
        })
    }
}

impl Mutation {
    pub(super) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Commits the changes, swaps the snapshot, sends the audit event, and does the work that follows.
    pub(super) async fn commit(mut self, note: AuditContext<'_>) -> Result<(), Fault> {
        let entry = AuditEntry {
            seq: 0,
            at_ms: self.clock.now_ms(),
            tenant: note.tenant.cloned(),
            actor: note.actor.id.clone(),
            action: note.action.to_owned(),
            target: note.target,
            from: note.from,
            to: note.to,
            request: note.actor.request.as_ref().map(ToString::to_string),
        };
        // Runs as its own task: if the client hangs up between the commit and the swap, the snapshot must not stay
        // behind the store.
        let after = self.after.take();
        let written = tokio::spawn(async move {
            self.write(entry).await?;
            if let Some(after) = after {
                after.await;
            }
            Ok(())
        })
        .await;
        written.map_err(|error| {
            Fault::new(
                Kind::Bug,
                "internal",
                "The change failed inside the server. This is a bug in the server: report it.",
            )
            .with_detail(error)
        })?
    }

    async fn write(self, entry: AuditEntry) -> Result<(), Fault> {
        let started = Instant::now();
        let mut directory = self.directory;
        directory.damaged.retain(|row| !self.changes.iter().any(|change| row.is_ended_by(change)));
        let deletes = self.changes.iter().any(Change::deletes_revisions);
        let action = ChangeSet { changes: self.changes, entry: entry.clone() };
        let seq = match self.store.commit(action).await {
            Ok(seq) => seq,
            // The write may or may not have happened: the store is read to find out, because the next mutation depends
            // on it.
            Err(error @ StoreError::Write { .. }) => found(&*self.store, &entry).await.ok_or(error)?,
            Err(error) => return Err(error.into()),
        };
        self.current.store(Arc::new(directory));
        // Before the next mutation begins, so that the events are in the order of their numbers.
        self.events.send(AuditEntry { seq, ..entry.clone() });
        drop(self.write_lock);
        if deletes {
            self.collection.deleted();
        }
        let took_us = started.elapsed().as_micros() as u64;
        let tenant = entry.tenant.as_ref().map(TenantName::as_str);
        tracing::info!(
            action = entry.action,
            target = entry.target,
            tenant,
            actor = entry.actor,
            took_us,
            "audit event"
        );
        Ok(())
    }
}

/// Returns the number of the audit entry if it is in the store although the commit reported an error. The write lock
/// excludes other writers.
async fn found(store: &dyn Store, entry: &AuditEntry) -> Option<u64> {
    let newest = store.audit(AuditQuery { limit: 1, ..AuditQuery::default() }).await.ok()?.rows.pop()?;
    (AuditEntry { seq: newest.seq, ..entry.clone() } == newest).then_some(newest.seq)
}
