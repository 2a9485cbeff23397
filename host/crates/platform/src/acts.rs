//! Everything that changes the house while it serves: one act at a time, on disk first, then in the snapshot.
//!
//! Owns the order that makes an act safe: look, decide (pure), commit, swap the pointer, tell those who watch. A crash
//! before the commit is as if nothing had been asked; after it, the next start serves what was committed. Requests never
//! wait for an act. `acts/` holds the acts by what they change.

mod deploy;
mod engines;
mod keys;
mod routes;
mod tenants;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use lector_core::{Fault, Kind, TenantName};
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard, broadcast};

use crate::access::Actor;
use crate::directory::Directory;
use crate::meter::now_ms;
use crate::platform::Platform;
use crate::store::{Act, AuditEntry, AuditQuery, Change, Store, StoreError};

pub use deploy::{ComponentSource, DeployOutcome, DeployPlace, DeployRequest};
pub use keys::MadeKey;
pub use routes::Destination;

/// Acts that a slow watcher may be behind before it is told that it missed some.
const WATCHERS_BEHIND_MAX: usize = 256;

/// The desk at which acts are done, one after the other.
#[derive(Clone)]
pub(crate) struct Acts {
    turn: Arc<Mutex<()>>,
    told: broadcast::Sender<Arc<AuditEntry>>,
}

impl Default for Acts {
    fn default() -> Self {
        Self { turn: Arc::default(), told: broadcast::channel(WATCHERS_BEHIND_MAX).0 }
    }
}

impl Acts {
    /// Every act from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Arc<AuditEntry>> {
        self.told.subscribe()
    }
}

/// What is written about an act.
pub(super) struct Note<'a> {
    pub(super) actor: &'a Actor,
    pub(super) tenant: Option<&'a TenantName>,
    pub(super) act: &'static str,
    pub(super) target: String,
    pub(super) from: Value,
    pub(super) to: Value,
}

/// One act, from the look to the swap.
pub(super) struct Doing {
    acts: Acts,
    store: Arc<dyn Store>,
    current: Arc<ArcSwap<Directory>>,
    /// The house as it will be.
    pub(super) directory: Directory,
    changes: Vec<Change>,
    turn: OwnedMutexGuard<()>,
}

impl Platform {
    /// Begins an act: nobody else changes anything until it is done or dropped.
    pub(super) async fn begin(&self) -> Doing {
        let turn = self.acts.turn.clone().lock_owned().await;
        Doing {
            acts: self.acts.clone(),
            store: self.store.clone(),
            directory: (**self.directory.load()).clone(),
            current: self.directory.clone(),
            changes: Vec::new(),
            turn,
        }
    }
}

impl Doing {
    pub(super) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Writes it, makes it so, tells it.
    pub(super) async fn done(self, note: Note<'_>) -> Result<(), Fault> {
        let entry = AuditEntry {
            seq: 0,
            at_ms: now_ms(),
            tenant: note.tenant.cloned(),
            actor: note.actor.id.clone(),
            act: note.act.to_owned(),
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
        let act = Act { changes: self.changes, entry: entry.clone() };
        let seq = match self.store.commit(act).await {
            Ok(seq) => seq,
            // Whether it is on disk is not known: what comes after it must not build on a guess.
            Err(error @ StoreError::Write { .. }) => found(&*self.store, &entry).await.ok_or(error)?,
            Err(error) => return Err(error.into()),
        };
        self.current.store(Arc::new(directory));
        drop(self.turn);
        let took_us = started.elapsed().as_micros() as u64;
        let tenant = entry.tenant.as_ref().map(TenantName::as_str);
        tracing::info!(act = entry.act, target = entry.target, tenant, actor = entry.actor, took_us, "act");
        // Nobody watching is no failure.
        let _ = self.acts.told.send(Arc::new(AuditEntry { seq, ..entry }));
        Ok(())
    }
}

/// The number of an act that is on disk although its answer was lost: nobody else has written since.
async fn found(store: &dyn Store, entry: &AuditEntry) -> Option<u64> {
    let newest = store.audit(AuditQuery { limit: 1, ..AuditQuery::default() }).await.ok()?.rows.pop()?;
    (AuditEntry { seq: newest.seq, ..entry.clone() } == newest).then_some(newest.seq)
}
