//! The end of keys and tenants.

use std::sync::atomic::Ordering::SeqCst;

use lector_control::store::jobs::Documents;
use lector_control::{Admin, Credentials, Limits, Scope};

use super::crashes::Dying;
use super::*;

#[tokio::test]
async fn a_revoked_key_gets_no_further_event() {
    let server = Server::start().await;
    *server.script.otherwise.lock().unwrap() = Behavior::Wait;
    server.tenant("acme", Limits::default()).await;
    let (control, admin) = (server.service.control().clone(), Admin::of_this_machine());
    control.create_key_for(&admin, Scope::Admin, "").await.unwrap();
    let key = control.create_key_for(&admin, Scope::Tenant("acme".into()), "").await.unwrap();
    let shown = Credentials { key: Some(key.text.reveal()), ..Credentials::default() };
    let principal = control.principal(shown).unwrap();
    let id = server.submit_for(&principal, &[2]).await;
    let mut waiting = server.jobs.events(&principal, &id, 0).await.unwrap();
    let mut behind = server.jobs.events(&principal, &id, 0).await.unwrap();
    // The first stream waits for a page; the second one has events that it has not delivered.
    while waiting.next().await.unwrap().unwrap().event != "document" {}
    assert_eq!(behind.next().await.unwrap().unwrap().event, "queued");
    let next = tokio::spawn(async move { waiting.next().await });
    control.revoke_any_key(&admin, &key.view.id).await.unwrap();
    assert!(behind.next().await.is_none(), "not even an event that was there before");
    assert!(next.await.unwrap().is_none(), "a waiting stream is woken");
    // The accepted job goes on.
    server.script.go.add_permits(10);
    let ended = found("the end of the job", async || {
        let job = server.jobs.store().job(id.clone(), Documents::None).await.unwrap().unwrap();
        job.state.is_finished().then_some(job.state)
    })
    .await;
    assert_eq!(ended, JobState::Succeeded);
}

#[tokio::test]
async fn the_event_streams_of_a_tenant_are_bounded() {
    let server = Server::start().await;
    let (id, principal) = (server.submit(&[&[1]]).await, server.principal());
    let mut streams = Vec::new();
    let refused = loop {
        match server.jobs.events(&principal, &id, 0).await {
            Ok(stream) => streams.push(stream),
            Err(fault) => break fault,
        }
        assert!(streams.len() < 1000);
    };
    assert_eq!((refused.code, streams.len()), ("too_many_event_streams", 128));
    drop(streams.pop());
    assert!(server.jobs.events(&principal, &id, 0).await.is_ok());
}

#[tokio::test]
async fn a_tenant_takes_its_jobs_with_it() {
    let server = Server::start().await;
    *server.script.otherwise.lock().unwrap() = Behavior::Wait;
    let former = server.tenant("acme", Limits::default()).await;
    let kept = server.submit(&[&[1]]).await;
    let id = server.submit_for(&former, &[2]).await;
    let secret = server.jobs.webhook_secret(&former).await.unwrap();
    let service = server.service.clone();
    lector_serving::fakes::until("both jobs run", || service.status().documents_admitted == 2).await;
    // A submission whose document arrives while the tenant is deleted.
    let late = server.jobs.stage(&former, None, None, vec![3]).await.unwrap();
    let mut events = server.jobs.events(&former, &id, 0).await.unwrap();
    while events.next().await.unwrap().unwrap().event != "document" {}

    let control = server.service.control();
    control.delete_tenant(&Admin::of_this_machine(), &"acme".into()).await.unwrap();
    assert!(events.next().await.is_none(), "the job is gone");
    lector_serving::fakes::until("its work ends", || service.status().documents_admitted == 1).await;
    let new = server.tenant("acme", Limits::default()).await;
    for principal in [&former, &new] {
        assert_eq!(server.jobs.status(principal, &id).await.unwrap_err().code, "job_not_found");
    }
    let submission = Submission { spec: spec(), inputs: vec![late], idempotency_key: None };
    assert_eq!(server.jobs.submit(&former, submission).await.unwrap_err().code, "tenant_not_found");
    assert!(server.jobs.list(&new, JobFilter::default(), None, 9).await.unwrap().is_empty());
    assert_ne!(server.jobs.webhook_secret(&new).await.unwrap(), secret);
    assert_eq!(server.status(&kept).await.state, JobState::Running);
    server.has_blobs(1).await;
}

