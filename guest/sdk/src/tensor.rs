//! Arrays that live in the host. Knows nothing of images or models. Called by guests.

use bytemuck::Pod;

use crate::host;
use crate::{Dtype, Error};

/// Bytes of one read: a long tensor comes in pieces, so that no single call copies without end.
const READ_BYTES_MAX: u64 = 16 << 20;

/// A dense array in host memory, row-major. It never changes. Dropping it gives its bytes back to the
/// page's budget.
pub struct Tensor(pub(crate) host::Tensor);

impl Tensor {
    /// A tensor of single-precision numbers.
    ///
    /// # Errors
    /// `Invalid` where the shape does not fit the numbers, `TooLarge` over the page budget.
    pub fn from_f32(shape: &[u32], values: &[f32]) -> Result<Self, Error> {
        Self::from_bytes(Dtype::F32, shape, bytemuck::cast_slice(values))
    }

    /// A tensor of bytes.
    ///
    /// # Errors
    /// As [`Tensor::from_f32`].
    pub fn from_u8(shape: &[u32], values: &[u8]) -> Result<Self, Error> {
        Self::from_bytes(Dtype::U8, shape, values)
    }

    /// A tensor of signed 64-bit integers.
    ///
    /// # Errors
    /// As [`Tensor::from_f32`].
    pub fn from_i64(shape: &[u32], values: &[i64]) -> Result<Self, Error> {
        Self::from_bytes(Dtype::S64, shape, bytemuck::cast_slice(values))
    }

    /// A tensor from little-endian bytes.
    ///
    /// # Errors
    /// As [`Tensor::from_f32`].
    pub fn from_bytes(dtype: Dtype, shape: &[u32], bytes: &[u8]) -> Result<Self, Error> {
        host::tensor_from_bytes(dtype, shape, bytes).map(Self)
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.0.dtype()
    }

    /// Extent of each axis.
    pub fn shape(&self) -> Vec<u32> {
        self.0.shape()
    }

    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.shape().iter().map(|&n| u64::from(n)).product()
    }

    /// Copies `length` bytes, from byte `offset` on, into the guest.
    ///
    /// # Errors
    /// `Invalid` where the range leaves the tensor.
    pub fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        self.0.read(offset, length)
    }

    /// All elements of an `f32` tensor.
    ///
    /// # Errors
    /// `Invalid` where the element type is another.
    pub fn to_f32(&self) -> Result<Vec<f32>, Error> {
        self.to_vec(Dtype::F32)
    }

    /// All elements of a `u8` tensor.
    ///
    /// # Errors
    /// `Invalid` where the element type is another.
    pub fn to_u8(&self) -> Result<Vec<u8>, Error> {
        self.to_vec(Dtype::U8)
    }

    /// All elements of an `s64` tensor.
    ///
    /// # Errors
    /// `Invalid` where the element type is another.
    pub fn to_i64(&self) -> Result<Vec<i64>, Error> {
        self.to_vec(Dtype::S64)
    }

    /// `f32` to `u8`: `round(value * scale)`, saturating. A probability map crosses in a quarter of the
    /// bytes with a scale of 255.
    ///
    /// # Errors
    /// `Invalid` where the element type is not `f32`.
    pub async fn quantise(&self, scale: f32) -> Result<Self, Error> {
        self.0.quantise(scale).await.map(Self)
    }

    /// For `f32[.., n]`: index (`s64[..]`) and value (`f32[..]`) of the greatest element along the last axis.
    ///
    /// # Errors
    /// `Invalid` where the element type is not `f32` or the last axis is empty.
    pub async fn argmax(&self) -> Result<(Self, Self), Error> {
        self.0.argmax().await.map(|(ids, values)| (Self(ids), Self(values)))
    }

    /// All elements. `T` must be the Rust type of `dtype`.
    fn to_vec<T: Pod>(&self, dtype: Dtype) -> Result<Vec<T>, Error> {
        if self.dtype() != dtype {
            return Err(Error::Invalid(format!(
                "this tensor holds {:?}, not {dtype:?}: read it as what it is",
                self.dtype()
            )));
        }
        let size = size_of::<T>() as u64;
        let total = self.elements() * size;
        let mut out: Vec<T> = Vec::with_capacity((total / size) as usize);
        let mut offset = 0;
        while offset < total {
            let length = (total - offset).min(READ_BYTES_MAX);
            let bytes = self.0.read(offset, length as u32)?;
            if bytes.len() as u64 != length {
                return Err(Error::Failed(format!(
                    "the host gave {} bytes of {length} asked for",
                    bytes.len()
                )));
            }
            if offset == 0 && length == total {
                // The common case moves the buffer where its alignment allows, else copies it once.
                return Ok(bytemuck::allocation::try_cast_vec(bytes)
                    .unwrap_or_else(|(_, bytes)| bytemuck::allocation::pod_collect_to_vec(&bytes)));
            }
            out.extend(bytemuck::allocation::pod_collect_to_vec::<u8, T>(&bytes));
            offset += length;
        }
        Ok(out)
    }
}
