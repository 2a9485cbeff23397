//! The revision cache: revisions in memory, each loaded once for all routes and requests, and freed with the last of
//! them.
//!
//! Owns the loading of a revision from its record. Components are shared by digest: twenty revisions of one component
//! with different settings hold its compiled code once. Called when routes change and at the start.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use lector_core::{Clock, DeploymentName, Engines, Fault, Kind, TenantName};
use tokio::sync::Mutex;

use crate::digest::Digest;
use crate::guest_logs::GuestLogs;
use crate::model_references::{ModelReference, ModelReferences};
use crate::pipeline::{ComponentLoader, Pipeline, StageParts, WrappedPipelines};
use crate::revision::{Revision, RevisionRecord};
use crate::store::Store;

type Id = (TenantName, DeploymentName, u32);

/// A revision in messages: its deployment and number.
type Named<'a> = (&'a DeploymentName, u32);

/// The cache.
pub(crate) struct RevisionCache {
    loader: Arc<dyn ComponentLoader>,
    engines: Arc<dyn Engines>,
    store: Arc<dyn Store>,
    model_references: ModelReferences,
    guest_logs: Arc<GuestLogs>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    pipelines: HashMap<Digest, Weak<dyn Pipeline>>,
    revisions: HashMap<Id, Weak<Revision>>,
}

impl RevisionCache {
    pub(crate) fn new(
        loader: Arc<dyn ComponentLoader>,
        engines: Arc<dyn Engines>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let guest_logs = Arc::new(GuestLogs::new(clock.clone()));
        let model_references = ModelReferences::new(clock);
        Self { loader, engines, store, model_references, guest_logs, held: Mutex::default() }
    }

    pub(crate) fn loader(&self) -> &Arc<dyn ComponentLoader> {
        &self.loader
    }

    /// Returns the engine plane.
    pub(crate) fn engines(&self) -> &Arc<dyn Engines> {
        &self.engines
    }

    /// Returns the log lines of guests.
    pub(crate) fn guest_logs(&self) -> &Arc<GuestLogs> {
        &self.guest_logs
    }

    pub(crate) fn model_references(&self) -> &ModelReferences {
        &self.model_references
    }

    /// Loads the engines of a revision's models, and returns references that keep them loaded. A model that the guest can do
    /// without is loaded where the host has it.
    pub(crate) async fn prepare(&self, record: &RevisionRecord) -> Result<ModelReference, Fault> {
        let models = record.models();
        let mut optional = record.optional_models();
        optional.retain(|model| !models.contains(model));
        let all = models.iter().chain(&optional).cloned().collect();
        let reference = self.model_references.reference(all).await;
        let optional = optional.into_iter().map(|model| async move {
            if let Err(fault) = self.engines.prepare(vec![model.clone()]).await {
                tracing::info!(%model, %fault, "an optional model is not to be had on this host");
            }
        });
        // Side by side: each opens engines of its own.
        let (prepared, _) = futures::join!(self.engines.prepare(models), futures::future::join_all(optional));
        prepared.map(|()| reference)
    }

    /// Returns the compiled component, compiled for `tenant` where it is not in memory. The caller holds no lock, so that
    /// other callers do not wait for the compilation.
    pub(crate) async fn pipeline(
        &self,
        digest: &Digest,
        wasm: &[u8],
        tenant: &TenantName,
    ) -> Result<Arc<dyn Pipeline>, Fault> {
        if let Some(pipeline) = self.held.lock().await.pipeline(digest) {
            return Ok(pipeline);
        }
        let pipeline = self.loader.load(wasm.to_vec(), tenant).await?;
        Ok(self.held.lock().await.put_pipeline(digest, pipeline))
    }

    /// Adds a new revision, with the pipeline that the deploy pipeline tested.
    pub(crate) async fn put(
        &self,
        record: Arc<RevisionRecord>,
        pipeline: Arc<dyn Pipeline>,
        wrapped: WrappedPipelines,
        reference: ModelReference,
    ) -> Arc<Revision> {
        let mut held = self.held.lock().await;
        let log = self.guest_logs.sink(record.number);
        held.put(Revision::new(record, pipeline, wrapped, log, Some(reference)))
    }