#[tokio::test]
async fn a_new_tenant_does_not_get_what_a_crash_has_left() {
    let server = Server::start().await;
    let former = server.tenant("acme", Limits::default()).await;
    let id = server.submit_for(&former, &[1]).await;
    // After the restart there are the stored jobs of a tenant that does not exist: as if the process had died after the
    // deletion of the tenant, before that of its jobs.
    let server = server.restart().await;
    assert!(server.jobs.store().job(id.clone(), Documents::None).await.unwrap().is_some());
    let new = server.tenant("acme", Limits::default()).await;
    assert!(server.jobs.list(&new, JobFilter::default(), None, 9).await.unwrap().is_empty());
    assert!(server.jobs.store().job(id, Documents::None).await.unwrap().is_none());
}

#[tokio::test]
async fn the_requests_of_a_tenant_take_some_calls_of_the_store_and_no_more() {
    let server = Server::start_with(Dying::living).await;
    let (loud, quiet) =
        (server.tenant("loud", Limits::default()).await, server.tenant("quiet", Limits::default()).await);
    *server.dying.stalled.lock().unwrap() = Some(loud.tenant().clone());
    let stalls = || server.dying.stalls.load(SeqCst);
    for round in 0..3 {
        let list = || {
            let (jobs, loud) = (server.jobs.clone(), loud.clone());
            tokio::spawn(async move { jobs.list(&loud, JobFilter::default(), None, 9).await.map(drop) })
        };
        let requests: Vec<_> = (0..100).map(|_| list()).collect();
        lector_serving::fakes::until("the calls", || stalls() == 8).await;
        assert!(server.jobs.list(&quiet, JobFilter::default(), None, 9).await.unwrap().is_empty());
        // The clients leave; their calls do not end with them.
        for request in requests {
            request.abort();
            assert!(request.await.unwrap_err().is_cancelled(), "round {round}");
        }
    }
    assert_eq!(stalls(), 8);
}

#[tokio::test]
async fn the_reads_of_results_and_inputs_take_some_calls_of_the_store_and_no_more() {
    let server = Server::start_with(Dying::living).await;
    let loud = server.tenant("loud", Limits::default()).await;
    let id = server.submit_for(&loud, &[1]).await;
    server.finished_for(&loud, &id).await;
    server.dying.stalled_reads.store(true, SeqCst);
    let counts = || {
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(SeqCst);
        of(&server.dying.results_read) + of(&server.dying.blobs_read)
    };
    let before = counts();
    for _ in 0..20 {
        for kind in 0..3 {
            let (jobs, loud, id) = (server.jobs.clone(), loud.clone(), id.clone());
            tokio::spawn(async move {
                match kind {
                    0 => drop(jobs.page(&loud, &id, 0, 0).await),
                    1 => drop(jobs.result(&loud, &id, 0).await),
                    _ => drop(jobs.input(&loud, &id, 0).await.unwrap().1.await),
                }
            });
        }
    }
    lector_serving::fakes::until("the calls", || counts() == before + 8).await;
    let quiet = server.tenant("quiet", Limits::default()).await;
    assert!(server.jobs.list(&quiet, JobFilter::default(), None, 9).await.unwrap().is_empty());
    assert_eq!(counts(), before + 8);
}

#[tokio::test]
async fn a_submission_whose_client_leaves_gives_the_next_tenant_nothing() {
    let server = Server::start_with(Dying::living).await;
    let former = server.tenant("acme", Limits::default()).await;
    let input = server.jobs.stage(&former, None, None, vec![1]).await.unwrap();
    let permits = Arc::new(tokio::sync::Semaphore::new(0));
    *server.dying.additions.lock().unwrap() = Some(permits.clone());
    let (jobs, client) = (server.jobs.clone(), former.clone());
    let submission = Submission { spec: spec(), inputs: vec![input], idempotency_key: None };
    let submitting = tokio::spawn(async move { jobs.submit(&client, submission).await });
    lector_serving::fakes::until("the addition", || server.dying.additions_begun.load(SeqCst) == 1).await;
    submitting.abort();
    assert!(submitting.await.unwrap_err().is_cancelled());
    let control = server.service.control();
    control.delete_tenant(&Admin::of_this_machine(), &"acme".into()).await.unwrap();
    let new = server.tenant("acme", Limits::default()).await;
    // The deletion has not seen the job.
    permits.add_permits(1);
    server.has_blobs(0).await;
    assert!(server.jobs.list(&new, JobFilter::default(), None, 9).await.unwrap().is_empty());
}
