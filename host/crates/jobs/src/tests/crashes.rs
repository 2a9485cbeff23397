//! Crashes at every write of the store: nothing that was acknowledged is lost, and each page is once in the result.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

use futures::FutureExt;
use lector_control::Digest;
use lector_control::store::jobs::*;
use lector_control::store::{StagedBlob, StoreError, Stored};
use lector_core::TenantName;

use super::*;

/// A store that dies at a write: every call from then on fails, and nothing more is written. `after`: the last write is
/// done, and its answer is lost.
pub(super) struct Dying {
    inner: Arc<dyn JobStore>,
    writes_left: AtomicI64,
    after: bool,
    /// The reads of jobs.
    pub(super) jobs_read: Mutex<Vec<Documents>>,
    /// The reads of counts.
    pub(super) counted: AtomicU64,
    /// Deliveries whose next attempt is not recorded.
    pub(super) unrecorded: Mutex<BTreeSet<u64>>,
    /// The tenant whose secrets are damaged.
    pub(super) without_secrets: Mutex<Option<TenantName>>,
    /// The tenant whose lists are never read, and the number of them.
    pub(super) stalled: Mutex<Option<TenantName>>,
    pub(super) stalls: AtomicU64,
    /// Whether reads of results and of inputs never end; the number of those reads.
    pub(super) stalled_reads: AtomicBool,
    pub(super) results_read: AtomicU64,
    pub(super) blobs_read: AtomicU64,
    /// Additions that wait before they begin, until there is a permit.
    pub(super) additions: Mutex<Option<Arc<tokio::sync::Semaphore>>>,
    pub(super) additions_begun: AtomicU64,
}

fn dead<T>() -> Result<T, StoreError> {
    Err(StoreError::Write { what: "anything", source: "the process is dead".into() })
}

impl Dying {
    fn new(inner: Arc<dyn JobStore>, writes: i64, after: bool) -> Self {
        Self {
            inner,
            writes_left: AtomicI64::new(writes),
            after,
            jobs_read: Mutex::default(),
            counted: AtomicU64::default(),
            unrecorded: Mutex::default(),
            without_secrets: Mutex::default(),
            stalled: Mutex::default(),
            stalls: AtomicU64::default(),
            stalled_reads: AtomicBool::default(),
            results_read: AtomicU64::default(),
            blobs_read: AtomicU64::default(),
            additions: Mutex::default(),
            additions_begun: AtomicU64::default(),
        }
    }

    /// Makes a store that lives, and counts.
    pub(super) fn living(inner: Arc<dyn JobStore>) -> Arc<Self> {
        Arc::new(Self::new(inner, i64::MAX, false))
    }

    fn is_dead(&self) -> bool {
        self.writes_left.load(SeqCst) <= 0
    }

    fn write<'a, T: Send + 'a>(&'a self, call: impl FnOnce() -> Stored<'a, T>) -> Stored<'a, T> {
        let left = self.writes_left.fetch_sub(1, SeqCst);
        if left > 1 {
            return call();
        }
        if left == 1 && self.after {
            let done = call();
            return async move {
                done.await?;
                dead()
            }
            .boxed();
        }
        async { dead() }.boxed()
    }

    fn read<'a, T: Send + 'a>(&'a self, call: impl FnOnce() -> Stored<'a, T>) -> Stored<'a, T> {
        if self.is_dead() { async { dead() }.boxed() } else { call() }
    }

    fn read_of<'a, T: Send + 'a>(
        &'a self,
        counter: &AtomicU64,
        call: impl FnOnce() -> Stored<'a, T>,
    ) -> Stored<'a, T> {
        counter.fetch_add(1, SeqCst);
        if self.stalled_reads.load(SeqCst) { std::future::pending().boxed() } else { self.read(call) }
    }
}

