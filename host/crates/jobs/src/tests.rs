//! Tests of jobs on the real store and the real document service with fake guests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crashes;
mod messages;
mod quotas;
mod tenants;

use std::collections::VecDeque;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use lector_control::store::jobs::{ClaimRef, Documents, JobStore, ROW_BYTES};
use lector_control::store::{SqliteJobStore, SqliteStore, StoreError};
use lector_control::{Limits, Principal};
use lector_core::clock::ManualClock;
use lector_core::{Fault, RequestId};
use lector_serving::fakes::{Behavior, Script, config, found, platform_at, until};
use lector_serving::{DocumentRequest, DocumentService, PageSelection, TenantActivity};

use self::crashes::Dying;
use crate::*;

/// A transport that answers from a list, and then with 200; and the messages that it got.
#[derive(Default)]
struct FakeTransport {
    answers: Mutex<VecDeque<Result<u16, String>>>,
    sent: Mutex<Vec<WebhookRequest>>,
}

impl WebhookTransport for Arc<FakeTransport> {
    fn send(&self, request: WebhookRequest) -> BoxFuture<'_, Result<u16, String>> {
        self.sent.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Ok(200));
        Box::pin(std::future::ready(answer))
    }
}

/// A server with jobs, whose store survives [`restart`](Self::restart).
struct Server {
    dir: tempfile::TempDir,
    script: Arc<Script>,
    clock: ManualClock,
    transport: Arc<FakeTransport>,
    service: Arc<DocumentService>,
    jobs: Arc<Jobs>,
}

/// A server whose store counts and can fail.
struct Observed {
    server: Server,
    dying: Arc<Dying>,
}

impl std::ops::Deref for Observed {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

fn settings() -> JobsConfig {
    JobsConfig {
        running_max: 4,
        tenant_running_max: 2,
        pages_per_turn: 4,
        pages_per_document_max: 200,
        attempts_max: 3,
        lease: Duration::from_secs(60),
        turn_timeout: Duration::from_secs(3600),
        retention: Duration::from_secs(1000),
        retention_max: Duration::from_secs(2000),
        tenant_jobs_max: 5,
        tenant_bytes_max: 1 << 20,
        webhooks: WebhookConfig {
            attempts_max: 3,
            timeout: Duration::from_secs(1),
            egress: EgressPolicy::default(),
        },
    }
}

async fn service(script: &Arc<Script>, clock: &ManualClock) -> Arc<DocumentService> {
    let store = Arc::new(SqliteStore::in_memory().unwrap());
    let config = config(4, 8, ("detection", "model"));
    platform_at(script, config, store, Arc::new(clock.clone())).await.unwrap()
}

fn start(
    service: &Arc<DocumentService>,
    store: Arc<dyn JobStore>,
    transport: &Arc<FakeTransport>,
) -> Arc<Jobs> {
    let parts = Parts {
        service: service.clone(),
        store,
        webhooks: Arc::new(transport.clone()),
        see: Box::new(|_| {}),
    };
    Jobs::start(settings(), parts).unwrap()
}

fn open(dir: &tempfile::TempDir) -> Arc<dyn JobStore> {
    Arc::new(SqliteJobStore::open(dir.path(), 0).unwrap())
}

impl Server {
    async fn start() -> Self {
        let (dir, script, clock) =
            (tempfile::tempdir().unwrap(), Script::new(Behavior::Read), ManualClock::default());
        let (service, transport) = (service(&script, &clock).await, Arc::default());
        let jobs = start(&service, open(&dir), &transport);
        Self { dir, script, clock, transport, service, jobs }
    }

    /// Starts a server with a store in front of the real one.
    async fn start_with(store: impl FnOnce(Arc<dyn JobStore>) -> Arc<Dying>) -> Observed {
        let (dir, script, clock) =
            (tempfile::tempdir().unwrap(), Script::new(Behavior::Read), ManualClock::default());
        let (service, transport) = (service(&script, &clock).await, Arc::default());
        let dying = store(open(&dir));
        let jobs = start(&service, dying.clone(), &transport);
        Observed { server: Self { dir, script, clock, transport, service, jobs }, dying }
    }

    /// Stops the jobs and starts them again on the same folder.
    async fn restart(self) -> Self {
        let Self { dir, script, clock, transport, service: old, jobs } = self;
        jobs.stop().await;
        old.control().stop().await;
        drop((old, jobs));
        let service = service(&script, &clock).await;
        let jobs = start(&service, reopened(&dir).await, &transport);
        Self { dir, script, clock, transport, service, jobs }
    }

