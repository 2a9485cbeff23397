//! Guests that wrap the pipeline of another guest: results, shared limits, and the stage that a fault names.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lector_core::{
    Blame, Budget, CallCtx, Fault, Kind, PageRequest, PageRun, PipelineInfo, SharedTranscript,
    WrappedPipeline,
};
use lector_runtime::{Guest, Runtime, RuntimeConfig, Stage, Wrapped};

use crate::support::{ENDS_WITHIN, FakeEngines, FakePage, Mood, call, configured, guest, runtime};

/// Makes a stage with this name and these settings.
pub fn stage(name: &str, settings: &str, wrapped: Option<Arc<dyn WrappedPipeline>>) -> Stage {
    Stage {
        name: name.into(),
        settings: settings.into(),
        grants: call("{}", Budget::default()).grants,
        pipeline_info: PipelineInfo {
            models: vec!["model".into()],
            batching: Vec::new(),
            features: Vec::new(),
        },
        options_schema: None,
        wrapped,
    }
}

/// Makes a call of the guest `wrapper` that wraps `inner`.
fn wrapping(manner: &str, budget: Budget, inner: Arc<dyn WrappedPipeline>) -> CallCtx {
    CallCtx {
        wrapped: Some(inner),
        // The inner guest may have grants that the outer guest does not have.
        grants: Arc::default(),
        file_name: Some("invoice.pdf".into()),
        ..call(&format!(r#"{{"manner": "{manner}"}}"#), budget)
    }
}

struct Pair {
    runtime: Arc<Runtime>,
    outer: Arc<Guest>,
    inner: Arc<Guest>,
}

async fn pair(engines: Arc<FakeEngines>, inner: &str) -> Option<Pair> {
    let runtime = runtime(engines);
    let outer = guest(&runtime, "wrapper").await?;
    let inner = guest(&runtime, inner).await?;
    Some(Pair { runtime, outer, inner })
}

impl Pair {
    async fn read(&self, manner: &str, settings: &str, budget: Budget) -> PageRun {
        let inner = Wrapped::new(self.inner.clone(), stage("inside", settings, None)).unwrap();
        let ctx = wrapping(manner, budget, inner);
        self.outer
            .recognize(&ctx, FakePage::new(3), PageRequest { page_count: 9, ..Default::default() })
            .await
    }
}

fn fault(run: PageRun) -> Fault {
    run.result.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_works_on_the_inner_result() {
    let Some(pair) = pair(FakeEngines::new(Mood::Echo), "echo").await else { return };
    assert!(pair.outer.inspection().wraps() && !pair.inner.inspection().wraps());
    let run = pair.read("upper", r#"{"greeting": "deep", "mood": "render"}"#, Budget::default()).await;
    let page = run.result.unwrap();
    assert_eq!(page.lines[0].text, "DEEP PAGE 3 OF 595 X 842 PT, RENDERED 1653 X 2339 PX");
    let properties: serde_json::Value = serde_json::from_str(page.properties.as_deref().unwrap()).unwrap();
    assert_eq!(properties["lines"], 1);
    assert_eq!(properties["file_name"], "invoice.pdf");
    assert_eq!(properties["page_count"], 9);
    // The timing of the outer call includes that of the inner call.
    assert!(run.timing.render > Duration::ZERO && run.timing.pixels == 1653 * 2339, "{:?}", run.timing);
    assert!(run.timing.total >= run.timing.render && run.timing.memory_bytes >= 2 << 16);
    assert_eq!(pair.runtime.status().live, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_assembled_through_both() {
    let Some(pair) = pair(FakeEngines::new(Mood::Echo), "echo").await else { return };
    let inner = Wrapped::new(pair.inner.clone(), stage("inside", "{}", None)).unwrap();
    let ctx = wrapping("upper", Budget::default(), inner);
    let mut pages = Vec::new();
    for index in 0..3 {
        let run = pair.outer.recognize(&ctx, FakePage::new(index), PageRequest::default()).await;
        pages.push(Arc::new(run.result.unwrap()) as SharedTranscript);
    }
    let summary = pair.outer.assemble(&ctx, pages).await.unwrap();
    assert!(summary.text.starts_with("HELLO PAGE 0") && summary.text.ends_with("END"), "{}", summary.text);
    assert!(summary.text.contains("PAGE 2 OF"), "{}", summary.text);
    assert_eq!(summary.properties.as_deref(), Some(r#"{"pages":3}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_wraps_nothing_is_denied() {
    let Some(pair) = pair(FakeEngines::new(Mood::Echo), "echo").await else { return };
    let ctx = call("{}", Budget::default());
    let run = pair.outer.recognize(&ctx, FakePage::new(0), PageRequest::default()).await;
    let fault = fault(run);
    assert_eq!((fault.code, fault.kind, fault.blame), ("pipeline_not_wrapped", Kind::Denied, Blame::Guest));
    assert!(fault.message.contains("wraps"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inner_failure_is_the_pages_fault_and_names_the_stage() {
    let Some(pair) = pair(FakeEngines::new(Mood::Echo), "hostile").await else { return };
    let trap = fault(pair.read("upper", r#"{"behavior": "panic"}"#, Budget::default()).await);
    assert_eq!((trap.code, trap.blame), ("guest_trapped", Blame::Guest));
    assert!(trap.message.starts_with("pipeline `inside`: "), "{trap}");
    let malformed = fault(pair.read("upper", r#"{"behavior": "not-a-number"}"#, Budget::default()).await);
    assert_eq!(malformed.code, "guest_answer_invalid");
    // A wrapper may continue after a failure of the inner pipeline.
    let run = pair.read("forgive", r#"{"behavior": "panic"}"#, Budget::default()).await;
    let page = run.result.unwrap();
    assert!(page.warnings[0].starts_with("guest_trapped: pipeline `inside`"), "{:?}", page.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inner_guests_own_code_reaches_the_wrapper_and_the_client() {
    let Some(pair) = pair(FakeEngines::new(Mood::Echo), "echo").await else { return };
    let refused = r#"{"mood": "refuse"}"#;
    let fault = fault(pair.read("upper", refused, Budget::default()).await);
    assert_eq!((fault.code, fault.guest_code.as_deref()), ("guest_error_unreadable", Some("told_to_refuse")));
    let page = pair.read("forgive", refused, Budget::default()).await.result.unwrap();
    assert!(page.warnings[0].starts_with("told_to_refuse: pipeline `inside`"), "{:?}", page.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_is_shared() {
    let Some(pair) = pair(FakeEngines::new(Mood::Echo), "hostile").await else { return };
    let tight = Budget { compute: Duration::from_millis(300), ..Budget::default() };
    let run = pair.read("upper", r#"{"behavior": "spin-in-recognize"}"#, tight).await;
    assert!(run.timing.guest >= Duration::from_millis(250), "{:?}", run.timing.guest);
    let spun = fault(run);
    assert_eq!(spun.code, "guest_compute_exceeded");
    // The budget used by the inner call is gone: a wrapper that continues is also ended.
    let fault = fault(pair.read("forgive", r#"{"behavior": "spin-in-recognize"}"#, tight).await);
    assert_eq!(fault.code, "guest_compute_exceeded");
    // Calls into the host are counted over both.
    let few = Budget { host_calls: 500, compute: Duration::from_secs(10), ..tight };
    let run = pair.read("upper", r#"{"behavior": "call-storm"}"#, few).await;
    assert!(run.timing.host_calls >= 500, "{}", run.timing.host_calls);
    assert_eq!(run.result.unwrap_err().code, "guest_host_calls_exceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancellation_ends_both() {
    let engines = FakeEngines::new(Mood::Silent);
    let Some(pair) = pair(engines.clone(), "hostile").await else { return };
    // The client disconnects.
    let inner = Wrapped::new(pair.inner.clone(), stage("inside", r#"{"behavior": "await-inference"}"#, None))
        .unwrap();
    let (outer, ctx) = (pair.outer.clone(), wrapping("upper", Budget::default(), inner));
    let task =
        tokio::spawn(async move { outer.recognize(&ctx, FakePage::new(0), PageRequest::default()).await });
    while engines.offered.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(pair.runtime.status().live, 2);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let ended = async {
        while engines.withdrawn.load(Ordering::SeqCst) == 0 || pair.runtime.status().live > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(ENDS_WITHIN, ended).await.expect("both end when the client disconnects");
    // The outer guest traps while the inner one waits.
    let fault =
        fault(pair.read("trap-meanwhile", r#"{"behavior": "await-inference"}"#, Budget::default()).await);
    assert_eq!(fault.code, "guest_trapped");
    let ended = async {
        while pair.runtime.status().live > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(ENDS_WITHIN, ended).await.expect("the inner call ends with the outer call");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrappers_wrap_wrappers_down_to_a_depth() {
    let Some(pair) = pair(FakeEngines::new(Mood::Echo), "echo").await else { return };
    let mut inner: Arc<dyn WrappedPipeline> =
        Wrapped::new(pair.inner.clone(), stage("stage-0", r#"{"mood": "panic"}"#, None)).unwrap();
    for level in 1..4 {
        let next = stage(&format!("stage-{level}"), "{}", Some(inner));
        inner = Wrapped::new(pair.outer.clone(), next).unwrap();
    }
    assert_eq!(inner.depth(), 4);
    let ctx = wrapping("upper", Budget::default(), inner.clone());
    let run = pair.outer.recognize(&ctx, FakePage::new(0), PageRequest::default()).await;
    let failed = fault(run);
    let chain = "pipeline `stage-3`: pipeline `stage-2`: pipeline `stage-1`: pipeline `stage-0`: ";
    assert!(failed.message.starts_with(chain), "{failed}");
    let deeper = Wrapped::new(pair.outer.clone(), stage("stage-4", "{}", Some(inner))).unwrap_err();
    assert_eq!((deeper.code, deeper.kind), ("pipeline_too_deep", Kind::Invalid));
}

/// As many wrapping calls as there are instances, each with an inner call: none waits for an instance that another call
/// holds.
#[tokio::test(flavor = "multi_thread")]
async fn wrapping_calls_never_wait_for_each_other() {
    let config = RuntimeConfig { instances_max: 16, ..RuntimeConfig::default() };
    let runtime = configured(config, FakeEngines::new(Mood::Echo));
    let Some(outer) = guest(&runtime, "wrapper").await else { return };
    let Some(echo) = guest(&runtime, "echo").await else { return };
    let inner = Wrapped::new(echo, stage("inside", "{}", None)).unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|index| {
            let (outer, ctx) = (outer.clone(), wrapping("twice", Budget::default(), inner.clone()));
            tokio::spawn(
                async move { outer.recognize(&ctx, FakePage::new(index), PageRequest::default()).await },
            )
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().result.unwrap().lines.len(), 2);
    }
}
