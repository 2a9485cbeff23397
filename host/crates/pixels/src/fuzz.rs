//! Fuzz target of the arguments of image operations, which guests choose.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use lector_core::{Image, PixelFormat, Point, Quad, Rotation, Tensor, TensorData};
use lector_fuzz::Feed;

use super::*;

/// Results of more pixels are left out: they are large and not different.
const RESULT_PIXELS_MAX: u64 = 1 << 16;

fn number(feed: &mut Feed<'_>) -> f32 {
    match feed.byte() % 4 {
        0 => feed.float(),
        _ => f32::from(i16::from_le_bytes(feed.bytes())) / 64.0,
    }
}

fn image(feed: &mut Feed<'_>) -> Image {
    let format = if feed.byte().is_multiple_of(2) { PixelFormat::Rgb8 } else { PixelFormat::Gray8 };
    let size = Size { width: 1 + u32::from(feed.byte()), height: 1 + u32::from(feed.byte()) };
    let samples = (0..size.pixels() as usize * format.bytes()).map(|at| (at * 7) as u8).collect();
    Image::new(format, size, samples).unwrap()
}

fn size(feed: &mut Feed<'_>) -> Size {
    let mut side = || match feed.byte() % 4 {
        0 => u32::from_le_bytes(feed.bytes()),
        _ => u32::from(feed.byte()),
    };
    Size { width: side(), height: side() }
}

fn quad(feed: &mut Feed<'_>) -> Quad {
    let mut point = || Point { x: number(feed), y: number(feed) };
    Quad([point(), point(), point(), point()])
}

fn normalization(feed: &mut Feed<'_>) -> Normalization {
    let mut three = || [number(feed), number(feed), number(feed)];
    Normalization { mean: three(), std: three(), channels: Channels::Bgr }
}

/// Returns whether the result is too large for this test, though not for the operation.
fn is_large(size: Size) -> bool {
    check_size(size).is_ok() && size.pixels() > RESULT_PIXELS_MAX
}

/// For any arguments an operation returns a result of the requested size, or an error.
#[test]
fn fuzz_image_arguments() {
    let seeds: Vec<Vec<u8>> = (0..8)
        .map(|operation| {
            let mut input = vec![operation, 0, 40, 30];
            for value in [0_i16, 0, 640, 0, 640, 640, 0, 640, 32, 32, 32, 64, 64, 64] {
                input.push(1);
                input.extend((value * 2).to_le_bytes());
            }
            input
        })
        .collect();
    let words: [&[u8]; 5] = [
        &[0, 0, 0, 0xc0, 0x7f],
        &[0, 0, 0, 0x80, 0x7f],
        &[0, 0, 0, 0, 0x80],
        &[0, 0xff, 0xff, 0x7f, 0x49],
        &[0, 0xff, 0xff, 0xff, 0xff],
    ];
    lector_fuzz::target("image_arguments", &seeds, &words, |input| {
        let mut feed = Feed::new(input);
        let (operation, image) = (feed.byte() % 8, image(&mut feed));
        let error = |error: PixelsError| error.to_string().chars().take(20).collect::<String>();
        let whole = |wanted: Size, made: Result<Image, PixelsError>| {
            made.map(|made| assert_eq!(made.size(), wanted)).map_err(error)
        };
        let outcome = match operation {
            0 | 1 => {
                let (quad, size) = (quad(&mut feed), size(&mut feed));
                if is_large(size) { Ok(()) } else { whole(size, crop(&image, &quad, size)) }
            }
            2 => {
                let filters = [Filter::Nearest, Filter::Bilinear, Filter::Cubic, Filter::Lanczos];
                let (filter, size) = (filters[usize::from(feed.byte() % 4)], size(&mut feed));
                if is_large(size) { Ok(()) } else { whole(size, resize(&image, size, filter)) }
            }
            3 => {
                let normalization = normalization(&mut feed);
                let (size, format) = (size(&mut feed), image.format().bytes());
                let crops = feed.list(4, |feed| Crop {
                    image: image.clone(),
                    width: u32::from(feed.byte()),
                    quad: quad(feed),
                });
                if is_large(size) {
                    return (operation, Ok(()));
                }
                let shape = [crops.len(), format, size.height as usize, size.width as usize];
                stack(&crops, size, &normalization).map(|made| assert_eq!(made.shape(), shape)).map_err(error)
            }
            4 => to_tensor(&image, &normalization(&mut feed)).map(drop).map_err(error),
            5 => {
                let encoding = if feed.byte() > 99 { Encoding::Png } else { Encoding::Jpeg(feed.byte()) };
                encode(&image, encoding).map(|file| assert!(!file.is_empty())).map_err(error)
            }
            6 => {
                let turns = [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters];
                let turned = rotate(&image, turns[usize::from(feed.byte() % 4)]);
                let other = convert(&turned, PixelFormat::Gray8);
                assert_eq!(other.size(), turned.size());
                Ok(())
            }
            _ => {
                let values = feed.list(300, Feed::float);
                let columns = usize::from(feed.byte());
                let shape = [values.len().checked_div(columns).unwrap_or_default(), columns];
                match Tensor::new(&shape, TensorData::F32(values)) {
                    Some(tensor) => {
                        let least = argmax(&tensor).map(|(index, _)| assert_eq!(index.shape(), &shape[..1]));
                        least.and(quantize(&tensor, feed.float()).map(drop)).map_err(error)
                    }
                    None => Ok(()),
                }
            }
        };
        (operation, outcome)
    });
}
