//! Tenants, keys and deployments of a server, for benchmarks with several tenants.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use xtask::gateway::Gateway;
use xtask::places::Places;

use super::Client;

/// Starts a server that requires keys; returns it and the administrator's key.
pub fn server(places: &Places, name: &str) -> Result<(Gateway, String)> {
    let file = places.repo("target").join(format!("{name}.key"));
    if file.exists() {
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    let env = [("LECTOR__PLATFORM__ADMIN_KEY_FILE", file.display().to_string())];
    let gateway = Gateway::start_with(places, name, &[], &env)?;
    let admin = fs::read_to_string(&file).context("the first administrator's key")?;
    Ok((gateway, admin.trim().to_owned()))
}

/// Creates a tenant with the default policy; returns its key.
pub fn tenant(gateway: &Gateway, admin: &str, name: &str) -> Result<String> {
    let client = Client::new(gateway, Some(admin));
    let ask = |method: &str, path: &str, body: Value| -> Result<Value> {
        let body = client.change(method, path, "application/json", body.to_string().as_bytes())?;
        Ok(serde_json::from_str(&body)?)
    };
    ask("PUT", &format!("/api/v1/admin/tenants/{name}"), json!({}))?;
    let key = ask("POST", "/api/v1/admin/keys", json!({ "tenant": name, "label": "bench" }))?;
    key["key"].as_str().map(str::to_owned).context("no key in the response")
}

/// Uploads a built component as a revision of the deployment.
pub fn upload(places: &Places, client: &Client, deployment: &str, component: &str) -> Result<()> {
    let file = places.components().join(format!("{component}.wasm"));
    let wasm = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    client.change("PUT", &path(deployment), "application/wasm", &wasm).map(drop)
}

/// Deploys a component that wraps another deployment, and routes all requests to it; returns the response.
pub fn deploy_wrapper(client: &Client, deployment: &str, wasm: &[u8], wraps: &str) -> Result<Value> {
    let boundary = format!("lector-{:x}", std::process::id());
    let part =
        |name: &str| format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n");
    let options = json!({ "promote": true });
    let head = format!("{}{options}\r\n{}{wraps}\r\n{}", part("options"), part("wraps"), part("component"));
    let mut body = head.into_bytes();
    body.extend_from_slice(wasm);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let answer = client.change("PUT", &path(deployment), &content_type, &body)?;
    serde_json::from_str(&answer).context("the response to a deploy is not JSON")
}

/// Creates a revision with these settings and budget, and routes all requests to it.
pub fn promote(client: &Client, deployment: &str, settings: &Value, budget: &Value) -> Result<()> {
    let options = json!({ "settings": settings, "budget": budget, "promote": true });
    client.change("PUT", &path(deployment), "application/json", options.to_string().as_bytes()).map(drop)
}

fn path(deployment: &str) -> String {
    format!("/api/v1/deployments/{deployment}")
}
