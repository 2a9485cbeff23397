//! Searchable PDFs: a document with its text, invisibly, where the words are.
//!
//! A PDF gets an update at its end (`append`); the pictures of another file become pages (`images`). The text comes from
//! the document model by way of the host, page by page; here it is placed on the page that pdfium displays. Owns all uses
//! of `lopdf`, which parses bytes of the document, so it runs in the worker process like every other parser.

mod append;
mod archival;
mod glyphless;
mod glyphs;
mod images;
mod picture;
mod text;

use std::io::{self, Write};

use lector_core::{PageText, PdfStandard, TextLayer, WordText};

use super::document::{Document, internal};
use super::pdf::{self, PageSpace};
use super::raster;
use crate::faults::Refusal;
use append::{Append, Unsuitable};
use glyphs::Glyphs;
use images::{Images, Sheet};
use text::{FONT_RESOURCE, ToPage};

/// A PDF in progress.
pub(super) struct Composer {
    glyphs: Glyphs,
    form: Form,
    password: Option<String>,
    standard: PdfStandard,
}

#[allow(clippy::large_enum_variant, reason = "a worker composes one file at a time")]
enum Form {
    Append(Box<Append>),
    Images(Images),
}

impl Composer {
    /// Begins the PDF of a document.
    pub(super) fn begin(
        document: &Document,
        password: Option<String>,
        standard: PdfStandard,
    ) -> Result<Self, Refusal> {
        let form = match document {
            Document::Pdf(pdf) => {
                let mut file = updatable(pdf, password.as_deref())?;
                if standard == PdfStandard::A2b {
                    file.conform(pdf.is_encrypted())?;
                }
                Form::Append(Box::new(file))
            }
            Document::Raster(_) => Form::Images(Images::new(standard)?),
        };
        Ok(Self { glyphs: Glyphs::default(), form, password, standard })
    }

    /// Adds the text of a page; for pictures, the page.
    pub(super) fn page(&mut self, document: &mut Document, text: &PageText) -> Result<(), Refusal> {
        match (&mut self.form, document) {
            (Form::Append(file), Document::Pdf(pdf)) => {
                if text.words.is_empty() {
                    return Ok(());
                }
                let space = pdf.space(text.index)?;
                // Without it, words that the page contains cannot be told apart, and are written again.
                let layer = pdf.text_layer(text.index).unwrap_or_default();
                let known = KnownWords::of(&layer, text, space.extent());
                let font = file.font_name(text.index)?;
                match text::content(text, &space, &mut self.glyphs, &font, |word| !known.contains(word)) {
                    Some(content) => file.add(text.index, content, &font),
                    None => Ok(()),
                }
            }
            (Form::Images(file), Document::Raster(pictures)) => {
                let picture = pictures.picture(text.index)?;
                let sheet = Sheet::of(picture.size.width, picture.size.height, picture.dpi);
                let content = text::content(text, &sheet, &mut self.glyphs, FONT_RESOURCE, |_| true);
                file.add(embedded(&picture, self.standard)?, &sheet, content)
            }
            _ => Err(internal("a document of another kind")),
        }
    }

    /// Writes the file to `out`, and returns its size. pdfium must find the same pages in it.
    pub(super) fn end(self, document: &Document, out: &mut [u8]) -> Result<u64, Refusal> {
        let mut target = Target { space: out, written: 0 };
        match self.form {
            Form::Append(file) => file.write(&self.glyphs, &mut target)?,
            Form::Images(file) => file.write(&self.glyphs, &mut target)?,
        }
        let Target { space, written } = target;
        if let Document::Pdf(pdf) = document {
            let found = pdf.pages_of(space.get(..written).unwrap_or_default(), self.password.as_deref());
            if found != Some(pdf.pages()) {
                let reason = "an addition would damage it".to_owned();
                return Err(Refusal::NotComposable { reason });
            }
        }
        Ok(written as u64)
    }
}

