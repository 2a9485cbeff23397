//! The Model Context Protocol over streamable HTTP, as its SDKs send it: each message a request, answered by an event.

use std::sync::Arc;

use lector_serving::fakes::Behavior;
use serde_json::{Value, json};

use super::super::app::{Answer, TestApp, TestRequest, until};
use super::{base64, file, form, refused, two_tenants};

/// Returns a message as clients of version 2025-11-25 send it after the initialization.
fn message<'a>(app: &'a TestApp, key: &str, body: Value) -> TestRequest<'a> {
    let request = app.post("/mcp").header("accept", "application/json, text/event-stream");
    request.header("mcp-protocol-version", "2025-11-25").key(key).json(body)
}

/// Returns the response in the events of an answer; the last message.
#[track_caller]
fn response(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let text = answer.text();
    let mut data = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    let last = data.rfind(|data| !data.is_empty()).unwrap_or_else(|| panic!("no message in {text}"));
    serde_json::from_str(last).unwrap()
}

async fn call(app: &TestApp, key: &str, tool: &str, arguments: Value) -> Value {
    let params = json!({ "name": tool, "arguments": arguments });
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params });
    let answer = response(&message(app, key, body).send().await);
    assert_eq!(answer["id"], 7, "{answer}");
    answer["result"].clone()
}

/// Returns the texts of a result.
fn texts(result: &Value) -> Vec<&str> {
    let content = result["content"].as_array().unwrap_or_else(|| panic!("no content: {result}"));
    content.iter().map(|block| block["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_client_begins_and_lists_the_tools() {
    let app = TestApp::start().await;
    let params = json!({
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "agent", "version": "1" },
    });
    let begin = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let request = app.post("/mcp").header("accept", "application/json, text/event-stream").json(begin);
    let begun = response(&request.send().await)["result"].clone();
    assert_eq!(begun["serverInfo"]["name"], "lector", "{begun}");
    assert!(begun["capabilities"]["tools"].is_object() && begun["instructions"].is_string());
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(message(&app, "", note).send().await.status, 202);
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let listed = response(&message(&app, "", list).send().await);
    let tools = listed["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["read_document", "read_page", "list_deployments"]);
    assert!(tools[0]["inputSchema"]["properties"]["path"].is_null(), "no path of the server");
    assert_eq!(tools[0]["annotations"]["readOnlyHint"], true);
    // A stream of the server's own messages does not exist.
    app.get("/mcp").header("accept", "text/event-stream").send().await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn documents_are_read_from_base64_and_from_uploads() {
    let app = TestApp::start().await;
    app.script.on(1, Behavior::Unreadable);
    let result = call(&app, "", "read_document", json!({ "content": base64(3), "name": "a.pdf" })).await;
    assert_eq!(result["isError"], false, "{result}");
    let read = &result["structuredContent"];
    assert_eq!(
        (&read["page_count"], &read["name"], &read["next_pages"]),
        (&json!(3), &json!("a.pdf"), &Value::Null)
    );
    assert_eq!(read["pages"][0]["text"], "page 0");
    assert!(read["pages"][1]["error"]["message"].as_str().unwrap().contains("It is a blur."), "{read}");
    let shown = texts(&result);
    assert!(shown[0].contains("a.pdf: 3 pages") && shown[3].contains("[Page 3]\npage 2"), "{shown:?}");
    let upload = form(&[], &file("file", "letter.pdf", "application/pdf"), 2);
    let id = app.post("/v1/files").form(upload).send().await.ok()["id"].as_str().unwrap().to_owned();
    let page = call(&app, "", "read_page", json!({ "file": id, "page": 1, "format": "text" })).await;
    assert_eq!(page["structuredContent"]["text"], "page 0", "{page}");
    assert_eq!(
        (&page["structuredContent"]["page"], &page["structuredContent"]["next_start"]),
        (&json!(1), &Value::Null)
    );
    let deployments = call(&app, "", "list_deployments", json!({})).await;
    assert_eq!(texts(&deployments), ["standard"], "{deployments}");
}

#[tokio::test]
async fn what_fails_says_what_to_do() {
    let app = TestApp::start().await;
    let error = async |tool: &str, arguments: Value| {
        let result = call(&app, "", tool, arguments).await;
        assert_eq!(result["isError"], true, "{result}");
        // Clients compare structured content with the schema of the tool's results, also in an error.
        assert!(result.get("structuredContent").is_none(), "{result}");
        let text = texts(&result)[0].to_owned();
        let (_, code) = text.rsplit_once('(').unwrap();
        code.split_once(')').unwrap().0.to_owned()
    };
    assert_eq!(error("read_document", json!({ "content": "!" })).await, "option_invalid");
    assert_eq!(error("read_document", json!({ "path": "/etc/passwd" })).await, "option_invalid");
    assert_eq!(error("read_document", json!({ "file": "unknown" })).await, "file_not_found");
    assert_eq!(
        error("read_document", json!({ "content": base64(2), "pages": "9" })).await,
        "page_out_of_range"
    );
    let other = json!({ "content": base64(1), "deployment": "other" });
    assert_eq!(error("read_document", other).await, "deployment_not_found");
    app.script.on(0, Behavior::Unreadable);
    assert_eq!(
        error("read_page", json!({ "content": base64(1), "page": 1 })).await,
        "guest_error_unreadable"
    );
    let unknown = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "rm" } });
    let answer = response(&message(&app, "", unknown).send().await);
    assert!(answer["error"]["message"].as_str().unwrap().contains("read_document"), "{answer}");
    // Nothing of a message that is none of the protocol reaches a tool.
    assert_eq!(message(&app, "", json!({ "hello": 1 })).send().await.status / 100, 4);
}

#[tokio::test]
async fn keys_tenants_and_the_switch_apply() {
    let (app, acme, other) = two_tenants().await;
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let error = refused(&message(&app, "", list.clone()).send().await, 401);
    assert_eq!(error["error"]["data"]["code"], "key_missing", "{error}");
    response(&message(&app, &acme, list.clone()).send().await);
    let upload = form(&[], &file("file", "a.pdf", "application/pdf"), 1);
    let id =
        app.post("/v1/files").key(&acme).form(upload).send().await.ok()["id"].as_str().unwrap().to_owned();
    let foreign = call(&app, &other, "read_document", json!({ "file": id })).await;
    assert!(texts(&foreign)[0].contains("(file_not_found)"), "{foreign}");
    let own = call(&app, &acme, "read_document", json!({ "file": id })).await;
    assert_eq!(own["isError"], false, "{own}");
    // A page of another site in a browser.
    let foreign = message(&app, "", list.clone()).header("origin", "https://evil.example").send().await;
    assert!([401, 403].contains(&foreign.status), "{}", foreign.text());
    let off = TestApp::with(|_, http| _ = http.compat.enabled.remove(&crate::config::Dialect::Mcp)).await;
    message(&off, "", list).send().await.problem(404, "route_not_found");
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_reading() {
    let app = Arc::new(TestApp::start().await);
    app.script.on(0, Behavior::Hang);
    let params = json!({ "name": "read_document", "arguments": { "content": base64(1) } });
    let body = json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": params });
    let response = message(&app, "", body).begin().await;
    until("the page is begun", || app.script.running.load(std::sync::atomic::Ordering::SeqCst) == 1).await;
    drop(response);
    until("the page is dropped", || app.script.running.load(std::sync::atomic::Ordering::SeqCst) == 0).await;
    until("its place is free", || app.service.status().documents_admitted == 0).await;
}
