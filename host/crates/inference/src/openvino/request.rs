//! A request of a compiled model as an engine.

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};

use lector_core::{Dtype, Tensor, TensorData};

use super::api::{self, Api, Request, Shape};
use super::compiled::Compiled;
use super::ffi::{check, cstring, dtype, element, tensor_shape};
use crate::engine::Engine;

/// A request, which runs one input after another.
pub(crate) struct OpenVinoEngine {
    request: NonNull<Request>,
    /// Outlives the request.
    model: Compiled,
}

// SAFETY: a request may be used from any thread, by one at a time, which `&mut self` ensures.
unsafe impl Send for OpenVinoEngine {}

impl Drop for OpenVinoEngine {
    fn drop(&mut self) {
        // SAFETY: created from the model, freed once.
        unsafe { (self.model.api().ov_infer_request_free)(self.request.as_ptr()) };
    }
}

impl OpenVinoEngine {
    pub(super) fn new(model: Compiled, request: *mut Request) -> Result<Self, String> {
        let request = NonNull::new(request).ok_or_else(|| "OpenVINO returned no request".to_owned())?;
        Ok(Self { request, model })
    }
}

impl Engine for OpenVinoEngine {
    fn run(&mut self, inputs: &[(String, Tensor)], outputs: &[String]) -> Result<Vec<Tensor>, String> {
        // The tensors of the inputs borrow the callers' memory, which lives until the run has ended. The request keeps
        // a reference that it does not read before the next run has set its own.
        let api = self.model.api();
        let mut borrowed = Vec::with_capacity(inputs.len());
        for (name, tensor) in inputs {
            let tensor = OvTensor::borrow(api, tensor)?;
            let name = cstring(name)?;
            // SAFETY: request, name and tensor are alive.
            check(api, unsafe {
                (api.ov_infer_request_set_tensor)(self.request.as_ptr(), name.as_ptr(), tensor.ptr.as_ptr())
            })?;
            borrowed.push(tensor);
        }
        // SAFETY: the request is alive and, by `&mut self`, not in use by other code.
        check(api, unsafe { (api.ov_infer_request_infer)(self.request.as_ptr()) })?;
        drop(borrowed);
        outputs.iter().map(|name| self.output(name)).collect()
    }
}

impl OpenVinoEngine {
    fn output(&self, name: &str) -> Result<Tensor, String> {
        let api = self.model.api();
        let (text, mut tensor) = (cstring(name)?, null_mut());
        // SAFETY: request and name are alive; the tensor is freed when it goes out of scope.
        check(api, unsafe {
            (api.ov_infer_request_get_tensor)(self.request.as_ptr(), text.as_ptr(), &mut tensor)
        })?;
        OvTensor::new(api, tensor)?.copy().map_err(|what| format!("output `{name}`: {what}"))
    }
}

/// An OpenVINO tensor.
struct OvTensor {
    api: &'static Api,
    ptr: NonNull<api::Tensor>,
}

impl Drop for OvTensor {
    fn drop(&mut self) {
        // SAFETY: returned by the library, freed once.
        unsafe { (self.api.ov_tensor_free)(self.ptr.as_ptr()) };
    }
}

impl OvTensor {
    fn new(api: &'static Api, tensor: *mut api::Tensor) -> Result<Self, String> {
        let ptr = NonNull::new(tensor).ok_or_else(|| "OpenVINO returned no tensor".to_owned())?;
        Ok(Self { api, ptr })
    }

    /// Makes a tensor over the same memory, which the caller keeps alive and unchanged while OpenVINO reads it.
    fn borrow(api: &'static Api, tensor: &Tensor) -> Result<Self, String> {
        let mut extents: Vec<i64> =
            tensor.shape().iter().map(|&extent| i64::try_from(extent).unwrap_or(i64::MAX)).collect();
        let data: *const c_void = match tensor.data() {
            TensorData::Bool(data) => data.as_ptr().cast(),
            TensorData::U8(data) => data.as_ptr().cast(),
            TensorData::S8(data) => data.as_ptr().cast(),
            TensorData::U16(data) => data.as_ptr().cast(),
            TensorData::S16(data) => data.as_ptr().cast(),
            TensorData::U32(data) => data.as_ptr().cast(),
            TensorData::S32(data) => data.as_ptr().cast(),
            TensorData::U64(data) => data.as_ptr().cast(),
            TensorData::S64(data) => data.as_ptr().cast(),
            TensorData::F16(data) => data.as_ptr().cast(),
            TensorData::Bf16(data) => data.as_ptr().cast(),
            TensorData::F32(data) => data.as_ptr().cast(),
            TensorData::F64(data) => data.as_ptr().cast(),
        };
        let rank = i64::try_from(extents.len()).unwrap_or(i64::MAX);
        let shape = Shape { rank, dims: extents.as_mut_ptr() };
        let mut made = null_mut();
        // SAFETY: the shape is copied by the call; the memory holds as many elements as the shape says (an invariant of
        // `Tensor`), and OpenVINO only reads an input.
        check(api, unsafe {
            (api.ov_tensor_create_from_host_ptr)(element(tensor.dtype()), shape, data.cast_mut(), &mut made)
        })?;
        Self::new(api, made)
    }

    fn copy(&self) -> Result<Tensor, String> {
        let api = self.api;
        let shape = tensor_shape(api, self.ptr.as_ptr())?;
        let mut kind = u32::MAX;
        // SAFETY: the tensor is alive.
        check(api, unsafe { (api.ov_tensor_get_element_type)(self.ptr.as_ptr(), &mut kind) })?;
        let mut data = null_mut();
        // SAFETY: the tensor is alive.
        check(api, unsafe { (api.ov_tensor_data)(self.ptr.as_ptr(), &mut data) })?;
        let elements = shape.iter().product::<usize>();
        let data = match dtype(kind) {
            Some(Dtype::Bool) => TensorData::Bool(vector(data, elements)),
            Some(Dtype::U8) => TensorData::U8(vector(data, elements)),
            Some(Dtype::S8) => TensorData::S8(vector(data, elements)),
            Some(Dtype::U16) => TensorData::U16(vector(data, elements)),
            Some(Dtype::S16) => TensorData::S16(vector(data, elements)),
            Some(Dtype::U32) => TensorData::U32(vector(data, elements)),
            Some(Dtype::S32) => TensorData::S32(vector(data, elements)),
            Some(Dtype::U64) => TensorData::U64(vector(data, elements)),
            Some(Dtype::S64) => TensorData::S64(vector(data, elements)),
            Some(Dtype::F16) => TensorData::F16(vector(data, elements)),
            Some(Dtype::Bf16) => TensorData::Bf16(vector(data, elements)),
            Some(Dtype::F32) => TensorData::F32(vector(data, elements)),
            Some(Dtype::F64) => TensorData::F64(vector(data, elements)),
            None => return Err(format!("elements of type {kind} were not declared")),
        };
        Tensor::new(&shape, data).ok_or_else(|| "the data does not fill its shape".to_owned())
    }
}

/// Copies `elements` elements.
fn vector<T: Copy>(data: *const c_void, elements: usize) -> Vec<T> {
    if elements == 0 || data.is_null() {
        return Vec::new();
    }
    // SAFETY: OpenVINO aligns its tensors to 64 bytes, and their shape and element type define the number of elements.
    unsafe { std::slice::from_raw_parts(data.cast::<T>(), elements) }.to_vec()
}
