//! Options of a guest's own: the schema, what reaches the guest, and what a wrapper passes on.

use std::sync::Arc;

use lector_core::{Budget, CallCtx, PageRequest, SharedTranscript, WrappedPipeline};
use lector_runtime::{Guest, Wrapped};
use serde_json::{Map, Value, json};

use crate::support::{FakeEngines, FakePage, Mood, call, guest, runtime};
use crate::wrapping::stage;

async fn choosy() -> Option<Arc<Guest>> {
    guest(&runtime(FakeEngines::new(Mood::Echo)), "choosy").await
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_read_once_and_the_options_reach_every_call() {
    let Some(guest) = choosy().await else { return };
    assert!(guest.inspection().has_options());
    let ctx = call("{}", Budget::default());
    let schema = guest.options_schema(&ctx).await.unwrap().unwrap();
    assert_eq!(schema.value()["title"], "Options of the test guest");
    assert_eq!(&*schema.defaults(), r#"{"currency":"EUR"}"#);
    let error = schema.check(object(json!({ "digits": 5 }))).unwrap_err();
    assert_eq!(error.pointer, "/digits");

    let options = schema.check(object(json!({ "digits": 2 }))).unwrap();
    let ctx = CallCtx { options, ..call("{}", Budget::default()) };
    let run = guest.recognize(&ctx, FakePage::new(0), PageRequest::default()).await;
    let page = run.result.unwrap();
    assert_eq!(page.lines[0].text, r#"{"currency":"EUR","digits":2}"#);
    let pages = vec![Arc::new(page) as SharedTranscript];
    assert_eq!(guest.assemble(&ctx, pages).await.unwrap().text, r#"{"currency":"EUR","digits":2}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_without_the_export_has_no_schema() {
    let Some(guest) = guest(&runtime(FakeEngines::new(Mood::Echo)), "echo").await else { return };
    assert!(!guest.inspection().has_options());
    assert_eq!(guest.options_schema(&call("{}", Budget::default())).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapper_passes_options_that_the_inner_schema_accepts() {
    let runtime = runtime(FakeEngines::new(Mood::Echo));
    let Some(outer) = guest(&runtime, "wrapper").await else { return };
    let inner = guest(&runtime, "choosy").await.unwrap();
    let schema = inner.options_schema(&call("{}", Budget::default())).await.unwrap();
    let wrapped = || {
        let stage = lector_runtime::Stage { options_schema: schema.clone(), ..stage("inside", "{}", None) };
        Wrapped::new(inner.clone(), stage).unwrap() as Arc<dyn WrappedPipeline>
    };
    let read = async |settings: Value| {
        let ctx = CallCtx {
            // Those of the client are the wrapper's.
            options: r#"{"of":"client"}"#.into(),
            wrapped: Some(wrapped()),
            ..call(&settings.to_string(), Budget::default())
        };
        outer.recognize(&ctx, FakePage::new(0), PageRequest::default()).await.result
    };
    let text = async |settings: Value| read(settings).await.unwrap().lines[0].text.clone();
    assert_eq!(text(json!({})).await, r#"{"CURRENCY":"EUR"}"#);
    let passed = json!({ "manner": "pass", "pass": { "currency": "USD" } });
    assert_eq!(text(passed).await, r#"{"CURRENCY":"USD"}"#);
    let refused = read(json!({ "manner": "pass", "pass": { "currency": "XXX" } })).await.unwrap_err();
    assert_eq!(refused.guest_code.as_deref(), Some("options_not_passed"));
    assert!(refused.message.contains(r#"at "/currency": "XXX" is not allowed"#), "{refused}");
    let refused = read(json!({ "manner": "pass", "pass": 7 })).await.unwrap_err();
    assert!(refused.message.contains("send a JSON object"), "{refused}");
}