impl JobStore for Dying {
    fn stage(&self, tenant: TenantName, bytes: Arc<Vec<u8>>, bytes_max: u64) -> Stored<'_, Staged> {
        self.write(|| self.inner.stage(tenant, bytes, bytes_max))
    }
    fn add(&self, job: NewJob, inputs: Vec<StagedBlob>) -> Stored<'_, Added> {
        self.additions_begun.fetch_add(1, SeqCst);
        if let Some(additions) = self.additions.lock().unwrap().clone() {
            return async move {
                additions.acquire().await.unwrap().forget();
                self.inner.add(job, inputs).await
            }
            .boxed();
        }
        self.write(|| self.inner.add(job, inputs))
    }
    fn job(&self, id: JobId, documents: Documents) -> Stored<'_, Option<JobRow>> {
        self.jobs_read.lock().unwrap().push(documents);
        self.read(|| self.inner.job(id, documents))
    }
    fn ended(&self, job: JobId, document: u32) -> Stored<'_, Option<String>> {
        self.read_of(&self.results_read, || self.inner.ended(job, document))
    }
    fn jobs(&self, query: JobQuery) -> Stored<'_, Listed<JobRow>> {
        if self.stalled.lock().unwrap().as_ref() == Some(&query.tenant) {
            self.stalls.fetch_add(1, SeqCst);
            return std::future::pending().boxed();
        }
        self.read(|| self.inner.jobs(query))
    }
    fn claim(&self, query: ClaimQuery) -> Stored<'_, Option<Claim>> {
        self.write(|| self.inner.claim(query))
    }
    fn renew(&self, job: JobId, token: String, until_ms: u64) -> Stored<'_, bool> {
        self.write(|| self.inner.renew(job, token, until_ms))
    }
    fn opened(&self, claim: ClaimRef, now_ms: u64, opened: String, event: String) -> Stored<'_, ()> {
        self.write(|| self.inner.opened(claim, now_ms, opened, event))
    }
    fn page(&self, claim: ClaimRef, now_ms: u64, page: NewPage) -> Stored<'_, PageStored> {
        self.write(|| self.inner.page(claim, now_ms, page))
    }
    fn end_document(&self, claim: ClaimRef, end: DocumentEnd) -> Stored<'_, ()> {
        self.write(|| self.inner.end_document(claim, end))
    }
    fn release(&self, claim: ClaimRef, release: Release) -> Stored<'_, ()> {
        self.write(|| self.inner.release(claim, release))
    }
    fn delete(&self, tenant: TenantName, id: JobId, now_ms: u64) -> Stored<'_, Option<Deleted>> {
        self.write(|| self.inner.delete(tenant, id, now_ms))
    }
    fn expire(&self, now_ms: u64, limit: u32) -> Stored<'_, u64> {
        self.read(|| self.inner.expire(now_ms, limit))
    }
    fn next_due(&self) -> Stored<'_, Option<u64>> {
        self.read(|| self.inner.next_due())
    }
    fn page_bytes(&self, job: JobId, document: u32, index: u32) -> Stored<'_, Option<u64>> {
        self.read_of(&self.results_read, || self.inner.page_bytes(job, document, index))
    }
    fn failed_page(&self, job: JobId, document: u32) -> Stored<'_, Option<u32>> {
        self.read(|| self.inner.failed_page(job, document))
    }
    fn page_result(&self, job: JobId, document: u32, index: u32) -> Stored<'_, Option<(bool, Vec<u8>)>> {
        self.read(|| self.inner.page_result(job, document, index))
    }
    fn blob(&self, digest: Digest) -> Stored<'_, Option<Vec<u8>>> {
        self.read_of(&self.blobs_read, || self.inner.blob(digest))
    }
    fn events(&self, job: JobId, after: u64, limit: u32) -> Stored<'_, Vec<JobEventRow>> {
        self.read(|| self.inner.events(job, after, limit))
    }
    fn deliveries(&self, query: DeliveryQuery) -> Stored<'_, Listed<DeliveryRow>> {
        self.read(|| self.inner.deliveries(query))
    }
    fn due_deliveries(&self, now_ms: u64, limit: u32) -> Stored<'_, Vec<DeliveryRow>> {
        self.read(|| self.inner.due_deliveries(now_ms, limit))
    }
    fn attempted(&self, seq: u64, attempt: DeliveryAttempt) -> Stored<'_, ()> {
        if self.unrecorded.lock().unwrap().remove(&seq) {
            return async { dead() }.boxed();
        }
        self.read(|| self.inner.attempted(seq, attempt))
    }
    fn secrets(&self, tenant: TenantName, new: String, now_ms: u64) -> Stored<'_, Vec<String>> {
        if self.without_secrets.lock().unwrap().as_ref() == Some(&tenant) {
            return async { Err(StoreError::Damaged { what: "a secret".to_owned() }) }.boxed();
        }
        self.read(|| self.inner.secrets(tenant, new, now_ms))
    }
    fn rotate_secret(&self, tenant: TenantName, new: String, now_ms: u64) -> Stored<'_, ()> {
        self.read(|| self.inner.rotate_secret(tenant, new, now_ms))
    }
    fn forget_tenant(&self, tenant: TenantName, limit: u32) -> Stored<'_, Vec<JobId>> {
        self.write(|| self.inner.forget_tenant(tenant, limit))
    }
    fn counts(&self) -> Stored<'_, JobCounts> {
        self.counted.fetch_add(1, SeqCst);
        self.read(|| self.inner.counts())
    }
}

/// Pages of the documents of the job.
const PAGES: [u8; 3] = [3, 6, 1];

