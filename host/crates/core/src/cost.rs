//! Cost model of pages: predicts milliseconds of work from the pixels of a page and from the area of its crops.
//!
//! Crops count by area, because a line may be ten times as long as another. Mean error over 80 pages of the corpus at
//! three resolutions: 32 % before a page is begun, 33 % from its pixels (the same print costs the same at any
//! resolution), 9 % from its crops; by the number of crops it was 40 %. Over 60 full pages of A4 and A2: 67 %, 12 % and
//! 12 %.
//!
//! The model is `fixed + by_pixel * pixels + by_crop * crops` with non-negative terms: least squares with exponential
//! forgetting, solved by trying every set of terms (C. L. Lawson, R. J. Hanson, "Solving Least Squares Problems", 1974,
//! ch. 23; three terms have seven sets). Non-negative terms bound the prediction: k times the pixels and crops cost at
//! most k times as much, and no cost is negative. Slopes are regularized towards 0, so that pages of one size keep
//! their mean and do not determine a slope.
//!
//! Pure. Each revision has one model, fed with the pages that it has read.

/// Forgetting factor: the last fifty or so pages count.
const FORGET: f64 = 0.98;
/// Strength of the regularization of slopes, the square of a relative difference: sizes that differ by a tenth of their
/// mean hardly determine a slope.
const RIDGE: f64 = 0.01;
/// After this many pages, one page counts as at most [`JUMP_MAX`] times, and at least one [`JUMP_MAX`]th of, its
/// prediction: on a shared machine other load delays a page now and then.
const SETTLED: u32 = 5;
const JUMP_MAX: f64 = 8.0;
/// Smallest cost that is distinguished; cheaper pages count as this one, in milliseconds.
const LEAST_MS: f64 = 1.0;
/// Largest prediction for a page: ten minutes, longer than a guest may take.
const PAGE_MS_MAX: f64 = 600_000.0;
/// Weight of the newest page in a mean: it follows a change within about ten pages and ignores one outlier.
const NEWEST: f64 = 0.1;

/// Exponentially weighted mean; empty before the first value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mean(Option<f64>);

impl Mean {
    /// Adds a value with the usual weight.
    pub fn learn(&mut self, value: f64) {
        self.learn_at(NEWEST, value);
    }

    /// Adds a value with the weight `newest`.
    pub fn learn_at(&mut self, newest: f64, value: f64) {
        self.0 = Some(self.0.map_or(value, |mean| mean + newest * (value - mean)));
    }

    /// Returns the mean; `None` before the first value.
    pub fn value(&self) -> Option<f64> {
        self.0
    }
}

/// The properties of a page that determine its cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageSize {
    /// Rendered pixels.
    pub pixels: u64,
    /// Pixels of the models' inputs, padding included; most of them are crops of lines.
    pub crops: u64,
}

/// Cost model of the pages of one revision.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageCosts {
    seen: u32,
    by_pixels: Fit,
    by_crops: Fit,
}

impl PageCosts {
    /// Records that a page of that size took `ms` of work.
    pub fn learn(&mut self, size: PageSize, ms: f64) {
        let (pixels, crops) = scaled(size);
        let ms = ms.clamp(0.0, PAGE_MS_MAX);
        self.by_pixels.learn(self.seen, (pixels, 0.0), ms);
        self.by_crops.learn(self.seen, (pixels, crops), ms);
        self.seen = self.seen.saturating_add(1);
    }

    /// Predicts the cost of a page from its pixels alone; `None` before the first page.
    pub fn by_pixels(&self, pixels: u64) -> Option<f64> {
        let (pixels, _) = scaled(PageSize { pixels, crops: 0 });
        (self.seen > 0).then(|| self.by_pixels.terms.at(pixels, 0.0))
    }

    /// Predicts the cost of a page of that size; `None` before the first page.
    pub fn by_crops(&self, size: PageSize) -> Option<f64> {
        let (pixels, crops) = scaled(size);
        (self.seen > 0).then(|| self.by_crops.terms.at(pixels, crops))
    }
}

/// Least squares over the pages, and the fitted terms.
#[derive(Clone, Copy, Debug, Default)]
struct Fit {
    sums: Sums,
    terms: Terms,
}

