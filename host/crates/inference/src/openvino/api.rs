//! OpenVINO's C interface, as far as it is used: types, and functions resolved when the library is loaded.
//!
//! Written from OpenVINO's own headers (`openvino/c/*.h`, version 2026.4). The crates that bind it are not used: the
//! high-level one can neither import a compiled model nor run on a tensor without a copy; the low-level one brings a
//! logger and a regular-expression engine into every build and panics where a function is missing.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::path::Path;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// `ov_status_e`; 0: success.
pub(super) type Status = c_int;
/// `ov_element_type_e`.
pub(super) type Element = c_uint;
/// Element types for which Lector has tensors.
pub(super) const BOOLEAN: Element = 1;
pub(super) const BF16: Element = 2;
pub(super) const F16: Element = 3;
pub(super) const F32: Element = 4;
pub(super) const F64: Element = 5;
pub(super) const I8: Element = 7;
pub(super) const I16: Element = 8;
pub(super) const I32: Element = 9;
pub(super) const I64: Element = 10;
pub(super) const U8: Element = 16;
pub(super) const U16: Element = 17;
pub(super) const U32: Element = 18;
pub(super) const U64: Element = 19;

/// Opaque types of the library, used only by pointer.
macro_rules! opaque {
    ($($name:ident)*) => {$(
        #[repr(C)]
        pub(super) struct $name {
            _private: [u8; 0],
        }
    )*};
}

opaque! { Core Model CompiledModel Request Tensor Port }

/// `ov_version_t`.
#[repr(C)]
pub(super) struct Version {
    pub(super) build_number: *const c_char,
    pub(super) description: *const c_char,
}

/// `ov_property_t`.
#[repr(C)]
pub(super) struct Property {
    pub(super) key: *const c_char,
    pub(super) value: *const c_void,
}

/// `ov_shape_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) rank: i64,
    pub(super) dims: *mut i64,
}

/// `ov_dimension_t`, and a rank.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Dimension {
    pub(super) min: i64,
    pub(super) max: i64,
}

/// `ov_partial_shape_t`.
#[repr(C)]
pub(super) struct PartialShape {
    pub(super) rank: Dimension,
    pub(super) dims: *mut Dimension,
}

macro_rules! functions {
    ($($name:ident($($argument:ty),*) $(-> $answer:ty)?;)*) => {
        /// The functions in use.
        #[allow(clippy::struct_field_names)]
        pub(super) struct Api {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $answer)?,)*
            _library: Library,
        }

        impl Api {
            fn find(library: Library) -> Result<Self, String> {
                Ok(Self {
                    // SAFETY: the types are those of the headers.
                    $($name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }
                        .map_err(|_| concat!("it has no function ", stringify!($name)).to_owned())?,)*
                    _library: library,
                })
            }
        }
    };
}

functions! {
    ov_get_openvino_version(*mut Version) -> Status;
    ov_version_free(*mut Version);
    ov_get_last_err_msg() -> *const c_char;
    ov_free(*const c_char);
    ov_core_create(*mut *mut Core) -> Status;
    ov_core_free(*mut Core);
    ov_core_set_properties(*const Core, *const c_char, usize, *const Property) -> Status;
    ov_core_read_model_from_memory_buffer(*const Core, *const c_char, usize, *const Tensor, *mut *mut Model) -> Status;
    ov_core_compile_model_props(*const Core, *const Model, *const c_char, usize, *const Property, *mut *mut CompiledModel) -> Status;
    ov_core_import_model(*const Core, *const c_char, usize, *const c_char, *mut *mut CompiledModel) -> Status;
    ov_model_free(*mut Model);
    ov_compiled_model_free(*mut CompiledModel);
    ov_compiled_model_inputs_size(*const CompiledModel, *mut usize) -> Status;
    ov_compiled_model_input_by_index(*const CompiledModel, usize, *mut *mut Port) -> Status;
    ov_compiled_model_output_by_name(*const CompiledModel, *const c_char, *mut *mut Port) -> Status;
    ov_compiled_model_export_model(*const CompiledModel, *const c_char) -> Status;
    ov_compiled_model_get_property(*const CompiledModel, *const c_char, *mut *mut c_char) -> Status;
    ov_compiled_model_create_infer_request(*const CompiledModel, *mut *mut Request) -> Status;
    ov_port_get_any_name(*const Port, *mut *mut c_char) -> Status;
    ov_port_get_element_type(*const Port, *mut Element) -> Status;
    ov_port_get_partial_shape(*const Port, *mut PartialShape) -> Status;
    ov_output_const_port_free(*mut Port);
    ov_partial_shape_free(*mut PartialShape);
    ov_shape_free(*mut Shape) -> Status;
    ov_infer_request_set_tensor(*mut Request, *const c_char, *const Tensor) -> Status;
    ov_infer_request_get_tensor(*const Request, *const c_char, *mut *mut Tensor) -> Status;
    ov_infer_request_infer(*mut Request) -> Status;
    ov_infer_request_free(*mut Request);
    ov_tensor_create(Element, Shape, *mut *mut Tensor) -> Status;
    ov_tensor_create_from_host_ptr(Element, Shape, *mut c_void, *mut *mut Tensor) -> Status;
    ov_tensor_get_shape(*const Tensor, *mut Shape) -> Status;
    ov_tensor_get_element_type(*const Tensor, *mut Element) -> Status;
    ov_tensor_data(*const Tensor, *mut *mut c_void) -> Status;
    ov_tensor_free(*mut Tensor);
}

static API: OnceLock<Api> = OnceLock::new();

/// Loads the library at `path`; the first one is kept for the life of the process.
pub(super) fn load(path: &Path) -> Result<&'static Api, String> {
    if let Some(api) = API.get() {
        return Ok(api);
    }
    // SAFETY: initializers of the library run, which the operator requests by naming its folder.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|e| e.to_string())?;
    let api = Api::find(library)?;
    Ok(API.get_or_init(|| api))
}
