//! The APIs of other software, with requests exactly as their clients send them: odd names, missing types, double slashes,
//! keys in their headers. What is asserted is what the clients read.

mod azure;
mod docling;
mod mcp;
mod memory;
mod mistral;
mod oip;
mod openwebui;
mod paddleocr;
mod shared;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::app::{Answer, TestApp};

/// Returns a fake document of `pages` pages in base64.
fn base64(pages: u8) -> String {
    STANDARD.encode([pages])
}

/// Returns a form whose boundary is `b`: fields, then a fake document of `pages` pages under a name and a type.
fn form(fields: &[(&str, &str)], file: &str, pages: u8) -> String {
    let fields = fields.iter().map(|(name, value)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    });
    // A byte below 128 is the same in UTF-8.
    let document = char::from(pages);
    format!("{}--b\r\n{file}\r\n\r\n{document}\r\n--b--\r\n", fields.collect::<String>())
}

/// Returns the head of a file in a form.
fn file(part: &str, name: &str, content_type: &str) -> String {
    format!(
        "Content-Disposition: form-data; name=\"{part}\"; filename=\"{name}\"\r\nContent-Type: {content_type}"
    )
}

/// Creates two tenants on a server with keys; returns their keys.
async fn two_tenants() -> (TestApp, String, String) {
    let app = TestApp::with_jobs().await;
    let admin = app.admin().await;
    let acme = app.tenant(&admin, "acme", json!({})).await;
    let other = app.tenant(&admin, "other", json!({})).await;
    (app, acme, other)
}

/// Asserts an error in JSON with this status; returns it.
#[track_caller]
fn refused(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json", "{}", answer.text());
    answer.json()
}
