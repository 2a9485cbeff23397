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
}
