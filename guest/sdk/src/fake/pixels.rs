//! Pixel arithmetic of the fake host: plain loops, bilinear throughout. Used by tests, to draw pages, and by the fake
//! image.

use crate::{Point, Quad, Rotation, Size};

/// An RGB picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    size: Size,
    rgb: Vec<u8>,
}

impl Pixels {
    /// Makes a white picture.
    pub fn white(size: Size) -> Self {
        Self { size, rgb: vec![255; size.width as usize * size.height as usize * 3] }
    }

    /// Makes a picture from rows of RGB triples; `None` if their number does not fit.
    pub fn from_rgb(size: Size, rgb: Vec<u8>) -> Option<Self> {
        let wanted = u64::from(size.width) * u64::from(size.height) * 3;
        (wanted > 0 && wanted == rgb.len() as u64).then_some(Self { size, rgb })
    }

    /// Returns columns and rows.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Fills a rectangle; parts outside of the picture are ignored.
    pub fn fill(&mut self, x: u32, y: u32, size: Size, rgb: [u8; 3]) {
        for row in y..(y + size.height).min(self.size.height) {
            for column in x..(x + size.width).min(self.size.width) {
                let at = self.at(column, row);
                self.rgb[at..at + 3].copy_from_slice(&rgb);
            }
        }
    }

    /// Converts the picture to gray (ITU-R BT.601 luma), in all three channels.
    pub(crate) fn gray(&self) -> Self {
        let luma = |pixel: &[u8]| {
            let weights = [299, 587, 114];
            let sum: u32 = pixel.iter().zip(weights).map(|(value, weight)| u32::from(*value) * weight).sum();
            [((sum + 500) / 1000) as u8; 3]
        };
        Self { size: self.size, rgb: self.rgb.chunks_exact(3).flat_map(luma).collect() }
    }

