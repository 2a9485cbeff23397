//! pdfium, loaded once per worker process.
//!
//! The C interface is used as it is, through pdfium-render's bindings: its object-per-character wrappers
//! cost more than the text layer itself. Handles are untyped pointers here, because the crate keeps the
//! names of the C types to itself; `pdf` gives each one an owner.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::path::Path;

use pdfium_render::prelude::{Pdfium, PdfiumLibraryBindings};

/// The library. There is one thread in a worker, which is the thread safety that pdfium asks for.
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
    /// Loads and initializes the library in `file`. May happen once in a process.
    pub(crate) fn load(file: &Path) -> Result<Library, String> {
        let bindings = Pdfium::bind_to_library(file)
            .map_err(|e| format!("loading {}: {e:?}; run `cargo xtask setup`", file.display()))?;
        // A worker lives as long as its process, and pdfium with it.
        let c: &'static dyn PdfiumLibraryBindings = Box::leak(bindings);
        // An empty list of font folders: pages look the same on every machine, and pdfium has no reason
        // to open a file. Fonts that a PDF does not embed are drawn with pdfium's built-in ones.
        let mut no_paths: [*const c_char; 1] = [std::ptr::null()];
        let config = LibraryConfig {
            version: 2,
            user_font_paths: no_paths.as_mut_ptr(),
            isolate: std::ptr::null_mut(),
            v8_embedder_slot: 0,
        };
        // SAFETY: layout and version are those of the header; pdfium copies the list during the call.
        unsafe { c.FPDF_InitLibraryWithConfig((&raw const config).cast()) };
        Ok(Library { c })
    }
}
