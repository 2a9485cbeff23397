//! Measures the cost model: the time to learn one page and to make two predictions. The target is a few microseconds.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use lector_core::cost::{PageCosts, PageSize};

const PAGES: u32 = 50_000;

fn main() {
    let sizes = [(2_000_000, 1_500_000), (20_000_000, 9_000_000), (8_000_000, 40_000)];
    let (mut costs, mut sum, began) = (PageCosts::default(), 0.0, Instant::now());
    for (pixels, crops) in sizes.into_iter().cycle().take(PAGES as usize) {
        let size = PageSize { pixels, crops };
        sum += costs.by_pixels(pixels).unwrap_or_default() + costs.by_crops(size).unwrap_or_default();
        costs.learn(size, pixels as f64 * 3e-5 + crops as f64 * 4e-4);
    }
    let us = began.elapsed().as_secs_f64() * 1e6 / f64::from(PAGES);
    println!("{us:.2} us a page (predictions add up to {sum:.0} ms)");
}
