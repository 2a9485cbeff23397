//! Jobs of a tenant with a daily quota of pages.

use std::sync::atomic::Ordering::Relaxed;

use lector_control::{Admin, Credentials, Limits, TenantPolicy};

use super::*;

impl Server {
    /// Creates a tenant with these limits, or changes them; returns a principal of it.
    pub(super) async fn tenant(&self, name: &str, limits: Limits) -> Principal {
        let (control, policy) = (self.service.control(), TenantPolicy { limits, ..TenantPolicy::default() });
        control.put_tenant(&Admin::of_this_machine(), name.into(), policy).await.unwrap();
        control.principal(Credentials { tenant: Some(name), local: true, ..Credentials::default() }).unwrap()
    }

    pub(super) async fn submit_for(&self, principal: &Principal, bytes: &[u8]) -> JobId {
        let input = self.jobs.stage(principal, None, None, bytes.to_vec()).await.unwrap();
        let submission = Submission { spec: spec(), inputs: vec![input], idempotency_key: None };
        self.jobs.submit(principal, submission).await.unwrap().job.id
    }
}

#[tokio::test]
async fn a_document_with_more_pages_than_the_quota_is_read_day_by_day() {
    let server = Server::start().await;
    // Time passes in long steps, in which no claim may end.
    server.jobs.retune(JobsConfig { lease: Duration::from_secs(30 * 86_400), ..settings() });
    let principal = server.tenant("acme", Limits { pages_per_day: 3, ..Limits::default() }).await;
    let begun = || server.script.begun().len();
    let id = server.submit_for(&principal, &[8]).await;
    found("the end of the quota", async || {
        let status = server.jobs.status(&principal, &id).await.unwrap();
        status.fault.filter(|fault| fault.code == "quota_exceeded")
    })
    .await;
    // A page that the opening began and did not read is charged.
    let first = begun();
    assert!((2..=3).contains(&first), "{first}");
    // Without a page left the document is not opened, so no page is begun in vain.
    for _ in 0..5 {
        let claims = server.jobs.claims.load(Relaxed);
        found("the next attempt", async || {
            server.clock.advance(Duration::from_secs(60));
            (server.jobs.claims.load(Relaxed) > claims).then_some(())
        })
        .await;
    }
    assert_eq!(begun(), first);
    let done = found("the end of the job", async || {
        server.clock.advance(Duration::from_secs(600));
        let status = server.jobs.status(&principal, &id).await.unwrap();
        status.state.is_finished().then_some(status)
    })
    .await;
    assert_eq!((done.state, done.pages_ok, done.pages_failed), (JobState::Succeeded, 8, 0));
}
