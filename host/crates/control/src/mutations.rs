//! Mutations: everything that changes tenants, keys, deployments and routes; one at a time, on disk first, then in the
//! snapshot.
//!
//! Owns the order that makes a mutation safe: take the write lock, decide (pure), commit, swap the snapshot, send the audit
//! event. A crash before the commit changes nothing; after it, the next start serves what was committed. Requests never
//! wait for a mutation. `mutations/` holds the mutations by what they change.

pub(crate) mod deploy;
pub(crate) mod engines;
pub(crate) mod keys;
pub(crate) mod routes;
pub(crate) mod tenants;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use lector_core::{Fault, Kind, TenantName};
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use crate::access::Actor;
use crate::directory::Directory;
use crate::events::AuditEvents;
use crate::plane::ControlPlane;
use crate::store::{AuditEntry, AuditQuery, Change, ChangeSet, Store, StoreError};
use crate::usage_counters::now_ms;

/// What the audit log says of a mutation.
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
    events: AuditEvents,
    store: Arc<dyn Store>,
    current: Arc<ArcSwap<Directory>>,
    /// The house as it will be.
    pub(super) directory: Directory,
    changes: Vec<Change>,
    write_lock: OwnedMutexGuard<()>,
}

impl ControlPlane {
    /// Begins a mutation: nothing else changes until it is committed or dropped. What takes long (loading, compiling,
    /// waiting for engines) is done before.
    pub(super) async fn begin(&self) -> Mutation {
        let write_lock = self.write_lock.clone().lock_owned().await;
        Mutation {
            events: self.events.clone(),
            store: self.store.clone(),
            directory: (**self.directory.load()).clone(),
            current: self.directory.clone(),
            changes: Vec::new(),
            write_lock,
        }
    }
}

impl Mutation {
    pub(super) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Writes the changes, swaps the snapshot, sends the audit event.
    pub(super) async fn commit(self, note: AuditContext<'_>) -> Result<(), Fault> {
        let entry = AuditEntry {
            seq: 0,
            at_ms: now_ms(),
            tenant: note.tenant.cloned(),
            actor: note.actor.id.clone(),
            action: note.action.to_owned(),
            target: note.target,
            from: note.from,
            to: note.to,
            request: note.actor.request.as_ref().map(ToString::to_string),
        };
        // A task of its own: a client that hangs up between the commit and the swap must not leave the snapshot behind
        // what is on disk.
        let written = tokio::spawn(self.write(entry)).await;
        written.map_err(|error| {
            Fault::new(Kind::Bug, "internal", "An act broke off inside Lector; report it.").with_detail(error)
        })?
    }

    async fn write(self, entry: AuditEntry) -> Result<(), Fault> {
        let started = Instant::now();
        let mut directory = self.directory;
        directory.damaged.retain(|row| !self.changes.iter().any(|change| row.is_ended_by(change)));
        let action = ChangeSet { changes: self.changes, entry: entry.clone() };
        let seq = match self.store.commit(action).await {
            Ok(seq) => seq,
            // Whether it is on disk is not known: what comes after it must not build on a guess.
            Err(error @ StoreError::Write { .. }) => found(&*self.store, &entry).await.ok_or(error)?,
            Err(error) => return Err(error.into()),
        };
        self.current.store(Arc::new(directory));
        drop(self.write_lock);
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
        self.events.send(AuditEntry { seq, ..entry });
        Ok(())
    }
}

/// The number of an act that is on disk although its answer was lost: nobody else has written since.
async fn found(store: &dyn Store, entry: &AuditEntry) -> Option<u64> {
    let newest = store.audit(AuditQuery { limit: 1, ..AuditQuery::default() }).await.ok()?.rows.pop()?;
    (AuditEntry { seq: newest.seq, ..entry.clone() } == newest).then_some(newest.seq)
}
