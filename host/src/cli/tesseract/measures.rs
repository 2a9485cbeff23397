//! Coordinates in the pixels of the image that the caller has.
//!
//! A large image may be read at a lower resolution. Callers of tesseract cut their own image by the boxes, so the boxes
//! are scaled to it.

use lector_core::{Point, Quad, Size, Transcript};

use super::transcripts::{Document, pages_mut};

/// Difference of the ratios of width to height up to which two images show the same page.
const RATIO_TOLERANCE: f32 = 0.01;

/// Scales each page to the size of its image, where that is known, and sets the resolution that was stated.
///
/// `sizes` holds the size of each page's image. An image whose ratio differs (turned by its EXIF tag) stays as it was read.
pub(super) fn scale(document: &mut Document, sizes: &[Option<Size>], dpi: Option<f32>) {
    for (page, size) in pages_mut(document).zip(sizes) {
        if let Some(size) = size {
            scale_page(page, *size);
        }
    }
    if let Some(dpi) = dpi {
        pages_mut(document).for_each(|page| page.dpi = dpi);
    }
}

fn scale_page(page: &mut Transcript, size: Size) {
    let ratio = |to: u32, from: u32| to as f32 / from.max(1) as f32;
    let (by_x, by_y) = (ratio(size.width, page.size.width), ratio(size.height, page.size.height));
    if page.size == size || (by_x / by_y - 1.0).abs() > RATIO_TOLERANCE {
        return;
    }
    let place = |quad: &mut Quad| {
        quad.0 = quad.0.map(|point| Point { x: point.x * by_x, y: point.y * by_y });
    };
    for line in &mut page.lines {
        place(&mut line.quad);
        line.words.iter_mut().for_each(|word| place(&mut word.quad));
    }
    for block in &mut page.blocks {
        place(&mut block.quad);
        let cells = block.table.as_mut().map(|table| &mut table.cells);
        cells.into_iter().flatten().for_each(|cell| place(&mut cell.quad));
    }
    page.dpi *= by_x;
    page.size = size;
}

/// Returns the size that the header of an image states; `None` for other files.
pub(super) fn size_of(bytes: &[u8]) -> Option<Size> {
    let size = imagesize::blob_size(bytes).ok()?;
    Some(Size { width: u32::try_from(size.width).ok()?, height: u32::try_from(size.height).ok()? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::transcripts::document;
    use super::super::transcripts::tests::{blank, line, quad};
    use super::*;

    #[test]
    fn boxes_are_in_the_pixels_of_the_image() {
        let mut page = blank();
        page.lines = vec![line("a", quad(10.0, 20.0, 30.0, 10.0), 0)];
        let scaled = |size: (u32, u32), dpi| {
            let mut read = document(None, vec![page.clone()]);
            scale(&mut read, &[Some(Size { width: size.0, height: size.1 })], dpi);
            pages_mut(&mut read).next().unwrap().clone()
        };
        let twice = scaled((400, 200), None);
        assert_eq!((twice.size, twice.dpi), (Size { width: 400, height: 200 }, 144.0));
        assert_eq!(twice.lines[0].quad, quad(20.0, 40.0, 60.0, 20.0));
        assert_eq!(scaled((200, 100), None), page);
        // Turned by its EXIF tag.
        assert_eq!(scaled((100, 200), None), page);
        assert_eq!(scaled((400, 200), Some(300.0)).dpi, 300.0);
    }

    #[test]
    fn headers_of_images_state_their_size() {
        let png = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/line.png")).unwrap();
        assert!(size_of(&png).is_some_and(|size| size.width > size.height));
        assert_eq!(size_of(b"%PDF-1.7"), None);
        assert_eq!(size_of(b""), None);
    }
}
