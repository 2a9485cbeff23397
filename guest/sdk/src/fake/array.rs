//! Arrays of fake models. Used by tests and by the fake tensor.

use crate::{Dtype, Error};

/// A dense array, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Array {
    /// Makes an array of single-precision numbers.
    ///
    /// # Panics
    ///
    /// If the shape does not fit the numbers: a defect of the test.
    pub fn f32(shape: impl Into<Vec<usize>>, values: impl AsRef<[f32]>) -> Self {
        Self::of(Dtype::F32, shape.into(), bytemuck::cast_slice(values.as_ref()))
    }

    /// Makes an array of signed 64-bit integers.
    ///
    /// # Panics
    ///
    /// As [`Array::f32`].
    pub fn i64(shape: impl Into<Vec<usize>>, values: impl AsRef<[i64]>) -> Self {
        Self::of(Dtype::S64, shape.into(), bytemuck::cast_slice(values.as_ref()))
    }

    /// Makes an array of bytes.
    ///
    /// # Panics
    ///
    /// As [`Array::f32`].
    pub fn u8(shape: impl Into<Vec<usize>>, values: impl AsRef<[u8]>) -> Self {
        Self::of(Dtype::U8, shape.into(), values.as_ref())
    }

    fn of(dtype: Dtype, shape: Vec<usize>, bytes: &[u8]) -> Self {
        let array = Self { dtype, shape, bytes: bytes.to_vec() };
        assert!(
            array.fits(),
            "an array of shape {:?} does not have {} bytes",
            array.shape,
            array.bytes.len()
        );
        array
    }

    /// Returns whether the number of bytes fits the shape.
    pub(crate) fn fits(&self) -> bool {
        let elements: u64 = self.shape.iter().map(|extent| *extent as u64).product();
        elements * self.dtype.bytes() == self.bytes.len() as u64
    }

    /// Returns the extent of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the elements.
    ///
    /// # Errors
    ///
    /// `Invalid` if they are not signed 64-bit integers.
    pub fn i64s(&self) -> Result<Vec<i64>, Error> {
        if self.dtype != Dtype::S64 {
            return Err(Error::invalid("array_dtype", format!("the array holds {:?}, not s64", self.dtype)));
        }
        Ok(bytemuck::allocation::pod_collect_to_vec(&self.bytes))
    }

    /// Returns the elements.
    ///
    /// # Errors
    ///
    /// `Invalid` if they are not single precision.
    pub fn f32s(&self) -> Result<Vec<f32>, Error> {
        if self.dtype != Dtype::F32 {
            return Err(Error::invalid("array_dtype", format!("the array holds {:?}, not f32", self.dtype)));
        }
        Ok(bytemuck::allocation::pod_collect_to_vec(&self.bytes))
    }
}
