//! The metadata of a model, and its configuration in Triton's form, which its performance tools read.

use lector_core::ModelInfo;
use lector_core::model::PortInfo;
use serde_json::{Value, json};

use super::datatype::{self, VERSION};

pub(super) fn metadata(info: &ModelInfo) -> Value {
    let port = |port: &PortInfo| json!({ "name": port.name, "datatype": datatype::name(port.dtype), "shape": port.shape });
    json!({
        "name": info.name.as_str(),
        "versions": [VERSION],
        "platform": "onnx",
        "inputs": info.inputs.iter().map(port).collect::<Vec<_>>(),
        "outputs": info.outputs.iter().map(port).collect::<Vec<_>>(),
    })
}

/// `max_batch_size` is 0: the shapes contain the axis of rows, and clients do not add one.
pub(super) fn config(info: &ModelInfo) -> Value {
    let port = |port: &PortInfo| {
        let data_type = format!("TYPE_{}", datatype::name(port.dtype));
        json!({ "name": port.name, "data_type": data_type, "dims": port.shape })
    };
    json!({
        "name": info.name.as_str(),
        "platform": "onnx",
        "backend": "lector",
        "version_policy": { "latest": { "num_versions": 1 } },
        "max_batch_size": 0,
        "input": info.inputs.iter().map(port).collect::<Vec<_>>(),
        "output": info.outputs.iter().map(port).collect::<Vec<_>>(),
    })
}
