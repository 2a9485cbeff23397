//! Observability: dashboards and alerts name existing metrics, a trace shows the work of a request, and responses explain
//! themselves.

use std::collections::BTreeSet;

use lector_tests::collector::{Collector, text};
use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, paths};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

/// Returns the names of series, and of `name{label="value"`, in an expression.
fn named(expr: &str) -> Vec<(String, Vec<String>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = expr;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let word: String = rest[start..].chars().take_while(|c| is_word(*c)).collect();
        rest = &rest[start + word.len()..];
        if !["lector_", "process_", "nv_"].iter().any(|prefix| word.starts_with(prefix)) {
            continue;
        }
        let labels = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((labels, _)) => labels.split(',').map(|label| label.trim().to_owned()).collect(),
            None => Vec::new(),
        };
        found.push((word, labels));
    }
    found
}

fn alerts() -> Vec<String> {
    let text = std::fs::read_to_string(paths::repo().join("deploy/observability/alerts.yml")).unwrap();
    let documents = YamlLoader::load_from_str(&text).expect("alerts.yml is YAML");
    let groups = documents[0]["groups"].as_vec().expect("groups");
    let rules: Vec<&Yaml> = groups.iter().flat_map(|group| group["rules"].as_vec().expect("rules")).collect();
    let mut names = BTreeSet::new();
    for rule in &rules {
        let name = rule["alert"].as_str().expect("a name");
        assert!(names.insert(name), "{name} twice");
        assert!(rule["annotations"]["summary"].as_str().is_some_and(|s| !s.is_empty()), "{name}");
        assert!(rule["labels"]["severity"].as_str().is_some(), "{name}");
    }
    rules.iter().map(|rule| rule["expr"].as_str().expect("an expression").to_owned()).collect()
}

fn dashboard() -> Vec<String> {
    let text = std::fs::read_to_string(paths::repo().join("deploy/observability/grafana.json")).unwrap();
    let json: Value = serde_json::from_str(&text).expect("grafana.json is JSON");
    let panels = json["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len(), "ids of panels are their own");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    targets.map(|target| target["expr"].as_str().expect("an expression").to_owned()).collect()
}

#[tokio::test]
async fn dashboards_and_alerts_name_metrics_that_exist() {
    let gateway = Gateway::start().await;
    gateway.ocr("application/pdf", pdf::document(&[PageSpec::a4(&["Seen"])]), "text_layer=never").await.ok();
    let metrics = gateway.get("/metrics").await.text();
    let mut series = BTreeSet::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        series.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
    }
    let (dashboard, alerts) = (dashboard(), alerts());
    assert!(dashboard.len() >= 20 && alerts.len() >= 8);
    for expr in dashboard.iter().chain(&alerts) {
        let named = named(expr);
        assert!(!named.is_empty(), "{expr} names no metric");
        for (name, labels) in named {
            assert!(series.contains(&name), "/metrics has no {name}, which `{expr}` names");
            for label in labels {
                let there = metrics.lines().any(|line| line.starts_with(&name) && line.contains(&label));
                assert!(there, "no {name} has {label}, which `{expr}` names");
            }
        }
    }
    // The names that Triton's dashboards use.
    for name in ["nv_inference_count", "nv_inference_exec_count", "nv_inference_request_success"] {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{"))).expect(name);
        assert!(line.contains("model=") && line.contains("version="), "{line}");
    }
}

/// One trace for a request: it continues the client's, and shows each page with its rendering, its guest and its runs.
#[tokio::test]
async fn a_trace_continues_the_clients_and_shows_each_page() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let collector = Collector::start().await;
    let gateway = Gateway::builder().set("traces.endpoint", &collector.base).start().await;
    let pages = vec![PageSpec::a4(&["A line to be found and read"; 12]); 6];
    let request = gateway
        .client
        .post(gateway.url("/api/v1/ocr?text_layer=never"))
        .header("content-type", "application/pdf")
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    assert_eq!(request.body(pdf::document(&pages)).send().await.unwrap().status(), 200);
    // A stop sends the spans that wait.
    gateway.stop().await;

    assert_eq!(collector.resource("service.name").as_deref(), Some("lector"));
    let spans = collector.spans();
    let of = |name: &str| -> Vec<&Span> { spans.iter().filter(|span| span.name == name).collect() };
    let names: BTreeSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    let request =
        of("POST /api/v1/ocr").first().copied().unwrap_or_else(|| panic!("no request: {names:?}")).clone();
    assert_eq!(request.trace_id, bytes(TRACE));
    assert_eq!(request.parent_span_id, bytes("00f067aa0ba902b7"));
    assert_eq!(request.kind, SpanKind::Server as i32);
    assert_eq!(text(&request.attributes, "http.response.status_code").as_deref(), Some("200"));
    let [document] = of("document")[..] else { panic!("one document: {spans:?}") };
    assert_eq!(document.parent_span_id, request.span_id);
    let read = of("page");
    assert_eq!(read.len(), 6);
    for page in &read {
        assert_eq!((&page.parent_span_id, &page.trace_id), (&document.span_id, &request.trace_id));
        let parts = |name: &str| of(name).iter().filter(|span| is_within(&spans, span, page)).count();
        assert!(parts("render") >= 1 && parts("guest") >= 1, "{page:?}");
    }
    let runs: Vec<&Span> =
        of("inference").into_iter().filter(|run| run.trace_id == request.trace_id).collect();
    assert!(runs.iter().all(|run| read.iter().any(|page| is_within(&spans, run, page))), "{runs:?}");
    let detections =
        |run: &&&Span| text(&run.attributes, "model").is_some_and(|model| model.ends_with("-det"));
    // A run may serve several pages, and stands in the trace of the first.
    assert!(runs.iter().filter(detections).count() >= 1, "{runs:?}");
}

