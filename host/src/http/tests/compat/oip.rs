//! Open Inference Protocol: requests as tritonclient sends them.

use axum::http::Method;
use serde_json::{Value, json};

use super::super::app::{Answer, TestApp, TestRequest};
use super::refused;
use crate::config::Dialect;

const INFER: &str = "/v2/models/echo/infer";

/// Starts a server with keys, and a tenant that may use two models, one of which is loaded; returns its key.
async fn tenant(limits: Value) -> (TestApp, String) {
    let (app, admin) = TestApp::closed().await;
    let policy = json!({ "models": { "a": "echo", "b": "model" }, "limits": limits });
    let key = app.tenant(&admin, "acme", policy).await;
    (app, key)
}

/// A request with a row of two numbers after its JSON.
fn binary<'a>(app: &'a TestApp, key: &str, request: &Value) -> TestRequest<'a> {
    let json = request.to_string();
    let mut body = json.clone().into_bytes();
    body.extend([1.5f32, -2.0].into_iter().flat_map(f32::to_le_bytes));
    app.post(INFER).key(key).header("inference-header-content-length", &json.len().to_string()).body(body)
}

fn input() -> Value {
    json!({ "name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": { "binary_data_size": 8 } })
}

#[track_caller]
fn message(answer: &Answer, status: u16) -> String {
    refused(answer, status)["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn models_are_described() {
    let (app, key) = tenant(json!({})).await;
    for path in ["/v2/health/live", "/v2/health/ready"] {
        assert_eq!(app.get(path).send().await.status, 200, "{path} needs no key");
    }
    let server = app.get("/v2").key(&key).send().await.ok();
    assert_eq!(server["name"], "lector");
    let index = app.post("/v2/repository/index").key(&key).send().await.ok();
    let states: Vec<_> = index.as_array().unwrap().iter().map(|one| (&one["name"], &one["state"])).collect();
    assert_eq!(states, [(&json!("echo"), &json!("READY")), (&json!("model"), &json!("UNAVAILABLE"))]);
    for path in ["/v2/models/echo", "/v2/models/echo/versions/1"] {
        let about = app.get(path).key(&key).send().await.ok();
        let port = json!([{ "name": "x", "datatype": "FP32", "shape": [-1, 2] }]);
        assert_eq!(
            (&about["name"], &about["versions"], &about["inputs"]),
            (&json!("echo"), &json!(["1"]), &port)
        );
        assert_eq!(app.get(&format!("{path}/ready")).key(&key).send().await.status, 200);
        let config = app.get(&format!("{path}/config")).key(&key).send().await.ok();
        assert_eq!(config["input"][0]["data_type"], "TYPE_FP32");
    }
}

#[tokio::test]
async fn a_run_answers_in_the_form_that_the_client_asks_for() {
    let (app, key) = tenant(json!({})).await;
    let asked = json!({ "id": "7", "inputs": [input()], "outputs": [{ "name": "y", "parameters": { "binary_data": true } }] });
    let answer = binary(&app, &key, &asked).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let length: usize = answer.header("inference-header-content-length").parse().unwrap();
    let (head, tensors) = answer.body.split_at(length);
    let head: Value = serde_json::from_slice(head).unwrap();
    let output =
        json!({ "name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": { "binary_data_size": 8 } });
    assert_eq!(
        (&head["id"], &head["model_name"], &head["outputs"][0]),
        (&json!("7"), &json!("echo"), &output)
    );
    assert_eq!(tensors, [1.5f32, -2.0].map(f32::to_le_bytes).concat());
    // JSON in both directions, without a list of outputs.
    let asked = json!({ "inputs": [{ "name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 4.5]] }] });
    let answer = app.post(INFER).key(&key).json(asked).send().await.ok();
    let output = json!([{ "name": "y", "datatype": "FP32", "shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.5] }]);
    assert_eq!(answer["outputs"], output);
}

#[tokio::test]
async fn a_run_is_a_page_of_the_quota_and_of_the_usage() {
    let (app, key) = tenant(json!({ "pages_per_day": 2 })).await;
    let asked = json!({ "inputs": [input()] });
    binary(&app, &key, &asked).send().await.ok();
    // A request that does not fit costs nothing.
    let mut wrong = asked.clone();
    wrong["inputs"][0]["name"] = json!("z");
    assert!(message(&binary(&app, &key, &wrong).send().await, 400).contains("no input `z`"));
    binary(&app, &key, &asked).send().await.ok();
    let answer = binary(&app, &key, &asked).send().await;
    assert!(message(&answer, 429).contains("pages"));
    assert!(!answer.header("retry-after").is_empty());
    let usage = app.get("/api/v1/usage").key(&key).send().await.ok();
    let day = &usage["usage"][0];
    // Half of the rows of each run of 4 ms were its own.
    assert_eq!((&day["pages_ok"], &day["requests"]), (&json!(2), &json!(4)), "{usage}");
    assert!(day.to_string().contains("engine"), "{usage}");
}

#[tokio::test]
async fn errors_have_the_form_of_the_protocol() {
    let (app, key) = tenant(json!({})).await;
    let get = async |path: &str| app.get(path).key(&key).send().await;
    assert!(message(&app.get("/v2").send().await, 401).contains("key"));
    assert!(message(&get("/v2/models/none").await, 404).contains("no model `none`"));
    assert!(message(&get("/v2/models/echo/versions/2").await, 404).contains("no version"));
    assert!(message(&get("/v2/models/model").await, 503).contains("not ready"));
    assert!(message(&get("/v2/models/echo/stats").await, 400).contains("not supported"));
    let load = app.post("/v2/repository/models/echo/load").key(&key).send().await;
    assert!(message(&load, 400).contains("not supported"));
    let asked = json!({ "inputs": [input()] });
    let compressed = binary(&app, &key, &asked).header("content-encoding", "gzip").send().await;
    assert!(message(&compressed, 400).contains("not supported"));
    for length in ["9999", "-1", "x"] {
        let request = app.post(INFER).key(&key).header("inference-header-content-length", length);
        assert!(message(&request.body("{}").send().await, 400).contains("Content-Length"), "{length}");
    }
    let app = TestApp::with(|_, http| {
        http.compat.enabled.remove(&Dialect::OpenInference);
    })
    .await;
    app.request(Method::GET, "/v2").send().await.problem(404, "route_not_found");
}
