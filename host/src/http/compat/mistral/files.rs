//! `/v1/files`: a client uploads a document, asks for a URL of it, and reads it by that URL or by its id.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use lector_core::{Fault, Kind};
use serde_json::{Value, json};

use super::super::answer;
use super::super::call::Call;
use super::super::visit::Visit;
use crate::http::files::store::File;
use crate::http::problem::option_invalid;
use crate::http::upload::clean_name;

/// Default and maximum validity of a URL, in hours.
const HOURS: (u64, u64) = (24, 168);

/// Returns all members: the SDK fails if one is missing.
fn described(file: &File) -> Value {
    json!({
        "id": file.id,
        "object": "file",
        "bytes": file.bytes.len(),
        "size_bytes": file.bytes.len(),
        "created_at": file.created_ms / 1000,
        "filename": if file.name.is_empty() { "file" } else { &file.name },
        "purpose": file.purpose,
        "sample_type": "ocr_input",
        "source": "upload",
        "num_lines": null,
        "mimetype": null,
        "signature": null,
        "deleted": false,
    })
}

pub(super) async fn upload(call: Call) -> Result<Response, Fault> {
    let (mut visit, head, body) = Visit::begin(call)?;
    let mut form = visit.form(&head, body).await?;
    let (name, bytes) = form.take_file()?;
    let name = if name.is_empty() { "file".to_owned() } else { clean_name(&name) };
    let purpose = form.field("purpose").unwrap_or("ocr").chars().take(20).collect();
    let (state, principal) = (visit.state.clone(), visit.principal.clone());
    let stores = state.compat.clone();
    let mut received = visit.into_received();
    // Without the fields of the form.
    received.keep(bytes.len() as u64);
    let file = stores.add_file(&state.control, &principal, (name, purpose), bytes, received)?;
    stores.sweep();
    Ok(answer::json(&described(&file)))
}

pub(super) async fn list(call: Call) -> Result<Response, Fault> {
    let principal = call.principal()?;
    let files = call.state.compat.files.list(principal.tenant());
    let number = |name: &str, otherwise: usize| {
        let value = call.query(name).and_then(|value| value.parse().ok());
        value.unwrap_or(otherwise)
    };
    let (page, size) = (number("page", 0), number("page_size", 100).clamp(1, 1000));
    let shown = files.iter().skip(page.saturating_mul(size)).take(size);
    let data: Vec<Value> = shown.map(|file| described(file)).collect();
    Ok(answer::json(&json!({ "object": "list", "data": data, "total": files.len() })))
}

pub(super) async fn get(mut call: Call) -> Result<Response, Fault> {
    let (principal, id) = (call.principal()?, call.path::<String>().await?);
    let file = call.state.compat.files.get(principal.tenant(), &id)?;
    Ok(answer::json(&described(&file)))
}

/// Answers with a body: one client fails on a response without JSON.
pub(super) async fn delete(mut call: Call) -> Result<Response, Fault> {
    let (principal, id) = (call.principal()?, call.path::<String>().await?);
    call.state.compat.files.delete(principal.tenant(), &id)?;
    Ok(answer::json(&json!({ "id": id, "object": "file", "deleted": true })))
}

pub(super) async fn url(mut call: Call) -> Result<Response, Fault> {
    let (principal, id) = (call.principal()?, call.path::<String>().await?);
    let hours = match call.query("expiry") {
        None => HOURS.0,
        Some(text) => text.parse().ok().filter(|hours| (1..=HOURS.1).contains(hours)).ok_or_else(|| {
            option_invalid(format!("`expiry` is not a number of hours from 1 to {}.", HOURS.1))
        })?,
    };
    let stores = &call.state.compat;
    stores.files.get(principal.tenant(), &id)?;
    let token = stores.links.issue(principal.tenant(), &id, hours.saturating_mul(3_600_000))?;
    stores.sweep();
    Ok(answer::json(&json!({ "url": format!("{}/v1/files/{id}/content?sig={token}", call.base_url()) })))
}

/// Returns the bytes, to the tenant or to the holder of a URL.
pub(super) async fn content(mut call: Call) -> Result<Response, Fault> {
    let id = call.path::<String>().await?;
    let stores = call.state.compat.clone();
    let owner = match call.query("sig") {
        Some(token) => stores.links.owner(&token, &id).ok_or_else(link_invalid)?,
        None => call.principal()?.tenant().clone(),
    };
    let file = stores.files.get(&owner, &id)?;
    let content_type = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, content_type)], bytes::Bytes::from_owner(Content(file))).into_response())
}

/// The bytes of a file that is being sent.
struct Content(std::sync::Arc<File>);

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// Returns the id and the token of a URL that [`url`] issued, whatever name of the server it has.
pub(super) fn parse_url(url: &str) -> Option<(&str, &str)> {
    let url = url.trim();
    let (_, rest) = url.get(..1000).unwrap_or(url).split_once("/v1/files/")?;
    let (id, query) = rest.split_once("/content?")?;
    let token = query.split('&').find_map(|pair| pair.strip_prefix("sig="))?;
    (url.starts_with("http") && !id.contains('/')).then_some((id, token))
}

/// Returns the fault of a URL of a file that is not valid.
pub(super) fn link_invalid() -> Fault {
    let message = "The URL of the file is not valid for this tenant, or has expired: ask for a new one.";
    Fault::new(Kind::NotFound, "file_not_found", message)
}
