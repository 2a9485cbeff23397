//! Webhooks.

use lector_control::Limits;

use super::crashes::Dying;
use super::*;

const URL: &str = "https://receiver.example/hook";

async fn finished_job(server: &Server) -> JobId {
    let with_webhook = JobSpec { webhook: Some(URL.to_owned()), ..spec() };
    let id = server.submit_spec(with_webhook, &[&[1]]).await.unwrap().job.id;
    server.finished(&id).await;
    id
}

/// Waits until the transport has got `count` messages, while time passes in steps.
async fn sent(server: &Server, count: usize, step: Duration) {
    found("the messages", async || {
        let all = server.transport.sent.lock().unwrap().len() >= count;
        if !all {
            server.clock.advance(step);
        }
        all.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_message_is_signed_and_repeated_until_it_is_accepted() {
    let server = Server::start().await;
    let answers = [Err("no connection".to_owned()), Ok(302), Ok(204)];
    server.transport.answers.lock().unwrap().extend(answers);
    let id = finished_job(&server).await;
    sent(&server, 3, Duration::from_secs(5)).await;
    let principal = server.principal();
    let secret = server.jobs.webhook_secret(&principal).await.unwrap();
    let sent = server.transport.sent.lock().unwrap().clone();
    let header = |request: &WebhookRequest, name: &str| {
        request.headers.iter().find(|(known, _)| *known == name).unwrap().1.clone()
    };
    for request in &sent {
        assert_eq!(request.url, URL);
        assert_eq!(header(request, "webhook-id"), header(&sent[0], "webhook-id"));
        let (id, at) = (header(request, "webhook-id"), header(request, "webhook-timestamp").parse().unwrap());
        assert!(verify(&secret, &id, at, &request.body, &header(request, "webhook-signature")));
    }
    let at = |request: &WebhookRequest| header(request, "webhook-timestamp").parse::<u64>().unwrap();
    assert!(at(&sent[1]) >= at(&sent[0]) + 5 && at(&sent[2]) >= at(&sent[1]) + 20, "backoff");
    let body: serde_json::Value = serde_json::from_slice(&sent[0].body).unwrap();
    assert_eq!((&body["type"], &body["data"]["job"]), (&"job.succeeded".into(), &id.as_str().into()));
    let rows = found("the record of the delivery", async || {
        let rows = server.jobs.deliveries(&principal, false, None, 9).await.unwrap().rows;
        Some(rows).filter(|rows| rows[0].delivered)
    })
    .await;
    assert_eq!((rows.len(), rows[0].attempts), (1, 3));
    assert!(server.jobs.deliveries(&principal, true, None, 9).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn a_message_is_given_up_after_the_attempts_or_when_the_receiver_is_gone() {
    for (answers, attempts) in [(vec![Ok(500), Err("late".to_owned()), Ok(301)], 3), (vec![Ok(410)], 1)] {
        let server = Server::start().await;
        server.transport.answers.lock().unwrap().extend(answers);
        finished_job(&server).await;
        sent(&server, attempts, Duration::from_secs(5)).await;
        let principal = server.principal();
        let dead = found("the record of the last attempt", async || {
            let dead = server.jobs.deliveries(&principal, true, None, 9).await.unwrap().rows;
            Some(dead).filter(|dead| !dead.is_empty())
        })
        .await;
        assert_eq!((dead.len(), dead[0].attempts as usize), (1, attempts));
        assert!(Jobs::is_dead(&dead[0]) && dead[0].last_error.as_ref().unwrap().contains("status"));
        for _ in 0..50 {
            server.clock.advance(Duration::from_secs(3600));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(server.transport.sent.lock().unwrap().len(), attempts, "no further attempt");
    }
}

#[tokio::test]
async fn a_rotated_secret_signs_together_with_the_former_one() {
    let server = Server::start().await;
    let principal = server.principal();
    let former = server.jobs.webhook_secret(&principal).await.unwrap();
    assert_eq!(server.jobs.webhook_secret(&principal).await.unwrap(), former);
    let new = server.jobs.rotate_webhook_secret(&principal).await.unwrap();
    finished_job(&server).await;
    sent(&server, 1, Duration::from_secs(5)).await;
    let request = server.transport.sent.lock().unwrap()[0].clone();
    let header = |name: &str| request.headers.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    let (id, at) = (header("webhook-id"), header("webhook-timestamp").parse().unwrap());
    for secret in [former, new] {
        assert!(verify(&secret, &id, at, &request.body, &header("webhook-signature")));
    }
}

#[tokio::test]
async fn an_attempt_that_is_not_recorded_or_signed_costs_no_other_message() {
    let server = Server::start_with(Dying::living).await;
    let (store, principal) = (server.dying.clone(), server.principal());
    let other = server.tenant("acme", Limits::default()).await;
    *store.without_secrets.lock().unwrap() = Some(other.tenant().clone());
    store.unrecorded.lock().unwrap().insert(1);
    // All of them end before the first message is due.
    *server.script.otherwise.lock().unwrap() = Behavior::Wait;
    let mut jobs = Vec::new();
    for from in [&principal, &principal, &other] {
        let input = server.jobs.stage(from, None, None, vec![1]).await.unwrap();
        let spec = JobSpec { webhook: Some(URL.to_owned()), ..spec() };
        let submission = Submission { spec, inputs: vec![input], idempotency_key: None };
        jobs.push((from, server.jobs.submit(from, submission).await.unwrap().job.id));
    }
    for (from, job) in &jobs {
        server.jobs.delete(from, job).await.unwrap();
    }
    let sent = |job: &JobId| {
        let sent = server.transport.sent.lock().unwrap();
        sent.iter().filter(|request| String::from_utf8_lossy(&request.body).contains(job.as_str())).count()
    };
    let delivered = async || {
        let rows = server.jobs.deliveries(&principal, false, None, 9).await.unwrap().rows;
        rows.iter().filter(|row| row.delivered).count()
    };
    found("the deliveries", async || {
        server.clock.advance(Duration::from_secs(1));
        (delivered().await == 2).then_some(())
    })
    .await;
    // Each once, and again the one whose attempt was not recorded.
    let counts: Vec<usize> = jobs.iter().map(|(_, job)| sent(job)).collect();
    assert_eq!((counts.iter().sum::<usize>(), counts[2]), (3, 0));
    let row = found("the record", async || {
        let rows = server.jobs.deliveries(&other, false, None, 9).await.unwrap().rows;
        rows.into_iter().find(|row| row.attempts > 0)
    })
    .await;
    assert!(row.last_error.unwrap().contains("not signed"));
}
