#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::sync::atomic::Ordering::SeqCst;

use futures::StreamExt;
use lector_control::DeploymentConfig;
use lector_control::store::SqliteStore;
use lector_core::cost::PageSize;

use super::*;
use crate::event_stream::EventStream;
use crate::fakes::{
    Behavior, HELD_BYTES_MAX, Script, at_rest, config, platform, platform_granting, platform_holding,
    platform_on, platform_with, submission, until, word,
};
use crate::request::Order;
use crate::service::DocumentService;

async fn words(stream: EventStream) -> Vec<String> {
    stream.map(|event| word(&event)).collect().await
}

fn admit(platform: &Arc<DocumentService>) -> Result<Permit, Fault> {
    platform.admit(&platform.control().of_this_machine()?, 0, Duration::from_secs(300))
}

fn submit(platform: &Arc<DocumentService>, submission: Submission) -> EventStream {
    platform.submit(admit(platform).unwrap(), submission, "standard".into())
}

fn empty(platform: &DocumentService, script: &Script) -> bool {
    let status = platform.status();
    status.documents_admitted == 0
        && status.pages_running == 0
        && status.pages_waiting == 0
        && status.held_bytes == 0
        && status.deployments[0].leases == 0
        && script.open.load(SeqCst) == 0
        && script.running.load(SeqCst) == 0
}

#[tokio::test]
async fn pages_in_order_with_a_summary_at_the_end() {
    let script = Script::new(Behavior::Read);
    let platform = platform(&script, 3, 2).await.unwrap();
    let events: Vec<Event> = submit(&platform, submission(&platform, "r", 40, Order::Page)).collect().await;
    let words: Vec<String> = events.iter().map(word).collect();
    let mut expect = vec!["open 40".to_owned()];
    expect.extend((0..40).map(|index| format!("ok {index}")));
    expect.push("end 40/0".to_owned());
    assert_eq!(words, expect);
    let Some(Event::End { summary: Some(summary), summary_fault: None, .. }) = events.last() else {
        panic!()
    };
    assert!(summary.text.starts_with("page 0\npage 1\n"), "{}", summary.text);
    assert!(script.running_most.load(SeqCst) <= 3);
    // Results count as held until they are dropped.
    drop(events);
    until("the server is idle", || empty(&platform, &script)).await;
    let status = platform.status();
    assert_eq!((status.documents_done, status.pages_ok), (1, 40));
    assert!(status.page_time.is_some());
}

#[tokio::test]
async fn a_slow_page_holds_back_a_bounded_number_in_page_order_and_none_in_completion_order() {
    for (order, begun_at_rest) in [(Order::Page, 4), (Order::Completion, 30)] {
        let script = Script::new(Behavior::Read);
        script.on(0, Behavior::Wait);
        let platform = platform(&script, 2, 2).await.unwrap();
        let reading = tokio::spawn(words(submit(&platform, submission(&platform, "r", 30, order))));
        until("the window is full", || script.begun().len() == begun_at_rest).await;
        at_rest().await;
        // In page order: the slow page and the pages of the window (twice the page slots) behind it.
        assert_eq!(script.begun().len(), begun_at_rest, "{order:?}");
        script.go.add_permits(1);
        let words = reading.await.unwrap();
        assert_eq!(words.len(), 32);
        let first = words.iter().position(|word| word == "ok 0").unwrap();
        assert_eq!(first == 1, order == Order::Page, "{order:?}: {words:?}");
    }
}

