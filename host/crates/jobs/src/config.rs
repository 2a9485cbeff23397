//! The configuration of jobs.

use std::time::Duration;

use crate::egress::EgressPolicy;

/// The configuration of jobs.
#[derive(Clone, Debug)]
pub struct JobsConfig {
    /// Documents of jobs that are read at once.
    pub running_max: usize,
    /// Documents of the jobs of one tenant that are read at once.
    pub tenant_running_max: u32,
    /// Pages that are read before the next job has its turn.
    pub pages_per_turn: u32,
    /// Most pages of one document.
    pub pages_per_document_max: u32,
    /// Attempts without a new page after which a page or a document is given up.
    pub attempts_max: u32,
    /// Time after which a claim ends that is not renewed.
    pub lease: Duration,
    /// Time for the pages of one turn.
    pub turn_timeout: Duration,
    /// Time that a finished job is kept, if the submission names none.
    pub retention: Duration,
    /// Longest time that a submission may name.
    pub retention_max: Duration,
    /// Most unfinished jobs of a tenant.
    pub tenant_jobs_max: u64,
    /// Most bytes of inputs and results of a tenant; beyond it new jobs are refused.
    pub tenant_bytes_max: u64,
    /// Webhooks.
    pub webhooks: WebhookConfig,
}

/// The configuration of webhooks.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Attempts after which a message is given up.
    pub attempts_max: u32,
    /// Time of one attempt.
    pub timeout: Duration,
    /// The addresses that may receive messages.
    pub egress: EgressPolicy,
}
