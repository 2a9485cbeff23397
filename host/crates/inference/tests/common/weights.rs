//! Changes to the weights of a serialized model.

use std::ops::Range;

/// Returns the positions of the f32 weights: the raw data of the initializers. (A model that keeps its weights in
/// `Constant` nodes has none.)
fn weights_of(model: &[u8]) -> Vec<Range<usize>> {
    fn fields(model: &[u8], within: Range<usize>, wanted: u64) -> Vec<Range<usize>> {
        let (mut at, mut found) = (within.start, Vec::new());
        let varint = |at: &mut usize| {
            let (mut value, mut shift) = (0u64, 0);
            loop {
                let byte = model[*at];
                *at += 1;
                value |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    return value;
                }
            }
        };
        while at < within.end {
            let tag = varint(&mut at);
            match tag & 7 {
                0 => drop(varint(&mut at)),
                1 => at += 8,
                5 => at += 4,
                _ => {
                    let length = usize::try_from(varint(&mut at)).unwrap();
                    if tag >> 3 == wanted {
                        found.push(at..at + length);
                    }
                    at += length;
                }
            }
        }
        found
    }
    let graphs = fields(model, 0..model.len(), 7);
    let tensors = graphs.into_iter().flat_map(|graph| fields(model, graph, 5));
    tensors.flat_map(|tensor| fields(model, tensor, 9)).filter(|data| data.len() >= 4096).collect()
}

/// Returns the model with every `nth` weight of the large tensors changed.
pub fn changed(mut model: Vec<u8>, nth: usize, mut change: impl FnMut(f32) -> f32) -> Vec<u8> {
    for data in weights_of(&model) {
        for weight in model[data].chunks_exact_mut(4).step_by(nth) {
            let value = change(f32::from_le_bytes(weight.try_into().unwrap()));
            weight.copy_from_slice(&value.to_le_bytes());
        }
    }
    model
}