    fn principal(&self) -> Principal {
        self.service.control().of_this_machine().unwrap()
    }

    async fn submit(&self, pages: &[&[u8]]) -> JobId {
        self.submit_spec(spec(), pages).await.unwrap().job.id
    }

    async fn submit_spec(&self, spec: JobSpec, pages: &[&[u8]]) -> Result<Submitted, Fault> {
        let submission = Submission { spec, inputs: self.inputs(pages).await?, idempotency_key: None };
        self.jobs.submit(&self.principal(), submission).await
    }

    async fn inputs(&self, pages: &[&[u8]]) -> Result<Vec<StagedInput>, Fault> {
        let mut inputs = Vec::new();
        for bytes in pages {
            let name = Some(format!("{}.pdf", inputs.len()));
            inputs.push(self.jobs.stage(&self.principal(), name, None, bytes.to_vec()).await?);
        }
        Ok(inputs)
    }

    /// Waits until there are `count` inputs and results on the disk.
    async fn has_blobs(&self, count: usize) {
        let blobs = || files(&self.dir.path().join("blobs"));
        found("the deletion of inputs", async || (blobs() == count).then_some(())).await;
    }

    async fn status(&self, id: &JobId) -> JobStatus {
        self.jobs.status(&self.principal(), id).await.unwrap()
    }

    /// Waits for the end of a job, while time passes.
    async fn finished(&self, id: &JobId) -> JobStatus {
        self.finished_for(&self.principal(), id).await
    }

    async fn finished_for(&self, principal: &Principal, id: &JobId) -> JobStatus {
        found("the end of the job", async || {
            let status = self.jobs.status(principal, id).await.unwrap();
            if status.state.is_finished() {
                return Some(status);
            }
            self.clock.advance(Duration::from_millis(500));
            None
        })
        .await
    }

    async fn events(&self, id: &JobId, after: u64) -> Vec<JobEvent> {
        let events = self.jobs.events(&self.principal(), id, after).await.unwrap();
        events.map(Result::unwrap).collect().await
    }

