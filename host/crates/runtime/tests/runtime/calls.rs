//! Successful calls, and the errors of the host that a guest receives.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lector_core::{Blame, Budget, Fault, Kind, PageRequest, SharedTranscript};

use crate::support::{ENDS_WITHIN, FakeEngines, FakePage, Mood, call, guest, runtime};

macro_rules! guest_or_skip {
    ($runtime:expr, $name:expr) => {
        match guest(&$runtime, $name).await {
            Some(guest) => guest,
            None => return,
        }
    };
}

fn mood(mood: &str) -> String {
    format!(r#"{{"greeting": "hi", "mood": "{mood}"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_in_and_its_text_comes_out() {
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let guest = guest_or_skip!(runtime, "echo");
    let ctx = call(&mood("calm"), Budget::default());
    // In a task of its own: the future of a call must be `Send`.
    let run = tokio::spawn(async move {
        guest.recognize(&ctx, FakePage::new(7), PageRequest { dpi: Some(72.0), ..Default::default() }).await
    })
    .await
    .unwrap();
    let page = run.result.unwrap();
    assert_eq!(page.lines[0].text, "hi page 7 of 595 x 842 pt");
    assert_eq!((page.dpi, page.size.width), (72.0, 595));
    assert!(run.timing.start > Duration::ZERO && run.timing.total >= run.timing.start);
    assert!(run.timing.guest > Duration::ZERO && run.timing.host_calls >= 3);
    assert!(run.timing.memory_bytes >= 1 << 16);
    let status = runtime.status();
    assert_eq!((status.live, status.started, status.calls), (0, 1, 1));
    assert!(status.faults.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_accepted_or_give_a_config_error() {
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let guest = guest_or_skip!(runtime, "echo");
    let ctx = call("{}", Budget::default());
    let declared = guest.configure(&ctx, "{}").await.unwrap().unwrap();
    assert_eq!(declared.features, ["echo"]);
    let config_error = guest.configure(&ctx, r#"{"greeting": ""}"#).await.unwrap().unwrap_err();
    assert_eq!(config_error.pointer, "/greeting");
    let config_error = guest.configure(&ctx, r#"{"unknown": 1}"#).await.unwrap().unwrap_err();
    assert!(config_error.message.contains("unknown"), "{config_error:?}");
    assert!(guest.configure(&ctx, "no JSON").await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_assembled_in_order() {
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let guest = guest_or_skip!(runtime, "echo");
    let ctx = call("{}", Budget::default());
    let mut pages = Vec::new();
    for index in 0..3 {
        let run = guest.recognize(&ctx, FakePage::new(index), PageRequest::default()).await;
        pages.push(Arc::new(run.result.unwrap()) as SharedTranscript);
    }
    let summary = guest.assemble(&ctx, pages).await.unwrap();
    let at = |n: u32| summary.text.find(&format!("page {n}")).unwrap();
    assert!(at(0) < at(1) && at(1) < at(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_text_counts_as_memory_of_the_call() {
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let guest = guest_or_skip!(runtime, "echo");
    let read = async |host_bytes| {
        let ctx = call(&mood("quote"), Budget { host_bytes, ..Budget::default() });
        guest.recognize(&ctx, FakePage::new(0), PageRequest::default()).await.result
    };
    assert!(read(1 << 20).await.is_ok());
    assert_eq!(read(16).await.unwrap_err().code, "guest_host_memory_exceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pages_share_few_instances() {
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let guest = guest_or_skip!(runtime, "echo");
    let ctx = call(&mood("render"), Budget::default());
    let tasks: Vec<_> = (0..100)
        .map(|index| {
            let (guest, ctx) = (Arc::clone(&guest), ctx.clone());
            tokio::spawn(
                async move { guest.recognize(&ctx, FakePage::new(index), PageRequest::default()).await },
            )
        })
        .collect();
    for (index, task) in tasks.into_iter().enumerate() {
        let run = task.await.unwrap();
        let text = run.result.unwrap().lines.remove(0).text;
        assert!(text.contains(&format!("page {index} ")) && text.contains("rendered 1653 x 2339"), "{text}");
        assert!(run.timing.render > Duration::ZERO);
    }
    assert_eq!(runtime.status().live, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_was_not_granted_is_denied() {
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let guest = guest_or_skip!(runtime, "echo");
    let run = guest
        .recognize(&call(&mood("trespass"), Budget::default()), FakePage::new(0), PageRequest::default())
        .await;
    let fault = run.result.unwrap_err();
    assert_eq!((fault.code, fault.kind, fault.blame), ("model_not_granted", Kind::Denied, Blame::Guest));
    assert!(fault.message.contains("nobody-granted-this") && fault.message.contains("model"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_host_survives_its_way_through_the_guest() {
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let guest = guest_or_skip!(runtime, "hostile");
    let broken = Fault::new(Kind::Invalid, "pdf_page_broken", "page 1 cannot be drawn").with_detail("secret");
    let page = FakePage::broken(broken);
    let ctx = call(r#"{"behavior": "pass-on"}"#, Budget::default());
    let fault = guest.recognize(&ctx, page, PageRequest::default()).await.result.unwrap_err();
    assert_eq!((fault.code, fault.blame), ("pdf_page_broken", Blame::Client));
    assert_eq!(fault.detail.as_deref(), Some("secret"));
    // The kind of the guest's own errors stays.
    let echo = guest_or_skip!(runtime, "echo");
    let ctx = call(&mood("refuse"), Budget::default());
    let fault = echo.recognize(&ctx, FakePage::new(0), PageRequest::default()).await.result.unwrap_err();
    assert_eq!((fault.code, fault.blame), ("guest_error_unreadable", Blame::Client));
    assert_eq!(fault.guest_code.as_deref(), Some("told_to_refuse"));
}

#[tokio::test(flavor = "multi_thread")]
async fn models_run_and_their_time_is_kept() {
    let engines = FakeEngines::new(Mood::Echo);
    let runtime = runtime(engines.clone());
    let guest = guest_or_skip!(runtime, "hostile");
    let ctx = call(r#"{"behavior": "await-inference"}"#, Budget::default());
    let run = guest.recognize(&ctx, FakePage::new(0), PageRequest::default()).await;
    run.result.unwrap();
    let time = run.timing.models.get(&"fake".into()).unwrap();
    assert_eq!((time.runs, time.rows, time.run), (1, 1, Duration::from_micros(5)));
    assert_eq!(engines.withdrawn.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_disconnected_client_is_cancelled() {
    let engines = FakeEngines::new(Mood::Silent);
    let runtime = runtime(engines.clone());
    let guest = guest_or_skip!(runtime, "hostile");
    let ctx = call(r#"{"behavior": "await-inference"}"#, Budget::default());
    let task =
        tokio::spawn(async move { guest.recognize(&ctx, FakePage::new(0), PageRequest::default()).await });
    while engines.offered.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    // The guest ends on its own thread, at its next yield.
    let ended = async {
        while engines.withdrawn.load(Ordering::SeqCst) == 0 || runtime.status().live > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(ENDS_WITHIN, ended).await.expect("the guest ends with its client");
    assert_eq!(engines.withdrawn.load(Ordering::SeqCst), 1);
}
