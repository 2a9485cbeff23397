//! A page of a server's JSON as a transcript.

use anyhow::{Context, bail};
use lector_core::Transcript;
use serde_json::{Value, json};

/// Returns the transcript of a page. A page that failed is an error.
pub(super) fn read(mut page: Value) -> anyhow::Result<Transcript> {
    if let Some(error) = page.get("error") {
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        bail!("page {} was not read: {} ({})", page["page"], text("message"), text("code"));
    }
    to_model(&mut page);
    serde_json::from_value(page).context("the response of the server is not the JSON of a page")
}

/// Converts the JSON of the API to that of the document model: corners are points, a rotation has a name, and a guest's
/// additions are text.
fn to_model(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                match name.as_str() {
                    "quad" => {
                        let point = |at: &Value| json!({ "x": at[0], "y": at[1] });
                        let corners = value.as_array().map(|corners| corners.iter().map(point).collect());
                        *value = corners.unwrap_or_default();
                    }
                    "rotation" => {
                        let turns = value.as_u64().unwrap_or(0) / 90 % 4;
                        *value = ["none", "quarter", "half", "three-quarters"][turns as usize % 4].into();
                    }
                    "properties" => *value = value.to_string().into(),
                    _ => to_model(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(to_model),
        _ => {}
    }
}
