//! The projective map from the unit square onto a quad (Heckbert, "Fundamentals of Texture Mapping and Image Warping",
//! 1989, section 2.2.3), and sampling of an image through it.

use lector_core::{Image, PixelFormat, Quad, Size};

use crate::error::PixelsError;

/// `x = (a u + b v + c) / (g u + h v + 1)`, `y = (d u + e v + f) / (g u + h v + 1)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Projection {
    x: [f64; 3],
    y: [f64; 3],
    w: [f64; 2],
}

impl Projection {
    /// Returns the map that takes (0,0), (1,0), (1,1), (0,1) to the quad's corners in their order. The quad must be
    /// strictly convex: then the denominator is positive on the whole square.
    pub(crate) fn onto(quad: &Quad) -> Result<Self, PixelsError> {
        let p = quad.0.map(|p| (f64::from(p.x), f64::from(p.y)));
        let (dx1, dy1) = (p[1].0 - p[2].0, p[1].1 - p[2].1);
        let (dx2, dy2) = (p[3].0 - p[2].0, p[3].1 - p[2].1);
        let (sx, sy) = (p[0].0 - p[1].0 + p[2].0 - p[3].0, p[0].1 - p[1].1 + p[2].1 - p[3].1);
        let det = dx1 * dy2 - dx2 * dy1;
        let (g, h) = ((sx * dy2 - dx2 * sy) / det, (dx1 * sy - sx * dy1) / det);
        let map = Self {
            x: [p[1].0 - p[0].0 + g * p[1].0, p[3].0 - p[0].0 + h * p[3].0, p[0].0],
            y: [p[1].1 - p[0].1 + g * p[1].1, p[3].1 - p[0].1 + h * p[3].1, p[0].1],
            w: [g, h],
        };
        let finite = map.x.iter().chain(&map.y).chain(&map.w).all(|v| v.is_finite());
        finite.then_some(map).ok_or(PixelsError::QuadDegenerate)
    }

    /// Returns whether the denominator is 1 to within a hundredth of a pixel over `size`: then a row advances in equal
    /// steps and needs no division.
    fn is_affine(&self, size: Size) -> bool {
        let reach = f64::from(size.width.max(size.height)) * 100.0;
        (self.w[0].abs() + self.w[1].abs()) * reach < 1.0
    }
}

/// Samples `size` pixels of `image` through `map`, by linear interpolation. Outside the image the nearest edge pixel is
/// used.
pub(crate) fn sample(image: &Image, map: &Projection, size: Size) -> Vec<u8> {
    match image.format() {
        PixelFormat::Rgb8 => sampled::<3>(map, size, Rgb::new(image)),
        PixelFormat::Gray8 => sampled::<1>(map, size, Gray::new(image)),
    }
}

/// A sampler of `N` bytes at a fixed-point position.
trait Take<const N: usize> {
    fn take(&self, x: i64, y: i64) -> [u8; N];
}

fn sampled<const N: usize>(map: &Projection, size: Size, sampler: impl Take<N>) -> Vec<u8> {
    let mut out = vec![0u8; size.width as usize * size.height as usize * N];
    let affine = map.is_affine(size);
    let (step_u, step_v) = (1.0 / f64::from(size.width), 1.0 / f64::from(size.height));
    let at = |u: f64, v: f64| {
        let w = 1.0 / (map.w[0] * u + map.w[1] * v + 1.0);
        let x = (map.x[0] * u + map.x[1] * v + map.x[2]) * w;
        let y = (map.y[0] * u + map.y[1] * v + map.y[2]) * w;
        (x, y)
    };
    for (row, line) in out.chunks_exact_mut(size.width as usize * N).enumerate() {
        let v = (row as f64 + 0.5) * step_v;
        if affine {
            let (first, last) = (at(0.5 * step_u, v), at(1.0 - 0.5 * step_u, v));
            let steps = f64::from(size.width.max(2) - 1);
            let step = ((last.0 - first.0) / steps, (last.1 - first.1) / steps);
            straight(&sampler, first, step, line);
        } else {
            for (column, pixel) in line.as_chunks_mut::<N>().0.iter_mut().enumerate() {
                let (x, y) = at((column as f64 + 0.5) * step_u, v);
                *pixel = sampler.take(fixed(x), fixed(y));
            }
        }
    }
    out
}

