//! A request of a compiled model as an engine.

use std::ffi::{CStr, CString, c_void};
use std::ptr::{NonNull, null_mut};

use lector_core::model::PortInfo;
use lector_core::{Dtype, Tensor, TensorData};

use super::api::{self, Api, Request, Shape};
use super::compiled::Compiled;
use super::ffi::{check, cstring, dtype, element, tensor_shape};
use crate::engine::Engine;

/// A request, which runs one input after another.
pub(crate) struct OpenVinoEngine {
    request: NonNull<Request>,
    /// Tensors of OpenVINO's own memory, of the smallest extents, by the name of the input. The request refers to them
    /// between two runs.
    idle: Vec<(CString, OvTensor)>,
    /// Outlives the request.
    model: Compiled,
}

// SAFETY: a request and its tensors may be used from any thread, by one at a time, which `&mut self` ensures.
unsafe impl Send for OpenVinoEngine {}

impl Drop for OpenVinoEngine {
    fn drop(&mut self) {
        // SAFETY: created from the model, freed once.
        unsafe { (self.model.api().ov_infer_request_free)(self.request.as_ptr()) };
    }
}

impl Compiled {
    /// Makes an engine that can run beside others of the same model.
    pub(crate) fn engine(&self) -> Result<OpenVinoEngine, String> {
        let api = self.api();
        let (inputs, _) = self.ports(&[])?;
        let idle = |port: &PortInfo| Ok((cstring(&port.name)?, OvTensor::smallest(api, port)?));
        let idle = inputs.iter().map(idle).collect::<Result<_, String>>()?;
        let mut request = null_mut();
        // SAFETY: the model is alive.
        check(api, unsafe { (api.ov_compiled_model_create_infer_request)(self.as_ptr(), &mut request) })?;
        let request = NonNull::new(request).ok_or_else(|| "OpenVINO returned no request".to_owned())?;
        Ok(OpenVinoEngine { request, idle, model: self.clone() })
    }
}

impl Engine for OpenVinoEngine {
    fn run(&mut self, inputs: &[(String, Tensor)], outputs: &[String]) -> Result<Vec<Tensor>, String> {
        let answer = self.infer(inputs, outputs);
        // The tensors of the inputs borrow the callers' memory, which may be freed after this call. Also after a failed
        // run no reference to it stays in the request.
        let released = self.release();
        let answer = answer?;
        released.map(|()| answer)
    }
}

impl OpenVinoEngine {
    fn infer(&mut self, inputs: &[(String, Tensor)], outputs: &[String]) -> Result<Vec<Tensor>, String> {
        let api = self.model.api();
        for (name, tensor) in inputs {
            // The request holds a reference of its own to the tensor.
            self.set(&cstring(name)?, &OvTensor::borrow(api, tensor)?)?;
        }
        // SAFETY: the request is alive and, by `&mut self`, not in use by other code; the memory of the inputs lives
        // through this call.
        check(api, unsafe { (api.ov_infer_request_infer)(self.request.as_ptr()) })?;
        outputs.iter().map(|name| self.output(name)).collect()
    }

    /// Replaces the tensors of all inputs by the request's own.
    fn release(&mut self) -> Result<(), String> {
        self.idle.iter().try_for_each(|(name, tensor)| self.set(name, tensor))
    }

    fn set(&self, name: &CStr, tensor: &OvTensor) -> Result<(), String> {
        let api = self.model.api();
        // SAFETY: request, name and tensor are alive.
        check(api, unsafe {
            (api.ov_infer_request_set_tensor)(self.request.as_ptr(), name.as_ptr(), tensor.ptr.as_ptr())
        })
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

    /// Makes a tensor of OpenVINO's own memory that an input takes, with an extent of 1 along variable axes.
    fn smallest(api: &'static Api, port: &PortInfo) -> Result<Self, String> {
        let mut extents: Vec<i64> = port.shape.iter().map(|&extent| extent.max(1)).collect();
        let rank = i64::try_from(extents.len()).unwrap_or(i64::MAX);
        let shape = Shape { rank, dims: extents.as_mut_ptr() };
        let mut made = null_mut();
        // SAFETY: the shape is copied by the call.
        check(api, unsafe { (api.ov_tensor_create)(element(port.dtype), shape, &mut made) })?;
        Self::new(api, made)
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