    /// Returns the bytes of a component that a revision names.
    pub(crate) async fn component(&self, digest: &Digest, of: &Named<'_>) -> Result<Vec<u8>, Fault> {
        self.store.blob(digest.clone()).await?.ok_or_else(|| missing(digest, of))
    }

    /// Returns the compiled component of a stored revision.
    async fn stored(
        &self,
        digest: &Digest,
        of: &Named<'_>,
        tenant: &TenantName,
    ) -> Result<Arc<dyn Pipeline>, Fault> {
        let known = self.held.lock().await.pipeline(digest);
        match known {
            Some(pipeline) => Ok(pipeline),
            None => self.pipeline(digest, &self.component(digest, of).await?, tenant).await,
        }
    }

    /// Loads the pipelines that a revision wraps.
    pub(crate) async fn wrapped(&self, record: &RevisionRecord) -> Result<WrappedPipelines, Fault> {
        let mut wrapped = WrappedPipelines::default();
        let stages: Vec<_> = record.wrapped_stages().collect();
        for stage in stages.into_iter().rev() {
            let of = (&stage.deployment, stage.revision);
            let pipeline = self.stored(&stage.component, &of, &record.tenant).await?;
            let parts = StageParts {
                name: stage.deployment.clone(),
                settings: stage.settings.text(),
                grants: Arc::new(stage.grants.clone()),
                pipeline_info: stage.pipeline_info.clone(),
                options_schema: stage.options_schema.clone(),
                wrapped: None,
            };
            wrapped.push(pipeline, parts)?;
        }
        Ok(wrapped)
    }

    /// Returns the revision, and loads it if it is not in memory.
    pub(crate) async fn get(&self, record: &Arc<RevisionRecord>) -> Result<Arc<Revision>, Fault> {
        if let Some(revision) = self.held.lock().await.revision(record) {
            return Ok(revision);
        }
        let of = (&record.deployment, record.number);
        let pipeline = self.stored(&record.component, &of, &record.tenant).await?;
        let wrapped = self.wrapped(record).await?;
        let reference = self.prepare(record).await?;
        // Another caller may have loaded it at the same time: the cache keeps one of each, so that all its statistics
        // are in one place.
        let mut held = self.held.lock().await;
        match held.revision(record) {
            Some(revision) => Ok(revision),
            None => {
                let log = self.guest_logs.sink(record.number);
                Ok(held.put(Revision::new(record.clone(), pipeline, wrapped, log, Some(reference))))
            }
        }
    }
}

impl Held {
    fn pipeline(&self, digest: &Digest) -> Option<Arc<dyn Pipeline>> {
        self.pipelines.get(digest).and_then(Weak::upgrade)
    }

    /// Adds a pipeline; returns the one that was added first while this one was loaded.
    fn put_pipeline(&mut self, digest: &Digest, pipeline: Arc<dyn Pipeline>) -> Arc<dyn Pipeline> {
        self.pipelines.retain(|_, pipeline| pipeline.strong_count() > 0);
        if let Some(earlier) = self.pipeline(digest) {
            return earlier;
        }
        self.pipelines.insert(digest.clone(), Arc::downgrade(&pipeline));
        pipeline
    }

    fn revision(&self, record: &RevisionRecord) -> Option<Arc<Revision>> {
        let found = self.revisions.get(&id(record)).and_then(Weak::upgrade);
        // A deployment that was deleted and created again counts from 1 again.
        found.filter(|revision| *revision.record == *record)
    }

    fn put(&mut self, revision: Arc<Revision>) -> Arc<Revision> {
        self.revisions.retain(|_, revision| revision.strong_count() > 0);
        self.revisions.insert(id(&revision.record), Arc::downgrade(&revision));
        revision
    }
}

fn id(record: &RevisionRecord) -> Id {
    (record.tenant.clone(), record.deployment.clone(), record.number)
}

fn missing(component: &Digest, (deployment, number): &Named<'_>) -> Fault {
    Fault::new(
        Kind::Unavailable,
        "storage_damaged",
        format!(
            "The component of revision {number} of deployment `{deployment}` is not in the store: deploy it again, or \
             restore a backup."
        ),
    )
    .with_detail(component)
}
