//! `/api/v1/files`, jobs of uploaded files, and the limits of a tenant's jobs.

use std::time::Duration;

use axum::http::Method;
use lector_serving::fakes::Behavior;
use serde_json::{Value, json};

use super::app::{TestApp, all_text};

/// Uploads a file of `pages` pages; returns its id.
async fn upload(app: &TestApp, key: &str, pages: u8) -> String {
    let made = app.document("/api/v1/files", pages).key(key).send().await;
    assert_eq!(made.header("location"), format!("/api/v1/files/{}", made.created()["id"].as_str().unwrap()));
    made.json()["id"].as_str().unwrap().to_owned()
}

async fn submit(app: &TestApp, key: &str, files: Value) -> super::app::Answer {
    let request = app.post("/api/v1/jobs?pages=1").key(key).header("prefer", "wait=100");
    request.json(json!({ "files": files })).send().await
}

#[tokio::test]
async fn a_job_names_uploaded_files() {
    let app = TestApp::with_jobs().await;
    let form =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\n\u{3}\r\n--b--\r\n";
    let named = app.post("/api/v1/files").form(form.to_owned()).send().await.created();
    assert_eq!((&named["name"], &named["bytes"]), (&json!("a.pdf"), &json!(1)));
    let (named, other) = (named["id"].as_str().unwrap().to_owned(), upload(&app, "", 2).await);
    let listed = app.get("/api/v1/files").send().await.ok();
    assert_eq!(
        (&listed["files"][0]["id"], &listed["files"][1]["name"]),
        (&json!(named), &Value::Null),
        "{listed}"
    );
    let first = app.get("/api/v1/files?limit=1").send().await.ok();
    let next = first["next"].as_str().unwrap();
    let second = app.get(&format!("/api/v1/files?limit=1&cursor={next}")).send().await.ok();
    assert_eq!((&second["files"][0]["id"], &second["next"]), (&json!(other), &Value::Null));

    let job = submit(&app, "", json!([named, other, named])).await.ok();
    assert_eq!(job["state"], "succeeded");
    let names: Vec<&Value> = job["documents"].as_array().unwrap().iter().map(|of| &of["name"]).collect();
    assert_eq!(names, [&json!("a.pdf"), &Value::Null, &json!("a.pdf")]);
    // The job has its own copy.
    app.request(Method::DELETE, &format!("/api/v1/files/{named}")).send().await;
    app.get(&format!("/api/v1/files/{named}")).send().await.problem(404, "file_not_found");
    let path = format!("/api/v1/jobs/{}/result?document=0", job["id"].as_str().unwrap());
    assert_eq!(all_text(&app.get(&path).send().await.ok()), "page 0", "the options are in the query");
    // The file of another dialect is the same file.
    app.get(&format!("/v1/files/{other}")).send().await.ok();
}

#[tokio::test]
async fn wrong_names_and_bodies_are_refused() {
    let app = TestApp::with_jobs().await;
    let file = upload(&app, "", 1).await;
    submit(&app, "", json!([file, "unknown"])).await.problem(404, "file_not_found");
    submit(&app, "", json!([])).await.problem(400, "file_missing");
    submit(&app, "", json!("x")).await.problem(400, "body_invalid");
    submit(&app, "", json!(vec![file; 9])).await.problem(400, "too_many_files");
    let more = app.post("/api/v1/jobs").json(json!({ "files": [], "pages": "1" })).send().await;
    more.problem(400, "body_invalid");
    assert_eq!(app.get("/api/v1/jobs").send().await.ok()["jobs"], json!([]), "nothing was accepted");
    app.post("/api/v1/files")
        .header("content-type", "application/pdf")
        .body("")
        .send()
        .await
        .problem(422, "document_empty");
}

#[tokio::test]
async fn files_are_bounded_and_expire() {
    let app = TestApp::with(|_, http| http.compat.tenant_files_bytes_max = 2).await;
    let file = upload(&app, "", 1).await;
    upload(&app, "", 1).await;
    app.document("/api/v1/files", 1).send().await.problem(429, "tenant_files_exceeded");
    assert_eq!(app.service.status().held_bytes, 2);
    app.clock.advance(Duration::from_secs(3600));
    app.get(&format!("/api/v1/files/{file}")).send().await.problem(404, "file_not_found");
    assert_eq!(app.service.status().held_bytes, 0);
}

#[tokio::test]
async fn a_tenant_has_its_own_limits_of_jobs() {
    let app = TestApp::with_jobs().await;
    let admin = app.admin().await;
    let few = app.tenant(&admin, "few", json!({ "limits": { "jobs_unfinished_max": 1 } })).await;
    let small = app.tenant(&admin, "small", json!({ "limits": { "jobs_bytes_max": 20_000 } })).await;
    let usual = app.tenant(&admin, "usual", json!({})).await;
    *app.script.otherwise.lock().unwrap() = Behavior::Wait;
    let submit = async |key: &str, body: Vec<u8>| {
        app.post("/api/v1/jobs").key(key).header("content-type", "application/pdf").body(body).send().await
    };
    assert_eq!(submit(&few, vec![1]).await.status, 202);
    let refused = submit(&few, vec![1]).await.problem(429, "tenant_jobs_exceeded");
    assert!(refused["detail"].as_str().unwrap().contains("limits.jobs_unfinished_max"), "{refused}");
    submit(&small, vec![1; 20_001]).await.problem(429, "tenant_job_bytes_exceeded");
    assert_eq!(submit(&small, vec![1]).await.status, 202);
    // Without its own, those of the server.
    for _ in 0..3 {
        assert_eq!(submit(&usual, vec![1, 0]).await.status, 202);
    }
    submit(&usual, vec![1]).await.problem(429, "tenant_jobs_exceeded");
    // Another tenant's file does not exist.
    let file = upload(&app, &usual, 1).await;
    app.get(&format!("/api/v1/files/{file}")).key(&small).send().await.problem(404, "file_not_found");
    app.script.go.add_permits(100);
}

#[tokio::test]
async fn the_files_and_jobs_of_a_deleted_tenant_are_not_those_of_the_next_one() {
    let app = TestApp::with_jobs().await;
    let admin = app.admin().await;
    let former = app.tenant(&admin, "acme", json!({})).await;
    let file = upload(&app, &former, 2).await;
    let job = submit(&app, &former, json!([file])).await.ok();
    let link = app.get(&format!("/v1/files/{file}/url")).key(&former).send().await.ok();
    let link = link["url"].as_str().unwrap().to_owned();
    let path = &link[link.find("/v1/").unwrap()..];
    assert_eq!(app.get(path).send().await.status, 200);

    let tenant = "/api/v1/admin/tenants/acme";
    assert_eq!(app.request(Method::DELETE, tenant).key(&admin).send().await.status, 204);
    let new = app.tenant(&admin, "acme", json!({})).await;
    assert_eq!(app.get("/api/v1/files").key(&new).send().await.ok()["files"], json!([]));
    app.get(&format!("/api/v1/files/{file}")).key(&new).send().await.problem(404, "file_not_found");
    let job = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    app.get(&job).key(&new).send().await.problem(404, "job_not_found");
    assert_ne!(app.get(path).send().await.status, 200, "the capability URL has ended");
}
