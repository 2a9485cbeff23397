//! libtesseract's C interface, as far as it is used; functions are resolved when the library is loaded.
//!
//! Written from `tesseract/capi.h` of version 5.3. The crates that bind it link against it when they are built, and need
//! its headers and those of leptonica there.

use std::ffi::{c_char, c_float, c_int, c_uchar, c_void};
use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

/// `BOOL`; 0: false.
pub(super) type Bool = c_int;

/// `OEM_LSTM_ONLY`.
pub(super) const LSTM_ONLY: c_int = 1;
/// `OEM_TESSERACT_ONLY`, the engine of script detection.
pub(super) const TESSERACT_ONLY: c_int = 0;
/// `PSM_OSD_ONLY`.
pub(super) const SCRIPT_ONLY: c_int = 0;
/// `PSM_SINGLE_LINE`.
pub(super) const SINGLE_LINE: c_int = 7;
/// `RIL_TEXTLINE` and `RIL_WORD`.
pub(super) const TEXTLINE: c_int = 2;
pub(super) const WORD: c_int = 3;

/// Opaque types of the library, used only by pointer.
macro_rules! opaque {
    ($($name:ident)*) => {$(
        #[repr(C)]
        pub(super) struct $name {
            _private: [u8; 0],
        }
    )*};
}

opaque! { BaseApi ResultIterator PageIterator }

macro_rules! functions {
    ($($name:ident = $symbol:literal($($argument:ty),*) $(-> $answer:ty)?;)*) => {
        /// The functions in use.
        pub(super) struct Api {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $answer)?,)*
            _library: Library,
        }

        impl Api {
            fn find(library: Library) -> Result<Self, String> {
                Ok(Self {
                    // SAFETY: the types are those of the header.
                    $($name: *unsafe { library.get(concat!($symbol, "\0").as_bytes()) }
                        .map_err(|_| concat!("it has no function ", $symbol).to_owned())?,)*
                    _library: library,
                })
            }
        }
    };
}

functions! {
    create = "TessBaseAPICreate"() -> *mut BaseApi;
    delete = "TessBaseAPIDelete"(*mut BaseApi);
    init = "TessBaseAPIInit2"(*mut BaseApi, *const c_char, *const c_char, c_int) -> c_int;
    set_variable = "TessBaseAPISetVariable"(*mut BaseApi, *const c_char, *const c_char) -> Bool;
    set_mode = "TessBaseAPISetPageSegMode"(*mut BaseApi, c_int);
    set_image = "TessBaseAPISetImage"(*mut BaseApi, *const c_uchar, c_int, c_int, c_int, c_int);
    set_resolution = "TessBaseAPISetSourceResolution"(*mut BaseApi, c_int);
    recognize = "TessBaseAPIRecognize"(*mut BaseApi, *mut c_void) -> c_int;
    detect_script = "TessBaseAPIDetectOrientationScript"(
        *mut BaseApi, *mut c_int, *mut c_float, *mut *const c_char, *mut c_float) -> Bool;
    iterator = "TessBaseAPIGetIterator"(*mut BaseApi) -> *mut ResultIterator;
    clear = "TessBaseAPIClear"(*mut BaseApi);
    iterator_delete = "TessResultIteratorDelete"(*mut ResultIterator);
    iterator_next = "TessResultIteratorNext"(*mut ResultIterator, c_int) -> Bool;
    iterator_text = "TessResultIteratorGetUTF8Text"(*const ResultIterator, c_int) -> *mut c_char;
    iterator_confidence = "TessResultIteratorConfidence"(*const ResultIterator, c_int) -> c_float;
    iterator_page = "TessResultIteratorGetPageIterator"(*mut ResultIterator) -> *mut PageIterator;
    begins = "TessPageIteratorIsAtBeginningOf"(*const PageIterator, c_int) -> Bool;
    bounding_box = "TessPageIteratorBoundingBox"(
        *const PageIterator, c_int, *mut c_int, *mut c_int, *mut c_int, *mut c_int) -> Bool;
    delete_text = "TessDeleteText"(*const c_char);
}

/// Loads the library from `path`. The libraries that it needs are found through `LD_LIBRARY_PATH`.
pub(super) fn load(path: &Path) -> Result<Api, String> {
    // SAFETY: its initializers are those of C++ libraries; the caller names a file that the operator installed.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    Api::find(library.map_err(|error| error.to_string())?)
}
