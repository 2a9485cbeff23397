//! Errors of image operations. All are caused by the arguments except `Resample`.

use lector_core::{Blame, Fault, Kind};
use thiserror::Error;

/// An image operation that cannot be done with its arguments.
#[derive(Debug, Error)]
pub enum PixelsError {
    /// A result without pixels.
    #[error("the size {width} x {height} has no pixels; both extents must be 1 or more")]
    EmptySize {
        /// Columns requested.
        width: u32,
        /// Rows requested.
        height: u32,
    },
    /// A result, or an intermediate of it, with too many pixels.
    #[error("{width} x {height} pixels exceed the limit of one operation; request a smaller size")]
    TooLarge {
        /// Columns.
        width: u64,
        /// Rows.
        height: u64,
    },
    /// A corner that is NaN or infinite.
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
    /// Corners on one line, or in an order that makes the quad cross itself.
    #[error("the quad is not convex or has no area; list its corners in order around it")]
    QuadDegenerate,
    /// A mean or standard deviation that is not usable.
    #[error("the normalization's mean and std must be finite and std not 0")]
    NormalizationInvalid,
    /// A stack without crops.
    #[error("a stack needs at least one crop")]
    StackEmpty,
    /// Crops of images of different formats.
    #[error("crop {index} has another pixel format than crop 0; convert one of them")]
    StackFormats {
        /// The first crop with another format.
        index: usize,
    },
    /// A JPEG quality out of range.
    #[error("the JPEG quality must be 1 to 100, not {quality}")]
    QualityOutOfRange {
        /// The quality requested.
        quality: u8,
    },
    /// An image that the file format cannot hold, or an encoder that failed.
    #[error("the image cannot be encoded: {0}")]
    Encode(String),
    /// A crop that does not fit its row.
    #[error("crop {index} is {width} columns wide; it must be 1 to {row} to fit its row")]
    CropWidth {
        /// Index of the crop.
        index: usize,
        /// Its columns.
        width: u32,
        /// Columns of the row.
        row: u32,
    },
    /// An error in one of several crops.
    #[error("crop {index}: {cause}")]
    Crop {
        /// Index of the crop.
        index: usize,
        /// The error; part of the message, because a guest gets the message as one sentence.
        cause: Box<PixelsError>,
    },
    /// An operation on a tensor of another element type.
    #[error("{operation} takes a tensor of f32, not of {found}")]
    WrongDtype {
        /// Name of the operation.
        operation: &'static str,
        /// Element type of the tensor.
        found: &'static str,
    },
    /// A last axis without elements, or no axis.
    #[error("argmax takes a tensor with at least one element along its last axis")]
    LastAxisEmpty,
    /// A scale that is NaN or infinite.
    #[error("the scale must be a finite number")]
    ScaleNotFinite,
    /// The resampler rejected validated arguments: a defect.
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
        // Only guests call these functions; the guest is to blame for a quad or a size out of bounds.
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
