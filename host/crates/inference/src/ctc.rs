//! The CTC reduction, appended to a recognizer's graph: the parts of the logits that a decoder needs.
//!
//! A recognizer returns `f32[rows, steps, classes]`, 12 MB for one long line. A CTC decoder (Graves et al. 2006, best
//! path) reads two numbers a step: the class with the greatest probability and that probability. [`tail`] and
//! [`comparing_tail`] make the part of an ONNX model that computes them inside the engine, so the logits are never copied
//! out. It is appended to the bytes of the model: protobuf merges a message with the bytes concatenated to it; repeated
//! fields (nodes, outputs) grow, singular messages (the graph) merge. That needs no ONNX library and no second parse of the
//! weights.
//!
//! Depends on the field numbers of `onnx.proto3` and nothing else. Called when a session is built.

/// Name of the output with the greatest class of each step, `s64[rows, steps]`.
pub const IDS: &str = "ids";
/// Name of the output with the probability of that class, `f32[rows, steps]`.
pub const CONFIDENCE: &str = "confidence";

/// ONNX `TensorProto.DataType`.
const FLOAT: u64 = 1;
const INT32: u64 = 6;
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
    let keep = attribute_int("keepdims", 0);
    let axis = attribute_int("axis", CLASS_AXIS);
    let nodes = [
        node("ArgMax", &[logits], IDS, &[axis, keep.clone()]),
        node("ReduceMax", &[logits], CONFIDENCE, &[attribute_ints("axes", CLASS_AXIS), keep]),
    ];
    model(&nodes, &[])
}

/// Returns the same part for logits of `classes` classes without the operator `ArgMax`, which OpenVINO computes by a partial
/// sort: a third of the time of a small recognizer. The class is the least index whose logit equals the greatest one. The
/// index is `classes`, which no label has, where the logits are not numbers.
pub fn comparing_tail(logits: &str, classes: i32) -> Vec<u8> {
    let (greatest, equal, candidates, least) =
        ("lector_greatest", "lector_equal", "lector_candidates", "lector_least");
    let (indices, none, shape) = ("lector_indices", "lector_none", "lector_shape");
    let (axes, keep) = (attribute_ints("axes", CLASS_AXIS), |keep| attribute_int("keepdims", keep));
    let nodes = [
        node("ReduceMax", &[logits], greatest, &[axes.clone(), keep(1)]),
        node("Equal", &[logits, greatest], equal, &[]),
        node("Where", &[equal, indices, none], candidates, &[]),
        // Indices are integers: in bf16 those above 256 would be rounded.
        node("ReduceMin", &[candidates], least, &[axes, keep(0)]),
        node("Cast", &[least], IDS, &[attribute_int("to", INT64)]),
        node("Reshape", &[greatest, shape], CONFIDENCE, &[]),
    ];
    let all: Vec<u8> = (0..classes).flat_map(i32::to_le_bytes).collect();
    // 0: the extent stays; -1: the rest.
    let kept: Vec<u8> = [0i64, -1].into_iter().flat_map(i64::to_le_bytes).collect();
    let initializers = [
        initializer(indices, INT32, &[classes.unsigned_abs().into()], &all),
        initializer(none, INT32, &[], &classes.to_le_bytes()),
        initializer(shape, INT64, &[2], &kept),
    ];
    model(&nodes, &initializers)
}

/// Encodes the appended part with both outputs. ModelProto: graph = 7; GraphProto: node = 1, initializer = 5, output = 12.
fn model(nodes: &[Vec<u8>], initializers: &[Vec<u8>]) -> Vec<u8> {
    let mut graph = Vec::new();
    for node in nodes {
        field(&mut graph, 1, node);
    }
    for initializer in initializers {
        field(&mut graph, 5, initializer);
    }
    field(&mut graph, 12, &value_info(IDS, INT64));
    field(&mut graph, 12, &value_info(CONFIDENCE, FLOAT));
    let mut model = Vec::new();
    field(&mut model, 7, &graph);
    model
}

/// Encodes a TensorProto: dims = 1, data_type = 2, name = 8, raw_data = 9.
fn initializer(name: &str, element: u64, extents: &[u64], data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for &extent in extents {
        number(&mut out, 1, extent);
    }
    number(&mut out, 2, element);
    field(&mut out, 8, name.as_bytes());
    field(&mut out, 9, data);
    out
}

/// Encodes a NodeProto: input = 1, output = 2, name = 3, op_type = 4, attribute = 5.
fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for input in inputs {
        field(&mut out, 1, input.as_bytes());
    }
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
    fn the_comparing_tail_declares_its_constants_and_the_same_outputs() {
        let bytes = comparing_tail("fetch_name_0", 300);
        assert_eq!(crate::onnx::outputs(&bytes), [IDS, CONFIDENCE]);
        let indices: Vec<u8> = (0..300i32).flat_map(i32::to_le_bytes).collect();
        assert!(bytes.windows(indices.len()).any(|window| window == indices));
        assert!(!bytes.windows(6).any(|window| window == b"ArgMax"));
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
