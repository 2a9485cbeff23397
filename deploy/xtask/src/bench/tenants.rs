//! A house with tenants of its own, for benches in which several take part: keys and terms are real.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::traffic::Client;
use crate::gateway::Gateway;
use crate::places::Places;

/// Starts a gateway that asks for keys; gives it and the administrator's.
pub fn house(places: &Places, name: &str) -> Result<(Gateway, String)> {
    let file = places.repo("target").join(format!("{name}.key"));
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", file.display()));
        }
        _ => {}
    }
    let env = [("LECTOR__PLATFORM__ADMIN_KEY_FILE", file.display().to_string())];
    let gateway = Gateway::start_with(places, name, &[], &env)?;
    let admin = fs::read_to_string(&file).context("the first administrator's key")?;
    Ok((gateway, admin.trim().to_owned()))
}

/// A tenant with the default terms, and its key.
pub fn tenant(gateway: &Gateway, admin: &str, name: &str) -> Result<String> {
    let client = Client::new(gateway, Some(admin));
    let ask = |method: &str, path: &str, body: Value| -> Result<Value> {
        let told = client.change(method, path, "application/json", body.to_string().as_bytes())?;
        Ok(serde_json::from_str(&told)?)
    };
    ask("PUT", &format!("/api/v1/admin/tenants/{name}"), json!({}))?;
    let key = ask("POST", "/api/v1/admin/keys", json!({ "tenant": name, "label": "bench" }))?;
    key["key"].as_str().map(str::to_owned).context("no key in the answer")
}

/// Deploys a component that is built, under that name and with those settings, and routes all requests to it.
pub fn deploy(places: &Places, client: &Client, name: &str, component: &str, settings: &Value) -> Result<()> {
    let path = format!("/api/v1/deployments/{name}");
    let file = places.components().join(format!("{component}.wasm"));
    let wasm = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    client.change("PUT", &path, "application/wasm", &wasm)?;
    let options = json!({ "settings": settings, "promote": true });
    client.change("PUT", &path, "application/json", options.to_string().as_bytes()).map(drop)
}