#[tokio::test]
async fn pending_work_follows_the_known_size_of_a_page() {
    let script = Script::new(Behavior::Read);
    let size = |pixels| PageSize { pixels, crops: 0 };
    let (letter, poster) = ((size(2_000_000), 100), (size(20_000_000), 1000));
    script
        .sizes
        .lock()
        .unwrap()
        .extend((0..40).map(|page| (page, if page % 4 == 3 { poster } else { letter })));
    let platform = platform(&script, 1, 2).await.unwrap();
    words(submit(&platform, submission(&platform, "r", 40, Order::Page))).await;
    until("the server is idle", || empty(&platform, &script)).await;
    assert_eq!(platform.status().pending_work, Duration::ZERO);
    *script.otherwise.lock().unwrap() = Behavior::Wait;
    let reading = tokio::spawn(words(submit(&platform, submission(&platform, "r", 4, Order::Page))));
    let owed_ms = || platform.status().pending_work.as_millis();
    let mean_ms = platform.plane().admission.load.page_ms();
    assert!((200.0..600.0).contains(&mean_ms), "{mean_ms}");
    for (page, expect_ms) in [100.0, 100.0, 100.0, 1000.0].into_iter().enumerate() {
        until("the page is being read", || script.begun().len() == 41 + page).await;
        // The pending work of pages that have not begun is the mean cost of the tenant's pages.
        let rest = (3 - page) as f64;
        let is = owed_ms() as f64;
        assert!(
            (expect_ms * 0.9 + rest * 100.0..expect_ms * 1.1 + rest * 600.0).contains(&is),
            "{page}: {is}"
        );
        script.go.add_permits(1);
    }
    reading.await.unwrap();
    until("the server is idle", || empty(&platform, &script)).await;
    let status = platform.status();
    assert_eq!(status.pending_work, Duration::ZERO);
    let off = |known: &str| {
        let of = status.work_predictions.iter().find(|of| of.known == known).unwrap();
        of.off.as_secs_f64() / of.work.as_secs_f64()
    };
    assert!(off("pixels") < 0.3 && off("pixels") < 0.5 * off("history"), "{:?}", status.work_predictions);
}

#[tokio::test]
async fn documents_get_slots_fairly() {
    let script = Script::new(Behavior::Wait);
    let platform = platform(&script, 1, 8).await.unwrap();
    let long = tokio::spawn(words(submit(&platform, submission(&platform, "long", 100, Order::Completion))));
    until("the long one has begun", || !script.begun().is_empty()).await;
    let short = tokio::spawn(words(submit(&platform, submission(&platform, "short", 1, Order::Completion))));
    let other = tokio::spawn(words(submit(&platform, submission(&platform, "other", 3, Order::Completion))));
    // The second page of the long document waits for a slot, and so do the first pages of the others.
    until("all three wait", || platform.plane().page_scheduler.waiting() == 3).await;
    script.go.add_permits(8);
    assert_eq!(short.await.unwrap(), ["open 1", "ok 0", "end 1/0"]);
    until("eight went", || script.begun().len() >= 9).await;
    let begun = script.begun();
    let at = |name: &str| begun.iter().position(|(request, _)| request == name).unwrap();
    // At most one more page of each other document comes before it.
    assert!(at("short") <= 3, "{begun:?}");
    assert!(at("other") <= 3, "{begun:?}");
    script.go.add_permits(200);
    assert_eq!(other.await.unwrap().len(), 5);
    assert_eq!(long.await.unwrap().len(), 102);
}

