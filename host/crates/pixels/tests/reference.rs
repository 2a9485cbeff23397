//! Compares the operations with straightforward reference implementations, and tests invalid arguments.
#![allow(clippy::unwrap_used, clippy::needless_range_loop)]

use lector_core::{Image, PixelFormat, Point, Quad, Rotation, Size, TensorData};
use lector_pixels::{
    Channels, Crop, Encoding, Filter, Normalization, PixelsError, convert, crop, encode, resize, rotate,
    stack, to_tensor,
};
use proptest::prelude::*;

const PLAIN: Normalization = Normalization { mean: [0.0; 3], std: [1.0; 3], channels: Channels::Rgb };

/// Smooth enough that sampling methods agree, different in every direction and channel.
fn picture(width: u32, height: u32) -> Image {
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let wave = |f: f32| (128.0 + 100.0 * (f / 9.0).sin()) as u8;
            rgb.extend([wave(x as f32), wave(y as f32), wave((x + 2 * y) as f32)]);
        }
    }
    Image::from_rgb(Size { width, height }, rgb).unwrap()
}

fn quad(points: [(f32, f32); 4]) -> Quad {
    Quad(points.map(|(x, y)| Point { x, y }))
}

fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

/// Samples a position with replicated edges, by linear interpolation in f64.
fn at(image: &Image, x: f64, y: f64) -> [f64; 3] {
    let (w, h) = (i64::from(image.size().width), i64::from(image.size().height));
    let (x, y) = (x - 0.5, y - 0.5);
    let (x0, y0) = (x.floor(), y.floor());
    let pick = |c: i64, r: i64, k: usize| {
        let (c, r) = (c.clamp(0, w - 1), r.clamp(0, h - 1));
        f64::from(image.samples()[((r * w + c) * 3) as usize + k])
    };
    std::array::from_fn(|k| {
        let (fx, fy) = (x - x0, y - y0);
        let (c, r) = (x0 as i64, y0 as i64);
        let top = pick(c, r, k) * (1.0 - fx) + pick(c + 1, r, k) * fx;
        let bottom = pick(c, r + 1, k) * (1.0 - fx) + pick(c + 1, r + 1, k) * fx;
        top * (1.0 - fy) + bottom * fy
    })
}

/// Computes the homography by solving its eight equations directly (Gauss, with pivots).
fn homography(q: &Quad) -> impl Fn(f64, f64) -> (f64, f64) + use<> {
    let uv = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];
    let mut m = Vec::new();
    for ((u, v), p) in uv.into_iter().zip(q.0) {
        let (x, y) = (f64::from(p.x), f64::from(p.y));
        m.push([u, v, 1.0, 0.0, 0.0, 0.0, -u * x, -v * x, x]);
        m.push([0.0, 0.0, 0.0, u, v, 1.0, -u * y, -v * y, y]);
    }
    for i in 0..8 {
        let pivot = (i..8).max_by(|a, b| m[*a][i].abs().total_cmp(&m[*b][i].abs())).unwrap();
        m.swap(i, pivot);
        for r in 0..8 {
            if r != i {
                let f = m[r][i] / m[i][i];
                for c in 0..9 {
                    m[r][c] -= f * m[i][c];
                }
            }
        }
    }
    let h: Vec<f64> = (0..8).map(|i| m[i][8] / m[i][i]).collect();
    move |u, v| {
        let w = h[6] * u + h[7] * v + 1.0;
        ((h[0] * u + h[1] * v + h[2]) / w, (h[3] * u + h[4] * v + h[5]) / w)
    }
}

fn check_crop(image: &Image, q: Quad, to: Size, tolerance: f64) {
    let got = crop(image, &q, to).unwrap();
    assert_eq!(got.size(), to);
    let map = homography(&q);
    for y in 0..to.height {
        for x in 0..to.width {
            let (u, v) =
                ((f64::from(x) + 0.5) / f64::from(to.width), (f64::from(y) + 0.5) / f64::from(to.height));
            let (sx, sy) = map(u, v);
            let expected = at(image, sx, sy);
            let i = ((y * to.width + x) * 3) as usize;
            for k in 0..3 {
                let found = f64::from(got.samples()[i + k]);
                assert!(
                    (found - expected[k]).abs() <= tolerance,
                    "{q:?} at {x},{y},{k}: {found} {expected:?}"
                );
            }
        }
    }
}

