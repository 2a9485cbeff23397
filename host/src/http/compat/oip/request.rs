//! A request to run a model: JSON, and the binary tensors after it.

use lector_core::{Fault, ModelInfo, Tensor, TensorData};
use serde::Deserialize;

use super::super::call::unsupported;
use super::datatype;
use super::numbers::Numbers;
use super::parameters::Parameters;
use crate::http::problem;

/// A run that a client asks for; it fits the model.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: Option<String>,
    pub(super) inputs: Vec<(String, Tensor)>,
    pub(super) outputs: Vec<Output>,
}

/// A requested output.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) name: String,
    /// Whether it is sent after the JSON.
    pub(super) binary: bool,
}

#[derive(Debug, Deserialize)]
struct RawRequest {
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    inputs: Vec<RawInput>,
    #[serde(default)]
    outputs: Vec<RawOutput>,
}

#[derive(Debug, Deserialize)]
struct RawInput {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    #[serde(default)]
    parameters: Parameters,
    data: Option<Numbers>,
}

#[derive(Debug, Deserialize)]
struct RawOutput {
    name: String,
    #[serde(default)]
    parameters: Parameters,
}

fn wrong(message: String) -> Fault {
    problem::option_invalid(message)
}

impl Request {
    /// Parses a request and checks it against the model. Without a list of outputs, all are requested.
    pub(super) fn parse(json: &[u8], tensors: &[u8], info: &ModelInfo) -> Result<Self, Fault> {
        let raw: RawRequest = serde_json::from_slice(json)
            .map_err(|error| wrong(format!("The JSON of the request is invalid: {error}.")))?;
        raw.parameters.supported()?;
        let binary_output = raw.parameters.binary_data_output()?.unwrap_or(false);
        let mut rest = tensors;
        let mut inputs = Vec::with_capacity(raw.inputs.len());
        for input in raw.inputs {
            input.parameters.supported()?;
            let (name, tensor) = tensor(input, &mut rest)?;
            inputs.push((name, tensor));
        }
        if !rest.is_empty() {
            let message = format!("{} bytes follow the binary data of the inputs.", rest.len());
            return Err(wrong(message));
        }
        let outputs = if raw.outputs.is_empty() {
            let all = info.outputs.iter();
            all.map(|port| Output { name: port.name.clone(), binary: binary_output }).collect()
        } else {
            let output = |output: RawOutput| {
                output.parameters.supported()?;
                let binary = output.parameters.binary_data()?.unwrap_or(binary_output);
                Ok(Output { name: output.name, binary })
            };
            raw.outputs.into_iter().map(output).collect::<Result<Vec<_>, Fault>>()?
        };
        let names: Vec<String> = outputs.iter().map(|output| output.name.clone()).collect();
        info.check_run(&inputs, &names)
            .map_err(|reason| wrong(format!("The run does not fit the model: {reason}.")))?;
        Ok(Self { id: raw.id, inputs, outputs })
    }
}

