//! A page image in host memory.

use std::sync::Arc;

use crate::geometry::Size;

/// Layout of one pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// Three bytes: red, green, blue.
    Rgb8,
    /// One byte: luma.
    Gray8,
}

impl PixelFormat {
    /// Bytes of one pixel, which is the number of channels.
    pub fn bytes(self) -> usize {
        match self {
            PixelFormat::Rgb8 => 3,
            PixelFormat::Gray8 => 1,
        }
    }
}

/// An image of 8 bits per channel, rows from the top without padding. Cheap to clone; immutable.
#[derive(Clone, Debug)]
pub struct Image {
    size: Size,
    format: PixelFormat,
    samples: Arc<Vec<u8>>,
}

impl Image {
    /// Creates an image of `size` from `width * height * format.bytes()` bytes; `None` where the number of bytes
    /// differs or an extent is 0.
    pub fn new(format: PixelFormat, size: Size, samples: Vec<u8>) -> Option<Self> {
        let expected = size.pixels().checked_mul(format.bytes() as u64)?;
        (size.pixels() > 0 && samples.len() as u64 == expected).then(|| Self {
            size,
            format,
            samples: Arc::new(samples),
        })
    }

    /// Creates an RGB image from `width * height * 3` bytes; `None` as for [`new`](Self::new).
    pub fn from_rgb(size: Size, rgb: Vec<u8>) -> Option<Self> {
        Self::new(PixelFormat::Rgb8, size, rgb)
    }

    /// Returns the extent in pixels; never 0.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Returns the layout of a pixel.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Returns the samples, channel by channel within a pixel, row by row.
    pub fn samples(&self) -> &[u8] {
        &self.samples
    }

    /// Returns the number of bytes held.
    pub fn bytes(&self) -> u64 {
        self.samples.len() as u64
    }
}
