//! Arrays in the host. Independent of images and models.

use bytemuck::Pod;

use crate::host;
use crate::{Dtype, Error};

/// Maximum bytes of one read: a long tensor is read in pieces, which bounds the copy of a single call.
const READ_BYTES_MAX: u64 = 16 << 20;

/// A dense array in host memory, row-major. It is immutable. Dropping it returns its bytes to the page budget.
pub struct Tensor(pub(crate) host::Tensor);

/// A Rust type that is the element type of a tensor. For `bool`, `f16` and `bf16` use [`Tensor::from_bytes`] and
/// [`Tensor::read`].
pub trait Element: Pod {
    /// The element type.
    const DTYPE: Dtype;
}

macro_rules! elements {
    ($($element:ty: $dtype:ident;)*) => {
        $(impl Element for $element {
            const DTYPE: Dtype = Dtype::$dtype;
        })*
    };
}

elements! {
    u8: U8; i8: S8; u16: U16; i16: S16; u32: U32; i32: S32; u64: U64; i64: S64; f32: F32; f64: F64;
}

impl Dtype {
    /// Returns the bytes of one element.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Bool | Self::U8 | Self::S8 => 1,
            Self::U16 | Self::S16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::S32 | Self::F32 => 4,
            Self::U64 | Self::S64 | Self::F64 => 8,
        }
    }
}

impl Tensor {
    /// Makes a tensor of `values`.
    ///
    /// # Errors
    ///
    /// `Invalid` if the shape does not fit the values, `TooLarge` over the page budget.
    pub fn new<E: Element>(shape: &[usize], values: &[E]) -> Result<Self, Error> {
        Self::from_bytes(E::DTYPE, shape, bytemuck::cast_slice(values))
    }

    /// Makes a tensor of single-precision numbers.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Result<Self, Error> {
        Self::new(shape, values)
    }

    /// Makes a tensor from little-endian bytes.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn from_bytes(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Result<Self, Error> {
        let shape: Vec<i64> = shape.iter().map(|extent| i64::try_from(*extent).unwrap_or(i64::MAX)).collect();
        host::tensor_from_bytes(dtype, &shape, bytes).map(Self)
    }

    /// Returns the element type.
    pub fn dtype(&self) -> Dtype {
        self.0.dtype()
    }

    /// Returns the extent of each axis.
    pub fn shape(&self) -> Vec<usize> {
        self.0.shape().iter().map(|extent| usize::try_from(*extent).unwrap_or(0)).collect()
    }

    /// Returns the number of elements.
    pub fn elements(&self) -> u64 {
        self.shape().iter().map(|extent| *extent as u64).product()
    }

    /// Copies `length` bytes, starting at byte `offset`, into the guest.
    ///
    /// # Errors
    ///
    /// `Invalid` if the range exceeds the tensor.
    pub fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        self.0.read(offset, length)
    }

    /// Copies all elements into the guest.
    ///
    /// # Errors
    ///
    /// `Invalid` if the element type is different.
    pub fn to_vec<E: Element>(&self) -> Result<Vec<E>, Error> {
        if self.dtype() != E::DTYPE {
            let message = format!("the tensor holds {:?}, not {:?}", self.dtype(), E::DTYPE);
            return Err(Error::invalid("tensor_dtype_mismatch", message));
        }
        let size = size_of::<E>() as u64;
        let total = self.elements() * size;
        let mut out: Vec<E> = Vec::with_capacity((total / size) as usize);
        let mut offset = 0;
        while offset < total {
            let length = (total - offset).min(READ_BYTES_MAX);
            let bytes = self.0.read(offset, length as u32)?;
            if bytes.len() as u64 != length {
                let message = format!("the host returned {} bytes, and {length} were requested", bytes.len());
                return Err(Error::failed("tensor_read_short", message));
            }
            if offset == 0 && length == total {
                // The common case moves the buffer if its alignment allows, and otherwise copies it once.
                return Ok(bytemuck::allocation::try_cast_vec(bytes)
                    .unwrap_or_else(|(_, bytes)| bytemuck::allocation::pod_collect_to_vec(&bytes)));
            }
            out.extend(bytemuck::allocation::pod_collect_to_vec::<u8, E>(&bytes));
            offset += length;
        }
        Ok(out)
    }

    /// Copies all elements of an `f32` tensor.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    pub fn to_f32(&self) -> Result<Vec<f32>, Error> {
        self.to_vec()
    }

    /// Copies all elements of a `u8` tensor.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    pub fn to_u8(&self) -> Result<Vec<u8>, Error> {
        self.to_vec()
    }

    /// Copies all elements of an `s64` tensor.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    pub fn to_i64(&self) -> Result<Vec<i64>, Error> {
        self.to_vec()
    }

    /// Converts `f32` to `u8`: `round(value * scale)`, saturating. With a scale of 255, a probability map crosses in a
    /// quarter of the bytes.
    ///
    /// # Errors
    ///
    /// `Invalid` if the element type is not `f32`.
    pub async fn quantize(&self, scale: f32) -> Result<Self, Error> {
        self.0.quantize(scale).await.map(Self)
    }

    /// Returns the index (`s64[..]`) and the value (`f32[..]`) of the greatest element along the last axis of `f32[..,
    /// n]`.
    ///
    /// # Errors
    ///
    /// `Invalid` if the element type is not `f32` or the last axis is empty.
    pub async fn argmax(&self) -> Result<(Self, Self), Error> {
        self.0.argmax().await.map(|(ids, values)| (Self(ids), Self(values)))
    }
}
