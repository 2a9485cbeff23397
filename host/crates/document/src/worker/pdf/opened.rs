//! The pdfium handles of one opened PDF: the document, its form filling environment, and the page loaded last.
//!
//! Called by `pdf`, which opens a document once to draw it and to read its text, and once more where the annotations of a
//! page have text: reading that text changes the page.

use std::ffi::c_int;

use crate::faults::Refusal;
use crate::worker::library::{Handle, Library};

/// One opened document. Its bytes outlive it.
pub(super) struct Opened {
    library: Library,
    handle: Handle,
    form: Option<Form>,
    page: Option<Page>,
}

/// The form filling environment, which is needed to draw the values of form fields.
struct Form {
    handle: Handle,
    /// `FPDF_FORMFILLINFO`: a version and some forty callbacks, all null. pdfium keeps the pointer.
    _info: Box<[u64; 64]>,
}

/// The page loaded last, kept because text and pixels of one page are requested together.
struct Page {
    index: u32,
    handle: Handle,
}

impl Opened {
    /// Opens a document.
    ///
    /// # Safety
    ///
    /// `bytes` must stay valid and unchanged until the result is dropped.
    pub(super) unsafe fn open(
        library: Library,
        bytes: &[u8],
        password: Option<&str>,
    ) -> Result<Self, Refusal> {
        // SAFETY: the caller keeps `bytes`.
        let handle: Handle = unsafe { library.c.FPDF_LoadMemDocument64(bytes, password) }.cast();
        if handle.is_null() {
            // SAFETY: no arguments; valid after a failed load.
            let error = unsafe { library.c.FPDF_GetLastError() };
            return Err(refusal(error, password.is_some()));
        }
        Ok(Self { library, handle, form: None, page: None })
    }

    /// Creates the form filling environment. Called once.
    pub(super) fn prepare_form(&mut self) {
        self.form = Form::of(self.library, self.handle);
    }

    pub(super) fn document(&self) -> Handle {
        self.handle
    }

    /// Returns the form filling environment of a document that has a form.
    pub(super) fn form(&self) -> Option<Handle> {
        self.form.as_ref().map(|form| form.handle)
    }

    /// Returns the page, loaded; `index` is in range.
    pub(super) fn page(&mut self, index: u32) -> Result<Handle, Refusal> {
        if let Some(page) = self.page.as_ref().filter(|page| page.index == index) {
            return Ok(page.handle);
        }
        self.unload();
        // SAFETY: the document is open and the index in range.
        let handle: Handle =
            unsafe { self.library.c.FPDF_LoadPage(self.handle.cast(), page_number(index)) }.cast();
        if handle.is_null() {
            return Err(Refusal::PageInvalid { index, detail: "pdfium cannot load the page".into() });
        }
        self.page = Some(Page { index, handle });
        if let Some(form) = &self.form {
            // SAFETY: both handles are open.
            unsafe { self.library.c.FORM_OnAfterLoadPage(handle.cast(), form.handle.cast()) };
        }
        Ok(handle)
    }

    /// Closes the page loaded last.
    pub(super) fn unload(&mut self) {
        let Some(page) = self.page.take() else { return };
        // SAFETY: the page is open and not used after this.
        unsafe {
            if let Some(form) = &self.form {
                self.library.c.FORM_OnBeforeClosePage(page.handle.cast(), form.handle.cast());
            }
            self.library.c.FPDF_ClosePage(page.handle.cast());
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.unload();
        // SAFETY: form and document are open and not used after this; the order is the one that the header requires.
        unsafe {
            if let Some(form) = self.form.take() {
                self.library.c.FPDFDOC_ExitFormFillEnvironment(form.handle.cast());
            }
            self.library.c.FPDF_CloseDocument(self.handle.cast());
        }
    }
}

impl Form {
    /// Creates the environment of a document that has a form; `None` for other documents.
    fn of(library: Library, document: Handle) -> Option<Form> {
        // SAFETY: the document is open.
        let kind = unsafe { library.c.FPDF_GetFormType(document.cast()) };
        if kind == 0 {
            return None;
        }
        let mut info = Box::new([0_u64; 64]);
        // The struct begins with the version, an int; 1 is the layout without XFA (public/fpdf_formfill.h).
        let [a, b, c, d] = 1_i32.to_ne_bytes();
        *info.first_mut()? = u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]);
        // SAFETY: 512 bytes, a version followed by zeros, are a valid FPDF_FORMFILLINFO without callbacks, larger than
        // the structure, and live in the box as long as the environment.
        let handle: Handle =
            unsafe { library.c.FPDFDOC_InitFormFillEnvironment(document.cast(), info.as_mut_ptr().cast()) }
                .cast();
        if handle.is_null() {
            return None;
        }
        // SAFETY: the environment is open. Fields are drawn as printed, without a highlight.
        unsafe { library.c.FPDF_SetFormFieldHighlightAlpha(handle.cast(), 0) };
        Some(Form { handle, _info: info })
    }
}

pub(super) fn page_number(index: u32) -> c_int {
    // Checked against the page count, which is a c_int.
    c_int::try_from(index).unwrap_or(c_int::MAX)
}

/// Converts `FPDF_GetLastError` after a failed load (public/fpdfview.h).
fn refusal(error: std::ffi::c_ulong, with_password: bool) -> Refusal {
    match error {
        4 if with_password => Refusal::PdfPasswordWrong,
        4 => Refusal::PdfPasswordRequired,
        5 => Refusal::PdfEncryption { detail: "unsupported security handler".into() },
        3 => Refusal::PdfInvalid { detail: "not in PDF format or corrupted".into() },
        other => Refusal::PdfInvalid { detail: format!("pdfium error {other}") },
    }
}