impl Fit {
    fn learn(&mut self, seen: u32, (pixels, crops): (f64, f64), ms: f64) {
        let expected = self.terms.at(pixels, crops).max(LEAST_MS);
        let ms = if seen < SETTLED { ms } else { ms.clamp(expected / JUMP_MAX, expected * JUMP_MAX) };
        // Noise grows with the cost of a page: this weight keeps one poster from outweighing many letters. The weight
        // uses the prediction and not the measured value: otherwise a page that took less than others of its size would
        // count for more.
        let weight = if seen == 0 { ms.max(LEAST_MS) } else { expected }.recip();
        self.sums.add(weight, pixels, crops, ms);
        self.terms = self.sums.fit();
    }
}

/// Returns both sizes in megapixels.
fn scaled(size: PageSize) -> (f64, f64) {
    (size.pixels as f64 / 1e6, size.crops as f64 / 1e6)
}

#[derive(Clone, Copy, Debug, Default)]
struct Terms {
    fixed: f64,
    pixel: f64,
    crop: f64,
}

impl Terms {
    fn at(&self, pixels: f64, crops: f64) -> f64 {
        (self.fixed + self.pixel * pixels + self.crop * crops).min(PAGE_MS_MAX)
    }
}

/// Weighted sums over the pages, of products of 1, pixels (p), crops (c) and milliseconds (y).
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    n: f64,
    p: f64,
    c: f64,
    pp: f64,
    pc: f64,
    cc: f64,
    y: f64,
    py: f64,
    cy: f64,
}

impl Sums {
    fn add(&mut self, weight: f64, p: f64, c: f64, y: f64) {
        for (sum, product) in [
            (&mut self.n, 1.0),
            (&mut self.p, p),
            (&mut self.c, c),
            (&mut self.pp, p * p),
            (&mut self.pc, p * c),
            (&mut self.cc, c * c),
            (&mut self.y, y),
            (&mut self.py, p * y),
            (&mut self.cy, c * y),
        ] {
            *sum = *sum * FORGET + weight * product;
        }
    }

    /// Returns the non-negative terms that fit best.
    fn fit(&self) -> Terms {
        let ridge = |sum: f64| RIDGE * sum * sum / self.n.max(f64::MIN_POSITIVE);
        let drawn = Self { pp: self.pp + ridge(self.p), cc: self.cc + ridge(self.c), ..*self };
        let mut best = (0.0, Terms::default());
        for set in 1..8_u8 {
            let (fixed, pixel, crop) = (set & 1 != 0, set & 2 != 0, set & 4 != 0);
            let Some(terms) = drawn.solve(fixed, pixel, crop) else { continue };
            // The part of the sum of squares that the terms explain.
            let explained = terms.fixed * self.y + terms.pixel * self.py + terms.crop * self.cy;
            if explained > best.0 && terms.fixed >= 0.0 && terms.pixel >= 0.0 && terms.crop >= 0.0 {
                best = (explained, terms);
            }
        }
        best.1
    }