/// Fractional bits of a position while sampling. Positions are below 2^20 pixels (checked by the caller), so 32 + 20
/// bits fit an `i64` with space for the sum along a row.
const BITS: u32 = 32;

/// Returns the fixed-point position of a sample point relative to pixel centers.
fn fixed(position: f64) -> i64 {
    ((position - 0.5) * (1i64 << BITS) as f64) as i64
}

/// Fills a row with samples in equal steps.
fn straight<const N: usize>(sampler: &impl Take<N>, first: (f64, f64), step: (f64, f64), line: &mut [u8]) {
    let (mut x, mut y) = (fixed(first.0), fixed(first.1));
    let unit = (1i64 << BITS) as f64;
    let (dx, dy) = ((step.0 * unit) as i64, (step.1 * unit) as i64);
    for pixel in line.as_chunks_mut::<N>().0 {
        *pixel = sampler.take(x, y);
        x += dx;
        y += dy;
    }
}

/// Splits a fixed-point position into the pixel and the weights of its neighbors in 256ths: the result is a byte.
#[inline(always)]
fn split(x: i64, y: i64) -> (i64, i64, u64, u64) {
    (x >> BITS, y >> BITS, ((x >> (BITS - 8)) & 255) as u64, ((y >> (BITS - 8)) & 255) as u64)
}

struct Gray<'a> {
    samples: &'a [u8],
    width: i64,
    height: i64,
}

impl<'a> Gray<'a> {
    fn new(image: &'a Image) -> Self {
        Self {
            samples: image.samples(),
            width: i64::from(image.size().width),
            height: i64::from(image.size().height),
        }
    }
}

impl Take<1> for Gray<'_> {
    fn take(&self, x: i64, y: i64) -> [u8; 1] {
        let (column, row, fx, fy) = split(x, y);
        let pick = |c: i64, r: i64| {
            let (c, r) = (c.clamp(0, self.width - 1), r.clamp(0, self.height - 1));
            u64::from(self.samples[(r * self.width + c) as usize])
        };
        let mix = |a: u64, b: u64, weight: u64| (a * (256 - weight) + b * weight + 128) >> 8;
        let left = mix(pick(column, row), pick(column, row + 1), fy);
        let right = mix(pick(column + 1, row), pick(column + 1, row + 1), fy);
        [mix(left, right, fx) as u8]
    }
}

struct Rgb<'a> {
    rgb: &'a [u8],
    width: i64,
    height: i64,
}

impl<'a> Rgb<'a> {
    fn new(image: &'a Image) -> Self {
        Self {
            rgb: image.samples(),
            width: i64::from(image.size().width),
            height: i64::from(image.size().height),
        }
    }
}

impl Take<3> for Rgb<'_> {
    #[inline(always)]
    fn take(&self, x: i64, y: i64) -> [u8; 3] {
        let (column, row, fx, fy) = split(x, y);
        // As unsigned numbers, positions left of and above the image are too large as well.
        let inside = (column as u64) < (self.width - 1) as u64 && (row as u64) < (self.height - 1) as u64;
        match inside.then(|| self.four(column, row)).flatten() {
            Some((upper, lower)) => blend(upper, lower, fx, fy),
            None => self.edge(column, row, fx, fy),
        }
    }
}