    /// Asserts that each selected page of each document is once in the events, and can be read.
    async fn exactly_once(&self, id: &JobId, pages: &[u32]) {
        let events = self.events(id, 0).await;
        let numbers: Vec<u64> = events.iter().map(|event| event.seq).collect();
        assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
        for (document, count) in pages.iter().enumerate() {
            let mut seen: Vec<u64> = events
                .iter()
                .filter(|event| event.event.starts_with("page") && event.data["document"] == document)
                .map(|event| event.data["page"].as_u64().unwrap())
                .collect();
            seen.sort_unstable();
            assert_eq!(seen, (1..=u64::from(*count)).collect::<Vec<_>>(), "document {document}");
            let result = self.jobs.result(&self.principal(), id, document as u32).await.unwrap();
            let read: Vec<u32> = Arc::new(result).pages().map(|page| page.unwrap().index).collect().await;
            assert_eq!(read, (0..*count).collect::<Vec<_>>());
        }
        assert_eq!(events.last().unwrap().event, "end");
    }
}

/// Opens the folder when the last user of the former store is gone.
async fn reopened(dir: &tempfile::TempDir) -> Arc<dyn JobStore> {
    found("the end of the former store", async || match SqliteJobStore::open(dir.path(), 0) {
        Ok(store) => Some(Arc::new(store) as Arc<dyn JobStore>),
        Err(StoreError::InUse { .. }) => None,
        Err(error) => panic!("{error}"),
    })
    .await
}

/// Returns the number of files in a folder and below.
fn files(dir: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

fn spec() -> JobSpec {
    JobSpec::new(DocumentRequest::new(RequestId::from("r"), Duration::from_secs(60)))
}

#[tokio::test]
async fn a_job_reads_its_documents_and_one_that_fails_does_not_affect_the_others() {
    let server = Server::start().await;
    let id = server.submit(&[&[3], &[], &[2]]).await;
    let status = server.finished(&id).await;
    assert_eq!(status.state, JobState::Failed);
    assert_eq!((status.pages_ok, status.pages_failed, status.pages_total), (5, 0, Some(5)));
    assert_eq!(status.documents[1].fault.as_ref().unwrap().code, "document_empty");
    assert_eq!(status.fault.unwrap().code, "document_empty");
    let events: Vec<String> = server.events(&id, 0).await.into_iter().map(|event| event.event).collect();
    let expect = "queued running document page page page document_end document_error document page page document_end end";
    assert_eq!(events.join(" "), expect);
    let principal = server.principal();
    let result = server.jobs.result(&principal, &id, 0).await.unwrap();
    assert_eq!(result.envelope().summary.as_ref().unwrap().text.matches("page").count(), 3);
    let whole = result.collect(1 << 20).await.unwrap();
    assert_eq!(whole.pages.len(), 3);
    assert_eq!(result.collect(10).await.unwrap_err().code, "document_result_too_large");
    assert_eq!(server.jobs.result(&principal, &id, 1).await.unwrap_err().code, "document_empty");
    assert_eq!(server.jobs.result(&principal, &id, 3).await.unwrap_err().code, "job_document_not_found");
    let (bytes, input) = server.jobs.input(&principal, &id, 2).await.unwrap();
    assert_eq!((bytes, input.await.unwrap()), (1, vec![2]));
    assert_eq!(server.jobs.page(&principal, &id, 0, 9).await.unwrap_err().code, "job_page_not_found");
}

#[tokio::test]
async fn a_long_document_is_read_in_turns() {
    let server = Server::start().await;
    // More than a turn, and more than one request may select (100 in this service).
    for pages in [5_u8, 120] {
        let id = server.submit(&[&[pages]]).await;
        let status = server.finished(&id).await;
        assert_eq!((status.state, status.pages_ok), (JobState::Succeeded, u32::from(pages)));
        server.exactly_once(&id, &[u32::from(pages)]).await;
        let result = server.jobs.result(&server.principal(), &id, 0).await.unwrap();
        assert_eq!(result.envelope().summary_fault.as_ref().unwrap().code, "job_summary_missing");
    }
    let mut spec = spec();
    spec.request.pages = PageSelection::parse("2-3,118-").unwrap();
    let id = server.submit_spec(spec, &[&[120]]).await.unwrap().job.id;
    server.finished(&id).await;
    let result = server.jobs.result(&server.principal(), &id, 0).await.unwrap();
    assert_eq!(result.envelope().selected, [1, 2, 117, 118, 119]);
    // The limit of jobs.
    let id = server.submit(&[&[201]]).await;
    assert_eq!(server.finished(&id).await.fault.unwrap().code, "too_many_pages");
}

#[tokio::test]
async fn a_page_that_always_fails_is_given_up_after_the_attempts_and_the_others_are_read() {
    let server = Server::start().await;
    server.script.on(2, Behavior::Panic);
    let id = server.submit(&[&[6]]).await;
    let status = server.finished(&id).await;
    assert_eq!((status.state, status.pages_ok, status.pages_failed), (JobState::Succeeded, 5, 1));
    server.exactly_once(&id, &[6]).await;
    let attempts = server.script.begun().iter().filter(|(_, page)| *page == 2).count();
    assert!(attempts >= 3, "{attempts}");
    let page = server.jobs.page(&server.principal(), &id, 0, 2).await.unwrap();
    assert_eq!(page.outcome.unwrap_err().kind, lector_core::Kind::Bug);
}

#[tokio::test]
async fn a_fault_of_the_guest_is_the_result_of_its_page_at_once() {
    let server = Server::start().await;
    server.script.on(1, Behavior::Fail);
    let id = server.submit(&[&[3]]).await;
    let status = server.finished(&id).await;
    assert_eq!((status.state, status.pages_ok, status.pages_failed), (JobState::Succeeded, 2, 1));
    assert_eq!(server.script.begun().iter().filter(|(_, page)| *page == 1).count(), 1);
}

#[tokio::test]
async fn events_resume_after_a_cursor_without_loss_or_repetition() {
    let server = Server::start().await;
    *server.script.otherwise.lock().unwrap() = Behavior::Wait;
    let id = server.submit(&[&[4]]).await;
    let mut first = server.jobs.events(&server.principal(), &id, 0).await.unwrap();
    server.script.go.add_permits(1);
    let mut seen = Vec::new();
    while seen.iter().filter(|event: &&JobEvent| event.event == "page").count() < 1 {
        seen.push(first.next().await.unwrap().unwrap());
    }
    drop(first);
    server.script.go.add_permits(100);
    seen.extend(server.events(&id, seen.last().unwrap().seq).await);
    assert_eq!(seen, server.events(&id, 0).await);
    assert_eq!(seen.iter().filter(|event| event.event == "page").count(), 4);
    // A cursor at or beyond the end gets nothing, and does not wait.
    assert!(server.events(&id, seen.len() as u64).await.is_empty());
    assert!(server.events(&id, u64::MAX).await.is_empty());
}

#[tokio::test]
async fn a_wait_ends_with_the_job_or_its_time() {
    let server = Server::start().await;
    *server.script.otherwise.lock().unwrap() = Behavior::Wait;
    let id = server.submit(&[&[1]]).await;
    let principal = server.principal();
    let waiting = server.jobs.wait(&principal, &id, Duration::from_secs(30));
    let ((), early) = tokio::join!(
        async {
            // The time passes only while the wait is registered.
            for _ in 0..40 {
                tokio::time::sleep(Duration::from_millis(1)).await;
                server.clock.advance(Duration::from_secs(1));
            }
        },
        waiting
    );
    assert!(!early.unwrap().state.is_finished());
    server.script.go.add_permits(10);
    let done = server.jobs.wait(&principal, &id, Duration::from_secs(1_000_000)).await.unwrap();
    assert_eq!(done.state, JobState::Succeeded);
}

#[tokio::test]
async fn a_submission_with_the_same_key_is_the_same_job() {
    let server = Server::start().await;
    let submit = async |pages: &[&[u8]], priority| {
        let mut spec = JobSpec { priority, ..spec() };
        // Each attempt of a client has a request id of its own.
        spec.request.request = RequestId::from(JobId::random().unwrap().as_str());
        let inputs = server.inputs(pages).await.unwrap();
        let submission = Submission { spec, inputs, idempotency_key: Some("k".to_owned()) };
        server.jobs.submit(&server.principal(), submission).await.map(|made| (made.job.id, made.created))
    };
    let (id, created) = submit(&[&[1]], 0).await.unwrap();
    assert!(created);
    assert_eq!(submit(&[&[1]], 0).await.unwrap(), (id, false));
    assert_eq!(submit(&[&[2]], 0).await.unwrap_err().code, "idempotency_key_reused");
    assert_eq!(submit(&[&[1]], 1).await.unwrap_err().code, "idempotency_key_reused");
}

#[tokio::test]
async fn limits_and_invalid_specifications_are_refused() {
    let server = Server::start().await;
    *server.script.otherwise.lock().unwrap() = Behavior::Wait;
    for (wrong, code) in [
        (JobSpec { priority: 11, ..spec() }, "option_invalid"),
        (JobSpec { retention: Some(Duration::from_secs(2001)), ..spec() }, "option_invalid"),
        (JobSpec { webhook: Some("ftp://x".into()), ..spec() }, "option_invalid"),
    ] {
        assert_eq!(server.submit_spec(wrong, &[&[1]]).await.unwrap_err().code, code);
    }
    let mut unknown = spec();
    unknown.request.deployment = Some("nowhere".into());
    assert_eq!(server.submit_spec(unknown, &[&[1]]).await.unwrap_err().code, "deployment_not_found");
    assert_eq!(server.submit_spec(spec(), &[]).await.unwrap_err().code, "file_missing");
    let large = vec![1; (1 << 20) + 1];
    assert_eq!(server.submit_spec(spec(), &[&large]).await.unwrap_err().code, "tenant_job_bytes_exceeded");
    server.has_blobs(0).await;
    for _ in 0..5 {
        server.submit(&[&[1]]).await;
    }
    let refused = server.submit_spec(spec(), &[&[1, 2]]).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after.is_some()), ("tenant_jobs_exceeded", true));
    server.has_blobs(1).await;
    // A client that leaves after its first document.
    drop(server.inputs(&[&[1, 2, 3], &[1]]).await.unwrap());
    server.has_blobs(1).await;
}