/// Takes an input from its JSON or from the front of the binary data.
fn tensor(input: RawInput, rest: &mut &[u8]) -> Result<(String, Tensor), Fault> {
    let RawInput { name, shape, datatype, parameters, data } = input;
    let Some(dtype) = datatype::parse(&datatype) else {
        return Err(unsupported(format!(
            "Input `{name}` has the datatype `{datatype}`, which is not supported."
        )));
    };
    let size = parameters
        .binary_data_size()
        .map_err(|_| wrong(format!("`binary_data_size` of input `{name}` is not a number of bytes.")))?;
    let elements = match (size, data) {
        (Some(size), None) => {
            let Some((bytes, after)) = rest.split_at_checked(size) else {
                let message = format!(
                    "Input `{name}` has {size} bytes of binary data, and {} are left in the body.",
                    rest.len()
                );
                return Err(wrong(message));
            };
            *rest = after;
            TensorData::from_le_bytes(dtype, bytes.to_vec()).ok_or_else(|| {
                wrong(format!("{size} bytes are not elements of {datatype} (input `{name}`)."))
            })?
        }
        (None, Some(numbers)) => {
            numbers.elements(dtype).map_err(|reason| wrong(format!("Input `{name}`: {reason}.")))?
        }
        (Some(_), Some(_)) => return Err(wrong(format!("Input `{name}` has data and binary data."))),
        (None, None) => return Err(wrong(format!("Input `{name}` has no data."))),
    };
    let tensor = Tensor::new(&shape, elements).ok_or_else(|| {
        wrong(format!("The data of input `{name}` has not the number of elements of {shape:?}."))
    })?;
    Ok((name, tensor))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::Dtype;
    use lector_core::model::PortInfo;
    use serde_json::{Value, json};

    use super::*;

    fn model() -> ModelInfo {
        let port =
            |name: &str, dtype, shape: &[i64]| PortInfo { name: name.into(), dtype, shape: shape.to_vec() };
        ModelInfo {
            name: "m".into(),
            inputs: vec![port("x", Dtype::F32, &[-1, 2]), port("n", Dtype::S64, &[1])],
            outputs: vec![port("y", Dtype::F32, &[-1, 2]), port("z", Dtype::S64, &[-1])],
            labels: [].into(),
            width_buckets: Vec::new(),
            max_batch: 4,
        }
    }

    fn request() -> Value {
        json!({
            "id": "7",
            "inputs": [
                { "name": "x", "shape": [1, 2], "datatype": "FP32", "data": [[1, 2.5]] },
                { "name": "n", "shape": [1], "datatype": "INT64", "parameters": { "binary_data_size": 8 } },
            ],
        })
    }

    fn parse(request: &Value, tensors: &[u8]) -> Result<Request, Fault> {
        Request::parse(request.to_string().as_bytes(), tensors, &model())
    }

    #[test]
    fn json_and_binary_inputs() {
        let parsed = parse(&request(), &9i64.to_le_bytes()).unwrap();
        assert_eq!(parsed.id.as_deref(), Some("7"));
        let inputs: Vec<_> =
            parsed.inputs.iter().map(|(name, tensor)| (name.as_str(), tensor.data().clone())).collect();
        assert_eq!(inputs, [("x", TensorData::F32(vec![1.0, 2.5])), ("n", TensorData::S64(vec![9]))]);
        let output = |name: &str, binary| Output { name: name.into(), binary };
        assert_eq!(parsed.outputs, [output("y", false), output("z", false)], "all");
        let mut asked = request();
        asked["parameters"] = json!({ "binary_data_output": true });
        asked["outputs"] = json!([{ "name": "z", "parameters": { "binary_data": false } }, { "name": "y" }]);
        let parsed = parse(&asked, &9i64.to_le_bytes()).unwrap();
        assert_eq!(parsed.outputs, [output("z", false), output("y", true)]);
    }

    #[test]
    fn parameters_are_read_and_not_kept() {
        assert!(size_of::<Parameters>() <= 64);
        let mut asked = request();
        let unknown =
            json!({ "a": { "b": [null, -1, 0.5, "x"] }, "classification": false, "sequence_end": 0 });
        asked["parameters"] = unknown.clone();
        asked["inputs"][0]["parameters"] = unknown;
        assert!(parse(&asked, &[0; 8]).is_ok());
        for set in
            [json!([0]), json!({}), json!("r"), json!(null), json!(-1), json!(0.5), json!(true), json!(1)]
        {
            asked["parameters"] = json!({ "shared_memory_offset": set });
            assert_eq!(parse(&asked, &[0; 8]).unwrap_err().code, "compat_unsupported", "{set}");
        }
        for (name, value) in [("binary_data_output", json!(1)), ("binary_data_output", json!(null))] {
            asked["parameters"] = json!({ name: value });
            assert!(parse(&asked, &[0; 8]).unwrap_err().message.contains("not true or false"));
        }
        asked["parameters"] = json!([]);
        assert!(parse(&asked, &[0; 8]).unwrap_err().message.contains("an object of parameters"));
    }

    #[test]
    fn wrong_requests_name_their_fault() {
        let check = |pointer: &str, value: Value, part: &str| {
            let mut asked = request();
            *asked.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
            let fault = parse(&asked, &9i64.to_le_bytes()).unwrap_err();
            assert!(fault.message.contains(part), "{pointer}: {}", fault.message);
        };
        check("/inputs/0/datatype", json!("BYTES"), "not supported");
        check("/inputs/0/datatype", json!("FP64"), "takes");
        check("/inputs/0/shape", json!([2, 2]), "number of elements");
        check("/inputs/0/shape", json!([2, 1]), "takes");
        check("/inputs/0/data", json!([1, "2"]), "invalid");
        check("/inputs/0/data", Value::Null, "no data");
        check("/inputs/0/name", json!("w"), "no input `w`");
        check("/inputs/1/parameters", json!({ "binary_data_size": 16 }), "are left in the body");
        check("/inputs/1/parameters", json!({ "binary_data_size": 4 }), "not elements");
        check("/inputs/1/parameters", json!({ "shared_memory_region": "r" }), "not supported");
        check("/inputs/1/parameters", json!({}), "no data");
        check("/id", json!(7), "invalid");
        let fault = parse(&request(), &[0; 9]).unwrap_err();
        assert!(fault.message.contains("1 bytes follow"), "{}", fault.message);
        let mut asked = request();
        asked["outputs"] = json!([{ "name": "q" }]);
        assert!(parse(&asked, &[0; 8]).unwrap_err().message.contains("no output `q`"));
        asked["outputs"] = json!([{ "name": "y", "parameters": { "classification": 3 } }]);
        assert!(parse(&asked, &[0; 8]).unwrap_err().message.contains("classification"));
        assert!(parse(&json!({ "inputs": [] }), &[]).unwrap_err().message.contains("is missing"));
        // tritonclient sends a sequence of 0 for none.
        let mut asked = request();
        asked["parameters"] = json!({ "sequence_id": 0 });
        assert!(parse(&asked, &[0; 8]).is_ok());
    }
}
