//! The revision cache: revisions in memory, each loaded once for all routes and requests, and freed with the last of
//! them.
//!
//! Owns the loading of a revision from its record. Components are shared by digest: twenty revisions of one component
//! with different settings hold its compiled code once. Called when routes change and at the start.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use lector_core::{Clock, DeploymentName, Engines, Fault, Kind, ModelName, TenantName};
use tokio::sync::Mutex;

use crate::digest::Digest;
use crate::model_references::{ModelReference, ModelReferences};
use crate::pipeline::{ComponentLoader, Pipeline};
use crate::revision::{Revision, RevisionRecord};
use crate::store::Store;

type Id = (TenantName, DeploymentName, u32);

/// The cache.
pub(crate) struct RevisionCache {
    loader: Arc<dyn ComponentLoader>,
    engines: Arc<dyn Engines>,
    store: Arc<dyn Store>,
    model_references: ModelReferences,
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
        let model_references = ModelReferences::new(clock);
        Self { loader, engines, store, model_references, held: Mutex::default() }
    }

    pub(crate) fn loader(&self) -> &Arc<dyn ComponentLoader> {
        &self.loader
    }

    /// Returns the engine plane.
    pub(crate) fn engines(&self) -> &Arc<dyn Engines> {
        &self.engines
    }

    pub(crate) fn model_references(&self) -> &ModelReferences {
        &self.model_references
    }

    /// Loads the engines of these models, and returns references that keep them loaded.
    pub(crate) async fn prepare(&self, models: Vec<ModelName>) -> Result<ModelReference, Fault> {
        let reference = self.model_references.reference(models.clone()).await;
        self.engines.prepare(models).await?;
        Ok(reference)
    }

    /// Returns the compiled component. The caller holds no lock, so that other callers do not wait for the compilation.
    pub(crate) async fn pipeline(&self, digest: &Digest, wasm: &[u8]) -> Result<Arc<dyn Pipeline>, Fault> {
        if let Some(pipeline) = self.held.lock().await.pipeline(digest) {
            return Ok(pipeline);
        }
        let pipeline = self.loader.load(wasm.to_vec()).await?;
        Ok(self.held.lock().await.put_pipeline(digest, pipeline))
    }

    /// Adds a new revision, with the pipeline that the deploy pipeline tested.
    pub(crate) async fn put(
        &self,
        record: Arc<RevisionRecord>,
        pipeline: Arc<dyn Pipeline>,
        reference: ModelReference,
    ) -> Arc<Revision> {
        let mut held = self.held.lock().await;
        held.put(Revision::new(record, pipeline, Some(reference)))
    }

    /// Returns the revision, and loads it if it is not in memory.
    pub(crate) async fn get(&self, record: &Arc<RevisionRecord>) -> Result<Arc<Revision>, Fault> {
        if let Some(revision) = self.held.lock().await.revision(record) {
            return Ok(revision);
        }
        let known = self.held.lock().await.pipeline(&record.component);
        let pipeline = match known {
            Some(pipeline) => pipeline,
            None => {
                let wasm = self.store.blob(record.component.clone()).await?.ok_or_else(|| missing(record))?;
                self.pipeline(&record.component, &wasm).await?
            }
        };
        let reference = self.prepare(record.models()).await?;
        // Another caller may have loaded it at the same time: the cache keeps one of each, so that all its statistics
        // are in one place.
        let mut held = self.held.lock().await;
        match held.revision(record) {
            Some(revision) => Ok(revision),
            None => Ok(held.put(Revision::new(record.clone(), pipeline, Some(reference)))),
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

fn missing(record: &RevisionRecord) -> Fault {
    Fault::new(
        Kind::Unavailable,
        "storage_damaged",
        format!(
            "The component of revision {} is not in the store: deploy it again, or restore a backup.",
            record.number
        ),
    )
    .with_detail(&record.component)
}
