//! The outputs of a run: JSON, and the binary tensors after it.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use lector_core::{Fault, ModelInfo, Tensor};
use lector_serving::ModelOutputs;
use serde_json::json;

use super::datatype::{self, JSON_LENGTH, VERSION};
use super::numbers;
use super::request::Output;
use crate::http::pieces;
use crate::http::problem;

/// Returns the response. Its bytes count as memory of the tenant until the connection has accepted them.
pub(super) fn of(
    info: &ModelInfo,
    id: Option<&str>,
    wanted: &[Output],
    outputs: ModelOutputs,
) -> Result<Response, Fault> {
    let ModelOutputs { tensors, reservation } = outputs;
    let bytes = |(output, tensor): (&Output, &Tensor)| match output.binary {
        // Beside the JSON, until both are joined.
        true => tensor.bytes().saturating_mul(2),
        false => numbers::written_bytes_max(tensor),
    };
    let mut copy = reservation.another(wanted.iter().zip(&tensors).map(bytes).sum());
    let mut head = json!({ "model_name": info.name.as_str(), "model_version": VERSION });
    if let Some(id) = id {
        head["id"] = id.into();
    }
    let mut json = head.to_string().into_bytes();
    json.pop();
    json.extend_from_slice(b",\"outputs\":[");
    let mut binary: Vec<u8> = Vec::new();
    for (at, (output, tensor)) in wanted.iter().zip(&tensors).enumerate() {
        let mut about = json!({
            "name": output.name,
            "datatype": datatype::name(tensor.dtype()),
            "shape": tensor.shape(),
        });
        if at > 0 {
            json.push(b',');
        }
        if output.binary {
            let size = usize::try_from(tensor.bytes()).unwrap_or(usize::MAX);
            about["parameters"] = json!({ "binary_data_size": size });
            json.extend_from_slice(about.to_string().as_bytes());
            binary.extend_from_slice(&tensor.data().le_bytes(0, size));
        } else {
            json.extend_from_slice(about.to_string().as_bytes());
            json.pop();
            json.extend_from_slice(b",\"data\":");
            numbers::write(tensor, &mut json)
                .map_err(|reason| problem::option_invalid(format!("Output `{}`: {reason}.", output.name)))?;
            json.push(b'}');
        }
    }
    json.extend_from_slice(b"]}");
    let is_binary = wanted.iter().any(|output| output.binary);
    let length = json.len();
    json.append(&mut binary);
    copy.set(json.len() as u64);
    let body = Body::from(pieces::held(json, copy));
    if !is_binary {
        return Ok(
            ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
        );
    }
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let length = (HeaderName::from_static(JSON_LENGTH), HeaderValue::from(length));
    Ok(([content_type, length], body).into_response())
}