/// Returns whether a span is below another one.
fn is_within(spans: &[Span], span: &Span, above: &Span) -> bool {
    span.parent_span_id == above.span_id
        || spans
            .iter()
            .find(|parent| parent.span_id == span.parent_span_id)
            .is_some_and(|parent| is_within(spans, parent, above))
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[tokio::test]
async fn an_answer_explains_itself() {
    let gateway = Gateway::start().await;
    let body = pdf::document(&[PageSpec::a4(&["Explained"; 5])]);
    let plain = gateway.ocr("application/pdf", body.clone(), "text_layer=never").await.ok();
    assert!(plain["pages"][0].get("explain").is_none(), "{plain}");
    let json = gateway.ocr("application/pdf", body.clone(), "text_layer=never&explain=1").await.ok();
    let explain = &json["pages"][0]["explain"];
    assert_eq!(explain["revision"], 1, "{explain}");
    assert!(
        explain["guest_memory_bytes"].as_u64().unwrap() > 0 && explain["guest_ms"].as_f64().unwrap() > 0.0
    );
    let runs = explain["runs"].as_array().unwrap();
    let detection = runs.iter().find(|run| run["model"] == "pp-ocrv6-small-det").expect("a detection");
    assert_eq!((&detection["batch"]["rows"], &detection["rows"]), (&Value::from(1), &Value::from(1)));
    assert_eq!(detection["bucket"].as_array().unwrap().len(), 3, "{detection}");
    let known = ["cpu", "openvino", "cuda", "tensorrt"];
    for run in runs {
        assert!(known.contains(&run["provider"].as_str().unwrap()), "{run}");
        assert!(run["run_ms"].as_f64().unwrap() > 0.0 && run["batch"]["run"].as_u64().unwrap() > 0, "{run}");
        assert!((0.0..1.0).contains(&run["padding"].as_f64().unwrap()), "{run}");
    }
    let events = gateway.batch(vec![("a.pdf".to_owned(), body)], "text_layer=never&explain=1").await;
    let page = events.iter().find(|event| event["event"] == "page").unwrap();
    assert!(page["explain"]["runs"].as_array().unwrap().len() >= 2, "{page}");
}
