//! Dense arrays in host memory.

use std::sync::Arc;

/// Element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Unsigned byte.
    U8,
    /// IEEE 754 single precision.
    F32,
    /// Signed 64-bit integer.
    S64,
}

impl Dtype {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::U8 => 1,
            Dtype::F32 => 4,
            Dtype::S64 => 8,
        }
    }
}

/// The elements, in a vector of their own type so that every engine finds them aligned.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData {
    /// Unsigned bytes.
    U8(Vec<u8>),
    /// Single precision.
    F32(Vec<f32>),
    /// Signed 64-bit integers.
    S64(Vec<i64>),
}

impl TensorData {
    fn len(&self) -> usize {
        match self {
            TensorData::U8(v) => v.len(),
            TensorData::F32(v) => v.len(),
            TensorData::S64(v) => v.len(),
        }
    }
}

/// A dense row-major array. Cheap to clone; never changes.
#[derive(Clone, Debug)]
pub struct Tensor {
    shape: Arc<[usize]>,
    data: Arc<TensorData>,
}

impl Tensor {
    /// A tensor of `shape`; `None` where the product of the extents is not the number of elements.
    pub fn new(shape: &[usize], data: TensorData) -> Option<Self> {
        let count = shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent))?;
        (count == data.len()).then(|| Self { shape: shape.into(), data: Arc::new(data) })
    }

    /// Extent of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        match *self.data {
            TensorData::U8(_) => Dtype::U8,
            TensorData::F32(_) => Dtype::F32,
            TensorData::S64(_) => Dtype::S64,
        }
    }

    /// The elements where they are `f32`.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &*self.data {
            TensorData::F32(v) => Some(v),
            _ => None,
        }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.data.len()
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        (self.elements() * self.dtype().bytes()) as u64
    }

    /// Extent of the first axis: the rows of a batch. 1 for a scalar.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Pixels of all rows (height times width) where they are images, else the elements.
    pub fn pixels(&self) -> u64 {
        match *self.shape {
            [rows, _, height, width] => (rows as u64 * height as u64).saturating_mul(width as u64),
            _ => self.elements() as u64,
        }
    }

    /// The tensors one after the other along the first axis; `None` where there is none, or where they differ in type
    /// or in another axis.
    pub fn concat(tensors: &[&Tensor]) -> Option<Self> {
        let (first, rest) = tensors.split_first()?;
        let (_, tail) = first.shape.split_first()?;
        let fits = |t: &&Tensor| t.dtype() == first.dtype() && t.shape.get(1..) == Some(tail);
        if !rest.iter().all(fits) {
            return None;
        }
        let mut shape = first.shape.to_vec();
        *shape.first_mut()? = tensors.iter().map(|t| t.rows()).sum();
        macro_rules! joined {
            ($kind:ident) => {{
                let parts = tensors.iter().filter_map(|t| match &*t.data {
                    TensorData::$kind(v) => Some(v.as_slice()),
                    _ => None,
                });
                TensorData::$kind(parts.collect::<Vec<_>>().concat())
            }};
        }
        let data = match &*first.data {
            TensorData::U8(_) => joined!(U8),
            TensorData::F32(_) => joined!(F32),
            TensorData::S64(_) => joined!(S64),
        };
        Self::new(&shape, data)
    }

    /// Pieces of so many rows each, in order; `None` where they are not all rows.
    pub fn split(&self, rows: &[usize]) -> Option<Vec<Self>> {
        let (all, tail) = self.shape.split_first()?;
        if rows.iter().sum::<usize>() != *all {
            return None;
        }
        let row: usize = tail.iter().product();
        let mut from = 0;
        let piece = |&rows: &usize| {
            let (start, end) = (from * row, (from + rows) * row);
            from += rows;
            let data = match &*self.data {
                TensorData::U8(v) => TensorData::U8(v.get(start..end)?.to_vec()),
                TensorData::F32(v) => TensorData::F32(v.get(start..end)?.to_vec()),
                TensorData::S64(v) => TensorData::S64(v.get(start..end)?.to_vec()),
            };
            let mut shape = self.shape.to_vec();
            *shape.first_mut()? = rows;
            Self::new(&shape, data)
        };
        rows.iter().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_is_joined_comes_apart_again() {
        let tensor = |rows: usize, from: i64| {
            Tensor::new(&[rows, 2], TensorData::S64((from..from + 2 * rows as i64).collect())).unwrap()
        };
        let parts = [tensor(1, 0), tensor(3, 10), tensor(2, 20)];
        let joined = Tensor::concat(&parts.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(joined.shape(), [6, 2]);
        let again = joined.split(&[1, 3, 2]).unwrap();
        for (before, after) in parts.iter().zip(&again) {
            assert_eq!((before.shape(), before.data()), (after.shape(), after.data()));
        }
    }

    #[test]
    fn what_does_not_fit_is_not_joined() {
        let f32s =
            |shape: &[usize]| Tensor::new(shape, TensorData::F32(vec![0.0; shape.iter().product()])).unwrap();
        let bytes = Tensor::new(&[1, 2], TensorData::U8(vec![0; 2])).unwrap();
        assert!(Tensor::concat(&[]).is_none());
        assert!(Tensor::concat(&[&f32s(&[1, 2]), &f32s(&[1, 3])]).is_none());
        assert!(Tensor::concat(&[&f32s(&[1, 2]), &bytes]).is_none());
        assert!(Tensor::concat(&[&f32s(&[])]).is_none());
        assert!(f32s(&[3, 2]).split(&[1, 1]).is_none());
    }
}
