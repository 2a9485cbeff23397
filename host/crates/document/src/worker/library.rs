//! pdfium, loaded once per worker process.
//!
//! Uses the C interface through pdfium-render's bindings: the crate's object-per-character wrappers cost more than the
//! text layer itself. Handles are untyped pointers here, because the crate does not export the C types; `pdf` gives
//! each one an owner.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::path::Path;

use pdfium_render::prelude::{Pdfium, PdfiumLibraryBindings};

/// `FPDFBitmap_BGR`: three bytes per pixel. With the byte order reversed it holds red, green, blue.
pub(super) const FORMAT_BGR: c_int = 2;

/// An untyped pdfium handle.
pub(super) type Handle = *mut c_void;

/// The library. A worker has one thread, which satisfies pdfium's thread-safety rules.
#[derive(Clone, Copy)]
pub(crate) struct Library {
    pub(crate) c: &'static dyn PdfiumLibraryBindings,
}

/// `FPDF_LIBRARY_CONFIG`, version 2 (public/fpdfview.h).
#[repr(C)]
struct LibraryConfig {
    version: c_int,
    user_font_paths: *mut *const c_char,
    isolate: *mut c_void,
    v8_embedder_slot: c_uint,
}

impl Library {
    /// Loads and initializes the library in `file`. At most once per process.
    pub(crate) fn load(file: &Path) -> Result<Library, String> {
        let bindings = Pdfium::bind_to_library(file)
            .map_err(|e| format!("loading {}: {e:?}; run `cargo xtask setup`", file.display()))?;
        // pdfium stays loaded until the process ends.
        let c: &'static dyn PdfiumLibraryBindings = Box::leak(bindings);
        // An empty list of font folders: pages look the same on every machine, and pdfium has no reason to open a file.
        // Fonts that a PDF does not embed are replaced by pdfium's built-in ones.
        let mut no_paths: [*const c_char; 1] = [std::ptr::null()];
        let config = LibraryConfig {
            version: 2,
            user_font_paths: no_paths.as_mut_ptr(),
            isolate: std::ptr::null_mut(),
            v8_embedder_slot: 0,
        };
        // SAFETY: layout and version match the header; pdfium copies the list during the call.
        unsafe { c.FPDF_InitLibraryWithConfig((&raw const config).cast()) };
        Ok(Library { c })
    }
}