#[tokio::test]
async fn a_job_is_canceled_and_then_forgotten_and_expires() {
    let server = Server::start().await;
    *server.script.otherwise.lock().unwrap() = Behavior::Wait;
    let (id, principal) = (server.submit(&[&[2]]).await, server.principal());
    lector_serving::fakes::until("a page runs", || !server.script.begun().is_empty()).await;
    assert_eq!(server.jobs.delete(&principal, &id).await.unwrap(), Deleted::Canceled);
    let status = server.status(&id).await;
    assert_eq!(status.state, JobState::Canceled);
    assert_eq!(server.jobs.result(&principal, &id, 0).await.unwrap_err().code, "job_not_finished");
    assert_eq!(server.jobs.delete(&principal, &id).await.unwrap(), Deleted::Forgotten);
    assert_eq!(server.jobs.status(&principal, &id).await.unwrap_err().code, "job_not_found");
    let service = server.service.clone();
    lector_serving::fakes::until("the work ends", || service.status().documents_admitted == 0).await;

    *server.script.otherwise.lock().unwrap() = Behavior::Read;
    let id = server.submit(&[&[1]]).await;
    let expires_at_ms = server.finished(&id).await.expires_at_ms.unwrap();
    let left_ms = expires_at_ms - lector_core::Clock::now_ms(&server.clock);
    server.clock.advance(Duration::from_millis(left_ms - 1));
    server.jobs.expire().await.unwrap();
    server.status(&id).await;
    server.clock.advance(Duration::from_millis(1));
    server.jobs.expire().await.unwrap();
    assert_eq!(server.jobs.status(&principal, &id).await.unwrap_err().code, "job_not_found");
}