#[test]
fn a_whole_upright_quad_is_a_copy() {
    let image = picture(40, 30);
    let q = quad([(0.0, 0.0), (40.0, 0.0), (40.0, 30.0), (0.0, 30.0)]);
    assert_eq!(crop(&image, &q, size(40, 30)).unwrap().samples(), image.samples());
    let part =
        crop(&image, &quad([(5.0, 7.0), (15.0, 7.0), (15.0, 11.0), (5.0, 11.0)]), size(10, 4)).unwrap();
    for y in 0..4usize {
        let from = ((y + 7) * 40 + 5) * 3;
        assert_eq!(part.samples()[y * 30..y * 30 + 30], image.samples()[from..from + 30]);
    }
}

#[test]
fn quads_of_every_kind_follow_the_reference() {
    let image = picture(120, 90);
    // Upright, growing; rotated three ways; tilted; true perspective; partly and wholly outside; mirrored.
    check_crop(&image, quad([(10.0, 10.0), (60.0, 10.0), (60.0, 30.0), (10.0, 30.0)]), size(90, 36), 2.5);
    check_crop(&image, quad([(60.0, 30.0), (10.0, 30.0), (10.0, 10.0), (60.0, 10.0)]), size(90, 36), 2.5);
    check_crop(&image, quad([(60.0, 10.0), (60.0, 60.0), (40.0, 60.0), (40.0, 10.0)]), size(90, 36), 2.5);
    check_crop(&image, quad([(40.0, 60.0), (40.0, 10.0), (60.0, 10.0), (60.0, 60.0)]), size(90, 36), 2.5);
    check_crop(&image, quad([(20.0, 20.0), (80.0, 30.0), (77.0, 48.0), (17.0, 38.0)]), size(70, 20), 1.5);
    check_crop(&image, quad([(20.0, 20.0), (90.0, 12.0), (100.0, 60.0), (15.0, 50.0)]), size(100, 60), 1.5);
    check_crop(&image, quad([(-20.0, -9.0), (50.0, -5.0), (50.0, 30.0), (-20.0, 30.0)]), size(80, 40), 1.5);
    check_crop(&image, quad([(200.0, 0.0), (240.0, 9.0), (240.0, 30.0), (200.0, 30.0)]), size(40, 30), 1.5);
    check_crop(&image, quad([(60.0, 12.0), (10.0, 10.0), (10.0, 30.0), (60.0, 30.0)]), size(90, 36), 1.5);
}

#[test]
fn a_shrinking_piece_does_not_alias() {
    // Columns of black and white: every way of shrinking them must give gray.
    let rgb = (0..400 * 100).flat_map(|i| if i % 2 == 0 { [0; 3] } else { [255; 3] }).collect();
    let image = Image::from_rgb(size(400, 100), rgb).unwrap();
    for tilt in [0.0, 6.0] {
        let q = quad([(50.0, 20.0), (350.0, 20.0 + tilt), (350.0, 80.0 + tilt), (50.0, 80.0)]);
        let small = crop(&image, &q, size(60, 12)).unwrap();
        assert!(small.samples().iter().all(|v| (100..156).contains(v)), "tilt {tilt}");
    }
    let small = resize(&image, size(57, 14), Filter::Bilinear).unwrap();
    assert!(small.samples().iter().all(|v| (100..156).contains(v)));
}

#[test]
fn shrinking_averages_and_growing_keeps_flat_areas() {
    let flat = Image::from_rgb(size(64, 48), [200, 100, 50].repeat(64 * 48)).unwrap();
    for filter in [Filter::Nearest, Filter::Bilinear, Filter::Cubic, Filter::Lanczos] {
        for to in [size(1, 1), size(13, 7), size(64, 48), size(200, 3), size(97, 131)] {
            let out = resize(&flat, to, filter).unwrap();
            assert_eq!(out.size(), to);
            assert!(out.samples().chunks(3).all(|p| p == [200, 100, 50]), "{filter:?} {to:?}");
        }
    }
}

