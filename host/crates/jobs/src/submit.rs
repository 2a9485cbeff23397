//! The submission of jobs: inputs that are stored as they arrive, and the limits of the tenant.

use std::sync::Arc;

use lector_control::store::jobs::{Added, Deleted, JobId, JobLimits, NewJob, NewJobDocument, Staged};
use lector_control::{Limits, Principal};
use lector_core::{Fault, Kind, TenantName};

use crate::faults;
use crate::service::Jobs;
use crate::spec::{StagedInput, Submission};
use crate::status::Submitted;

impl Jobs {
    /// Stores an input. It is durable when this returns, and counts against the tenant's bytes. Faults:
    /// `tenant_job_bytes_exceeded`, `storage_full`, `storage_unavailable`.
    pub async fn stage(
        &self,
        principal: &Principal,
        name: Option<String>,
        content_type: Option<String>,
        bytes: impl Into<Arc<Vec<u8>>>,
    ) -> Result<StagedInput, Fault> {
        let (bytes, tenant) = (bytes.into(), principal.tenant().clone());
        let (length, most) = (bytes.len() as u64, self.limits(principal.limits()).bytes);
        let staged = self.store_of(principal).call(move |store| store.stage(tenant, bytes, most)).await?;
        match staged {
            Staged::Stored(blob) => Ok(StagedInput { name, content_type, bytes: length, blob }),
            Staged::TooManyBytes(bytes) => Err(faults::too_many_bytes(bytes, most)),
        }
    }

    /// Submits a job. It is durable when this returns. The inputs of a job that is not accepted are deleted. Faults:
    /// `option_invalid`, `deployment_not_found`, `tenant_not_found`, `idempotency_key_reused`, `tenant_jobs_exceeded`,
    /// `tenant_job_bytes_exceeded`, `storage_full`.
    pub async fn submit(
        self: &Arc<Self>,
        principal: &Principal,
        submission: Submission,
    ) -> Result<Submitted, Fault> {
        submission.spec.check(self.config().retention_max)?;
        if submission.inputs.is_empty() {
            let message = "The job has no document: send at least one as a part named `file`.";
            return Err(Fault::new(Kind::Invalid, "file_missing", message));
        }
        let control = self.parts.service.control();
        control.lease(principal, submission.spec.request.deployment.as_ref())?;
        let idempotency = submission.idempotency()?;
        let Submission { spec, inputs, .. } = submission;
        let id = JobId::random().ok_or_else(faults::no_randomness)?;
        let limits = self.limits(principal.limits());
        let document = |input: &StagedInput| NewJobDocument {
            name: input.name.clone(),
            content_type: input.content_type.clone(),
            digest: input.blob.digest().clone(),
            bytes: input.bytes,
        };
        let retention = spec.retention.unwrap_or(self.config().retention);
        let job = NewJob {
            id: id.clone(),
            tenant: principal.tenant().clone(),
            created_at_ms: self.clock.now_ms(),
            priority: spec.priority,
            retention_ms: u64::try_from(retention.as_millis()).unwrap_or(u64::MAX),
            spec: crate::json::text(&spec),
            idempotency,
            webhook: spec.webhook.clone(),
            documents: inputs.iter().map(document).collect(),
            limits,
        };
        // The tenant may be deleted while its documents arrive; the next tenant of that name must not get them.
        control.still_exists(principal)?;
        let inputs = inputs.into_iter().map(|input| input.blob).collect();
        let (jobs, owner, own) = (self.clone(), principal.clone(), id.clone());
        // Also if the client leaves.
        let store = self.store_of(principal);
        let added = store.run(|store| async move {
            let added = store.add(job, inputs).await.map_err(faults::stored)?;
            if let Err(gone) = jobs.parts.service.control().still_exists(&owner) {
                // Deleted during the addition, which the deletion may not have seen.
                if added == Added::New {
                    jobs.forget(owner.tenant(), &own).await?;
                }
                return Err(gone);
            }
            Ok(added)
        });
        let added = added.await?;
        let (id, created) = match added {
            Added::New => (id, true),
            Added::Same(id) => (id, false),
            Added::Other(id) => {
                let message = format!(
                    "The idempotency key belongs to the job `{id}`, which has other documents or options: use a new key."
                );
                return Err(Fault::new(Kind::Conflict, "idempotency_key_reused", message));
            }
            Added::TooMany(unfinished) => {
                return Err(faults::too_many_jobs(unfinished));
            }
            Added::TooManyBytes(bytes) => return Err(faults::too_many_bytes(bytes, limits.bytes)),
        };
        self.ready.notify_one();
        Ok(Submitted { job: self.status(principal, &id).await?, created })
    }

    /// Returns the limits of the jobs of a tenant: its own, else those of the server.
    fn limits(&self, own: &Limits) -> JobLimits {
        let or = |own: u64, otherwise: u64| if own == 0 { otherwise } else { own };
        JobLimits {
            unfinished: or(own.jobs_unfinished_max, self.config().tenant_jobs_max),
            bytes: or(own.jobs_bytes_max, self.config().tenant_bytes_max),
        }
    }

    /// Returns the limit of the bytes that the jobs of a tenant keep. Of a tenant that is being deleted: that of the server.
    pub(crate) fn bytes_max(&self, tenant: &TenantName) -> u64 {
        let principal = self.parts.service.control().principal_of_job(tenant);
        principal.map_or(self.config().tenant_bytes_max, |principal| self.limits(principal.limits()).bytes)
    }

    /// Deletes a job in any state.
    async fn forget(&self, tenant: &TenantName, id: &JobId) -> Result<(), Fault> {
        let delete = async || {
            let deleted = self.store().delete(tenant.clone(), id.clone(), self.clock.now_ms()).await;
            deleted.map_err(faults::stored)
        };
        if delete().await? == Some(Deleted::Canceled) {
            self.cancel_turns(id);
            delete().await?;
        }
        self.has_ended(id);
        Ok(())
    }
}
