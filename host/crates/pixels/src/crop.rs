//! Crops: a quad of an image, straightened by a perspective transform.

use fast_image_resize::Resizer;
use lector_core::{Image, Quad, Rect, Rotation, Size};

use crate::error::PixelsError;
use crate::perspective::{Projection, sample};
use crate::resize::{Filter, resize_rect};
use crate::{SIDE_MAX, check_size, rotate};

/// Largest distance of a corner from the origin, in pixels; keeps the fixed-point sampler exact.
const REACH_MAX: f32 = (1u32 << 20) as f32;
/// Smallest double area of the triangle at a corner, in square pixels. Below it the quad counts as a line.
const CORNER_AREA_MIN: f64 = 1e-3;
/// Largest distance of corners from an upright rectangle for the upright path. Half a pixel is below the accuracy of a
/// detector, and the upright path neither blurs nor computes positions.
const UPRIGHT_SLACK_PX: f32 = 0.5;
/// Shrinking by less than this does not alias visibly under linear interpolation, so one step is enough.
const SHRINK_MIN: f32 = 1.2;
/// Largest number of pixels at the quad's own resolution that one crop may need as an intermediate.
const NATIVE_PIXELS_MAX: u64 = 48_000_000;

/// Straightens the part of `image` inside `quad` to `size` by a perspective transform. Corners may lie outside the
/// image, where the nearest edge pixel is used. A part that shrinks is first sampled at its own resolution and then
/// resized, which prevents aliasing.
pub fn crop(image: &Image, quad: &Quad, size: Size) -> Result<Image, PixelsError> {
    crop_with(&mut Resizer::new(), image, quad, size)
}

/// Crops with the buffers of an existing resizer.
pub(crate) fn crop_with(
    resizer: &mut Resizer,
    image: &Image,
    quad: &Quad,
    size: Size,
) -> Result<Image, PixelsError> {
    check_size(size)?;
    check_quad(image, quad)?;
    if let Some((area, turn)) = upright(quad)
        && let Some(area) = within(area, image.size())
    {
        return crop_upright(resizer, image, area, turn, size);
    }
    let own = own_size(quad, size)?;
    let samples = sample(image, &Projection::onto(quad)?, own);
    let piece = Image::new(image.format(), own, samples)
        .ok_or_else(|| PixelsError::Resample("wrong number of bytes".into()))?;
    if own == size {
        return Ok(piece);
    }
    let whole = Rect { x: 0.0, y: 0.0, width: own.width as f32, height: own.height as f32 };
    resize_rect(resizer, &piece, whole, size, Filter::Bilinear)
}

fn check_quad(image: &Image, quad: &Quad) -> Result<(), PixelsError> {
    if !quad.is_finite() {
        return Err(PixelsError::QuadNotFinite);
    }
    if let Some(far) = quad.0.iter().find(|p| p.x.abs() > REACH_MAX || p.y.abs() > REACH_MAX) {
        let Size { width, height } = image.size();
        return Err(PixelsError::QuadTooFar { x: far.x, y: far.y, width, height });
    }
    // Strictly convex: all corners turn in the same direction, by more than 0.
    let p = quad.0.map(|p| (f64::from(p.x), f64::from(p.y)));
    let turn = |i: usize| {
        let (a, b, c) = (p[i], p[(i + 1) % 4], p[(i + 2) % 4]);
        (b.0 - a.0) * (c.1 - b.1) - (b.1 - a.1) * (c.0 - b.0)
    };
    let turns = [turn(0), turn(1), turn(2), turn(3)];
    let convex = turns.iter().all(|t| *t > CORNER_AREA_MIN) || turns.iter().all(|t| *t < -CORNER_AREA_MIN);
    convex.then_some(()).ok_or(PixelsError::QuadDegenerate)
}

/// Returns the rectangle that the quad equals within the slack, and the clockwise rotation that makes it readable.
fn upright(quad: &Quad) -> Option<(Rect, Rotation)> {
    // Starting at corner `first`, the corners follow the rectangle clockwise from its upper left one.
    [(0, Rotation::None), (3, Rotation::ThreeQuarters), (2, Rotation::Half), (1, Rotation::Quarter)]
        .into_iter()
        .find_map(|(first, turn): (usize, Rotation)| {
            let p = |i: usize| quad.0[(i + first) % 4];
            let (left, right) = ((p(0).x + p(3).x) / 2.0, (p(1).x + p(2).x) / 2.0);
            let (top, bottom) = ((p(0).y + p(1).y) / 2.0, (p(2).y + p(3).y) / 2.0);
            let near = |i: usize, x: f32, y: f32| {
                (p(i).x - x).abs() <= UPRIGHT_SLACK_PX / 2.0 && (p(i).y - y).abs() <= UPRIGHT_SLACK_PX / 2.0
            };
            let fits =
                near(0, left, top) && near(1, right, top) && near(2, right, bottom) && near(3, left, bottom);
            let area = Rect { x: left, y: top, width: right - left, height: bottom - top };
            (fits && area.width > 0.0 && area.height > 0.0).then_some((area, turn))
        })
}

/// Returns the rectangle, corrected for rounding errors, where it lies inside an image of `size`.
fn within(area: Rect, size: Size) -> Option<Rect> {
    let (width, height) = (size.width as f32, size.height as f32);
    let snap = |v: f32| if (v - v.round()).abs() < 1.0 / 64.0 { v.round() } else { v };
    let (left, top) = (snap(area.x), snap(area.y));
    let (right, bottom) = (snap(area.x + area.width), snap(area.y + area.height));
    let inside = left >= 0.0 && top >= 0.0 && right <= width && bottom <= height;
    let snapped = Rect { x: left, y: top, width: right - left, height: bottom - top };
    (inside
        && snapped.width > 0.0
        && snapped.height > 0.0
        && left + snapped.width <= width
        && top + snapped.height <= height)
        .then_some(snapped)
}

fn crop_upright(
    resizer: &mut Resizer,
    image: &Image,
    area: Rect,
    turn: Rotation,
    size: Size,
) -> Result<Image, PixelsError> {
    let lying = matches!(turn, Rotation::Quarter | Rotation::ThreeQuarters);
    let flat = if lying { Size { width: size.height, height: size.width } } else { size };
    // Resampling along the columns first needs `area columns x target rows` intermediate pixels.
    let bound = NATIVE_PIXELS_MAX.max(image.size().pixels()).max(size.pixels());
    if f64::from(area.width) * f64::from(flat.height) > bound as f64 {
        return Err(PixelsError::TooLarge { width: area.width as u64, height: flat.height.into() });
    }
    let piece = resize_rect(resizer, image, area, flat, Filter::Bilinear)?;
    Ok(rotate(&piece, turn))
}

/// Returns the size at which to sample: the quad's own where it shrinks, the target's where it grows.
fn own_size(quad: &Quad, size: Size) -> Result<Size, PixelsError> {
    let p = quad.0;
    let length = |a: usize, b: usize| (p[a].x - p[b].x).hypot(p[a].y - p[b].y);
    let extent = |own: f32, target: u32| {
        if own <= target as f32 * SHRINK_MIN { u64::from(target) } else { own.ceil() as u64 }
    };
    let (width, height) = (
        extent(length(0, 1).max(length(3, 2)), size.width),
        extent(length(0, 3).max(length(1, 2)), size.height),
    );
    if width > SIDE_MAX.into() || height > SIDE_MAX.into() || width * height > NATIVE_PIXELS_MAX {
        return Err(PixelsError::TooLarge { width, height });
    }
    Ok(Size { width: width as u32, height: height as u32 })
}
