//! Why an image operation was refused. Every variant is the caller's doing but `Resize`.

use lector_core::{Blame, Fault, Kind};
use thiserror::Error;

/// An operation that cannot be done as asked.
#[derive(Debug, Error)]
pub enum PixelsError {
    /// A result without pixels.
    #[error("a size of {width} x {height} has no pixels; both extents must be 1 or more")]
    EmptySize {
        /// Columns asked for.
        width: u32,
        /// Rows asked for.
        height: u32,
    },
    /// A result, or what must be computed on the way to it, beyond all reason.
    #[error("{width} x {height} pixels are more than one operation may make; ask for less")]
    TooLarge {
        /// Columns.
        width: u64,
        /// Rows.
        height: u64,
    },
    /// A corner that is not a number, or infinitely far away.
    #[error("the quad has a corner that is not a finite number")]
    QuadNotFinite,
    /// A corner too far outside the image.
    #[error("the quad has a corner at ({x}, {y}), too far from an image of {width} x {height} pixels")]
    QuadTooFar {
        /// Its position.
        x: f32,
        /// Its position.
        y: f32,
        /// Columns of the image.
        width: u32,
        /// Rows of the image.
        height: u32,
    },
    /// Corners on one line, or in an order that makes the quad cross or fold itself.
    #[error("the quad is not convex or has no area; its corners must go round it in order")]
    QuadDegenerate,
    /// A mean or a standard deviation that makes no number.
    #[error("the normalization's mean and std must be finite and std not 0")]
    NormalizationInvalid,
    /// A stack of nothing.
    #[error("a stack needs at least one crop")]
    StackEmpty,
    /// Crops of images of different formats.
    #[error("crop {index} has another pixel format than crop 0; convert one of them")]
    StackFormats {
        /// The first crop with another format.
        index: usize,
    },
    /// A JPEG quality out of range.
    #[error("a JPEG quality of {quality} does not exist; it must be 1 to 100")]
    QualityOutOfRange {
        /// The quality asked for.
        quality: u8,
    },
    /// An image that the file format cannot hold, or an encoder that failed.
    #[error("the image cannot be encoded: {0}")]
    Encode(String),
    /// A crop that does not fit its row.
    #[error("crop {index} is {width} columns wide; it must be 1 to {row} to fit its row")]
    CropWidth {
        /// Which crop.
        index: usize,
        /// Its columns.
        width: u32,
        /// Columns of the row.
        row: u32,
    },
    /// One of several crops is at fault.
    #[error("crop {index}: {cause}")]
    Crop {
        /// Which crop.
        index: usize,
        /// What is wrong with it; part of the message, for the message goes to a guest as one sentence.
        cause: Box<PixelsError>,
    },
    /// An operation on numbers of another type.
    #[error("{operation} takes a tensor of f32, this one holds {found}")]
    WrongDtype {
        /// What was asked for.
        operation: &'static str,
        /// What was found.
        found: &'static str,
    },
    /// An axis of no extent, or no axis at all.
    #[error("argmax takes a tensor with at least one element along its last axis")]
    LastAxisEmpty,
    /// A factor that is not a number.
    #[error("the scale must be a finite number")]
    ScaleNotFinite,
    /// The resampler refused what was checked before: a defect.
    #[error("resampling failed: {0}")]
    Resample(String),
}

impl From<PixelsError> for Fault {
    fn from(error: PixelsError) -> Self {
        let (kind, code) = match innermost(&error) {
            PixelsError::TooLarge { .. } => (Kind::TooLarge, "image_too_large"),
            PixelsError::Resample(_) | PixelsError::Encode(_) => (Kind::Bug, "image_operation_failed"),
            _ => (Kind::Invalid, "image_argument_invalid"),
        };
        // Only a guest calls these functions; a quad or a size out of bounds is its doing.
        let fault = Fault::new(kind, code, error.to_string());
        if kind == Kind::Bug { fault } else { fault.blaming(Blame::Guest) }
    }
}

fn innermost(error: &PixelsError) -> &PixelsError {
    match error {
        PixelsError::Crop { cause, .. } => innermost(cause),
        other => other,
    }
}
