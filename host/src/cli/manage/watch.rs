//! `lector revisions watch`: prints the audit events of a deployment and the state of its revisions as they change, as
//! JSON lines.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};

use super::super::lines::Lines;
use super::super::server_client::Server;
use super::super::terminal;

/// Interval at which draining revisions are polled: the end of a lease is not an audit event.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Follows a deployment until the server closes the stream, or the command is interrupted.
pub(super) async fn follow(server: &Server<'_>, deployment: &str) -> anyhow::Result<()> {
    // Subscribed before the first query, so that no event is missed.
    let events = server.answer(server.at(Method::GET, "/events")).await?;
    let mut lines = Lines::of(events);
    let mut shown = Value::Null;
    let mut draining = look(server, deployment, &mut shown).await?;
    loop {
        let line = tokio::select! {
            line = lines.next() => line?,
            () = tokio::time::sleep(LOOK_EVERY), if draining => {
                draining = look(server, deployment, &mut shown).await?;
                continue;
            }
        };
        let Some(line) = line else { bail!("the server ended the stream of events: run the command again") };
        // Only the data of an event is used. An event without a target applies to every deployment.
        let Some(data) = line.strip_prefix(b"data:") else { continue };
        let event: Value = serde_json::from_slice(data).context("parsing an event of the server")?;
        match event.get("target").and_then(Value::as_str) {
            Some(target) if target != deployment => continue,
            _ => terminal::print(&format!("{event}\n"))?,
        }
        draining = look(server, deployment, &mut shown).await?;
    }
}

/// Prints the state of the deployment if it changed. Returns whether a revision drains.
async fn look(server: &Server<'_>, deployment: &str, shown: &mut Value) -> anyhow::Result<bool> {
    let answer = server.answer(server.at(Method::GET, &format!("/deployments/{deployment}"))).await?;
    let view: Value = answer.json().await.context("the response of the server is not JSON")?;
    let revisions = view.get("revisions").and_then(Value::as_array).into_iter().flatten();
    let is = |revision: &Value, state: &str| revision.get("state").is_some_and(|found| found == state);
    let standing: Vec<Value> = revisions
        .filter(|revision| !is(revision, "ready") && !is(revision, "withdrawn"))
        .map(|revision| {
            let draining = is(revision, "draining");
            // The number of leases on a live revision changes with each page.
            let leases = if draining { revision.get("leases").cloned() } else { None };
            let member = |name: &str| revision.get(name).cloned().unwrap_or_default();
            json!({
                "number": member("number"), "state": member("state"), "percent": member("percent"), "leases": leases,
            })
        })
        .collect();
    let draining = standing.iter().any(|revision| is(revision, "draining"));
    let now = json!({ "deployment": deployment, "version": view.get("version"), "revisions": standing });
    if now != *shown {
        terminal::print(&format!("{now}\n"))?;
        *shown = now;
    }
    Ok(draining)
}
