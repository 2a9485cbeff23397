//! The contract of the management API: pages of lists, preconditions, event ids, problem pages, times.

use lector_tests::{Answer, Gateway, HANG};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{ECHO_ONLY, ask, component, deploy};

const GREET: &str = "/api/v1/deployments/greet";

async fn greet() -> Gateway {
    let gateway = Gateway::builder().config(ECHO_ONLY).start().await;
    let options = json!({ "settings": { "greeting": "one" }, "promote": true });
    assert_eq!(deploy(&gateway, "", "greet", component("echo"), options).await.status, 201);
    gateway
}

#[tokio::test]
async fn lists_have_pages() {
    let gateway = greet().await;
    for greeting in ["two", "three", "four", "five"] {
        let body = json!({ "settings": { "greeting": greeting } });
        assert_eq!(ask(&gateway, "", Method::PUT, GREET, Some(body)).await.status, 201);
    }
    for (list, member, key) in [
        (format!("{GREET}/revisions"), "revisions", "number"),
        ("/api/v1/audit".to_owned(), "entries", "seq"),
    ] {
        let mut seen: Vec<u64> = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = ask(&gateway, "", Method::GET, &format!("{list}?limit=2{cursor}"), None).await.ok();
            let items = page[member].as_array().unwrap();
            assert!(items.len() <= 2, "{page}");
            seen.extend(items.iter().map(|item| item[key].as_u64().unwrap()));
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert!(seen.len() >= 5 && seen.is_sorted_by(|a, b| a > b), "{list}: {seen:?}");
    }
    for bad in ["limit=0", "limit=1001", "limit=x", "cursor=!", "other=1"] {
        let path = format!("/api/v1/deployments?{bad}");
        ask(&gateway, "", Method::GET, &path, None).await.problem(400, "option_invalid");
    }
    ask(&gateway, "", Method::GET, &format!("{GREET}/revisions/x"), None)
        .await
        .problem(400, "option_invalid");
}

#[tokio::test]
async fn of_two_promotions_that_expect_the_same_route_one_wins() {
    let gateway = greet().await;
    let body = json!({ "settings": { "greeting": "two" } });
    assert_eq!(ask(&gateway, "", Method::PUT, GREET, Some(body)).await.status, 201);
    let seen = ask(&gateway, "", Method::GET, GREET, None).await;
    let etag = seen.header("etag").to_owned();
    assert_eq!(seen.json()["etag"], etag.as_str());
    let promote = async |revision: u32| {
        let request = gateway.client.post(gateway.url(&format!("{GREET}/promote"))).header("if-match", &etag);
        Answer::read(request.json(&json!({ "revision": revision })).send().await.unwrap()).await
    };
    let first = promote(2).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_ne!(first.header("etag"), etag);
    let problem = promote(1).await.problem(412, "precondition_failed");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&etag) && detail.contains(first.header("etag")), "{detail}");

    let stale = json!({ "revision": 1, "expected_revision": 1 });
    let problem = ask(&gateway, "", Method::POST, &format!("{GREET}/promote"), Some(stale)).await;
    let problem = problem.problem(412, "precondition_failed");
    assert!(problem["detail"].as_str().unwrap().contains("live revision 2"), "{problem}");
    let stale = json!({ "settings": { "greeting": "three" }, "promote": true, "expected_revision": 1 });
    ask(&gateway, "", Method::PUT, GREET, Some(stale)).await.problem(412, "precondition_failed");
    let fresh = json!({ "expected_revision": 2 });
    let back = ask(&gateway, "", Method::POST, &format!("{GREET}/rollback"), Some(fresh)).await.ok();
    assert_eq!(back["weights"][0]["revision"], 1, "{back}");
}

/// Returns the next event of a stream: its name, its id and its data.
async fn event(stream: &mut reqwest::Response, rest: &mut String) -> (String, u64, Value) {
    loop {
        if let Some(end) = rest.find("\n\n") {
            let text: String = rest.drain(..end + 2).collect();
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if let (Some(name), Some(id), Some(data)) = (field("event:"), field("id:"), field("data:")) {
                return (name.to_owned(), id.parse().unwrap(), serde_json::from_str(data).unwrap());
            }
            continue;
        }
        let chunk = tokio::time::timeout(HANG, stream.chunk()).await.expect("an event in time").unwrap();
        rest.push_str(std::str::from_utf8(&chunk.expect("the stream goes on")).unwrap());
    }
}

#[tokio::test]
async fn an_event_stream_continues_after_the_last_event() {
    let gateway = greet().await;
    for revision in [1, 1] {
        let body = json!({ "revision": revision });
        ask(&gateway, "", Method::POST, &format!("{GREET}/promote"), Some(body)).await.ok();
    }
    let audit = ask(&gateway, "", Method::GET, "/api/v1/audit?limit=2", None).await.ok();
    let seq = |at: usize| audit["entries"][at]["seq"].as_u64().unwrap();
    let subscribe = async |id: u64| {
        let request =
            gateway.client.get(gateway.url("/api/v1/events")).header("last-event-id", id.to_string());
        request.send().await.unwrap()
    };
    let (mut stream, mut rest) = (subscribe(seq(1)).await, String::new());
    let (name, id, data) = event(&mut stream, &mut rest).await;
    assert_eq!((name.as_str(), id, &data["action"]), ("audit", seq(0), &json!("promote")), "{data}");
    assert!(data["at"].as_str().unwrap().ends_with('Z'), "{data}");

    // An id that the server has not reached, as after the loss of its data folder.
    let (mut stream, mut rest) = (subscribe(1_000_000).await, String::new());
    let (name, _, data) = event(&mut stream, &mut rest).await;
    assert_eq!((name.as_str(), &data["after"]), ("gap", &json!(1_000_000)), "{data}");
}

#[tokio::test]
async fn the_type_of_a_problem_is_a_page() {
    let gateway = Gateway::builder().config(ECHO_ONLY).start().await;
    let problem = ask(&gateway, "", Method::GET, "/api/v1/deployments/none", None).await;
    let problem = problem.problem(404, "deployment_not_found");
    let page = gateway.get(problem["type"].as_str().unwrap()).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("deployment_not_found"), "{}", page.text());
    let html = gateway.client.get(gateway.url("/problems")).header("accept", "text/html");
    let html = Answer::read(html.send().await.unwrap()).await;
    assert!(html.header("content-type").starts_with("text/html"), "{html:?}");
    gateway.get("/problems/none").await.problem(404, "problem_not_found");
}

#[tokio::test]
async fn times_are_rfc_3339() {
    let gateway = greet().await;
    let deployment = ask(&gateway, "", Method::GET, GREET, None).await.ok();
    let tenant = ask(&gateway, "", Method::GET, "/api/v1/tenant", None).await.ok();
    for time in [&deployment["changed_at"], &deployment["revisions"][0]["created_at"], &tenant["created_at"]]
    {
        let time = time.as_str().unwrap_or_default();
        assert!(
            time.len() >= 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T',
            "{deployment} {tenant}"
        );
    }
}
