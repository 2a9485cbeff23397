//! Text detection: the detector at an adaptive size, and its probability map to boxes. Independent of the content of
//! the text. Called once per page, and once for each picture inside a page with real embedded text.

use futures_util::future;
use lector_sdk::{Channels, Error, Filter, Image, Model, ModelInfo, Normalization, Size, span};
use lector_vision::detect::{self, Adaptive, Bands, DbOptions, Found, Tiles};
use lector_vision::geometry::{Point, Quad};
use lector_vision::rules::{self, Rule};

use crate::classifier;
use crate::convert::to_sdk_quad;
use crate::settings::Settings;

/// Name of the probability map if the detector has several outputs.
const OUTPUT: &str = "fetch_name_0";

/// The detector is a convolutional pyramid: sides are multiples of this, in pixels.
const SIDE_STEP: u32 = 32;

/// Minimum side of a text kernel, in map pixels (DB's reference value).
const KERNEL_SIDE_MIN: f32 = 3.0;

/// Maximum number of boxes, more than any printed page has. Beyond it the page is mostly noise, the smallest boxes are
/// left out, and a warning is added.
const BOXES_MAX: usize = 8000;

/// Maximum pixels of a run of the second pass: an engine takes memory per pixel, and a page may have five million.
const BAND_PIXELS_MAX: u32 = 1_800_000;

/// An opened detector and its parameters.
pub(crate) struct Detector {
    model: Model,
    info: ModelInfo,
    output: String,
    boxes: DbOptions,
    adaptive: Adaptive,
    long_side: u32,
}

impl Detector {
    pub(crate) fn open(settings: &Settings) -> Result<Self, Error> {
        let model = Model::open(settings.tier.detection())?;
        let info = model.describe();
        let output = classifier::output(&info, Some(OUTPUT))?;
        let detection = &settings.detection;
        let boxes = DbOptions {
            threshold: detection.threshold,
            box_threshold: detection.box_threshold,
            unclip_ratio: detection.unclip_ratio,
            side_min: KERNEL_SIDE_MIN,
            boxes_max: BOXES_MAX,
        };
        let adaptive = Adaptive { long_side_max: detection.long_side_max, ..Adaptive::default() };
        Ok(Self { model, info, output, boxes, adaptive, long_side: detection.long_side })
    }

    /// Finds the pieces of text on `image`, in its pixels. Small print gets a second pass at a larger size.
    pub(crate) async fn find(&self, image: &Image) -> Result<Found, Error> {
        let _span = span("detection");
        if let Some(tiles) = self.tiles(image, 1.0) {
            return Ok(self.find_in_tiles(image, tiles).await?.0);
        }
        let small = image.resize(self.size(image, self.long_side), Filter::Bilinear).await?;
        let found = self.detect(&small).await?;
        self.refined(image, found, small).await
    }

    /// Finds the pieces of text, and the lines drawn between them.
    pub(crate) async fn find_with_rules(&self, image: &Image) -> Result<(Found, Vec<Rule>), Error> {
        let _span = span("detection");
        if let Some(tiles) = self.tiles(image, 1.0) {
            return self.find_in_tiles(image, tiles).await;
        }
        let size = self.size(image, self.long_side);
        let small = image.resize(size, Filter::Bilinear).await?;
        let (found, rules) = future::try_join(self.detect(&small), async {
            // While the model runs, the guest detects rules in the same pixels.
            Ok(rules::rules(&small.read(0, 0, size)?, size.width as usize, size.height as usize))
        })
        .await?;
        let (x, y) = enlargement(image, size);
        let rules = rules.iter().map(|rule| rule.scaled(x, y)).collect();
        Ok((self.refined(image, found, small).await?, rules))
    }

    /// Returns the tiles of an image of extreme shape.
    fn tiles(&self, image: &Image, finer: f32) -> Option<Tiles> {
        let Size { width, height } = image.size();
        Tiles::of((width, height), self.long_side, SIDE_STEP, BAND_PIXELS_MAX, finer)
    }

    /// Finds text and rules in tiles; small print gets a second pass at a larger scale.
    async fn find_in_tiles(&self, image: &Image, tiles: Tiles) -> Result<(Found, Vec<Rule>), Error> {
        let (found, rules) = self.tiled(image, &tiles).await?;
        let height = detect::median_line_height(&found.boxes);
        let y = image.size().height as f32 / tiles.size.1 as f32;
        let shown = height / y;
        let is_small = found.boxes.is_empty() || shown < self.adaptive.line_height_min;
        let aim = if found.boxes.is_empty() { 2.0 } else { self.adaptive.line_height_aim / shown.max(1.0) };
        let most = self.adaptive.long_side_max as f32 / self.long_side as f32;
        match self.tiles(image, aim.min(most)).filter(|finer| is_small && finer.size != tiles.size) {
            Some(finer) => self.tiled(image, &finer).await,
            None => Ok((found, rules)),
        }
    }

