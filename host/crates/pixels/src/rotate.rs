//! Rotation by quarter turns.

use lector_core::{Image, PixelFormat, Rotation, Size};

/// Side of the blocks of a quarter turn: 32 columns of a source block are 32 rows of the target, and both blocks (3 KiB
/// each, on 32 cache lines a side) stay in the first-level cache.
const BLOCK: usize = 32;

/// Rotates the whole image clockwise.
pub fn rotate(image: &Image, by: Rotation) -> Image {
    let turned = match by {
        Rotation::None => return image.clone(),
        _ => match image.format() {
            PixelFormat::Rgb8 => rotated::<3>(image, by),
            PixelFormat::Gray8 => rotated::<1>(image, by),
        },
    };
    let size = match by {
        Rotation::None | Rotation::Half => image.size(),
        Rotation::Quarter | Rotation::ThreeQuarters => {
            Size { width: image.size().height, height: image.size().width }
        }
    };
    // The number of bytes equals that of the source, so the fallback is never used.
    Image::new(image.format(), size, turned).unwrap_or_else(|| image.clone())
}

/// Returns the samples of an image with `N` bytes per pixel, rotated.
fn rotated<const N: usize>(image: &Image, by: Rotation) -> Vec<u8> {
    match by {
        Rotation::None => image.samples().to_vec(),
        Rotation::Half => half::<N>(image),
        Rotation::Quarter => quarter::<N>(image, true),
        Rotation::ThreeQuarters => quarter::<N>(image, false),
    }
}

fn half<const N: usize>(image: &Image) -> Vec<u8> {
    let source = image.samples();
    let mut out = vec![0u8; source.len()];
    for (to, from) in out.as_chunks_mut::<N>().0.iter_mut().zip(source.as_chunks::<N>().0.iter().rev()) {
        *to = *from;
    }
    out
}

/// Rotates by a quarter. Target row `r` is source column `r` read upwards (clockwise), or column `width - 1 - r` read
/// downwards.
fn quarter<const N: usize>(image: &Image, clockwise: bool) -> Vec<u8> {
    let (width, height) = (image.size().width as usize, image.size().height as usize);
    let source = image.samples();
    let mut out = vec![0u8; source.len()];
    for row in (0..width).step_by(BLOCK) {
        for column in (0..height).step_by(BLOCK) {
            let columns = BLOCK.min(height - column);
            for r in row..(row + BLOCK).min(width) {
                let start = (r * height + column) * N;
                let target = &mut out[start..start + columns * N];
                for (i, to) in target.as_chunks_mut::<N>().0.iter_mut().enumerate() {
                    let c = column + i;
                    let (x, y) = if clockwise { (r, height - 1 - c) } else { (width - 1 - r, c) };
                    let at = (y * width + x) * N;
                    to.copy_from_slice(&source[at..at + N]);
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn numbered(width: u32, height: u32) -> Image {
        let bytes = (0..width * height).flat_map(|i| [i as u8, (i >> 8) as u8, 7]).collect();
        Image::from_rgb(Size { width, height }, bytes).unwrap()
    }

    fn at(image: &Image, x: u32, y: u32) -> [u8; 3] {
        let i = ((y * image.size().width + x) * 3) as usize;
        image.samples()[i..i + 3].try_into().unwrap()
    }

    #[test]
    fn every_rotation_moves_every_pixel_to_its_position() {
        for (width, height) in [(1, 1), (3, 2), (33, 65), (100, 31)] {
            let image = numbered(width, height);
            for y in 0..height {
                for x in 0..width {
                    let pixel = at(&image, x, y);
                    assert_eq!(at(&rotate(&image, Rotation::None), x, y), pixel);
                }
            }
            let (quarter, half, three) = (
                rotate(&image, Rotation::Quarter),
                rotate(&image, Rotation::Half),
                rotate(&image, Rotation::ThreeQuarters),
            );
            for y in 0..height {
                for x in 0..width {
                    let pixel = at(&image, x, y);
                    assert_eq!(at(&quarter, height - 1 - y, x), pixel, "quarter {x},{y}");
                    assert_eq!(at(&half, width - 1 - x, height - 1 - y), pixel, "half {x},{y}");
                    assert_eq!(at(&three, y, width - 1 - x), pixel, "three {x},{y}");
                }
            }
        }
    }
}