    /// Solves least squares for these terms alone, by Cramer's rule; `None` where the system is singular.
    fn solve(&self, fixed: bool, pixel: bool, crop: bool) -> Option<Terms> {
        let both = |first: bool, second: bool, sum: f64| if first && second { sum } else { 0.0 };
        let own = |used: bool, sum: f64| if used { sum } else { 1.0 };
        let (a, e, i) = (own(fixed, self.n), own(pixel, self.pp), own(crop, self.cc));
        let (b, c) = (both(fixed, pixel, self.p), both(fixed, crop, self.c));
        let f = both(pixel, crop, self.pc);
        let (x, y, z) = (both(fixed, true, self.y), both(pixel, true, self.py), both(crop, true, self.cy));
        // Minors of the symmetric matrix (a b c / b e f / c f i).
        let (aa, ab, ac) = (e * i - f * f, c * f - b * i, b * f - c * e);
        let (bb, bc, cc) = (a * i - c * c, b * c - a * f, a * e - b * b);
        let determinant = a * aa + b * ab + c * ac;
        (determinant > 1e-9 * a * e * i).then(|| Terms {
            fixed: (aa * x + ab * y + ac * z) / determinant,
            pixel: (ab * x + bb * y + bc * z) / determinant,
            crop: (ac * x + bc * y + cc * z) / determinant,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const LETTER: PageSize = PageSize { pixels: 2_000_000, crops: 800_000 };
    const POSTER: PageSize = PageSize { pixels: 24_000_000, crops: 6_000_000 };
    const PHOTO: PageSize = PageSize { pixels: 24_000_000, crops: 40_000 };

    /// 20 ms, 30 ms a megapixel, 400 ms a megapixel of crops; `noise` is relative.
    fn truth(size: PageSize, noise: f64) -> f64 {
        let (pixels, crops) = scaled(size);
        (20.0 + 30.0 * pixels + 400.0 * crops) * (1.0 + noise)
    }

    /// Noise of up to 20 % either way, the same in every run.
    fn noise(n: u64) -> f64 {
        (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / f64::from(1 << 24) * 0.4 - 0.2
    }

    fn learned(pages: impl IntoIterator<Item = (PageSize, f64)>) -> PageCosts {
        let mut costs = PageCosts::default();
        pages.into_iter().for_each(|(size, ms)| costs.learn(size, ms));
        costs
    }

    #[track_caller]
    fn near(is: Option<f64>, expect: f64, part: f64) {
        let is = is.unwrap();
        assert!((is / expect - 1.0).abs() <= part, "{is}, not {expect}");
    }

    #[test]
    fn costs_of_small_and_large_pages_are_learned_within_a_few_pages() {
        // (pages of each kind, allowed relative error)
        for (pages, part) in [(6, 0.15), (20, 0.1), (200, 0.1)] {
            let mixed = (0..pages * 3).map(|n| {
                let size = [LETTER, POSTER, PHOTO][n as usize % 3];
                (size, truth(size, noise(n)))
            });
            let costs = learned(mixed);
            for size in [LETTER, POSTER, PHOTO] {
                near(costs.by_crops(size), truth(size, 0.0), part);
            }
            // Without the crops a poster and a photo look the same.
            let between = f64::midpoint(truth(POSTER, 0.0), truth(PHOTO, 0.0));
            near(costs.by_pixels(POSTER.pixels), between, 0.3);
            assert!(costs.by_pixels(LETTER.pixels).unwrap() < between / 2.0);
        }
    }

    #[test]
    fn one_poster_among_fifty_letters_has_its_cost() {
        let costs = learned((0..500).map(|n| {
            let size = if n % 50 == 0 { POSTER } else { LETTER };
            (size, truth(size, noise(n)))
        }));
        near(costs.by_crops(LETTER), truth(LETTER, 0.0), 0.1);
        near(costs.by_crops(POSTER), truth(POSTER, 0.0), 0.2);
    }

    #[test]
    fn pages_that_are_all_alike_keep_their_mean_and_determine_no_slope() {
        let costs = learned((0..100).map(|n| (LETTER, truth(LETTER, noise(n)))));
        near(costs.by_pixels(LETTER.pixels), truth(LETTER, 0.0), 0.05);
        near(costs.by_crops(LETTER), truth(LETTER, 0.0), 0.05);
        near(costs.by_crops(POSTER), truth(LETTER, 0.0), 0.05);
        // The same holds for pages of nearly one size.
        let costs = learned((0..300).map(|n| {
            let size = PageSize { pixels: LETTER.pixels + n % 7 * 5_000, crops: LETTER.crops };
            (size, truth(LETTER, noise(n)))
        }));
        let poster = costs.by_crops(POSTER).unwrap();
        assert!(poster < 2.0 * truth(LETTER, 0.0), "{poster}");
    }

    #[test]
    fn a_page_costs_at_most_in_proportion_and_never_less_than_nothing() {
        // Costs that fall with the pixels, grow with their square, or do not depend on them.
        let shapes: [fn(f64, u64) -> f64; 3] =
            [|p, _| 1000.0 / (1.0 + p), |p, _| 10.0 * p * p, |_, n| 100.0 * (1.0 + noise(n))];
        for shape in shapes {
            let costs = learned((0..200).map(|n| {
                let size = PageSize { pixels: (n % 10 + 1) * 1_000_000, crops: n % 13 * 100_000 };
                (size, shape(size.pixels as f64 / 1e6, n))
            }));
            let cost = |factor: u64| {
                costs.by_crops(PageSize { pixels: factor * 5_500_000, crops: factor * 600_000 }).unwrap()
            };
            let Sums { n, y, .. } = costs.by_crops.sums;
            assert!((0.5..2.0).contains(&(cost(1) * n / y)), "{} for a mean page of {}", cost(1), y / n);
            for factor in [0, 1, 10, 1000] {
                let most = (cost(1) * factor.max(1) as f64).min(PAGE_MS_MAX);
                assert!((0.0..=most + 1e-6).contains(&cost(factor)), "{factor}: {} of {most}", cost(factor));
            }
            let most = PageSize { pixels: u64::MAX, crops: u64::MAX };
            assert!(costs.by_crops(most).unwrap() <= PAGE_MS_MAX);
        }
    }

    #[test]
    fn pages_without_pixels_and_pages_without_cost_are_accepted() {
        let none = PageSize::default();
        near(learned([(none, 5.0), (none, 5.0)]).by_crops(none), 5.0, 1e-9);
        assert_eq!(learned([(none, 0.0), (LETTER, 0.0)]).by_crops(POSTER), Some(0.0));
        assert_eq!(PageCosts::default().by_pixels(1), None);
        // Pages with embedded text beside scans.
        let costs = learned((0..100).map(|n| {
            let size = if n % 2 == 0 { none } else { LETTER };
            (size, if n % 2 == 0 { 4.0 } else { 400.0 })
        }));
        near(costs.by_pixels(0), 4.0, 0.2);
        near(costs.by_pixels(LETTER.pixels), 400.0, 0.05);
    }

    #[test]
    fn a_hiccup_counts_little_and_another_engine_is_noticed() {
        let mut costs = learned((0..60).map(|n| (LETTER, truth(LETTER, noise(n)))));
        costs.learn(LETTER, 60_000.0);
        assert!(costs.by_crops(LETTER).unwrap() < 1.4 * truth(LETTER, 0.0));
        (0..150).for_each(|_| costs.learn(LETTER, truth(LETTER, 0.0) / 3.0));
        near(costs.by_crops(LETTER), truth(LETTER, 0.0) / 3.0, 0.15);
    }

    /// Returns the prediction errors as shares of the work: of the mean, of a mean per megapixel of the page and of its
    /// crops, of the fit over pixels, and of the fit over pixels and crops. Each page is predicted before it is learned;
    /// the first 20 do not count.
    fn errors(page: impl Fn(u64) -> (PageSize, f64)) -> [f64; 5] {
        let (mut mean, mut per_pixels, mut per_crops) = (Mean::default(), Mean::default(), Mean::default());
        let mut costs = PageCosts::default();
        let (mut wrong, mut work) = ([0.0; 5], 0.0);
        for n in 0..620 {
            let (size, ms) = page(n);
            let (pixels, crops) = scaled(size);
            if n >= 20 {
                let rate = |mean: &Mean| mean.value().unwrap_or(0.0);
                let predictions = [
                    rate(&mean),
                    rate(&per_pixels) * pixels,
                    rate(&per_crops) * crops,
                    costs.by_pixels(size.pixels).unwrap(),
                    costs.by_crops(size).unwrap(),
                ];
                wrong
                    .iter_mut()
                    .zip(predictions)
                    .for_each(|(wrong, predicted)| *wrong += (predicted - ms).abs());
                work += ms;
            }
            mean.learn(ms);
            for (mean, amount) in [(&mut per_pixels, pixels), (&mut per_crops, crops)] {
                if amount > 0.0 {
                    mean.learn(ms / amount);
                }
            }
            costs.learn(size, ms);
        }
        wrong.map(|wrong| wrong / work)
    }

    /// The figures of decision record 0088.
    #[test]
    fn a_fit_is_better_than_a_mean_per_megapixel() {
        let crops = |n: u64| 500_000 + n.wrapping_mul(0x9E37_79B9) % 600_000;
        let of = |pixels: u64, crops: u64, n: u64| {
            let size = PageSize { pixels, crops };
            (size, truth(size, noise(n)))
        };
        let resolutions = errors(|n| of([930_000, 3_700_000, 8_400_000][n as usize % 3], crops(n), n));
        let sizes = errors(|n| match n % 4 {
            0 => of(POSTER.pixels, crops(n) * 8, n),
            _ => of(LETTER.pixels, crops(n), n),
        });
        let density = errors(|n| of(LETTER.pixels, crops(n) * (n % 5) / 2, n));
        let embedded = errors(|n| match n % 2 {
            0 => of(0, 0, n),
            _ => of(LETTER.pixels, crops(n), n),
        });
        let mixes =
            [("resolutions", resolutions), ("sizes", sizes), ("density", density), ("embedded", embedded)];
        for (mix, [mean, per_pixels, _, by_pixels, by_crops]) in mixes {
            // The noise of these pages alone is an error of 10 %.
            assert!(by_crops < 0.11, "{mix}: {by_crops}");
            assert!(by_crops + 0.05 < mean.min(per_pixels), "{mix}: {by_crops}, {mean}, {per_pixels}");
            assert!(by_pixels < mean.min(per_pixels), "{mix}: {by_pixels}, {mean}, {per_pixels}");
        }
        let better = mixes.iter().filter(|(_, [_, _, per_crops, _, by_crops])| by_crops + 0.04 < *per_crops);
        assert_eq!(better.count(), 3, "a mean per megapixel of crops is as good in one mix: {mixes:?}");
    }
}