#[test]
fn bilinear_growth_follows_the_reference() {
    let image = picture(30, 20);
    let out = resize(&image, size(75, 64), Filter::Bilinear).unwrap();
    for y in 0..64u32 {
        for x in 0..75u32 {
            let expected = at(&image, (f64::from(x) + 0.5) * 30.0 / 75.0, (f64::from(y) + 0.5) * 20.0 / 64.0);
            for k in 0..3 {
                let found = f64::from(out.samples()[((y * 75 + x) * 3) as usize + k]);
                assert!((found - expected[k]).abs() <= 1.5);
            }
        }
    }
}

#[test]
fn a_tensor_holds_planes_in_the_order_asked_for() {
    let image = Image::from_rgb(size(2, 1), vec![0, 51, 255, 10, 20, 30]).unwrap();
    let n = Normalization { mean: [0.5, 0.25, 0.0], std: [0.5, 0.25, 1.0], channels: Channels::Bgr };
    let tensor = to_tensor(&image, &n).unwrap();
    assert_eq!(tensor.shape(), [1, 3, 1, 2]);
    let f = |byte: u8, k: usize| (f32::from(byte) / 255.0 - n.mean[k]) / n.std[k];
    let expected = vec![f(255, 0), f(30, 0), f(51, 1), f(20, 1), f(0, 2), f(10, 2)];
    assert_eq!(*tensor.data(), TensorData::F32(expected));
    let zero = Normalization { std: [1.0, 0.0, 1.0], ..PLAIN };
    assert!(matches!(to_tensor(&image, &zero), Err(PixelsError::NormalizationInvalid)));
}

#[test]
fn a_stack_is_its_crops_padded_with_zeros() {
    let image = picture(200, 100);
    let crops = [
        Crop {
            image: image.clone(),
            quad: quad([(10.0, 10.0), (90.0, 12.0), (89.0, 40.0), (9.0, 38.0)]),
            width: 80,
        },
        Crop {
            image: image.clone(),
            quad: quad([(20.0, 50.0), (120.0, 50.0), (120.0, 74.0), (20.0, 74.0)]),
            width: 100,
        },
    ];
    let n = Normalization { mean: [0.5; 3], std: [0.5; 3], channels: Channels::Bgr };
    let tensor = stack(&crops, size(128, 48), &n).unwrap();
    assert_eq!(tensor.shape(), [2, 3, 48, 128]);
    let all = tensor.as_f32().unwrap();
    for (i, one) in crops.iter().enumerate() {
        let alone = crop(&image, &one.quad, size(one.width, 48)).unwrap();
        let alone = to_tensor(&alone, &n).unwrap();
        let alone = alone.as_f32().unwrap();
        let w = one.width as usize;
        for row in 0..3 * 48 {
            let got = &all[(i * 3 * 48 + row) * 128..][..128];
            assert_eq!(got[..w], alone[row * w..(row + 1) * w]);
            assert!(got[w..].iter().all(|v| *v == 0.0));
        }
    }
}

#[test]
fn invalid_arguments_are_refused() {
    let image = picture(50, 50);
    let good = quad([(1.0, 1.0), (20.0, 1.0), (20.0, 9.0), (1.0, 9.0)]);
    let refused = |q: Quad, s: Size| crop(&image, &q, s).unwrap_err();
    let mut nan = good;
    nan.0[2].x = f32::NAN;
    assert!(matches!(refused(nan, size(9, 9)), PixelsError::QuadNotFinite));
    let line = quad([(1.0, 1.0), (20.0, 1.0), (20.0, 1.0), (1.0, 1.0)]);
    assert!(matches!(refused(line, size(9, 9)), PixelsError::QuadDegenerate));
    let bow = quad([(1.0, 1.0), (20.0, 1.0), (1.0, 9.0), (20.0, 9.0)]);
    assert!(matches!(refused(bow, size(9, 9)), PixelsError::QuadDegenerate));
    let far = quad([(-1e30, 0.0), (1e30, 0.0), (1e30, 9.0), (-1e30, 9.0)]);
    assert!(matches!(refused(far, size(9, 9)), PixelsError::QuadTooFar { .. }));
    let wide = quad([(-9e5, -9e5), (9e5, -9e5), (9e5, 9e5), (-9e5, 9e5)]);
    assert!(matches!(refused(wide, size(9, 9)), PixelsError::TooLarge { .. }));
    assert!(matches!(refused(good, size(0, 9)), PixelsError::EmptySize { .. }));
    assert!(matches!(refused(good, size(u32::MAX, u32::MAX)), PixelsError::TooLarge { .. }));
    let one = Crop { image: image.clone(), quad: good, width: 600 };
    assert!(matches!(stack(&[], size(500, 48), &PLAIN), Err(PixelsError::StackEmpty)));
    assert!(matches!(stack(&[one], size(500, 48), &PLAIN), Err(PixelsError::CropWidth { .. })));
    let many = vec![Crop { image: image.clone(), quad: good, width: 9 }; 100_000];
    assert!(matches!(stack(&many, size(3200, 48), &PLAIN), Err(PixelsError::TooLarge { .. })));
}

