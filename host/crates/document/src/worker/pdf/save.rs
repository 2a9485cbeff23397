//! What pdfium says about changing a PDF, and the copy that it writes.

use std::ffi::{c_int, c_uint, c_ulong, c_void};

use super::Document;
use crate::faults::Refusal;

/// The permission to change the content (ISO 32000-1, table 22, bit 4).
const MAY_CHANGE: c_ulong = 1 << 3;
/// A certification that forbids every change (ISO 32000-1, table 254).
const NO_CHANGES: c_uint = 1;
/// Most signatures that are looked at.
const SIGNATURES_MAX: c_int = 1024;
/// `FPDF_NO_INCREMENTAL`: the whole document is written.
const WHOLE: c_ulong = 2;

/// `FPDF_FILEWRITE`, followed by the bytes written.
#[repr(C)]
struct FileWrite {
    version: c_int,
    write_block: unsafe extern "C" fn(*mut FileWrite, *const c_void, c_ulong) -> c_int,
    bytes: Vec<u8>,
}

/// Appends a block; pdfium calls it with the structure that it was given.
unsafe extern "C" fn write_block(file: *mut FileWrite, block: *const c_void, length: c_ulong) -> c_int {
    let Ok(length) = usize::try_from(length) else { return 0 };
    if length == 0 {
        return 1;
    }
    // SAFETY: pdfium passes the pointer that `rewritten` gave it, during that call, and `length` readable bytes.
    let (file, block) = unsafe { (&mut *file, std::slice::from_raw_parts(block.cast::<u8>(), length)) };
    file.bytes.extend_from_slice(block);
    1
}

impl Document {
    /// Returns the bytes of the file.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.bytes()
    }

    /// Returns whether the password, or the lack of one, permits changes of the content.
    pub(crate) fn may_be_changed(&self) -> bool {
        // SAFETY: the document is open.
        let permissions = unsafe { self.library.c.FPDF_GetDocPermissions(self.opened.document().cast()) };
        permissions & MAY_CHANGE != 0
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        // SAFETY: the document is open. -1 stands for a document without encryption.
        let revision =
            unsafe { self.library.c.FPDF_GetSecurityHandlerRevision(self.opened.document().cast()) };
        revision >= 0
    }

    pub(crate) fn is_signed(&self) -> bool {
        self.signatures() > 0
    }

    /// Returns whether a signature forbids every later change.
    pub(crate) fn is_certified(&self) -> bool {
        (0..self.signatures().min(SIGNATURES_MAX)).any(|index| {
            // SAFETY: the document is open, and the index below the number of signatures.
            let signature =
                unsafe { self.library.c.FPDF_GetSignatureObject(self.opened.document().cast(), index) };
            if signature.is_null() {
                return false;
            }
            // SAFETY: the signature is an object of the open document.
            let permission = unsafe { self.library.c.FPDFSignatureObj_GetDocMDPPermission(signature) };
            permission == NO_CHANGES
        })
    }

    fn signatures(&self) -> c_int {
        // SAFETY: the document is open.
        unsafe { self.library.c.FPDF_GetSignatureCount(self.opened.document().cast()) }
    }

    /// Returns the document as pdfium writes it: the same objects with a correct table.
    pub(crate) fn rewritten(&self) -> Result<Vec<u8>, Refusal> {
        let mut file = FileWrite { version: 1, write_block, bytes: Vec::new() };
        // SAFETY: the document is open; the structure begins as FPDF_FILEWRITE and outlives the call.
        let saved = unsafe {
            self.library.c.FPDF_SaveAsCopy(self.opened.document().cast(), (&raw mut file).cast(), WHOLE)
        };
        if saved == 0 {
            return Err(Refusal::NotComposable { reason: "it is damaged and cannot be repaired".into() });
        }
        Ok(file.bytes)
    }

    /// Returns the number of pages that pdfium finds in the bytes of a PDF; `None` where it cannot open it.
    pub(crate) fn pages_of(&self, bytes: &[u8], password: Option<&str>) -> Option<u32> {
        // SAFETY: the bytes outlive the handle, which is closed below.
        let handle = unsafe { self.library.c.FPDF_LoadMemDocument64(bytes, password) };
        if handle.is_null() {
            return None;
        }
        // SAFETY: the handle is open, and not used after it is closed.
        let pages = unsafe {
            let pages = self.library.c.FPDF_GetPageCount(handle);
            self.library.c.FPDF_CloseDocument(handle);
            pages
        };
        u32::try_from(pages).ok()
    }
}
