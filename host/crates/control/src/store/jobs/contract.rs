//! The contract suite of stores of jobs. A new implementation adds itself to [`stores`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod limits;
mod messages;

use std::time::{Duration, Instant};

use super::super::sqlite::SqliteJobStore;
use super::super::{StoreError, sqlite};
use super::*;
use crate::fakes::{SOON, reopened};

/// A store, and the means to open it again as after a crash.
struct Subject {
    store: Option<Box<dyn JobStore>>,
    dir: tempfile::TempDir,
}

impl Subject {
    async fn reopen(&mut self) {
        self.store = None;
        self.store = Some(Box::new(open(self.dir.path()).await));
    }

    /// Executes SQL that no call executes, in the format of this store.
    async fn damage(&mut self, sql: &str) {
        self.store = None;
        drop(open(self.dir.path()).await);
        sqlite::job_sql(self.dir.path(), sql);
        self.reopen().await;
    }

    /// Returns the number of blobs on the disk.
    fn blobs(&self) -> usize {
        sqlite::job_blobs(self.dir.path())
    }

    /// Waits until there are `count` blobs on the disk.
    async fn has_blobs(&self, count: usize) {
        let end = Instant::now() + SOON;
        while self.blobs() != count {
            assert!(Instant::now() < end, "{} blobs, not {count}", self.blobs());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Opens a folder that was used before.
async fn open(dir: &std::path::Path) -> SqliteJobStore {
    reopened(|| SqliteJobStore::open(dir, 0)).await
}

impl std::ops::Deref for Subject {
    type Target = dyn JobStore;

    fn deref(&self) -> &Self::Target {
        &**self.store.as_ref().unwrap()
    }
}

async fn stores() -> Vec<Subject> {
    let mut subject = Subject { store: None, dir: tempfile::tempdir().unwrap() };
    subject.reopen().await;
    vec![subject]
}

const LIMITS: JobLimits = JobLimits { unfinished: 100, bytes: 1 << 30 };

/// Stages an input of a tenant within its limit.
async fn stage(store: &dyn JobStore, tenant: &str, input: &[u8]) -> StagedBlob {
    match store.stage(tenant.into(), Arc::new(input.to_vec()), LIMITS.bytes).await.unwrap() {
        Staged::Stored(blob) => blob,
        Staged::TooManyBytes(bytes) => panic!("{bytes}"),
    }
}

async fn delete(store: &dyn JobStore, tenant: &str, id: &JobId, now_ms: u64) -> Option<Deleted> {
    store.delete(tenant.into(), id.clone(), now_ms).await.unwrap()
}

async fn found(store: &dyn JobStore, id: &JobId) -> Option<JobRow> {
    store.job(id.clone(), Documents::All).await.unwrap()
}

async fn listed(store: &dyn JobStore, tenant: &str, state: Option<JobState>, limit: u32) -> Listed<JobRow> {
    store.jobs(JobQuery { tenant: tenant.into(), state, before: None, limit }).await.unwrap()
}

/// Stages the inputs of a new job.
async fn new_job(store: &dyn JobStore, tenant: &str, inputs: &[&str]) -> (NewJob, Vec<StagedBlob>) {
    let (mut documents, mut staged) = (Vec::new(), Vec::new());
    for input in inputs {
        let blob = stage(store, tenant, input.as_bytes()).await;
        let (digest, bytes) = (blob.digest().clone(), input.len() as u64);
        documents.push(NewJobDocument { name: Some((*input).to_owned()), content_type: None, digest, bytes });
        staged.push(blob);
    }
    let job = NewJob {
        id: JobId::random().unwrap(),
        tenant: tenant.into(),
        created_at_ms: 1000,
        priority: 0,
        retention_ms: 500,
        spec: "{\"a\":1}".to_owned(),
        idempotency: None,
        webhook: None,
        documents,
        limits: LIMITS,
    };
    (job, staged)
}

/// Adds a job that `adjust` has changed.
async fn add_with(
    store: &dyn JobStore,
    tenant: &str,
    inputs: &[&str],
    adjust: impl FnOnce(&mut NewJob),
) -> (JobId, Added) {
    let (mut job, staged) = new_job(store, tenant, inputs).await;
    adjust(&mut job);
    (job.id.clone(), store.add(job, staged).await.unwrap())
}

async fn add(store: &dyn JobStore, tenant: &str, inputs: &[&str]) -> JobId {
    let (id, added) = add_with(store, tenant, inputs, |_| {}).await;
    assert_eq!(added, Added::New);
    id
}

fn query(token: &str, now_ms: u64, most: u32) -> ClaimQuery {
    ClaimQuery { token: token.to_owned(), now_ms, claims_now_ms: 0, until_ms: 100, tenant_claims_max: most }
}

async fn claim(store: &dyn JobStore, token: &str, now_ms: u64, most: u32) -> Option<Claim> {
    let query = ClaimQuery { claims_now_ms: now_ms, until_ms: now_ms + 100, ..query(token, now_ms, most) };
    store.claim(query).await.unwrap()
}

fn page(index: u32, ok: bool) -> NewPage {
    let result = Arc::new(format!("result {index}").into_bytes());
    NewPage { index, ok, result, event: format!("{{\"page\":{index}}}"), tenant_bytes_max: LIMITS.bytes }
}

fn end(failed: bool) -> DocumentEnd {
    let event = if failed { "document_error" } else { "document_end" };
    DocumentEnd { now_ms: 2000, ended: "{}".to_owned(), failed, event: (event.to_owned(), "{}".to_owned()) }
}

fn released(attempted: bool) -> Release {
    Release { not_before_ms: 0, attempted, fault: Some("late".to_owned()) }
}

async fn event_names(store: &dyn JobStore, id: &JobId) -> Vec<String> {
    let events = store.events(id.clone(), 0, 1000).await.unwrap();
    let numbers: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>(), "numbered without gaps");
    events.into_iter().map(|event| event.event).collect()
}

#[tokio::test]
async fn a_job_lives_through_restarts_from_its_submission_to_its_end() {
    for mut store in stores().await {
        let id = add(&*store, "acme", &["one", "two"]).await;
        store.reopen().await;
        let job = found(&*store, &id).await.unwrap();
        assert_eq!((job.state, job.spec.as_str(), job.documents.len()), (JobState::Queued, "{\"a\":1}", 2));
        assert_eq!(store.blob(job.documents[1].digest.clone()).await.unwrap().unwrap(), b"two");

        let first = claim(&*store, "t1", 1100, 9).await.unwrap();
        assert_eq!((first.document, first.done.len(), first.job.documents[0].attempts), (0, 0, 1));
        let at = first.identity();
        store.opened(at.clone(), 1101, "open".into(), "{}".into()).await.unwrap();
        assert_eq!(store.page(at.clone(), 1102, page(1, true)).await.unwrap(), PageStored::New);
        assert_eq!(store.page(at.clone(), 1103, page(1, true)).await.unwrap(), PageStored::Known, "once");
        assert_eq!(store.page(at.clone(), 1104, page(0, false)).await.unwrap(), PageStored::New);
        store.reopen().await;

        // The claim ended with the process; its pages are there.
        assert!(matches!(
            store.page(at.clone(), 1105, page(2, true)).await,
            Err(StoreError::Conflict { .. })
        ));
        let again = claim(&*store, "t2", 1110, 9).await.unwrap();
        assert_eq!((again.document, &again.done[..]), (0, &[0, 1][..]));
        assert_eq!(again.job.documents[0].opened.as_deref(), Some("open"));
        assert_eq!(again.job.documents[0].attempts, 1, "pages reset the attempts");
        // A document is opened once.
        store.opened(again.identity(), 1111, "other".into(), "{}".into()).await.unwrap();
        store.end_document(again.identity(), end(false)).await.unwrap();
        store.release(again.identity(), released(false)).await.unwrap();

        let second = claim(&*store, "t3", 1120, 9).await.unwrap();
        assert_eq!(second.document, 1);
        store.end_document(second.identity(), end(true)).await.unwrap();
        store.reopen().await;
        let job = found(&*store, &id).await.unwrap();
        assert_eq!(
            (job.state, job.finished_at_ms, job.expires_at_ms),
            (JobState::Failed, Some(2000), Some(2500))
        );
        assert_eq!((job.documents[0].pages_ok, job.documents[0].pages_failed), (1, 1));
        assert!(!job.documents[0].failed && job.documents[1].failed);
        assert_eq!(
            event_names(&*store, &id).await,
            ["queued", "running", "document", "page", "page_error", "document_end", "document_error", "end"]
        );
        let after = store.events(id.clone(), 5, 2).await.unwrap();
        assert_eq!(after.iter().map(|event| event.seq).collect::<Vec<_>>(), [6, 7]);
        assert!(store.events(id.clone(), u64::MAX, 2).await.unwrap().is_empty());
        assert_eq!(store.page_result(id.clone(), 0, 1).await.unwrap(), Some((true, b"result 1".to_vec())));
        assert_eq!(store.page_result(id.clone(), 0, 7).await.unwrap(), None);
        assert_eq!(store.page_bytes(id.clone(), 0, 1).await.unwrap(), Some(8));
        assert_eq!(store.page_bytes(id.clone(), 0, 7).await.unwrap(), None);
        let failed = store.failed_page(id.clone(), 0).await.unwrap().unwrap();
        assert!(!store.page_result(id.clone(), 0, failed).await.unwrap().unwrap().0);
        assert_eq!(store.failed_page(id, 1).await.unwrap(), None);
        assert!(claim(&*store, "t4", 9000, 9).await.is_none(), "a finished job is not claimed");
    }
}

#[tokio::test]
async fn claims_are_fair_to_tenants_and_then_by_priority_and_turn() {
    for store in stores().await {
        let store = &*store;
        let (a1, a2) = (add(store, "a", &["1"]).await, add(store, "a", &["2"]).await);
        let (a3, _) = add_with(store, "a", &["3"], |job| job.priority = 5).await;
        let b = add(store, "b", &["4"]).await;
        let take = async |token: &'static str| {
            let claim = claim(store, token, 1000, 2).await?;
            Some((claim.job.id.clone(), claim.identity()))
        };
        // `a` came first, then `b` has fewer claims.
        let (first, urgent) = take("1").await.unwrap();
        assert_eq!(first, a3, "by priority");
        assert_eq!(take("2").await.unwrap().0, b);
        let (second, own) = take("3").await.unwrap();
        assert_eq!(second, a1);
        assert!(take("4").await.is_none(), "`a` has its two claims, and nothing else waits");
        store.release(own, released(false)).await.unwrap();
        assert_eq!(take("5").await.unwrap().0, a2, "the job that was served longest ago");
        store.end_document(urgent, end(false)).await.unwrap();
        assert_eq!(take("6").await.unwrap().0, a1);
    }
}

#[tokio::test]
async fn a_clock_that_is_set_ends_no_claim() {
    for store in stores().await {
        add(&*store, "a", &["1"]).await;
        let first = store.claim(query("first", 1000, 9)).await.unwrap().unwrap();
        assert_eq!(first.job.started_at_ms, Some(1000));
        // A day later by the clock on the wall, and one millisecond before the end of the claim.
        let later = ClaimQuery { claims_now_ms: 99, ..query("other", 86_400_000, 9) };
        assert!(store.claim(later.clone()).await.unwrap().is_none());
        assert!(store.claim(ClaimQuery { claims_now_ms: 100, ..later }).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_claim_ends_at_its_time_unless_it_is_renewed() {
    for store in stores().await {
        let id = add(&*store, "a", &["1"]).await;
        let first = claim(&*store, "first", 1000, 1).await.unwrap();
        assert!(claim(&*store, "other", 1099, 1).await.is_none());
        assert_eq!(store.next_due().await.unwrap(), Some(1100));
        assert!(store.renew(id.clone(), "first".into(), 1500).await.unwrap());
        assert!(claim(&*store, "other", 1100, 1).await.is_none());
        let other = claim(&*store, "other", 1500, 1).await.unwrap();
        assert_eq!(other.job.documents[0].attempts, 2);
        assert!(!store.renew(id.clone(), "first".into(), 9999).await.unwrap());
        for written in [
            store.page(first.identity(), 1, page(0, true)).await.map(|_| ()),
            store.opened(first.identity(), 1, String::new(), "{}".into()).await,
            store.end_document(first.identity(), end(false)).await,
            store.release(first.identity(), released(true)).await,
        ] {
            assert!(matches!(written, Err(StoreError::Conflict { .. })));
        }
        // An attempt that was none is not counted.
        let wait = Release { not_before_ms: 5000, ..released(false) };
        store.release(other.identity(), wait).await.unwrap();
        assert!(claim(&*store, "early", 4999, 1).await.is_none());
        assert_eq!(store.next_due().await.unwrap(), Some(5000));
        let third = claim(&*store, "third", 5000, 1).await.unwrap();
        assert_eq!(third.job.documents[0].attempts, 2);
        assert_eq!(third.job.documents[0].last_fault.as_deref(), Some("late"));
    }
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_job_of_a_tenant() {
    for store in stores().await {
        let with = async |tenant: &str, request: &str, input: &str| {
            let key = Some(("key".to_owned(), request.to_owned()));
            add_with(&*store, tenant, &[input], |job| job.idempotency = key).await
        };
        let (id, added) = with("a", "r", "1").await;
        assert_eq!(added, Added::New);
        assert_eq!(with("a", "r", "1").await.1, Added::Same(id.clone()));
        assert_eq!(with("a", "other", "2").await.1, Added::Other(id));
        assert_eq!(store.blobs(), 1, "the input that no job names is deleted");
        assert_eq!(with("b", "other", "1").await.1, Added::New);
        let jobs = async |tenant| listed(&*store, tenant, None, 9).await.rows.len();
        assert_eq!((jobs("a").await, jobs("b").await), (1, 1));
    }
}

#[tokio::test]
async fn the_counts_are_those_of_the_rows() {
    for mut store in stores().await {
        let jobs = [add(&*store, "a", &["1"]).await, add(&*store, "a", &["2"]).await];
        add(&*store, "b", &["3"]).await;
        let held = claim(&*store, "t", 1, 9).await.unwrap();
        assert_eq!(store.page(held.identity(), 2, page(0, true)).await.unwrap(), PageStored::New);
        store.end_document(held.identity(), end(true)).await.unwrap();
        delete(&*store, "a", &jobs[1], 3).await.unwrap();
        let counted = store.counts().await.unwrap();
        assert_eq!(counted.jobs, [1, 0, 0, 1, 1]);
        store.reopen().await;
        assert_eq!(store.counts().await.unwrap(), counted, "those that the start counts");
        delete(&*store, "a", &jobs[0], 4).await.unwrap();
        store.expire(9999, 9).await.unwrap();
        let counted = store.counts().await.unwrap();
        assert_eq!(counted.jobs, [1, 0, 0, 0, 0]);
        store.reopen().await;
        assert_eq!(store.counts().await.unwrap(), counted);
    }
}

#[tokio::test]
async fn a_page_of_a_list_ends_with_its_documents_or_bytes() {
    for store in stores().await {
        let many = vec!["x"; LIST_DOCUMENTS_MAX / 2];
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(add(&*store, "a", &many).await);
        }
        let long = "x".repeat(LIST_BYTES_MAX);
        let (large, _) = add_with(&*store, "a", &["x"], |job| job.spec = long).await;
        ids.push(large);
        ids.reverse();
        let (mut pages, mut before) = (Vec::new(), None);
        loop {
            let query = JobQuery { tenant: "a".into(), state: None, before, limit: 1000 };
            let page = store.jobs(query).await.unwrap();
            pages.push(page.rows.into_iter().map(|row| row.id).collect::<Vec<_>>());
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        // The one with a long specification alone; two of the others have as many documents as a page may have.
        assert_eq!(pages, [ids[..1].to_vec(), ids[1..3].to_vec(), ids[3..].to_vec()]);
    }
}

#[tokio::test]
async fn the_ends_of_documents_are_read_apart() {
    for store in stores().await {
        let id = add(&*store, "a", &["1", "2"]).await;
        for failed in [false, true] {
            let held = claim(&*store, "t", 1, 9).await.unwrap().identity();
            let facts = DocumentEnd { ended: format!("{{\"fäiled\":{failed}}}"), ..end(failed) };
            assert_eq!(store.ended(id.clone(), held.document).await.unwrap(), None);
            store.end_document(held.clone(), facts).await.unwrap();
            // The last one ended the claim.
            drop(store.release(held, released(false)).await);
        }
        let ends = |row: &JobRow| row.documents.iter().map(|of| of.ended.clone()).collect::<Vec<_>>();
        let without = [Some(String::new()), Some("{\"fäiled\":true}".to_owned())];
        assert_eq!(ends(&found(&*store, &id).await.unwrap()), without);
        assert_eq!(ends(&listed(&*store, "a", None, 9).await.rows[0]), without);
        let one = store.job(id.clone(), Documents::One(0)).await.unwrap().unwrap();
        assert_eq!((ends(&one), one.documents[0].ended_bytes), (without[..1].to_vec(), 17));
        assert_eq!(store.ended(id.clone(), 0).await.unwrap().as_deref(), Some("{\"fäiled\":false}"));
        assert_eq!(store.ended(id.clone(), 1).await.unwrap(), without[1]);
        assert_eq!(store.ended(id, 2).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_job_whose_documents_have_ended_is_finished_and_the_next_one_is_claimed() {
    for mut store in stores().await {
        let stuck = add(&*store, "a", &["1"]).await;
        let next = add(&*store, "a", &["2"]).await;
        store.damage("UPDATE documents SET ended = '{}' WHERE job = 1").await;
        assert_eq!(claim(&*store, "t", 1, 9).await.unwrap().job.id, next);
        assert_eq!(found(&*store, &stuck).await.unwrap().state, JobState::Succeeded);
    }
}

#[tokio::test]
async fn jobs_are_canceled_forgotten_and_expired_with_their_blobs() {
    for mut store in stores().await {
        let (shared, own) = (add(&*store, "a", &["same"]).await, add(&*store, "a", &["same", "own"]).await);
        assert_eq!(store.blobs(), 2);
        let held = claim(&*store, "t", 1000, 9).await.unwrap();
        assert_eq!(held.job.id, shared);
        assert_eq!(store.page(held.identity(), 1, page(0, true)).await.unwrap(), PageStored::New);
        assert_eq!(delete(&*store, "a", &shared, 1500).await, Some(Deleted::Canceled));
        assert!(matches!(
            store.page(held.identity(), 1, page(1, true)).await,
            Err(StoreError::Conflict { .. })
        ));
        assert_eq!(event_names(&*store, &shared).await.last().unwrap(), "end");
        assert_eq!(store.page_result(shared.clone(), 0, 0).await.unwrap().unwrap().1, b"result 0");
        assert_eq!(delete(&*store, "a", &shared, 1600).await, Some(Deleted::Forgotten));
        assert_eq!(delete(&*store, "a", &shared, 1600).await, None);
        assert!(found(&*store, &shared).await.is_none());
        assert!(store.events(shared, 0, 9).await.unwrap().is_empty());
        assert_eq!(delete(&*store, "a", &own, 1700).await, Some(Deleted::Canceled));
        let left = found(&*store, &own).await.unwrap().documents[0].digest.clone();
        assert_eq!(store.blob(left).await.unwrap().unwrap(), b"same", "another job names it");

        assert_eq!(store.expire(2199, 9).await.unwrap(), 0);
        // An input that is being submitted is kept.
        let staged = stage(&*store, "a", b"own").await;
        assert_eq!(store.expire(2200, 9).await.unwrap(), 1);
        assert_eq!(store.blobs(), 1);
        // A process that dies drops nothing.
        std::mem::forget(staged);
        store.reopen().await;
        assert_eq!(store.blobs(), 0, "a start deletes inputs that no job names");
        assert_eq!(store.counts().await.unwrap(), JobCounts::default());
    }
}

#[tokio::test]
async fn lists_have_pages_and_filters() {
    for store in stores().await {
        let mut ids = Vec::new();
        for number in 0..5 {
            ids.push(add(&*store, "a", &[&number.to_string(), "second"]).await);
        }
        add(&*store, "b", &["x"]).await;
        assert_eq!(delete(&*store, "b", &ids[3], 1).await, None, "the job of another tenant");
        delete(&*store, "a", &ids[3], 1).await.unwrap();
        let list = async |state, before, limit| {
            let page = store.jobs(JobQuery { tenant: "a".into(), state, before, limit }).await.unwrap();
            (page.next, page.rows.into_iter().map(|row| row.id).collect::<Vec<_>>())
        };
        // Each with its own documents.
        for (tenant, documents) in [("a", 2), ("b", 1)] {
            for row in listed(&*store, tenant, None, 9).await.rows {
                assert_eq!(Some(&row), found(&*store, &row.id).await.as_ref());
                assert_eq!((row.tenant.as_str(), row.documents.len()), (tenant, documents));
                let one = store.job(row.id.clone(), Documents::One(0)).await.unwrap().unwrap();
                assert_eq!(one.documents, row.documents[..1]);
                let none = store.job(row.id.clone(), Documents::None).await.unwrap().unwrap();
                assert_eq!(JobRow { documents: row.documents.clone(), ..none }, row);
            }
        }
        let (before, first) = list(None, None, 2).await;
        assert_eq!(first, [ids[4].clone(), ids[3].clone()]);
        assert_eq!(list(None, before, 9).await.1, [ids[2].clone(), ids[1].clone(), ids[0].clone()]);
        assert_eq!(list(Some(JobState::Canceled), None, 9).await.1, [ids[3].clone()]);
        // Only a page that others follow has a next one.
        assert_eq!(list(None, before, 3).await.0, None);
        assert_eq!(list(Some(JobState::Queued), None, 4).await.0, None);
    }
}

#[tokio::test]
async fn an_input_is_deleted_when_its_submission_ends_without_a_job() {
    for store in stores().await {
        let staged = async |input: &str| stage(&*store, "a", input.as_bytes()).await;
        let (first, second, other) = (staged("same").await, staged("same").await, staged("other").await);
        drop(other);
        store.has_blobs(1).await;
        drop(first);
        // The answer comes after the deletion, because the handles belong to the addition.
        let (job, inputs) = new_job(&*store, "a", &["refused"]).await;
        let none = JobLimits { unfinished: 0, bytes: 0 };
        assert_eq!(store.add(NewJob { limits: none, ..job }, inputs).await.unwrap(), Added::TooMany(0));
        assert_eq!(store.blobs(), 1, "another submission holds it");
        drop(second);
        store.has_blobs(0).await;
        // No caller waits for this addition. Its inputs are held until it is done.
        let (job, inputs) = new_job(&*store, "a", &["accepted"]).await;
        let id = job.id.clone();
        drop(store.add(job, inputs));
        let end = Instant::now() + SOON;
        while found(&*store, &id).await.is_none() {
            assert!(Instant::now() < end, "the job is added");
        }
        let row = found(&*store, &id).await.unwrap();
        assert!(store.blob(row.documents[0].digest.clone()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_tenant_is_forgotten_with_all_that_it_has() {
    for store in stores().await {
        let with_webhook = |job: &mut NewJob| job.webhook = Some("https://a.example/".to_owned());
        let (finished, _) = add_with(&*store, "a", &["1", "shared"], with_webhook).await;
        delete(&*store, "a", &finished, 100).await.unwrap();
        let running = add(&*store, "a", &["2"]).await;
        let held = claim(&*store, "t", 1000, 9).await.unwrap();
        assert_eq!(store.page(held.identity(), 1, page(0, true)).await.unwrap(), PageStored::New);
        let kept = add(&*store, "b", &["shared"]).await;
        store.secrets("a".into(), "s1".to_owned(), 1).await.unwrap();
        store.secrets("b".into(), "t1".to_owned(), 1).await.unwrap();

        assert_eq!(store.forget_tenant("a".into(), 1).await.unwrap(), [finished]);
        assert_eq!(store.forget_tenant("a".into(), 1).await.unwrap(), [running]);
        assert!(store.forget_tenant("a".into(), 1).await.unwrap().is_empty());
        assert!(matches!(
            store.page(held.identity(), 1, page(1, true)).await,
            Err(StoreError::Conflict { .. })
        ));
        assert_eq!(store.secrets("a".into(), "s2".to_owned(), 1).await.unwrap(), ["s2"]);
        assert_eq!(store.secrets("b".into(), "t2".to_owned(), 1).await.unwrap(), ["t1"]);
        assert!(found(&*store, &kept).await.is_some());
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.jobs.iter().sum::<u64>(), counts.deliveries, store.blobs()), (1, (0, 0), 1));
    }
}