impl Rgb<'_> {
    /// Returns two pixels above and two below, in the low 48 bits of a word each; `None` at the last bytes of the
    /// image, where a word would reach beyond the end.
    #[inline(always)]
    fn four(&self, column: i64, row: i64) -> Option<(u64, u64)> {
        let upper = ((row * self.width + column) * 3) as usize;
        let lower = upper + self.width as usize * 3;
        let word = |at: usize| {
            let bytes: [u8; 8] = self.rgb.get(at..at + 8)?.try_into().ok()?;
            Some(u64::from_le_bytes(bytes))
        };
        Some((word(upper)?, word(lower)?))
    }

    /// Samples at or beyond the edge.
    #[cold]
    fn edge(&self, column: i64, row: i64, fx: u64, fy: u64) -> [u8; 3] {
        let pick = |c: i64, r: i64| {
            let (c, r) = (c.clamp(0, self.width - 1), r.clamp(0, self.height - 1));
            let at = ((r * self.width + c) * 3) as usize;
            [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
        };
        let pair = |r: i64| {
            let (a, b) = (pick(column, r), pick(column + 1, r));
            u64::from_le_bytes([a[0], a[1], a[2], b[0], b[1], b[2], 0, 0])
        };
        blend(pair(row), pair(row + 1), fx, fy)
    }
}

/// Blends two pixels above and two below, each pair in the low six bytes of a word; weights in 256ths.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn blend(upper: u64, lower: u64, fx: u64, fy: u64) -> [u8; 3] {
    // SAFETY: SSE2 is part of every x86-64.
    unsafe { blend_sse2(upper, lower, fx, fy) }
}

/// Bytes times weights are at most 255 * 256, and with a half added for rounding still below 2^16, so 16 bits per
/// channel are enough.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn blend_sse2(upper: u64, lower: u64, fx: u64, fy: u64) -> [u8; 3] {
    use std::arch::x86_64::{
        _mm_add_epi16, _mm_cvtsi64_si128, _mm_cvtsi128_si32, _mm_mullo_epi16, _mm_packus_epi16,
        _mm_set1_epi16, _mm_setzero_si128, _mm_srli_epi16, _mm_srli_si128, _mm_unpacklo_epi8,
    };
    let wide = |word: u64| _mm_unpacklo_epi8(_mm_cvtsi64_si128(word as i64), _mm_setzero_si128());
    let mix = |a, b, weight: u64| {
        let (a, b) = (
            _mm_mullo_epi16(a, _mm_set1_epi16((256 - weight) as i16)),
            _mm_mullo_epi16(b, _mm_set1_epi16(weight as i16)),
        );
        _mm_srli_epi16::<8>(_mm_add_epi16(_mm_add_epi16(a, b), _mm_set1_epi16(128)))
    };
    let between = mix(wide(upper), wide(lower), fy);
    // The right pixel is three channels, six bytes, beyond the left one.
    let pixel = mix(between, _mm_srli_si128::<6>(between), fx);
    let [red, green, blue, _] = _mm_cvtsi128_si32(_mm_packus_epi16(pixel, pixel)).to_le_bytes();
    [red, green, blue]
}

/// Blends channel by channel.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn blend_plain(upper: u64, lower: u64, fx: u64, fy: u64) -> [u8; 3] {
    let (a, b) = (upper.to_le_bytes(), lower.to_le_bytes());
    let mix = |a: u64, b: u64, weight: u64| (a * (256 - weight) + b * weight + 128) >> 8;
    std::array::from_fn(|channel| {
        let down = |at: usize| mix(a[at].into(), b[at].into(), fy);
        mix(down(channel), down(channel + 3), fx) as u8
    })
}

#[cfg(not(target_arch = "x86_64"))]
use blend_plain as blend;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_blending_agree() {
        let mut seed = 1u64;
        for turn in 0..20_000u64 {
            let mut next = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                seed.rotate_right(8)
            };
            let (upper, lower) = if turn % 100 == 0 { (u64::MAX, u64::MAX) } else { (next(), next()) };
            let (fx, fy) = (next() & 255, next() & 255);
            assert_eq!(blend(upper, lower, fx, fy), blend_plain(upper, lower, fx, fy));
        }
    }
}
