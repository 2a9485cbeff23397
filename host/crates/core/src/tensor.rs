//! Dense arrays in host memory.

use std::sync::Arc;

/// Defines [`Dtype`] and [`TensorData`] from one table of the element types that ONNX models use in practice.
macro_rules! dtypes {
    ($($variant:ident: $element:ty, $name:literal, $about:literal;)*) => {
        /// Element type.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Dtype {
            $(#[doc = $about] $variant,)*
        }

        impl Dtype {
            /// All element types.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the bytes of one element.
            pub fn bytes(self) -> usize {
                match self {
                    $(Self::$variant => size_of::<$element>(),)*
                }
            }

            /// Returns the name of the type as the guest contract writes it, such as `f32`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        /// Elements, in a vector of their own type, which is aligned for every engine.
        #[derive(Clone, Debug, PartialEq)]
        pub enum TensorData {
            $(#[doc = $about] $variant(Vec<$element>),)*
        }

        impl TensorData {
            /// Creates `count` elements of value 0.
            pub fn zeros(dtype: Dtype, count: usize) -> Self {
                match dtype {
                    $(Dtype::$variant => Self::$variant(vec![<$element>::default(); count]),)*
                }
            }

            /// Creates elements from their little-endian bytes; `None` where the number of bytes is not a multiple of
            /// the element size, or a boolean is neither 0 nor 1.
            pub fn from_le_bytes(dtype: Dtype, bytes: Vec<u8>) -> Option<Self> {
                match dtype {
                    Dtype::U8 => return Some(Self::U8(bytes)),
                    Dtype::Bool if bytes.iter().any(|byte| *byte > 1) => return None,
                    _ => {}
                }
                Some(match dtype {
                    $(Dtype::$variant => {
                        let (elements, []) = bytes.as_chunks() else { return None };
                        Self::$variant(elements.iter().map(|bytes| <$element>::from_le_bytes(*bytes)).collect())
                    })*
                })
            }

            /// Returns `length` bytes from byte `offset` on, as the little-endian bytes of the elements. Bytes beyond
            /// the end are omitted.
            pub fn le_bytes(&self, offset: usize, length: usize) -> Vec<u8> {
                let all = self.len().saturating_mul(self.dtype().bytes());
                let start = offset.min(all);
                let length = length.min(all - start);
                if let Self::U8(bytes) = self {
                    // No conversion is needed, and most reads of guests are of this type.
                    return bytes.get(start..start + length).unwrap_or_default().to_vec();
                }
                match self {
                    $(Self::$variant(v) => part(v, start, length, <$element>::to_le_bytes),)*
                }
            }

            fn len(&self) -> usize {
                match self {
                    $(Self::$variant(v) => v.len(),)*
                }
            }

            fn dtype(&self) -> Dtype {
                match self {
                    $(Self::$variant(_) => Dtype::$variant,)*
                }
            }

            /// Returns a copy of the elements of a range; `None` beyond the end.
            fn slice(&self, range: std::ops::Range<usize>) -> Option<Self> {
                Some(match self {
                    $(Self::$variant(v) => Self::$variant(v.get(range)?.to_vec()),)*
                })
            }

            /// Joins the elements of all tensors of the first one's type; tensors of other types are omitted.
            fn joined(all: &[&Self]) -> Option<Self> {
                Some(match all.first()? {
                    $(Self::$variant(_) => {
                        let parts = all.iter().filter_map(|data| match data {
                            Self::$variant(v) => Some(v.as_slice()),
                            _ => None,
                        });
                        Self::$variant(parts.collect::<Vec<_>>().concat())
                    })*
                })
            }
        }
    };
}

/// Returns the bytes of the elements that overlap the range, which is within them, cut to the range.
fn part<E: Copy, const N: usize>(all: &[E], offset: usize, length: usize, to: fn(E) -> [u8; N]) -> Vec<u8> {
    let (first, last) = (offset / N, (offset + length).div_ceil(N));
    let touched = all.get(first..last).unwrap_or_default();
    let mut bytes: Vec<u8> = Vec::with_capacity(touched.len() * N);
    bytes.extend(touched.iter().flat_map(|element| to(*element)));
    bytes.drain(..(offset - first * N).min(bytes.len()));
    bytes.truncate(length);
    bytes
}

dtypes! {
    Bool: u8, "bool", "Boolean, one byte: 0 or 1.";
    U8: u8, "u8", "Unsigned 8-bit integer.";
    S8: i8, "s8", "Signed 8-bit integer.";
    U16: u16, "u16", "Unsigned 16-bit integer.";
    S16: i16, "s16", "Signed 16-bit integer.";
    U32: u32, "u32", "Unsigned 32-bit integer.";
    S32: i32, "s32", "Signed 32-bit integer.";
    U64: u64, "u64", "Unsigned 64-bit integer.";
    S64: i64, "s64", "Signed 64-bit integer.";
    F16: half::f16, "f16", "IEEE 754 half precision.";
    Bf16: half::bf16, "bf16", "bfloat16.";
    F32: f32, "f32", "IEEE 754 single precision.";
    F64: f64, "f64", "IEEE 754 double precision.";
}

/// A dense row-major array. Cheap to clone; immutable.
#[derive(Clone, Debug)]
pub struct Tensor {
    shape: Arc<[usize]>,
    data: Arc<TensorData>,
}

impl Tensor {
    /// Creates a tensor of `shape`; `None` where the product of the extents differs from the number of elements.
    pub fn new(shape: &[usize], data: TensorData) -> Option<Self> {
        let count = shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent))?;
        (count == data.len()).then(|| Self { shape: shape.into(), data: Arc::new(data) })
    }

    /// Returns the extent of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the elements.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// Returns the element type.
    pub fn dtype(&self) -> Dtype {
        self.data.dtype()
    }

    /// Returns the elements where they are `f32`.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &*self.data {
            TensorData::F32(v) => Some(v),
            _ => None,
        }
    }

    /// Returns the number of elements.
    pub fn elements(&self) -> usize {
        self.data.len()
    }

    /// Returns the number of bytes held.
    pub fn bytes(&self) -> u64 {
        (self.elements() * self.dtype().bytes()) as u64
    }

    /// Returns the extent of the first axis, the rows of a batch; 1 for a scalar.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Returns the pixels of all rows (height times width) where they are images, else the number of elements.
    pub fn pixels(&self) -> u64 {
        match *self.shape {
            [rows, _, height, width] => (rows as u64 * height as u64).saturating_mul(width as u64),
            _ => self.elements() as u64,
        }
    }

    /// Concatenates the tensors along the first axis; `None` where there is none, or where they differ in type or in
    /// another axis.
    pub fn concat(tensors: &[&Tensor]) -> Option<Self> {
        let (first, rest) = tensors.split_first()?;
        let (_, tail) = first.shape.split_first()?;
        let fits = |t: &&Tensor| t.dtype() == first.dtype() && t.shape.get(1..) == Some(tail);
        if !rest.iter().all(fits) {
            return None;
        }
        let mut shape = first.shape.to_vec();
        *shape.first_mut()? = tensors.iter().map(|t| t.rows()).sum();
        let parts: Vec<&TensorData> = tensors.iter().map(|t| &*t.data).collect();
        let data = TensorData::joined(&parts)?;
        Self::new(&shape, data)
    }

    /// Splits the tensor along the first axis into pieces of these numbers of rows; `None` where they do not add up to
    /// all rows.
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
            let data = self.data.slice(start..end)?;
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
    fn concat_and_split_round_trip() {
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
    fn bytes_of_every_type_come_back() {
        for &dtype in Dtype::ALL {
            let n = dtype.bytes();
            let bytes: Vec<u8> =
                (0..n * 5).map(|i| if dtype == Dtype::Bool { i as u8 % 2 } else { i as u8 }).collect();
            let data = TensorData::from_le_bytes(dtype, bytes.clone()).unwrap();
            assert_eq!((data.dtype(), data.len()), (dtype, 5), "{}", dtype.name());
            assert_eq!(data.le_bytes(0, n * 5), bytes);
            // Any range, also beyond the end.
            for (offset, length) in (0..=5 * n + 1)
                .flat_map(|offset| [0, 1, n, 2 * n + 1, 5 * n, usize::MAX].map(|length| (offset, length)))
            {
                let start = offset.min(5 * n);
                let expected = &bytes[start..offset.saturating_add(length).clamp(start, 5 * n)];
                assert_eq!(data.le_bytes(offset, length), expected, "{} {offset} {length}", dtype.name());
            }
            assert!(data.le_bytes(usize::MAX, usize::MAX).is_empty(), "{}", dtype.name());
            assert_eq!(TensorData::zeros(dtype, 3).len(), 3);
            if n > 1 {
                assert!(TensorData::from_le_bytes(dtype, bytes[1..].to_vec()).is_none());
            }
        }
        assert!(TensorData::from_le_bytes(Dtype::Bool, vec![2]).is_none());
    }

    #[test]
    fn incompatible_tensors_are_not_concatenated() {
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