#[tokio::test]
async fn a_stop_loses_no_job_and_counts_no_attempt() {
    let server = Server::start().await;
    *server.script.otherwise.lock().unwrap() = Behavior::Wait;
    let id = server.submit(&[&[3]]).await;
    server.script.go.add_permits(1);
    let mut events = server.jobs.events(&server.principal(), &id, 0).await.unwrap();
    while events.next().await.unwrap().unwrap().event != "page" {}
    drop(events);
    let server = server.restart().await;
    let status = server.status(&id).await;
    assert_eq!((status.state, status.pages_ok), (JobState::Running, 1));
    server.script.go.add_permits(100);
    assert_eq!(server.finished(&id).await.state, JobState::Succeeded);
    server.exactly_once(&id, &[3]).await;
}

#[tokio::test]
async fn a_page_that_is_always_busy_is_given_up_after_the_attempts() {
    let server = Server::start().await;
    server.script.on(1, Behavior::Busy);
    let id = server.submit(&[&[3]]).await;
    let status = server.finished(&id).await;
    assert_eq!((status.state, status.pages_ok, status.pages_failed), (JobState::Succeeded, 2, 1));
    let page = server.jobs.page(&server.principal(), &id, 0, 1).await.unwrap();
    assert_eq!(page.outcome.unwrap_err().code, "guest_error_busy");
    let attempts = server.script.begun().iter().filter(|(_, page)| *page == 1).count();
    assert_eq!(attempts, 4, "one with the other pages, and then `attempts_max`");
}

#[tokio::test]
async fn the_end_of_an_old_turn_leaves_the_new_one_of_its_job() {
    let server = Server::start().await;
    *server.script.otherwise.lock().unwrap() = Behavior::Wait;
    let job = server.submit(&[&[1]]).await;
    let claim = |token: &str| ClaimRef { job: job.clone(), document: 0, token: token.to_owned() };
    let old = server.jobs.turn_begins(&claim("old"));
    let new = server.jobs.turn_begins(&claim("new"));
    server.jobs.turn_ends(&claim("old"));
    assert!(!new.is_cancelled());
    server.jobs.delete(&server.principal(), &job).await.unwrap();
    assert!(new.is_cancelled() && !old.is_cancelled());
}

#[tokio::test]
async fn a_wait_reads_its_job_when_it_begins_and_when_the_job_has_ended() {
    let server = Server::start_with(Dying::living).await;
    *server.script.otherwise.lock().unwrap() = Behavior::Wait;
    let (id, principal) = (server.submit(&[&[4]]).await, server.principal());
    let read = || std::mem::take(&mut *server.dying.jobs_read.lock().unwrap());
    read();
    let waits = (0..3).map(|_| server.jobs.wait(&principal, &id, Duration::from_secs(1_000_000)));
    let pages = async {
        lector_serving::fakes::until("all of them wait", || {
            server.dying.jobs_read.lock().unwrap().len() == 3
        })
        .await;
        server.script.go.add_permits(100);
    };
    let (ended, ()) = tokio::join!(futures::future::join_all(waits), pages);
    assert!(ended.into_iter().all(|job| job.unwrap().state == JobState::Succeeded));
    // Each: at the beginning, at the end, and then its documents. No page wakes them.
    let read = read();
    let whole = read.iter().filter(|documents| **documents == Documents::All).count();
    assert_eq!((whole, read.len()), (3, 9), "{read:?}");
}