#[test]
fn gray_is_the_channel_of_a_gray_rgb_image_in_every_operation() {
    let gray = convert(&picture(61, 47), PixelFormat::Gray8);
    let rgb = convert(&gray, PixelFormat::Rgb8);
    assert_eq!((gray.bytes(), rgb.bytes()), (61 * 47, 3 * 61 * 47));
    let same = |gray: &Image, rgb: &Image| {
        assert_eq!((gray.format(), gray.size()), (PixelFormat::Gray8, rgb.size()));
        assert!(
            gray.samples()
                .iter()
                .zip(rgb.samples().as_chunks::<3>().0)
                .all(|(luma, pixel)| [*luma; 3] == *pixel)
        );
    };
    for by in [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters] {
        same(&rotate(&gray, by), &rotate(&rgb, by));
    }
    for filter in [Filter::Nearest, Filter::Bilinear, Filter::Cubic, Filter::Lanczos] {
        let to = size(33, 80);
        same(&resize(&gray, to, filter).unwrap(), &resize(&rgb, to, filter).unwrap());
    }
    for quad in [
        quad([(3.0, 2.0), (50.0, 2.0), (50.0, 30.0), (3.0, 30.0)]),
        quad([(3.0, 2.0), (50.0, 6.0), (48.0, 34.0), (1.0, 30.0)]),
        quad([(-9.0, -8.0), (70.0, -3.0), (66.0, 60.0), (-2.0, 40.0)]),
    ] {
        let to = size(40, 24);
        same(&crop(&gray, &quad, to).unwrap(), &crop(&rgb, &quad, to).unwrap());
    }
    let of_gray = to_tensor(&gray, &PLAIN).unwrap();
    assert_eq!(of_gray.shape(), [1, 1, 47, 61]);
    assert_eq!(of_gray.as_f32().unwrap(), &to_tensor(&rgb, &PLAIN).unwrap().as_f32().unwrap()[..47 * 61]);
    let quad = quad([(3.0, 2.0), (50.0, 2.0), (50.0, 30.0), (3.0, 30.0)]);
    let crops = [&gray, &rgb].map(|image| Crop { image: image.clone(), quad, width: 9 });
    assert_eq!(stack(&crops[..1], size(12, 8), &PLAIN).unwrap().shape(), [1, 1, 8, 12]);
    assert!(matches!(stack(&crops, size(12, 8), &PLAIN), Err(PixelsError::StackFormats { index: 1 })));
}

#[test]
fn a_stack_takes_pieces_of_several_images() {
    let (a, b) = (picture(60, 40), rotate(&picture(60, 40), Rotation::Half));
    let quad = quad([(3.0, 2.0), (50.0, 2.0), (50.0, 30.0), (3.0, 30.0)]);
    let crops = [&a, &b, &a].map(|image| Crop { image: image.clone(), quad, width: 20 });
    let together = stack(&crops, size(20, 12), &PLAIN).unwrap();
    for (row, crop) in crops.iter().enumerate() {
        let alone = stack(std::slice::from_ref(crop), size(20, 12), &PLAIN).unwrap();
        assert_eq!(together.split(&[1, 1, 1]).unwrap()[row].data(), alone.data());
    }
}