    /// Returns the color of a pixel; the nearest pixel's for a position outside.
    pub fn get(&self, x: i64, y: i64) -> [u8; 3] {
        let column = x.clamp(0, i64::from(self.size.width) - 1) as u32;
        let row = y.clamp(0, i64::from(self.size.height) - 1) as u32;
        let at = self.at(column, row);
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    fn at(&self, x: u32, y: u32) -> usize {
        (y as usize * self.size.width as usize + x as usize) * 3
    }

    pub(crate) fn piece(&self, x: u32, y: u32, size: Size) -> Option<Vec<u8>> {
        let inside = x.checked_add(size.width)? <= self.size.width
            && y.checked_add(size.height)? <= self.size.height
            && size.width > 0
            && size.height > 0;
        inside.then(|| {
            let row = |row: u32| {
                let at = self.at(x, row);
                self.rgb[at..at + size.width as usize * 3].iter().copied()
            };
            (y..y + size.height).flat_map(row).collect()
        })
    }

    /// Interpolates between pixels, whose centers lie at half coordinates.
    fn sample(&self, at: Point) -> [u8; 3] {
        let (x, y) = (at.x - 0.5, at.y - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let (left, top) = (left as i64, top as i64);
        let mut out = [0; 3];
        let corners = [
            (self.get(left, top), (1.0 - fx) * (1.0 - fy)),
            (self.get(left + 1, top), fx * (1.0 - fy)),
            (self.get(left, top + 1), (1.0 - fx) * fy),
            (self.get(left + 1, top + 1), fx * fy),
        ];
        for (channel, value) in out.iter_mut().enumerate() {
            let sum: f32 = corners.iter().map(|(rgb, weight)| f32::from(rgb[channel]) * weight).sum();
            *value = sum.round() as u8;
        }
        out
    }

    /// Resizes the picture. Shrinking averages over a grid of samples, so that thin strokes do not vanish.
    pub(crate) fn resized(&self, size: Size) -> Self {
        if size == self.size {
            return self.clone();
        }
        self.straightened(
            &Quad::from_rect(crate::Rect {
                x: 0.0,
                y: 0.0,
                width: self.size.width as f32,
                height: self.size.height as f32,
            }),
            size,
        )
    }

    pub(crate) fn turned(&self, by: Rotation) -> Self {
        let Size { width, height } = self.size;
        let size = match by {
            Rotation::None | Rotation::Half => self.size,
            Rotation::Quarter | Rotation::ThreeQuarters => Size { width: height, height: width },
        };
        let mut rgb = Vec::with_capacity(self.rgb.len());
        for y in 0..i64::from(size.height) {
            for x in 0..i64::from(size.width) {
                let (from_x, from_y) = match by {
                    Rotation::None => (x, y),
                    Rotation::Quarter => (y, i64::from(height) - 1 - x),
                    Rotation::Half => (i64::from(width) - 1 - x, i64::from(height) - 1 - y),
                    Rotation::ThreeQuarters => (i64::from(width) - 1 - y, x),
                };
                rgb.extend(self.get(from_x, from_y));
            }
        }
        Self { size, rgb }
    }

    /// Returns the piece inside `quad`, by the projective map of the unit square onto it (Heckbert 1989, section
    /// 2.2.3).
    pub(crate) fn straightened(&self, quad: &Quad, size: Size) -> Self {
        let map = projection(quad);
        let samples_x = (quad.width() / size.width as f32).ceil().clamp(1.0, 8.0) as u32;
        let samples_y = (quad.height() / size.height as f32).ceil().clamp(1.0, 8.0) as u32;
        let mut rgb = Vec::with_capacity(size.width as usize * size.height as usize * 3);
        for row in 0..size.height {
            for column in 0..size.width {
                let mut sum = [0_u32; 3];
                for sy in 0..samples_y {
                    for sx in 0..samples_x {
                        let u = (column as f32 + (sx as f32 + 0.5) / samples_x as f32) / size.width as f32;
                        let v = (row as f32 + (sy as f32 + 0.5) / samples_y as f32) / size.height as f32;
                        for (total, value) in sum.iter_mut().zip(self.sample(map(u, v))) {
                            *total += u32::from(value);
                        }
                    }
                }
                rgb.extend(sum.map(|total| (total / (samples_x * samples_y)) as u8));
            }
        }
        Self { size, rgb }
    }
}

/// Returns the projective map from the unit square into `quad`.
fn projection(quad: &Quad) -> impl Fn(f32, f32) -> Point {
    let (p0, p1, p2, p3) = (quad.top_left, quad.top_right, quad.bottom_right, quad.bottom_left);
    let (sx, sy) = (p0.x - p1.x + p2.x - p3.x, p0.y - p1.y + p2.y - p3.y);
    let (dx1, dx2, dy1, dy2) = (p1.x - p2.x, p3.x - p2.x, p1.y - p2.y, p3.y - p2.y);
    let determinant = dx1 * dy2 - dx2 * dy1;
    let (g, h) = if determinant.abs() < f32::EPSILON {
        (0.0, 0.0)
    } else {
        ((sx * dy2 - dx2 * sy) / determinant, (dx1 * sy - sx * dy1) / determinant)
    };
    let (a, b) = (p1.x - p0.x + g * p1.x, p3.x - p0.x + h * p3.x);
    let (d, e) = (p1.y - p0.y + g * p1.y, p3.y - p0.y + h * p3.y);
    move |u, v| {
        let w = g * u + h * v + 1.0;
        Point::new((a * u + b * v + p0.x) / w, (d * u + e * v + p0.y) / w)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn gradient(width: u32, height: u32) -> Pixels {
        let mut rgb = Vec::new();
        for y in 0..height {
            for x in 0..width {
                rgb.extend([x as u8, y as u8, 7]);
            }
        }
        Pixels::from_rgb(Size { width, height }, rgb).unwrap()
    }

    #[test]
    fn turning_is_clockwise() {
        let picture = gradient(5, 3);
        let turned = picture.turned(Rotation::Quarter);
        assert_eq!(turned.size(), Size { width: 3, height: 5 });
        assert_eq!(turned.get(0, 0), [0, 2, 7], "the lower left corner comes to the upper left");
        let back = turned.turned(Rotation::ThreeQuarters);
        assert_eq!(back, picture);
        assert_eq!(picture.turned(Rotation::Half).turned(Rotation::Half), picture);
    }

    #[test]
    fn an_upright_crop_is_a_copy() {
        let picture = gradient(20, 10);
        let quad = Quad::from_rect(crate::Rect { x: 4.0, y: 2.0, width: 6.0, height: 5.0 });
        let piece = picture.straightened(&quad, Size { width: 6, height: 5 });
        for y in 0..5 {
            for x in 0..6 {
                assert_eq!(piece.get(x, y), picture.get(x + 4, y + 2), "at {x}, {y}");
            }
        }
    }
}
