//! A reader of a few fields of an ONNX file without an ONNX library: metadata, inputs and outputs.
//!
//! Finds fields by the numbers of `onnx.proto3`; skips every other field by its length. Bounded by the given bytes;
//! stops at malformed bytes and never panics. Called by the catalog (labels, import, validation) and when a model is
//! opened (the CTC tail).

/// `ModelProto.graph`.
const GRAPH: u64 = 7;
/// `ModelProto.metadata_props`: `StringStringEntryProto`, key = 1, value = 2.
const METADATA: u64 = 14;
/// `GraphProto.initializer`: `TensorProto`, name = 8.
const INITIALIZER: u64 = 5;
/// `GraphProto.input`: `ValueInfoProto`, name = 1, type = 2.
const INPUT: u64 = 11;
/// `GraphProto.output`: `ValueInfoProto`, name = 1, type = 2.
const OUTPUT: u64 = 12;
/// `TensorProto.DataType.FLOAT`.
pub(crate) const FLOAT: u64 = 1;

/// An input or output as the file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// Number of the element type in `TensorProto.DataType`; `None`: not a tensor, or not declared.
    pub(crate) element: Option<u64>,
    /// Extents, `None` where one is variable; no shape where the file declares none.
    pub(crate) shape: Option<Vec<Option<u64>>>,
}

/// Returns the outputs of a serialized model, in their order.
pub(crate) fn output_ports(model: &[u8]) -> Vec<Port> {
    messages(model, GRAPH).flat_map(|graph| messages(graph, OUTPUT)).filter_map(port).collect()
}

/// Returns the inputs of a serialized model, in their order. Old exports list their weights as inputs, too; these are
/// left out.
pub(crate) fn input_ports(model: &[u8]) -> Vec<Port> {
    let mut ports = Vec::new();
    for graph in messages(model, GRAPH) {
        let weights: Vec<&[u8]> = messages(graph, INITIALIZER).flat_map(|one| messages(one, 8)).collect();
        let inputs = messages(graph, INPUT).filter_map(port);
        ports.extend(inputs.filter(|input| !weights.contains(&input.name.as_bytes())));
    }
    ports
}

/// Returns the names of the outputs of a serialized model, in their order.
pub(crate) fn outputs(model: &[u8]) -> Vec<String> {
    output_ports(model).into_iter().map(|port| port.name).collect()
}

/// Returns the names of the inputs of a serialized model, in their order.
pub(crate) fn inputs(model: &[u8]) -> Vec<String> {
    input_ports(model).into_iter().map(|port| port.name).collect()
}

/// Reads a `ValueInfoProto`. Its type is `TypeProto { tensor_type = 1 { elem_type = 1, shape = 2 { dim = 1 } } }`.
fn port(info: &[u8]) -> Option<Port> {
    let name = String::from_utf8(messages(info, 1).next()?.to_vec()).ok()?;
    let tensor = messages(info, 2).flat_map(|ty| messages(ty, 1)).next().unwrap_or_default();
    // Some exporters write -1 for a variable extent.
    let extent = |dim| number(dim, 1).filter(|&extent| i64::try_from(extent).is_ok_and(|extent| extent > 0));
    let extents = |shape| messages(shape, 1).map(extent).collect();
    Some(Port { name, element: number(tensor, 1), shape: messages(tensor, 2).next().map(extents) })
}

/// Returns the length-delimited fields of that number.
fn messages(mut rest: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || next(&mut rest)).filter_map(move |(field, payload)| match payload {
        Payload::Bytes(bytes) if field == number => Some(bytes),
        _ => None,
    })
}

/// Returns the first varint in a field of that number.
fn number(mut rest: &[u8], number: u64) -> Option<u64> {
    std::iter::from_fn(move || next(&mut rest)).find_map(|(field, payload)| match payload {
        Payload::Number(value) if field == number => Some(value),
        _ => None,
    })
}

/// Returns the value of `key` in the metadata of a serialized model; `None` where it is missing.
pub(crate) fn metadata(model: &[u8], key: &str) -> Option<String> {
    let entry = messages(model, METADATA).find(|entry| messages(entry, 1).next() == Some(key.as_bytes()))?;
    String::from_utf8(messages(entry, 2).next()?.to_vec()).ok()
}

/// The payload of a field, as far as this reader needs it.
enum Payload<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// Reads the next field: its number and its payload. `None` at the end or at malformed bytes.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u64, Payload<'a>)> {
    let tag = varint(rest)?;
    let payload = match tag & 7 {
        0 => Payload::Number(varint(rest)?),
        1 => take(rest, 8).map(|_| Payload::Other)?,
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Payload::Bytes(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| Payload::Other)?,
        _ => return None,
    };
    Some((tag >> 3, payload))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// ir_version = 8 (a varint field), then metadata { key: "k", value: "v\nw" }.
    const MODEL: &[u8] = &[8, 8, 14 << 3 | 2, 8, 10, 1, b'k', 18, 3, b'v', b'\n', b'w'];

    #[test]
    fn metadata_is_found_by_key() {
        assert_eq!(metadata(MODEL, "k").as_deref(), Some("v\nw"));
        assert_eq!(metadata(MODEL, "other"), None);
    }

    #[test]
    fn outputs_are_those_of_the_graph_and_of_the_appended_part() {
        let mut model = MODEL.to_vec();
        model.extend(crate::ctc::tail("logits"));
        assert_eq!(outputs(&model), [crate::ctc::IDS, crate::ctc::CONFIDENCE]);
        assert!(outputs(MODEL).is_empty());
    }

    #[test]
    fn weights_are_not_inputs() {
        // graph { initializer { name: "w" } input { name: "x" } input { name: "w" } }
        let graph =
            [5 << 3 | 2, 3, 8 << 3 | 2, 1, b'w', 11 << 3 | 2, 3, 10, 1, b'x', 11 << 3 | 2, 3, 10, 1, b'w'];
        let model = [&[7 << 3 | 2, graph.len() as u8], &graph[..]].concat();
        assert_eq!(inputs(&model), ["x"]);
    }

    #[test]
    fn ports_list_their_elements_and_extents() {
        // dim { dim_param: "N" } dim { dim_value: 3 } dim { dim_value: 200 }
        let dims = [10, 3, 18, 1, b'N', 10, 2, 8, 3, 10, 3, 8, 200, 1];
        let shape = [&[18, dims.len() as u8], &dims[..]].concat();
        let tensor = [&[8, 1], &shape[..]].concat();
        let info = |ty: &[u8]| [&[10, 1, b'x'], ty].concat();
        let typed = [&[18, tensor.len() as u8 + 2, 10, tensor.len() as u8], &tensor[..]].concat();
        let expected =
            Port { name: "x".to_owned(), element: Some(FLOAT), shape: Some(vec![None, Some(3), Some(200)]) };
        assert_eq!(port(&info(&typed)), Some(expected));
        assert_eq!(port(&info(&[])), Some(Port { name: "x".to_owned(), element: None, shape: None }));
        for end in 0..typed.len() {
            let _ = port(&info(&typed[..end]));
        }
    }

    #[test]
    fn every_truncation_and_noise_ends_without_a_panic() {
        for end in 0..MODEL.len() {
            let _ = metadata(&MODEL[..end], "k");
        }
        assert_eq!(metadata(&[0xff; 64], "k"), None);
        assert_eq!(metadata(&[14 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0x0f], "k"), None);
    }
}
