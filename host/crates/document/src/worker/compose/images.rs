//! A PDF whose pages are pictures, with invisible text.
//!
//! A JPEG is embedded as it is, and so is the compressed data of a PNG without transparency. The pixels of every other
//! picture are compressed without loss. A page has the size of the picture at its resolution.

use std::io::Write;

use lector_core::PdfStandard;
use lopdf::{Dictionary, Document, Object, ObjectId, dictionary};

use super::archival;
use super::glyphs::{Glyphs, add, compressed, full};
use super::picture::Picture;
use super::text::{FONT_RESOURCE, ToPage};
use crate::faults::Refusal;

/// Longest side of a page in units (ISO 32000-1, annex C); longer pages have a larger unit.
const SIDE_UNITS_MAX: f64 = 14_400.0;
const POINTS_PER_INCH: f64 = 72.0;

/// Pictures that become a PDF.
pub(super) struct Images {
    file: Document,
    tree: ObjectId,
    pages: Vec<ObjectId>,
    font: ObjectId,
    standard: PdfStandard,
}

/// A page in its own units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sheet {
    width: f64,
    height: f64,
    /// Points of a unit.
    unit: f64,
}

impl Sheet {
    /// Returns the sheet of a picture of `width` x `height` pixels, as displayed.
    pub(super) fn of(width: u32, height: u32, dpi: f32) -> Self {
        let points = |pixels: u32| f64::from(pixels) * POINTS_PER_INCH / f64::from(dpi);
        let (width, height) = (points(width), points(height));
        let unit = (width.max(height) / SIDE_UNITS_MAX).ceil().max(1.0);
        Self { width: width / unit, height: height / unit, unit }
    }
}

impl ToPage for Sheet {
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (x * self.width, (1.0 - y) * self.height)
    }
}

impl Images {
    pub(super) fn new(standard: PdfStandard) -> Result<Self, Refusal> {
        let mut file = Document::with_version("1.6");
        let tree = file.try_new_object_id().map_err(full)?;
        let font = file.try_new_object_id().map_err(full)?;
        let mut catalog = dictionary! { "Type" => "Catalog", "Pages" => tree };
        if standard == PdfStandard::A2b {
            for (entry, object) in archival::entries(&mut file, None)? {
                catalog.set(entry, object);
            }
        }
        let catalog = add(&mut file, catalog)?;
        file.trailer.set("Root", catalog);
        let info = add(&mut file, dictionary! { "Producer" => Object::string_literal(archival::PRODUCER) })?;
        file.trailer.set("Info", info);
        Ok(Self { file, tree, pages: Vec::new(), font, standard })
    }

    /// Adds the next page.
    pub(super) fn add(
        &mut self,
        picture: Picture,
        sheet: &Sheet,
        text: Option<Vec<u8>>,
    ) -> Result<(), Refusal> {
        if self.standard == PdfStandard::A2b && !archival::fits(sheet.width, sheet.height) {
            let reason = "PDF/A-2b has no page whose side is below 3 or above 14,400 units".to_owned();
            return Err(Refusal::NotComposable { reason });
        }
        let Picture { entries, data, placing, palette } = picture;
        let mut entries = entries;
        entries.set("Type", "XObject");
        entries.set("Subtype", "Image");
        if let Some(palette) = palette {
            let colors = palette.len() as i64 / 3 - 1;
            let palette = add(&mut self.file, compressed(Dictionary::new(), palette)?)?;
            let space: [Object; 4] = ["Indexed".into(), "DeviceRGB".into(), colors.into(), palette.into()];
            entries.set("ColorSpace", space.to_vec());
        }
        let image = add(&mut self.file, lopdf::Stream::new(entries, data).with_compression(false))?;
        let matrix = placing.map(|(by, of_width)| by * if of_width { sheet.width } else { sheet.height });
        let matrix = matrix.map(|value| format!("{value:.4}")).join(" ");
        let mut content = text.unwrap_or_default();
        content.extend(format!("q\n{matrix} cm\n/Page Do\nQ\n").bytes());
        let content = add(&mut self.file, compressed(Dictionary::new(), content)?)?;
        let mut page = dictionary! {
            "Type" => "Page",
            "Parent" => self.tree,
            "MediaBox" => vec![0.into(), 0.into(), real(sheet.width), real(sheet.height)],
            "Contents" => content,
            "Resources" => dictionary! {
                "XObject" => dictionary! { "Page" => image },
                "Font" => dictionary! { FONT_RESOURCE => self.font },
            },
        };
        if sheet.unit > 1.0 {
            page.set("UserUnit", real(sheet.unit));
        }
        let page = add(&mut self.file, page)?;
        self.pages.push(page);
        Ok(())
    }

    /// Writes the file.
    pub(super) fn write(mut self, glyphs: &Glyphs, out: &mut impl Write) -> Result<(), Refusal> {
        glyphs.write(&mut self.file, self.font)?;
        let kids: Vec<Object> = self.pages.iter().map(|page| Object::Reference(*page)).collect();
        let count = kids.len() as i64;
        let tree = dictionary! { "Type" => "Pages", "Kids" => kids, "Count" => count };
        self.file.set_object(self.tree, tree);
        if self.standard == PdfStandard::A2b {
            // All streams: pictures, texts.
            let streams = self.file.objects.values().filter_map(|object| object.as_stream().ok());
            let content: Vec<u8> = streams.flat_map(|stream| stream.content.iter().copied()).collect();
            self.file.trailer.set("ID", archival::identifier(&content));
        }
        let written = self.file.save_to(out);
        written.map_err(|error| Refusal::MemoryExceeded { detail: format!("writing the file: {error}") })
    }
}

/// Returns a number with four decimals.
fn real(value: f64) -> Object {
    Object::Real(((value * 1e4).round() / 1e4) as f32)
}