#[test]
fn files_hold_the_pixels() {
    let image = picture(37, 21);
    for image in [image.clone(), convert(&image, PixelFormat::Gray8)] {
        let file = encode(&image, Encoding::Png).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        let mut samples = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut samples).unwrap();
        assert_eq!((info.width, info.height, samples.as_slice()), (37, 21, image.samples()));
        let file = encode(&image, Encoding::Jpeg(90)).unwrap();
        assert_eq!((&file[..3], &file[file.len() - 2..]), (&[0xff, 0xd8, 0xff][..], &[0xff, 0xd9][..]));
    }
    assert!(matches!(encode(&image, Encoding::Jpeg(0)), Err(PixelsError::QualityOutOfRange { quality: 0 })));
    assert!(matches!(encode(&image, Encoding::Jpeg(101)), Err(PixelsError::QualityOutOfRange { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Boxes that touch an edge of the image, with all extents and fractions, as detectors produce them: coordinates
    /// scaled in f32 from a map of another size.
    #[test]
    fn every_crop_at_every_edge_works(
        width in 1u32..3000, height in 1u32..60, scale in 0.1f32..10.0, left in 0.0f32..1.0, extent in 0.0f32..=1.0,
        vertical in any::<bool>(), gray in any::<bool>(),
    ) {
        let (width, height) = if vertical { (height, width) } else { (width, height) };
        let format = if gray { PixelFormat::Gray8 } else { PixelFormat::Rgb8 };
        let image = Image::new(format, size(width, height), vec![7; width as usize * height as usize * format.bytes()]).unwrap();
        let (w, h) = (width as f32, height as f32);
        let scaled = |v: f32| (v / scale) * scale;
        let (x, y) = (scaled(left * w), scaled(left * h));
        for (a, b, c, d) in [
            (x, 0.0, w, h),
            (0.0, y, w, h),
            (x, y, w, h),
            (0.0, 0.0, x + extent * (w - x), y + extent * (h - y)),
            (x, y, scaled(w), scaled(h)),
            (x, y, x + (w - x), y + (h - y)),
            (x - 0.2, y - 0.2, w + 0.2, h + 0.2),
        ] {
            // Below a thousandth of a square pixel a quad counts as a line.
            if (c - a) < 0.1 || (d - b) < 0.1 {
                continue;
            }
            let quad = quad([(a, b), (c, b), (c, d), (a, d)]);
            let out = crop(&image, &quad, size(48, 48));
            prop_assert!(out.is_ok(), "{:?} of {} x {}: {}", quad, width, height, out.unwrap_err());
            prop_assert!(out.unwrap().samples().iter().all(|v| *v == 7));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_quad_and_no_size_breaks_a_crop(
        corners in proptest::array::uniform8(prop_oneof![
            -60.0f32..120.0, Just(f32::NAN), Just(f32::INFINITY), Just(0.0), Just(50.0), -3e5f32..3e5,
        ]),
        width in prop_oneof![0u32..300, Just(u32::MAX), 60_000u32..70_000],
        height in prop_oneof![0u32..200, Just(u32::MAX)],
    ) {
        let image = picture(50, 40);
        let c = corners;
        let q = quad([(c[0], c[1]), (c[2], c[3]), (c[4], c[5]), (c[6], c[7])]);
        if let Ok(out) = crop(&image, &q, size(width, height)) {
            prop_assert_eq!(out.size(), size(width, height));
        }
    }

    #[test]
    fn no_size_breaks_a_resize(
        width in 1u32..90, height in 1u32..90, to_width in 0u32..5000, to_height in 0u32..400, filter in 0usize..4,
    ) {
        let filter = [Filter::Nearest, Filter::Bilinear, Filter::Cubic, Filter::Lanczos][filter];
        match resize(&picture(width, height), size(to_width, to_height), filter) {
            Ok(out) => prop_assert_eq!(out.size(), size(to_width, to_height)),
            Err(error) => prop_assert!(to_width == 0 || to_height == 0, "{}", error),
        }
    }
}
