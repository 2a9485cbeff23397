//! Conversions from C: statuses, strings, ports, shapes.

use std::ffi::{CStr, CString, c_char};
use std::ptr::null_mut;

use lector_core::Dtype;
use lector_core::model::PortInfo;

use super::api::{self, Api, Dimension, Element, PartialShape, Port, Shape, Status, Tensor};

/// Turns a status into a result, with OpenVINO's own message where it has one.
pub(super) fn check(api: &Api, status: Status) -> Result<(), String> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: the library is loaded, because there is a status; the text belongs to the library and stays valid.
    let text = copied(unsafe { (api.ov_get_last_err_msg)() }).filter(|text| !text.trim().is_empty());
    Err(match text {
        Some(text) => format!("OpenVINO: {}", text.trim()),
        None => format!("OpenVINO: status {status}"),
    })
}

/// Copies a C string; `None` for a null pointer.
pub(super) fn copied(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, and the callers pass strings of the library that are alive and end with a null.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

pub(super) fn cstring(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("{text:?} holds a null character"))
}

/// Returns the description of a port; frees the port.
pub(super) fn port(api: &Api, port: *mut Port, name: Option<&str>) -> Result<PortInfo, String> {
    let described = describe(api, port, name);
    // SAFETY: the library gave it to the caller, which does not use it afterwards.
    unsafe { (api.ov_output_const_port_free)(port) };
    described
}

fn describe(api: &Api, port: *const Port, name: Option<&str>) -> Result<PortInfo, String> {
    let name = match name {
        Some(name) => name.to_owned(),
        None => {
            let mut text = null_mut();
            // SAFETY: the port is alive; the text is copied and then freed by the library's own function.
            check(api, unsafe { (api.ov_port_get_any_name)(port, &mut text) })?;
            let name = copied(text);
            // SAFETY: returned by the call above, freed once.
            unsafe { (api.ov_free)(text) };
            name.ok_or_else(|| "a port without a name".to_owned())?
        }
    };
    let mut element = u32::MAX;
    // SAFETY: the port is alive; the output pointer is valid.
    check(api, unsafe { (api.ov_port_get_element_type)(port, &mut element) })?;
    let dtype = dtype(element).ok_or_else(|| {
        format!("`{name}` has elements of OpenVINO's type {element}, which the guest contract does not have")
    })?;
    Ok(PortInfo { shape: partial_shape(api, port)?, name, dtype })
}

pub(super) fn dtype(element: Element) -> Option<Dtype> {
    Dtype::ALL.iter().copied().find(|dtype| self::element(*dtype) == element)
}

pub(super) fn element(dtype: Dtype) -> Element {
    match dtype {
        Dtype::Bool => api::BOOLEAN,
        Dtype::U8 => api::U8,
        Dtype::S8 => api::I8,
        Dtype::U16 => api::U16,
        Dtype::S16 => api::I16,
        Dtype::U32 => api::U32,
        Dtype::S32 => api::I32,
        Dtype::U64 => api::U64,
        Dtype::S64 => api::I64,
        Dtype::F16 => api::F16,
        Dtype::Bf16 => api::BF16,
        Dtype::F32 => api::F32,
        Dtype::F64 => api::F64,
    }
}

/// Returns the extents, -1 where they are variable.
fn partial_shape(api: &Api, port: *const Port) -> Result<Vec<i64>, String> {
    let rank = Dimension { min: 0, max: 0 };
    let mut shape = PartialShape { rank, dims: null_mut() };
    // SAFETY: the port is alive; the output pointer is valid, and its content is freed below.
    check(api, unsafe { (api.ov_port_get_partial_shape)(port, &mut shape) })?;
    let fixed = shape.rank.min == shape.rank.max && !shape.dims.is_null();
    let extents = usize::try_from(shape.rank.min).ok().filter(|_| fixed).map(|rank| {
        // SAFETY: a fixed rank is the number of dimensions behind the pointer.
        let dimensions = unsafe { std::slice::from_raw_parts(shape.dims, rank) };
        dimensions.iter().map(|d| if d.min == d.max { d.min } else { -1 }).collect()
    });
    // SAFETY: filled by the call above, freed once.
    unsafe { (api.ov_partial_shape_free)(&mut shape) };
    extents.ok_or_else(|| "a port without a fixed rank".to_owned())
}

/// Returns the extents of a tensor.
pub(super) fn tensor_shape(api: &Api, tensor: *const Tensor) -> Result<Vec<usize>, String> {
    let mut shape = Shape { rank: 0, dims: null_mut() };
    // SAFETY: the tensor is alive; the output pointer is valid, and its content is freed below.
    check(api, unsafe { (api.ov_tensor_get_shape)(tensor, &mut shape) })?;
    let rank = usize::try_from(shape.rank).unwrap_or(0);
    let extents = if rank == 0 || shape.dims.is_null() {
        Vec::new()
    } else {
        // SAFETY: the rank is the number of extents behind the pointer.
        let dims = unsafe { std::slice::from_raw_parts(shape.dims, rank) };
        dims.iter().map(|&extent| usize::try_from(extent).unwrap_or(0)).collect()
    };
    // SAFETY: filled by the call above, freed once. It cannot fail on such a shape.
    let _ = unsafe { (api.ov_shape_free)(&mut shape) };
    Ok(extents)
}
