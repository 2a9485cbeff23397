//! The CTC reduction, appended to a recognizer's graph: the parts of the logits that a decoder needs.
//!
//! A recognizer returns `f32[rows, steps, classes]`, 12 MB for one long line. A CTC decoder (Graves et al. 2006, best
//! path) reads two numbers a step: the class with the greatest probability and that probability. [`tail`] makes the
//! part of an ONNX model that computes them inside the engine, so the logits are never copied out. It is appended to
//! the bytes of the model: protobuf merges a message with the bytes concatenated to it; repeated fields (nodes,
//! outputs) grow, singular messages (the graph) merge. That needs no ONNX library and no second parse of the weights.
//!
//! Depends on the field numbers of `onnx.proto3` and nothing else. Called when a session is built.

/// Name of the output with the greatest class of each step, `s64[rows, steps]`.
pub const IDS: &str = "ids";
/// Name of the output with the probability of that class, `f32[rows, steps]`.
pub const CONFIDENCE: &str = "confidence";

/// ONNX `TensorProto.DataType`.
const FLOAT: u64 = 1;
const INT64: u64 = 7;
/// ONNX `AttributeProto.AttributeType`.
const ATTRIBUTE_INT: u64 = 2;
const ATTRIBUTE_INTS: u64 = 7;
/// The axis of the classes.
const CLASS_AXIS: u64 = 2;

/// Returns the bytes to append to a model whose output `logits` is `f32[rows, steps, classes]`.
///
/// `ReduceMax` takes its axes as an attribute up to opset 17; the catalog's recognizers are of opset 11 to 14.
pub fn tail(logits: &str) -> Vec<u8> {
    let mut graph = Vec::new(); // GraphProto: node = 1, output = 12
    let keep = attribute_int("keepdims", 0);
    field(&mut graph, 1, &node("ArgMax", logits, IDS, &[attribute_int("axis", CLASS_AXIS), keep.clone()]));
    field(&mut graph, 1, &node("ReduceMax", logits, CONFIDENCE, &[attribute_ints("axes", CLASS_AXIS), keep]));
    field(&mut graph, 12, &value_info(IDS, INT64));
    field(&mut graph, 12, &value_info(CONFIDENCE, FLOAT));
    let mut model = Vec::new();
    field(&mut model, 7, &graph); // ModelProto: graph = 7
    model
}

/// Encodes a NodeProto: input = 1, output = 2, name = 3, op_type = 4, attribute = 5.
fn node(operator: &str, input: &str, output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, 1, input.as_bytes());
    field(&mut out, 2, output.as_bytes());
    field(&mut out, 3, format!("lector_{output}").as_bytes());
    field(&mut out, 4, operator.as_bytes());
    for attribute in attributes {
        field(&mut out, 5, attribute);
    }
    out
}

/// Encodes an AttributeProto: name = 1, i = 3, type = 20.
fn attribute_int(name: &str, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, 1, name.as_bytes());
    number(&mut out, 3, value);
    number(&mut out, 20, ATTRIBUTE_INT);
    out
}

/// Encodes an AttributeProto: name = 1, ints = 8, type = 20.
fn attribute_ints(name: &str, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, 1, name.as_bytes());
    number(&mut out, 8, value);
    number(&mut out, 20, ATTRIBUTE_INTS);
    out
}

/// Encodes a ValueInfoProto: name = 1, type = 2; TypeProto: tensor_type = 1; Tensor: elem_type = 1. Omits the shape,
/// which ONNX Runtime infers.
fn value_info(name: &str, element: u64) -> Vec<u8> {
    let (mut tensor, mut kind, mut out) = (Vec::new(), Vec::new(), Vec::new());
    number(&mut tensor, 1, element);
    field(&mut kind, 1, &tensor);
    field(&mut out, 1, name.as_bytes());
    field(&mut out, 2, &kind);
    out
}

/// Appends a length-delimited field.
fn field(out: &mut Vec<u8>, tag: u64, bytes: &[u8]) {
    varint(out, tag << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a varint field.
fn number(out: &mut Vec<u8>, tag: u64, value: u64) {
    varint(out, tag << 3);
    varint(out, value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn varints_are_little_endian_groups_of_seven() {
        let check = |value, expect: &[u8]| {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out, expect);
        };
        check(0, &[0]);
        check(127, &[127]);
        check(128, &[0x80, 1]);
        check(300, &[0xac, 2]);
    }

    #[test]
    fn the_tail_is_one_graph_field_with_two_nodes_and_two_outputs() {
        let bytes = tail("fetch_name_0");
        assert_eq!(bytes.first(), Some(&(7 << 3 | 2)));
        for word in ["ArgMax", "ReduceMax", IDS, CONFIDENCE, "fetch_name_0"] {
            assert!(bytes.windows(word.len()).any(|w| w == word.as_bytes()), "{word}");
        }
    }
}