#[tokio::test]
async fn counts_are_read_once_in_some_seconds() {
    let server = Server::start_with(Dying::living).await;
    let counted = || server.dying.counted.load(std::sync::atomic::Ordering::SeqCst);
    for _ in 0..3 {
        let (one, other) = tokio::join!(server.jobs.counts(), server.jobs.counts());
        assert_eq!(one.unwrap(), other.unwrap());
    }
    assert_eq!(counted(), 1);
    server.clock.advance(Duration::from_secs(5));
    server.jobs.counts().await.unwrap();
    assert_eq!(counted(), 2);
}

#[tokio::test]
async fn a_document_ends_where_its_tenant_may_keep_no_more() {
    let server = Server::start().await;
    // Enough for the rows of the job, and not for its pages.
    let limits = lector_control::Limits { jobs_bytes_max: 3 * ROW_BYTES, ..Default::default() };
    let principal = server.tenant("acme", limits).await;
    let id = server.submit_for(&principal, &[3]).await;
    let ended = server.finished_for(&principal, &id).await;
    assert_eq!((ended.state, ended.pages_ok), (JobState::Failed, 0));
    let fault = server.jobs.result(&principal, &id, 0).await.unwrap_err();
    assert_eq!((fault.code, fault.retry_after.is_some()), ("tenant_job_bytes_exceeded", true));
    // So does one whose page is given up.
    server.script.on(0, Behavior::Panic);
    let limits = lector_control::Limits { jobs_bytes_max: 5 * ROW_BYTES, ..Default::default() };
    let principal = server.tenant("acme", limits).await;
    let id = server.submit_for(&principal, &[1]).await;
    let ended = server.finished_for(&principal, &id).await;
    assert_eq!(ended.fault.unwrap().code, "tenant_job_bytes_exceeded");
}

#[tokio::test]
async fn a_summary_is_read_once_its_memory_is_counted() {
    let server = Server::start_with(Dying::living).await;
    let limits = Limits { held_bytes_max: 4096, ..Limits::default() };
    let principal = server.tenant("acme", limits).await;
    let id = server.submit_for(&principal, &[1]).await;
    server.finished_for(&principal, &id).await;
    let answer = || server.service.answer_memory(&principal).unwrap();
    let (one, other) = (answer(), answer());
    // The second one exceeds the limit, so that the next one waits.
    let held = (one.reserve(4096).await.unwrap(), other.reserve(1).await.unwrap());
    tokio::time::pause();
    let read = || server.dying.results_read.load(SeqCst);
    let refused = server.jobs.result(&principal, &id, 0).await.err().unwrap();
    assert_eq!((refused.code, read()), ("tenant_memory_exceeded", 0));
    tokio::time::resume();
    drop((held, one, other));
    let document = server.jobs.result(&principal, &id, 0).await.unwrap();
    assert_eq!(read(), 1);
    assert!(document.envelope().summary.is_some());
    drop(server.jobs.input(&principal, &id, 0).await.unwrap());
    assert_eq!(read(), 1, "an input has no summary");
}

#[tokio::test]
async fn a_document_is_read_from_the_store_once_it_is_admitted() {
    let server = Server::start_with(Dying::living).await;
    let limits = Limits { held_bytes_max: 4096, ..Limits::default() };
    let principal = server.tenant("acme", limits).await;
    let answer = server.service.answer_memory(&principal).unwrap();
    let held = answer.reserve(4096).await.unwrap();
    let id = server.submit_for(&principal, &[1]).await;
    let waits = |of: &TenantActivity| of.documents_waiting + of.uploads_waiting > 0;
    until("the document waits", || server.service.tenant_activity().iter().any(waits)).await;
    assert_eq!(server.dying.blobs_read.load(SeqCst), 0);
    drop((held, answer));
    assert_eq!(server.finished_for(&principal, &id).await.state, JobState::Succeeded);
    assert_eq!(server.dying.blobs_read.load(SeqCst), 1);
}

#[tokio::test]
async fn a_clock_that_is_set_forward_ends_no_turn() {
    let server = Server::start().await;
    *server.script.otherwise.lock().unwrap() = Behavior::Wait;
    let id = server.submit(&[&[1]]).await;
    until("the turn", || server.service.status().documents_admitted == 1).await;
    server.clock.set_civil(std::time::SystemTime::now() + Duration::from_secs(1 << 30));
    // Each look comes after the end of the one before.
    for _ in 0..3 {
        let claims = server.jobs.claims.load(SeqCst);
        server.jobs.ready.notify_one();
        until("a look for work", || server.jobs.claims.load(SeqCst) > claims).await;
    }
    assert_eq!(server.status(&id).await.attempts, 1);
}
