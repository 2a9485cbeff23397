//! A PDF opened by pdfium: page sizes, pixels, text.
//!
//! Owns the handles of one document. Called by `worker`.

mod pictures;
mod save;
mod space;
mod text;

use std::ffi::c_int;

use lector_core::{Size, TextLayer};

use crate::faults::Refusal;
use crate::shared::Mapping;
use crate::wire::{Limits, PageFacts};
use crate::worker::library::{Handle, Library};
pub(super) use space::PageSpace;

/// `FPDFBitmap_BGR`: three bytes per pixel. With the byte order reversed it holds red, green, blue.
const FORMAT_BGR: c_int = 2;
/// `FPDF_ANNOT | FPDF_REVERSE_BYTE_ORDER`.
const RENDER_FLAGS: c_int = 0x01 | 0x10;
const WHITE: u8 = 0xff;
/// Smallest reported side of a page, in points; prevents a division by zero for a degenerate box.
const SIDE_MIN_PT: f32 = 0.1;

pub(crate) struct Document {
    library: Library,
    handle: Handle,
    form: Option<Form>,
    page: Option<Page>,
    pages: u32,
    limits: Limits,
    /// pdfium reads from here while the document is open; the last field, so dropped last.
    bytes: Mapping,
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

/// `FS_SIZEF`.
#[repr(C)]
#[derive(Default)]
struct SizeF {
    width: f32,
    height: f32,
}

impl Document {
    pub(crate) fn open(
        library: &Library,
        bytes: Mapping,
        password: Option<&str>,
        limits: Limits,
    ) -> Result<Self, Refusal> {
        let library = *library;
        if password.is_some_and(|password| password.contains('\0')) {
            return Err(Refusal::PdfPasswordWrong);
        }
        // SAFETY: `bytes` is owned by the returned document, and is dropped after the handle is closed.
        let handle: Handle = unsafe { library.c.FPDF_LoadMemDocument64(bytes.bytes(), password) }.cast();
        if handle.is_null() {
            // SAFETY: no arguments; valid after a failed load.
            let error = unsafe { library.c.FPDF_GetLastError() };
            return Err(refusal(error, password.is_some()));
        }
        // SAFETY: the handle is open.
        let pages = unsafe { library.c.FPDF_GetPageCount(handle.cast()) };
        let pages = u32::try_from(pages).unwrap_or(0);
        let mut document = Self { library, handle, form: None, page: None, pages, limits, bytes };
        if pages == 0 {
            return Err(Refusal::PdfNoPages);
        }
        document.form = Form::of(library, handle);
        Ok(document)
    }

    pub(crate) fn pages(&self) -> u32 {
        self.pages
    }

    pub(crate) fn facts(&mut self, index: u32) -> Result<PageFacts, Refusal> {
        self.check(index)?;
        let mut size = SizeF::default();
        // SAFETY: the document is open, the index in range, and `SizeF` has the layout of FS_SIZEF.
        let known = unsafe {
            self.library.c.FPDF_GetPageSizeByIndexF(
                self.handle.cast(),
                page_number(index),
                (&raw mut size).cast(),
            )
        };
        let finite = size.width.is_finite() && size.height.is_finite();
        if known == 0 || !finite {
            return Err(Refusal::PageInvalid { index, detail: "the page object cannot be loaded".into() });
        }
        Ok(PageFacts::Pdf { width_pt: size.width.max(SIDE_MIN_PT), height_pt: size.height.max(SIDE_MIN_PT) })
    }

    pub(crate) fn text_layer(&mut self, index: u32) -> Result<TextLayer, Refusal> {
        let (library, limits) = (self.library, self.limits);
        let page = self.load(index)?;
        let space = PageSpace::of(library, page);
        let (spans, unmapped) = text::spans(library, page, &space, (index, limits))?;
        let pictures = pictures::of(library, page, &space);
        Ok(TextLayer { spans, pictures, unmapped })
    }

    /// Returns the visible box and the rotation of a page.
    pub(crate) fn space(&mut self, index: u32) -> Result<PageSpace, Refusal> {
        let library = self.library;
        Ok(PageSpace::of(library, self.load(index)?))
    }

    /// Draws the page into `rgb`, which holds exactly `size` pixels.
    pub(crate) fn render(&mut self, index: u32, size: Size, rgb: &mut [u8]) -> Result<(), Refusal> {
        let library = self.library;
        let page = self.load(index)?;
        let extent = (c_int::try_from(size.width), c_int::try_from(size.height));
        let (Ok(width), Ok(height)) = extent else {
            return Err(Refusal::Internal { detail: "a size beyond 31 bits".into() });
        };
        let stride = width.checked_mul(3);
        let stride = stride.ok_or_else(|| Refusal::Internal { detail: "a row beyond 31 bits".into() })?;
        rgb.fill(WHITE);
        // SAFETY: `rgb` holds height rows of stride bytes (the mapping was checked against the size) and outlives the
        // bitmap, which is destroyed below.
        let bitmap: Handle = unsafe {
            library.c.FPDFBitmap_CreateEx(width, height, FORMAT_BGR, rgb.as_mut_ptr().cast(), stride).cast()
        };
        if bitmap.is_null() {
            return Err(Refusal::MemoryExceeded { detail: format!("a bitmap of {width} x {height}") });
        }
        // SAFETY: bitmap, page and form are open handles of this document.
        unsafe {
            library.c.FPDF_RenderPageBitmap(bitmap.cast(), page.cast(), 0, 0, width, height, 0, RENDER_FLAGS);
            if let Some(form) = &self.form {
                library.c.FPDF_FFLDraw(
                    form.handle.cast(),
                    bitmap.cast(),
                    page.cast(),
                    0,
                    0,
                    width,
                    height,
                    0,
                    RENDER_FLAGS,
                );
            }
            library.c.FPDFBitmap_Destroy(bitmap.cast());
        }
        Ok(())
    }

    fn check(&self, index: u32) -> Result<(), Refusal> {
        (index < self.pages).then_some(()).ok_or(Refusal::PageOutOfRange { index, pages: self.pages })
    }

    fn load(&mut self, index: u32) -> Result<Handle, Refusal> {
        self.check(index)?;
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

    fn unload(&mut self) {
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

impl Drop for Document {
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

fn page_number(index: u32) -> c_int {
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
