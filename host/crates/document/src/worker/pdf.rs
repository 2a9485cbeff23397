//! A PDF opened by pdfium: page sizes, pixels, text.
//!
//! Called by `worker`.

mod annotations;
mod graphics;
mod layers;
mod opened;
mod rules;
mod save;
mod space;
mod text;

use std::ffi::c_int;

use lector_core::{LineSource, Size, TextLayer};

use crate::faults::Refusal;
use crate::shared::Mapping;
use crate::wire::{Limits, PageFacts};
use crate::worker::library::{FORMAT_BGR, Handle, Library};
use annotations::Annotated;
use opened::Opened;
pub(super) use space::PageSpace;

/// `FPDF_ANNOT | FPDF_REVERSE_BYTE_ORDER`.
const RENDER_FLAGS: c_int = 0x01 | 0x10;
const WHITE: u8 = 0xff;
/// Smallest reported side of a page, in points; prevents a division by zero for a degenerate box.
const SIDE_MIN_PT: f32 = 0.1;

pub(crate) struct Document {
    library: Library,
    opened: Opened,
    /// Opened again to read the text of annotations, which changes the pages.
    annotated: Option<Annotated>,
    pages: u32,
    limits: Limits,
    password: Option<String>,
    /// pdfium reads from here while the document is open; the last field, so dropped last.
    bytes: Mapping,
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
        let mut opened = unsafe { Opened::open(library, bytes.bytes(), password) }?;
        // SAFETY: the handle is open.
        let pages = unsafe { library.c.FPDF_GetPageCount(opened.document().cast()) };
        let pages = u32::try_from(pages).unwrap_or(0);
        if pages == 0 {
            return Err(Refusal::PdfNoPages);
        }
        opened.prepare_form();
        let password = password.map(str::to_owned);
        Ok(Self { library, opened, annotated: None, pages, limits, password, bytes })
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
                self.opened.document().cast(),
                opened::page_number(index),
                (&raw mut size).cast(),
            )
        };
        let finite = size.width.is_finite() && size.height.is_finite();
        if known == 0 || !finite {
            return Err(Refusal::PageInvalid { index, detail: "the page object cannot be loaded".into() });
        }
        Ok(PageFacts::Pdf { width_pt: size.width.max(SIDE_MIN_PT), height_pt: size.height.max(SIDE_MIN_PT) })
    }

    /// Reads the text that a viewer shows, without rendering: of the page, of its form fields, of its annotations.
    pub(crate) fn text_layer(&mut self, index: u32) -> Result<TextLayer, Refusal> {
        let (library, limits) = (self.library, self.limits);
        let page = self.load(index)?;
        let space = PageSpace::of(library, page);
        layers::deactivate_hidden(library, page, &space);
        let (mut spans, unmapped) =
            text::spans(library, page, &space, (index, limits), LineSource::TextLayer)?;
        let (pictures, rules) = graphics::of(library, page, &space);
        if annotations::may_have_text(library, page) {
            let words_max = limits.text_words_max;
            spans.extend(self.annotated(index)?.spans(index, &space, limits)?);
            if spans.len() > words_max as usize {
                return Err(Refusal::PageTooManyWords { words_max });
            }
        }
        Ok(TextLayer { spans, pictures, unmapped, rules })
    }

    fn annotated(&mut self, index: u32) -> Result<&mut Annotated, Refusal> {
        let annotated = match self.annotated.take().filter(|annotated| annotated.can_read(index)) {
            Some(annotated) => annotated,
            // SAFETY: `bytes` is a field of this document, declared after the one that keeps the result.
            None => unsafe { Annotated::open(self.library, self.bytes.bytes(), self.password.as_deref()) }?,
        };
        Ok(self.annotated.insert(annotated))
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
            if let Some(form) = self.opened.form() {
                library.c.FPDF_FFLDraw(
                    form.cast(),
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
        self.opened.page(index)
    }
}
