//! Misbehaving guests: the limit that ends each misbehavior, the reported fault, and the isolation of other guests.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lector_core::{Blame, Budget, Fault, Kind, PageRequest};
use lector_runtime::Guest;

use crate::support::{FakeEngines, FakePage, Mood, call, guest, runtime};

/// Returns a budget small enough for a quick test. The wall-clock limit is not tested with it: guests have a low
/// priority, and on a busy machine wait many times as long as they compute.
fn tight() -> Budget {
    Budget {
        wall: Duration::from_secs(600),
        compute: Duration::from_millis(300),
        memory_bytes: 64 << 20,
        handles: 100,
        host_bytes: 64 << 20,
        host_calls: 20_000,
        ..Budget::default()
    }
}

async fn misbehave(guest: &Guest, behavior: &str, budget: Budget) -> Fault {
    let ctx = call(&format!(r#"{{"behavior": "{behavior}"}}"#), budget);
    let run = guest.recognize(&ctx, FakePage::new(0), PageRequest::default()).await;
    run.result.expect_err(behavior)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_behavior_ends_in_its_own_fault() {
    let runtime = runtime(FakeEngines::new(Mood::Silent));
    let Some(guest) = guest(&runtime, "hostile").await else { return };
    let roomy = Budget { compute: Duration::from_secs(8), memory_bytes: 400 << 20, ..tight() };
    let short = Budget { wall: Duration::from_secs(1), ..tight() };
    let table = [
        ("spin-in-recognize", tight(), "guest_compute_exceeded", Kind::GuestFault),
        ("memory", tight(), "guest_memory_exceeded", Kind::GuestFault),
        ("memory-then-spin", tight(), "guest_compute_exceeded", Kind::GuestFault),
        ("handles", tight(), "guest_handles_exceeded", Kind::TooLarge),
        ("spans", tight(), "guest_handles_exceeded", Kind::TooLarge),
        ("pixels", tight(), "guest_host_memory_exceeded", Kind::TooLarge),
        ("recursion", tight(), "guest_trapped", Kind::GuestFault),
        ("panic", tight(), "guest_trapped", Kind::GuestFault),
        ("trap-in-inference", tight(), "guest_trapped", Kind::GuestFault),
        ("huge-reply", roomy, "guest_result_too_large", Kind::GuestFault),
        ("shared-reply", roomy, "guest_result_too_large", Kind::GuestFault),
        ("long-reply", roomy, "guest_answer_invalid", Kind::GuestFault),
        ("log-storm", roomy, "guest_host_calls_exceeded", Kind::GuestFault),
        ("call-storm", roomy, "guest_host_calls_exceeded", Kind::GuestFault),
        ("await-inference", short, "guest_deadline", Kind::Deadline),
        // The guest's own bindings end a task that waits without any operation in flight.
        ("await-for-ever", tight(), "guest_trapped", Kind::GuestFault),
        ("wake-for-ever", tight(), "guest_compute_exceeded", Kind::GuestFault),
        ("not-a-number", tight(), "guest_answer_invalid", Kind::GuestFault),
        ("confidence", tight(), "guest_answer_invalid", Kind::GuestFault),
        ("finding-nowhere", tight(), "guest_answer_invalid", Kind::GuestFault),
    ];
    let mut wrong = Vec::new();
    for (behavior, budget, code, kind) in table {
        let fault = misbehave(&guest, behavior, budget).await;
        eprintln!("{behavior}: {fault}");
        if (fault.code, fault.kind) != (code, kind) {
            wrong.push(format!("{behavior}: {fault:?}, not {code}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let status = runtime.status();
    assert_eq!(status.live, 0);
    assert_eq!(status.faults["guest_answer_invalid"], 4);
    assert!(status.log_bytes_dropped > 0, "the log was cut at its budget");
}

#[tokio::test(flavor = "multi_thread")]
async fn details_name_the_cause() {
    let engines = FakeEngines::new(Mood::Silent);
    let runtime = runtime(engines.clone());
    let Some(guest) = guest(&runtime, "hostile").await else { return };
    let fault = misbehave(&guest, "recursion", tight()).await;
    assert!(fault.message.contains("recursed"), "{fault}");
    let detail = fault.detail.unwrap();
    assert!(detail.contains("hostile::recurse"), "a backtrace names the function: {detail}");
    let fault = misbehave(&guest, "trap-in-inference", tight()).await;
    assert!(fault.message.contains("panicked"), "{fault}");
    assert_eq!(engines.withdrawn.load(Ordering::SeqCst), 1, "the inference was withdrawn");
    let short = Budget { wall: Duration::from_secs(2), ..tight() };
    let fault = misbehave(&guest, "await-inference", short).await;
    assert_eq!(fault.blame, Blame::Host, "an engine did not answer");
}

/// The panic's sentence and place are for those who deploy the guest, or ask for an explanation; a client of its pages
/// does not get them.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_told_to_those_who_may_read_it() {
    let runtime = runtime(FakeEngines::new(Mood::Silent));
    let Some(guest) = guest(&runtime, "hostile").await else { return };
    let fault = misbehave(&guest, "panic", tight()).await;
    assert!(!fault.message.contains("as configured"), "{fault}");
    let request = PageRequest { explain: true, ..PageRequest::default() };
    let ctx = call(r#"{"behavior": "panic"}"#, tight());
    let fault = guest.recognize(&ctx, FakePage::new(0), request).await.result.unwrap_err();
    for part in ["panicked at ", "lib.rs:", "panics as configured"] {
        assert!(fault.message.contains(part), "no `{part}` in {fault}");
    }
    // The function is named where the compiler left one of the author's; the others say nothing.
    for foreign in ["panicking", "lector_sdk"] {
        assert!(!fault.message.contains(foreign), "{fault}");
    }
    assert!(!fault.detail.unwrap().contains("panicking"), "the log has the guest's functions");
    assert_eq!(fault.code, "guest_trapped");
}

#[tokio::test(flavor = "multi_thread")]
async fn configure_and_assemble_are_cut_as_well() {
    let runtime = runtime(FakeEngines::new(Mood::Silent));
    let Some(guest) = guest(&runtime, "hostile").await else { return };
    let spin = r#"{"behavior": "spin-in-configure"}"#;
    let fault = guest.configure(&call(spin, tight()), spin).await.unwrap_err();
    assert_eq!(fault.code, "guest_compute_exceeded");
    let hint = r#"{"behavior": "pipeline-info"}"#;
    let fault = guest.configure(&call(hint, tight()), hint).await.unwrap_err();
    assert_eq!(fault.code, "guest_answer_invalid");
    let fault =
        guest.assemble(&call(r#"{"behavior": "spin-in-assemble"}"#, tight()), Vec::new()).await.unwrap_err();
    assert_eq!(fault.code, "guest_compute_exceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requests_deadline_counts_where_it_is_earlier() {
    let runtime = runtime(FakeEngines::new(Mood::Silent));
    let Some(guest) = guest(&runtime, "hostile").await else { return };
    let budget =
        Budget { wall: Duration::from_secs(600), compute: Duration::from_secs(600), ..Budget::default() };
    let mut ctx = call(r#"{"behavior": "spin-in-recognize"}"#, budget);
    ctx.deadline = Instant::now() + Duration::from_millis(500);
    let run = guest.recognize(&ctx, FakePage::new(0), PageRequest::default()).await;
    let fault = run.result.unwrap_err();
    assert_eq!((fault.code, fault.blame), ("guest_deadline", Blame::Guest));
    assert!(run.timing.guest > Duration::ZERO, "{:?}", run.timing);
}

/// Runs a guest that spins for the whole test on one worker thread, and a hundred calls of another guest on the same
/// thread, which all succeed. `cargo xtask bench misbehaving-guests` measures their latency.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_spinning_guest_leaves_its_thread_to_others() {
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let Some(hostile) = guest(&runtime, "hostile").await else { return };
    let Some(echo) = guest(&runtime, "echo").await else { return };
    let spinner = tokio::spawn({
        let hostile = Arc::clone(&hostile);
        async move {
            misbehave(&hostile, "spin-in-recognize", Budget { compute: Duration::from_secs(600), ..tight() })
                .await
        }
    });
    let victim = tokio::spawn(async move {
        for index in 0..100 {
            let ctx = call("{}", Budget { wall: Duration::from_secs(600), ..Budget::default() });
            echo.recognize(&ctx, FakePage::new(index), PageRequest::default()).await.result.unwrap();
        }
    });
    victim.await.unwrap();
    assert!(!spinner.is_finished(), "it is still spinning");
    spinner.abort();
    assert!(spinner.await.unwrap_err().is_cancelled());
}
