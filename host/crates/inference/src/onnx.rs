//! A look into an ONNX file without an ONNX library: its metadata and the names of its inputs and outputs.
//!
//! Fields by the numbers of `onnx.proto3`; everything else is stepped over by its length. Bounded by the bytes given;
//! at malformed bytes the look ends, it never panics. Called by the catalogue (labels) and at start (the CTC tail).

/// `ModelProto.graph`.
const GRAPH: u64 = 7;
/// `ModelProto.metadata_props`: `StringStringEntryProto`, key = 1, value = 2.
const METADATA: u64 = 14;
/// `GraphProto.initializer`: `TensorProto`, name = 8.
const INITIALIZER: u64 = 5;
/// `GraphProto.input`: `ValueInfoProto`, name = 1.
const INPUT: u64 = 11;
/// `GraphProto.output`: `ValueInfoProto`, name = 1.
const OUTPUT: u64 = 12;

/// Names of the outputs of a serialised model, in their order.
pub(crate) fn outputs(model: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for graph in messages(model, GRAPH) {
        for output in messages(graph, OUTPUT) {
            names.extend(messages(output, 1).filter_map(|name| String::from_utf8(name.to_vec()).ok()));
        }
    }
    names
}

/// Names of the inputs of a serialised model, in their order. Old exports list their weights there, too: these are none.
pub(crate) fn inputs(model: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for graph in messages(model, GRAPH) {
        let weights: Vec<&[u8]> = messages(graph, INITIALIZER).flat_map(|one| messages(one, 8)).collect();
        let inputs = messages(graph, INPUT).flat_map(|input| messages(input, 1));
        let given = inputs.filter(|name| !weights.contains(name));
        names.extend(given.filter_map(|name| String::from_utf8(name.to_vec()).ok()));
    }
    names
}

/// The length-delimited fields of that number.
fn messages(mut rest: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || next(&mut rest))
        .filter_map(move |(field, bytes)| bytes.filter(|_| field == number))
}

/// The value of `key` in the metadata of a serialised model; `None` where it has none.
pub(crate) fn metadata(model: &[u8], key: &str) -> Option<String> {
    let entry = messages(model, METADATA).find(|entry| messages(entry, 1).next() == Some(key.as_bytes()))?;
    String::from_utf8(messages(entry, 2).next()?.to_vec()).ok()
}

/// The number of the next field and, where it is length-delimited, its bytes. `None` at the end or at nonsense.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let tag = varint(rest)?;
    let payload = match tag & 7 {
        0 => varint(rest).map(|_| None)?,
        1 => take(rest, 8).map(|_| None)?,
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Some(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| None)?,
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
    fn outputs_are_those_of_the_graph_and_of_what_is_appended() {
        let mut model = MODEL.to_vec();
        model.extend(crate::ctc::tail("logits"));
        assert_eq!(outputs(&model), [crate::ctc::IDS, crate::ctc::CONFIDENCE]);
        assert!(outputs(MODEL).is_empty());
    }

    #[test]
    fn inputs_are_those_that_are_no_weights() {
        // graph { initializer { name: "w" } input { name: "x" } input { name: "w" } }
        let graph =
            [5 << 3 | 2, 3, 8 << 3 | 2, 1, b'w', 11 << 3 | 2, 3, 10, 1, b'x', 11 << 3 | 2, 3, 10, 1, b'w'];
        let model = [&[7 << 3 | 2, graph.len() as u8], &graph[..]].concat();
        assert_eq!(inputs(&model), ["x"]);
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