    /// Runs the detector on each tile; boxes and rules are in pixels of the image.
    async fn tiled(&self, image: &Image, tiles: &Tiles) -> Result<(Found, Vec<Rule>), Error> {
        let own = image.size();
        let (mut seen, mut left_out, mut drawn) = (Vec::with_capacity(tiles.spans.len()), 0, Vec::new());
        for span in &tiles.spans {
            let (area, (width, height)) = tiles.place(*span, (own.width, own.height));
            let size = Size { width, height };
            let part = image.crop(to_sdk_quad(&Quad::from_rect(&area)), size).await?;
            let found = self.detect(&part).await?;
            let (left, top) = tiles.origin(*span);
            let moved = |p: Point| Point::new(p.x + left, p.y + top);
            let rules = rules::rules(&part.read(0, 0, size)?, width as usize, height as usize);
            drawn.extend(rules.iter().map(|rule| Rule { from: moved(rule.from), to: moved(rule.to) }));
            left_out += found.left_out;
            seen.push(found.boxes);
        }
        let (x, y) = enlargement(image, Size { width: tiles.size.0, height: tiles.size.1 });
        let found = scaled(Found { boxes: tiles.join(seen), left_out }, x, y);
        Ok((found, drawn.iter().map(|rule| rule.scaled(x, y)).collect()))
    }

    /// Returns the boxes of the first pass on `small`, or those of a second pass if one is needed.
    async fn refined(&self, image: &Image, found: Found, small: Image) -> Result<Found, Error> {
        let (own, size) = (image.size(), small.size());
        drop(small);
        let (x, y) = enlargement(image, size);
        let map = (size.width, size.height);
        match detect::refine(&found.boxes, map, (own.width, own.height), &self.adaptive) {
            Some(long_side) => self.second_pass(image, long_side, scaled(found, x, y)).await,
            None => Ok(scaled(found, x, y)),
        }
    }

    /// Runs the second pass, larger, in bands; boxes are in pixels of the image, as those of the first pass.
    async fn second_pass(&self, image: &Image, long_side: u32, first: Found) -> Result<Found, Error> {
        let (own, size) = (image.size(), self.size(image, long_side));
        let (x, y) = enlargement(image, size);
        let first = scaled(first, 1.0 / x, 1.0 / y).boxes;
        let bands = Bands::of((size.width, size.height), &first, SIDE_STEP, BAND_PIXELS_MAX);
        let (mut seen, mut left_out) = (Vec::with_capacity(bands.bands.len()), 0);
        for band in &bands.bands {
            let (area, (width, height)) = bands.place(band, (own.width, own.height));
            let part = image.crop(to_sdk_quad(&Quad::from_rect(&area)), Size { width, height }).await?;
            let found = self.detect(&part).await?;
            left_out += found.left_out;
            seen.push(found.boxes);
        }
        Ok(scaled(Found { boxes: bands.join(seen, &first), left_out }, x, y))
    }

    /// Returns the size of the model's input for an image.
    fn size(&self, image: &Image, long_side: u32) -> Size {
        let Size { width, height } = image.size();
        let (width, height) = detect::input_size(width, height, long_side, SIDE_STEP);
        Size { width, height }
    }

    /// Runs the detector once; boxes are in pixels of `small`, which has the model's size.
    async fn detect(&self, small: &Image) -> Result<Found, Error> {
        let Size { width, height } = small.size();
        // ImageNet's statistics on BGR without reordering, as PP-OCR's detectors are trained (inference.yml).
        let input = small.to_tensor(Normalization::image_net(Channels::Bgr)).await?;
        let [map] = self.model.run_one(&self.info, &input, [self.output.as_str()]).await?;
        let map = map.quantize(255.0).await?.to_u8()?;
        detect::boxes(&map, width as usize, height as usize, &self.boxes).map_err(|error| match error {
            detect::DetectError::Noise { .. } => Error::too_large("page_too_noisy", error.to_string()),
            detect::DetectError::Shape { .. } => Error::failed("model_output_shape", error.to_string()),
        })
    }
}

/// Returns the ratio of an image's size to the size shown to the model, along both axes.
fn enlargement(image: &Image, shown: Size) -> (f32, f32) {
    let Size { width, height } = image.size();
    (width as f32 / shown.width as f32, height as f32 / shown.height as f32)
}

fn scaled(mut found: Found, x: f32, y: f32) -> Found {
    for text in &mut found.boxes {
        text.quad = text.quad.scaled(x, y);
    }
    found
}

/// Returns the warning about boxes that were left out, if any.
pub(crate) fn caution(left_out: usize) -> Option<String> {
    (left_out > 0).then(|| {
        format!(
            "{left_out} of the smallest specks left out: the page shows more than {BOXES_MAX} pieces of text"
        )
    })
}
