//! Observability: dashboards and alerts name existing metrics, a trace shows overlapping work, and responses explain
//! themselves.

use std::collections::BTreeSet;

use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Gateway, paths};
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

#[tokio::test]
async fn a_timeline_shows_what_overlaps() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trace.json");
    let gateway = Gateway::builder().arg("--trace").arg(path.display().to_string()).start().await;
    let pages = vec![PageSpec::a4(&["A line to be found and read"; 12]); 6];
    gateway.ocr("application/pdf", pdf::document(&pages), "text_layer=never").await.ok();
    gateway.stop().await;

    let text = std::fs::read_to_string(&path).unwrap();
    let events: Vec<Value> =
        serde_json::from_str(&format!("{}]", text.trim_end().trim_end_matches(','))).unwrap();
    let bars = |kind: &'static str| -> Vec<(f64, f64)> {
        let of = |event: &&Value| event["ph"] == "X" && event["name"].as_str().unwrap().starts_with(kind);
        let bar = |event: &Value| {
            let from = event["ts"].as_f64().unwrap();
            (from, from + event["dur"].as_f64().unwrap())
        };
        events.iter().filter(of).map(bar).collect()
    };
    let overlap =
        |a: &[(f64, f64)], b: &[(f64, f64)]| a.iter().any(|a| b.iter().any(|b| a.0 < b.1 && b.0 < a.1));
    let (renderings, guests, runs) = (bars("render"), bars("guest"), bars("inference"));
    assert!(renderings.len() >= 6 && bars("page").len() >= 6 && !guests.is_empty() && !runs.is_empty());
    assert!(overlap(&renderings, &runs), "rendering waits for inference");
    assert!(overlap(&guests, &runs), "guests wait for inference");
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
