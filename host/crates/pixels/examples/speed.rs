//! Measures the image operations of a page on one core: `cargo run --release -p lector-pixels --example speed`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use lector_core::{Image, Point, Quad, Rotation, Size, Tensor, TensorData};
use lector_pixels::{
    Channels, Crop, Filter, Normalization, argmax, quantize, resize, rotate, stack, to_tensor,
};

fn time<T>(name: &str, mut body: impl FnMut() -> T) {
    let mut runs: Vec<f64> = (0..25)
        .map(|_| {
            let start = Instant::now();
            black_box(body());
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    println!("{name:<52} median {:>7.2} ms   best {:>7.2} ms", runs[12], runs[0]);
}

fn main() {
    let size = Size { width: 1654, height: 2339 };
    let bytes = (0..size.pixels() * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let page = Image::from_rgb(size, bytes).unwrap();
    let small = Size { width: 928, height: 1312 };
    let n =
        Normalization { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], channels: Channels::Bgr };
    time("resize A4@200dpi to 928x1312, bilinear", || resize(&page, small, Filter::Bilinear).unwrap());
    time("resize A4@200dpi to 928x1312, cubic", || resize(&page, small, Filter::Cubic).unwrap());
    time("rotate A4@200dpi by a quarter", || rotate(&page, Rotation::Quarter));
    let reduced = resize(&page, small, Filter::Bilinear).unwrap();
    time("to-tensor 928x1312", || to_tensor(&reduced, &n).unwrap());
    let row = Size { width: 600, height: 48 };
    for (name, tilt, height) in [
        ("stack 40 x 48x600, upright, 30 px high", 0.0, 30.0),
        ("stack 40 x 48x600, tilted, 30 px high", 3.0, 30.0),
        ("stack 40 x 48x600, tilted, 70 px high", 3.0, 70.0),
    ] {
        let crops: Vec<Crop> = (0..40)
            .map(|i| {
                let (x, y) = (200.0, 60.0 + 50.0 * i as f32);
                let width = height * 12.5;
                let corners = [
                    (x, y),
                    (x + width, y + tilt),
                    (x + width - 0.3, y + tilt + height),
                    (x - 0.3, y + height),
                ];
                Crop { image: page.clone(), quad: Quad(corners.map(|(x, y)| Point { x, y })), width: 600 }
            })
            .collect();
        time(name, || stack(&crops, row, &n).unwrap());
    }
    let map = Tensor::new(&[1, 1, 1312, 928], TensorData::F32(vec![0.3; 1312 * 928])).unwrap();
    time("quantize 1312x928", || quantize(&map, 255.0).unwrap());
    let logits = Tensor::new(&[6, 80, 6625], TensorData::F32(vec![0.1; 6 * 80 * 6625])).unwrap();
    time("argmax 6x80x6625", || argmax(&logits).unwrap());
}