/// Runs a job in a process that dies at write number `at`, and then in one that lives. Returns whether the first died
/// before the job ended.
async fn dies_at(service: &Arc<DocumentService>, at: i64, after: bool) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let (script, clock) = (Script::new(Behavior::Read), ManualClock::default());
    let store = Arc::new(Dying::new(open(&dir), at, after));
    let transport = Arc::default();
    let jobs = start(service, store.clone(), &transport);
    let mut server = Server { dir, script, clock, transport, service: service.clone(), jobs };
    let acknowledged = submit(&server).await;
    if let Ok(id) = &acknowledged {
        found("the end of the job or of the process", async || {
            let status = server.jobs.status(&server.principal(), id).await;
            (store.is_dead() || status.is_ok_and(|status| status.state.is_finished())).then_some(())
        })
        .await;
    }
    let died = store.is_dead();
    server.jobs.stop().await;
    drop(store);
    // The next process.
    let (dir, transport) = (&server.dir, &server.transport);
    let placeholder = tempfile::tempdir().unwrap();
    let idle = start(service, open(&placeholder), transport);
    idle.stop().await;
    drop(std::mem::replace(&mut server.jobs, idle));
    let jobs = start(service, reopened(dir).await, transport);
    drop(std::mem::replace(&mut server.jobs, jobs));
    // A client without an acknowledgment submits again; the key prevents a second job.
    let id = submit(&server).await.unwrap();
    if let Ok(acknowledged) = acknowledged {
        assert_eq!(acknowledged, id, "an acknowledged job is there");
    }
    let principal = server.principal();
    let status = server.jobs.wait(&principal, &id, Duration::from_secs(1_000_000)).await.unwrap();
    assert_eq!((status.state, status.pages_ok), (JobState::Succeeded, 10), "write {at}, after: {after}");
    server.exactly_once(&id, &PAGES.map(u32::from)).await;
    let all = server.jobs.list(&principal, JobFilter::default(), None, 10).await.unwrap();
    assert_eq!(all.len(), 1);
    server.jobs.stop().await;
    died
}

async fn submit(server: &Server) -> Result<JobId, Fault> {
    let principal = server.principal();
    let mut inputs = Vec::new();
    for pages in PAGES {
        inputs.push(server.jobs.stage(&principal, None, None, vec![pages]).await?);
    }
    let submission = Submission { spec: spec(), inputs, idempotency_key: Some("once".to_owned()) };
    Ok(server.jobs.submit(&principal, submission).await?.job.id)
}

#[tokio::test]
async fn each_page_is_once_in_the_result_whatever_write_is_the_last_of_a_process() {
    let (script, clock) = (Script::new(Behavior::Read), ManualClock::default());
    let service = service(&script, &clock).await;
    let mut points = 0;
    for after in [false, true] {
        for at in 1.. {
            points += 1;
            if !dies_at(&service, at, after).await {
                break;
            }
            assert!(at < 500, "the job ends some time");
        }
    }
    // 3 inputs, 1 job, at least 5 turns with a claim and a release, 3 openings, 10 pages, 3 ends; each before and after.
    assert!(points > 50, "{points}");
}

/// A document that ends the process each time it is opened.
#[tokio::test]
async fn a_document_that_kills_the_process_is_given_up() {
    let server = Server::start().await;
    server.jobs.stop().await;
    let Server { dir, script, clock, transport, service, jobs } = server;
    drop(jobs);
    let store = reopened(&dir).await;
    let Staged::Stored(staged) = store.stage("default".into(), Arc::new(vec![2]), 9999).await.unwrap() else {
        panic!("within the limit");
    };
    let digest = staged.digest().clone();
    let document = NewJobDocument { name: None, content_type: None, digest, bytes: 1 };
    let id = JobId::random().unwrap();
    let job = NewJob {
        id: id.clone(),
        tenant: "default".into(),
        created_at_ms: 0,
        priority: 0,
        retention_ms: 1000,
        spec: crate::json::text(&spec()),
        idempotency: None,
        webhook: None,
        documents: vec![document],
        limits: JobLimits { unfinished: 9, bytes: 99_999 },
    };
    store.add(job, vec![staged]).await.unwrap();
    drop(store);
    for attempt in 1..=3 {
        let store = reopened(&dir).await;
        let query =
            ClaimQuery { token: "t".into(), now_ms: 1, claims_now_ms: 1, until_ms: 2, tenant_claims_max: 1 };
        let claim = store.claim(query).await.unwrap().unwrap();
        assert_eq!(claim.job.documents[0].attempts, attempt);
        // The process dies here.
    }
    let jobs = start(&service, reopened(&dir).await, &transport);
    let server = Server { dir, script, clock, transport, service, jobs };
    let status = server.finished(&id).await;
    assert_eq!(status.state, JobState::Failed);
    assert_eq!(status.fault.unwrap().code, "job_attempts_exhausted");
    assert!(server.script.begun().is_empty(), "it is not tried a fourth time");
}