#[tokio::test]
async fn a_dropped_stream_ends_all_work() {
    let script = Script::new(Behavior::Hang);
    let platform = platform(&script, 4, 2).await.unwrap();
    let mut stream = submit(&platform, submission(&platform, "r", 50, Order::Page));
    assert_eq!(word(&stream.next().await.unwrap()), "open 50");
    until("four pages are running", || script.running.load(SeqCst) == 4).await;
    assert_eq!(platform.status().pages_waiting, 50);
    drop(stream);
    until("the server is idle", || empty(&platform, &script)).await;
    assert_eq!(script.begun().len(), 4);
    assert_eq!(platform.status().documents_abandoned, 1);
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_no_places() {
    let script = Script::new(Behavior::Read);
    let platform = platform(&script, 2, 4).await.unwrap();
    let idle = submit(&platform, submission(&platform, "idle", 50, Order::Page));
    until("it stands still", || platform.status().pages_running == 0 && script.begun().len() >= 4).await;
    let before = script.begun().len();
    assert!(before <= 4 + 4 + 1, "{before} pages begun without a reader");
    assert_eq!(words(submit(&platform, submission(&platform, "r", 20, Order::Page))).await.len(), 22);
    assert_eq!(words(idle).await.len(), 52);
}

#[tokio::test]
async fn one_bad_page_is_one_page_error() {
    let script = Script::new(Behavior::Read);
    script.on(1, Behavior::Fail);
    script.on(2, Behavior::Panic);
    let platform = platform(&script, 2, 2).await.unwrap();
    let words = words(submit(&platform, submission(&platform, "r", 4, Order::Page))).await;
    assert_eq!(words, ["open 4", "ok 0", "guest_trapped 1", "internal 2", "ok 3", "end 2/2"]);
    let faults = platform.status().faults;
    assert_eq!((faults["guest_trapped"], faults["internal"]), (1, 1));
    until("the server is idle", || empty(&platform, &script)).await;
}

#[tokio::test]
async fn after_the_deadline_every_page_is_answered() {
    for order in [Order::Page, Order::Completion] {
        let script = Script::new(Behavior::Hang);
        script.on(0, Behavior::Read);
        let platform = platform(&script, 2, 2).await.unwrap();
        let submission = Submission {
            // Long enough for the page in progress, on a busy machine as well.
            deadline: Instant::now() + Duration::from_secs(2),
            ..submission(&platform, "r", 30, order)
        };
        let words = words(submit(&platform, submission)).await;
        assert_eq!(
            words.iter().filter(|word| word.starts_with("deadline_exceeded")).count(),
            29,
            "{words:?}"
        );
        assert_eq!(words.last().unwrap(), "end 1/29");
        until("the server is idle", || empty(&platform, &script)).await;
    }
}

#[tokio::test]
async fn documents_that_cannot_be_read_fail_once() {
    let script = Script::new(Behavior::Read);
    let platform = platform(&script, 2, 2).await.unwrap();
    let pages = |text: &str| crate::page_selection::PageSelection::parse(text).unwrap();
    let base = || submission(&platform, "r", 3, Order::Page);
    let of = |request| Submission { request, ..base() };
    for (submission, expect) in [
        (submission(&platform, "r", 0, Order::Page), "failed document_empty"),
        (of(DocumentRequest { pages: pages("4"), ..base().request }), "failed page_out_of_range"),
        (submission(&platform, "r", 101, Order::Page), "failed too_many_pages"),
        (
            of(DocumentRequest { deployment: Some("nowhere".into()), ..base().request }),
            "failed deployment_not_found",
        ),
    ] {
        assert_eq!(words(submit(&platform, submission)).await, [expect]);
    }
    let some = words(submit(&platform, of(DocumentRequest { pages: pages("3,1"), ..base().request }))).await;
    assert_eq!(some, ["open 2", "ok 0", "ok 2", "end 2/0"]);
    let host = platform.control().of_this_machine().unwrap();
    let too_large = platform.admit(&host, HELD_BYTES_MAX + 1, Duration::from_secs(300)).unwrap_err();
    assert_eq!(too_large.code, "submission_too_large");
    until("the server is idle", || empty(&platform, &script)).await;
}

#[tokio::test]
async fn a_failing_summary_loses_no_page() {
    let script = Script::new(Behavior::Read);
    *script.assemble_fails.lock().unwrap() = true;
    let platform = platform(&script, 2, 2).await.unwrap();
    let events: Vec<Event> = submit(&platform, submission(&platform, "r", 2, Order::Page)).collect().await;
    let Some(Event::End { summary: None, summary_fault: Some(fault), pages_ok: 2, .. }) = events.last()
    else {
        panic!("{events:?}");
    };
    assert_eq!(fault.code, "guest_trapped");
}

#[tokio::test]
async fn pages_wait_for_memory_and_one_document_at_a_time_exceeds_the_limit() {
    let script = Script::new(Behavior::Read);
    // Nothing fits: each document needs the overdraft.
    let platform = platform_holding(&script, 1000, 1 << 20).await.unwrap();
    let admit =
        || platform.admit(&platform.control().of_this_machine().unwrap(), 1, Duration::from_secs(300));
    let (first, second) = (admit().unwrap(), admit().unwrap());
    let mut idle = platform.submit(first, submission(&platform, "idle", 50, Order::Page), "standard".into());
    until("the first one reads", || !script.begun().is_empty()).await;
    let other = platform.submit(second, submission(&platform, "other", 3, Order::Page), "standard".into());
    let other = tokio::spawn(words(other));
    until("both are open", || script.open.load(SeqCst) == 2).await;
    at_rest().await;
    assert!(script.begun().iter().all(|(request, _)| request == "idle"), "the other one waits for memory");
    assert!(platform.status().held_bytes > 1000);
    assert_eq!(admit().unwrap_err().code, "tenant_memory_exceeded");
    assert_eq!(word(&idle.next().await.unwrap()), "open 50");
    drop(idle);
    assert_eq!(other.await.unwrap(), ["open 3", "ok 0", "ok 1", "ok 2", "end 3/0"]);
    until("the server is idle", || empty(&platform, &script)).await;
}

#[tokio::test]
async fn results_count_until_they_are_delivered() {
    let script = Script::new(Behavior::Read);
    let platform = platform(&script, 2, 2).await.unwrap();
    let events: Vec<Event> = submit(&platform, submission(&platform, "r", 3, Order::Page)).collect().await;
    until("the document has ended", || platform.status().documents_admitted == 0).await;
    let held = platform.status().held_bytes;
    let pages = events.iter().filter_map(|event| match event {
        Event::Page { transcript, .. } => Some(transcript.memory_bytes()),
        Event::End { summary: Some(summary), .. } => Some(summary.memory_bytes()),
        _ => None,
    });
    assert_eq!(held, pages.sum::<u64>());
    drop(events);
    assert_eq!(platform.status().held_bytes, 0);
}

#[tokio::test]
async fn a_document_of_too_large_results_has_no_summary() {
    let script = Script::new(Behavior::Read);
    let platform = platform_holding(&script, HELD_BYTES_MAX, 1000).await.unwrap();
    let events: Vec<Event> = submit(&platform, submission(&platform, "r", 9, Order::Page)).collect().await;
    let Some(Event::End { summary: None, summary_fault: Some(fault), pages_ok: 9, .. }) = events.last()
    else {
        panic!("{events:?}");
    };
    assert_eq!(fault.code, "summary_too_large");
}

#[tokio::test]
async fn a_full_server_returns_the_time_to_wait() {
    let script = Script::new(Behavior::Wait);
    let platform = platform(&script, 1, 1).await.unwrap();
    let reading = tokio::spawn(words(submit(&platform, submission(&platform, "r", 3, Order::Page))));
    until("it has begun", || !script.begun().is_empty()).await;
    let fault = admit(&platform).unwrap_err();
    assert_eq!(fault.code, "server_overloaded");
    assert!(fault.retry_after.unwrap() >= Duration::from_secs(1));
    script.go.add_permits(3);
    reading.await.unwrap();
    until("there is capacity", || admit(&platform).is_ok()).await;
}

#[tokio::test]
async fn a_drain_waits_and_then_cuts_off() {
    let script = Script::new(Behavior::Wait);
    let platform = platform(&script, 1, 4).await.unwrap();
    let reading = tokio::spawn(words(submit(&platform, submission(&platform, "r1", 1, Order::Page))));
    until("it has begun", || !script.begun().is_empty()).await;
    let draining = tokio::spawn({
        let platform = platform.clone();
        async move { platform.drain(Duration::from_secs(120)).await }
    });
    until("the server drains", || platform.is_draining()).await;
    assert_eq!(admit(&platform).unwrap_err().code, "shutting_down");
    assert_eq!(platform.check_readiness(Duration::from_secs(1)).await.unwrap_err().code, "shutting_down");
    script.go.add_permits(1);
    assert!(draining.await.unwrap().clean);
    assert_eq!(reading.await.unwrap(), ["open 1", "ok 0", "end 1/0"]);

    let script = Script::new(Behavior::Hang);
    let platform = platform_with(&script, 1, 4, "detection").await.unwrap();
    let reading = tokio::spawn(words(submit(&platform, submission(&platform, "r2", 9, Order::Page))));
    until("it has begun", || !script.begun().is_empty()).await;
    let report = platform.drain(Duration::from_millis(20)).await;
    assert!(!report.clean);
    assert_eq!(&*report.cut_off[0].label, "r2");
    assert_eq!(reading.await.unwrap(), ["open 9", "failed shutting_down"]);
    until("the server is idle", || empty(&platform, &script)).await;
}

#[tokio::test]
async fn starting_checks_settings_and_grants() {
    let script = Script::with_settings(Behavior::Read, false);
    let fault = platform(&script, 1, 1).await.err().unwrap();
    assert_eq!(fault.code, "settings_refused");
    assert!(fault.message.contains("/dpi") && fault.message.contains("standard"), "{fault}");
    let script = Script::new(Behavior::Read);
    let fault = platform_with(&script, 1, 1, "recognition").await.err().unwrap();
    assert_eq!(fault.code, "grant_missing");
    assert!(fault.message.contains("detection"), "{fault}");
    assert!(script.prepared.lock().unwrap().is_empty(), "nothing is opened for a deployment that cannot be");
}

#[tokio::test]
async fn models_are_ready_before_a_deployment_is_live() {
    let script = Script::new(Behavior::Read);
    let _platform = platform(&script, 1, 1).await.unwrap();
    assert_eq!(*script.prepared.lock().unwrap(), ["model".into()]);
    let fault = platform_granting(&script, "missing").await.err().unwrap();
    assert_eq!(fault.code, "model_unavailable");
    assert!(fault.message.contains("standard"), "{fault}");
}

#[tokio::test]
async fn probes_share_an_answer_and_a_busy_server_is_ready() {
    let script = Script::new(Behavior::Read);
    let platform = platform(&script, 1, 1).await.unwrap();
    let (within, started) = (Duration::from_secs(60), Instant::now());
    let report = platform.check_readiness(within).await.unwrap();
    assert_eq!((report.deployments.len(), report.from_recent_page), (1, false));
    for _ in 0..50 {
        platform.check_readiness(within).await.unwrap();
    }
    let pages_max = 1 + started.elapsed().as_secs() as usize / 10;
    assert!(script.begun().len() <= pages_max, "the answer is kept for 10 s");

    let script = Script::new(Behavior::Fail);
    let platform = platform_with(&script, 1, 1, "detection").await.unwrap();
    let fault = platform.check_readiness(within).await.unwrap_err();
    assert_eq!(fault.code, "guest_trapped");
    assert!(fault.message.contains("standard"));
    let mut with = config(1, 1, ("detection", "model"));
    let second = DeploymentConfig { name: "second".into(), ..with.control.deployments[0].clone() };
    with.control.deployments.push(second);
    let platform = platform_on(&script, with, Arc::new(SqliteStore::in_memory().unwrap())).await.unwrap();
    assert_eq!(platform.unready_deployments(), 0, "no check has ended");
    platform.check_readiness(within).await.unwrap_err();
    assert_eq!(platform.unready_deployments(), 2);

    // The check hangs, but pages are being read: the server is slow, not broken.
    let script = Script::new(Behavior::Read);
    let platform = platform_with(&script, 1, 1, "detection").await.unwrap();
    words(submit(&platform, submission(&platform, "r", 1, Order::Page))).await;
    *script.otherwise.lock().unwrap() = Behavior::Hang;
    assert!(platform.check_readiness(Duration::from_millis(20)).await.unwrap().from_recent_page);
}

/// A client that asks and hangs up does not cause one check after another.
#[tokio::test]
async fn a_readiness_check_does_not_end_with_its_client() {
    let script = Script::new(Behavior::Read);
    let platform = platform_with(&script, 1, 1, "detection").await.unwrap();
    *script.otherwise.lock().unwrap() = Behavior::Hang;
    let before = script.begun().len();
    for _ in 0..20 {
        let asked = platform.check_readiness(Duration::from_secs(60));
        assert!(tokio::time::timeout(Duration::from_millis(5), asked).await.is_err());
    }
    assert!(script.begun().len() <= before + 1, "there is one check at a time");
}