/// Returns a PDF that can be updated. One whose structure is damaged is written anew by pdfium first, unless it has
/// signatures, whose bytes that would change.
fn updatable(pdf: &pdf::Document, password: Option<&str>) -> Result<Append, Refusal> {
    let refused = |reason: &str| Refusal::NotComposable { reason: reason.to_owned() };
    if !pdf.may_be_changed() {
        return Err(refused(
            "its author does not permit changes; send it with the owner's password, or unprotected",
        ));
    }
    if pdf.is_certified() {
        return Err(refused("it is certified, and any change would break its certification"));
    }
    let damaged = match Append::of(pdf.bytes(), password, pdf.pages()) {
        Ok(file) => return Ok(file),
        Err(Unsuitable::Encrypted(reason)) => return Err(refused(&reason)),
        Err(Unsuitable::Damaged(reason)) => reason,
    };
    if pdf.is_signed() {
        return Err(refused("it is damaged and has signatures, which a repair would break"));
    }
    if pdf.is_encrypted() {
        return Err(refused(&format!("it is encrypted and {damaged}")));
    }
    match Append::of(&pdf.rewritten()?, None, pdf.pages()) {
        Ok(file) => Ok(file),
        Err(Unsuitable::Damaged(reason) | Unsuitable::Encrypted(reason)) => Err(refused(&reason)),
    }
}

/// Returns a picture in the form in which a PDF contains it.
fn embedded(picture: &raster::Picture<'_>, standard: PdfStandard) -> Result<picture::Picture, Refusal> {
    use crate::kind::Kind;
    let whole = match picture.kind {
        Kind::Jpeg => picture::jpeg(picture.bytes, picture.orientation),
        Kind::Png => picture::png(picture.bytes, picture.orientation),
        _ => None,
    };
    // PDF/A has one profile of colors here, and it is not CMYK's.
    let whole = whole.filter(|whole| standard == PdfStandard::Own || !whole.is_cmyk());
    match whole {
        Some(whole) => Ok(whole),
        None => picture::pixels(&picture.pixels()?),
    }
}

impl ToPage for PageSpace {
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let (width, height) = self.extent();
        let (x, y) = self.point_of_page((x * f64::from(width)) as f32, (y * f64::from(height)) as f32);
        (f64::from(x), f64::from(y))
    }
}

/// The words that a page contains already, with their places in points as displayed.
struct KnownWords<'a> {
    words: std::collections::HashMap<String, Vec<&'a lector_core::Rect>>,
    /// Points of a pixel of the page image.
    points: (f32, f32),
}

impl<'a> KnownWords<'a> {
    fn of(layer: &'a TextLayer, text: &PageText, extent: (f32, f32)) -> Self {
        let mut words: std::collections::HashMap<String, Vec<&lector_core::Rect>> = Default::default();
        for span in &layer.spans {
            words.entry(span.text.to_lowercase()).or_default().push(&span.area);
        }
        let points = (extent.0 / text.size.width.max(1) as f32, extent.1 / text.size.height.max(1) as f32);
        Self { words, points }
    }

    /// Returns whether the page has the same word at the middle of this one.
    fn contains(&self, word: &WordText) -> bool {
        let Some(places) = self.words.get(&word.text.to_lowercase()) else { return false };
        let bounds = word.quad.bounds();
        let x = (bounds.x + bounds.width / 2.0) * self.points.0;
        let y = (bounds.y + bounds.height / 2.0) * self.points.1;
        // The box of a word of the text layer may be flatter than its letters.
        let within = |area: &&&lector_core::Rect| {
            let slack = area.height / 2.0;
            x >= area.x
                && x <= area.x + area.width
                && y >= area.y - slack
                && y <= area.y + area.height + slack
        };
        places.iter().any(|area| within(&area))
    }
}

/// A writer into memory of a fixed size.
struct Target<'a> {
    space: &'a mut [u8],
    written: usize,
}

impl Write for Target<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let space = self.space.get_mut(self.written..).unwrap_or_default();
        let taken = bytes.len().min(space.len());
        if let (Some(to), Some(from)) = (space.get_mut(..taken), bytes.get(..taken)) {
            to.copy_from_slice(from);
        }
        self.written += taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
