//! A page image in host memory.

use std::sync::Arc;

use crate::geometry::Size;

/// RGB pixels, 8 bits a channel, rows from the top without padding. Cheap to clone; never changes.
#[derive(Clone, Debug)]
pub struct Image {
    size: Size,
    rgb: Arc<Vec<u8>>,
}

impl Image {
    /// An image of `size` from `width * height * 3` bytes; `None` where the number of bytes is another
    /// or an extent is 0.
    pub fn from_rgb(size: Size, rgb: Vec<u8>) -> Option<Self> {
        let expected = size.pixels().checked_mul(3)?;
        (size.pixels() > 0 && rgb.len() as u64 == expected).then(|| Self { size, rgb: Arc::new(rgb) })
    }

    /// Extent in pixels; never 0.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The pixels: red, green, blue, row by row.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.rgb.len() as u64
    }
}
