//! Finding text: the detector at an adaptive size, its probability map to boxes. Knows nothing of what the text
//! says. Called once a page, and once more for each picture inside a page with real embedded text.

use futures_util::future;
use lector_sdk::{Channels, Error, Filter, Image, Model, ModelInfo, Normalization, Size, span};
use lector_vision::detect::{self, Adaptive, Bands, DbOptions, Found};
use lector_vision::geometry::Quad;
use lector_vision::rules::{self, Rule};

use crate::convert::to_sdk_quad;
use crate::settings::Settings;

/// Name of the probability map among the detector's outputs, where it has several.
const OUTPUT: &str = "fetch_name_0";

/// The detector is a convolutional pyramid: sides are multiples of this, in pixels.
const SIDE_STEP: u32 = 32;

/// Shortest side of a kernel that counts as text, in map pixels (DB's reference value).
const KERNEL_SIDE_MIN: f32 = 3.0;

/// More boxes than any page of print holds; beyond it the page is mostly noise, the smallest boxes are left out, and a
/// warning says so.
const BOXES_MAX: usize = 8000;

/// Most pixels of a run of the second look: an engine takes memory by the pixel, and a page may have five million.
const BAND_PIXELS_MAX: u32 = 1_800_000;

/// An opened detector and how to use it.
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
        let named = info.outputs.iter().find(|port| port.name == OUTPUT);
        let Some(output) = named.or(info.outputs.first()).map(|port| port.name.clone()) else {
            let message = format!("model `{}` has no output to read boxes from", info.name);
            return Err(Error::failed("model_without_output", message));
        };
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

    /// The pieces of text on `image`, in its pixels. Small print is looked at again, larger.
    pub(crate) async fn find(&self, image: &Image) -> Result<Found, Error> {
        let _span = span("detection");
        let small = image.resize(self.size(image, self.long_side), Filter::Bilinear).await?;
        let found = self.look(&small).await?;
        self.refined(image, found, small).await
    }

    /// The same, and the lines drawn between them.
    pub(crate) async fn find_with_rules(&self, image: &Image) -> Result<(Found, Vec<Rule>), Error> {
        let _span = span("detection");
        let size = self.size(image, self.long_side);
        let small = image.resize(size, Filter::Bilinear).await?;
        let (found, rules) = future::try_join(self.look(&small), async {
            // While the model runs, the guest looks for rules in the same pixels.
            Ok(rules::rules(&small.read(0, 0, size)?, size.width as usize, size.height as usize))
        })
        .await?;
        let (x, y) = enlargement(image, size);
        let rules = rules.iter().map(|rule| rule.scaled(x, y)).collect();
        Ok((self.refined(image, found, small).await?, rules))
    }

    /// What the first look found on `small`, or what a second one does where that has to be.
    async fn refined(&self, image: &Image, found: Found, small: Image) -> Result<Found, Error> {
        let (own, size) = (image.size(), small.size());
        drop(small);
        let (x, y) = enlargement(image, size);
        let map = (size.width, size.height);
        match detect::refine(&found.boxes, map, (own.width, own.height), &self.adaptive) {
            Some(long_side) => self.look_again(image, long_side, scaled(found, x, y)).await,
            None => Ok(scaled(found, x, y)),
        }
    }

    /// The second look, larger, in bands; boxes are in pixels of the image, as those of the first look.
    async fn look_again(&self, image: &Image, long_side: u32, first: Found) -> Result<Found, Error> {
        let (own, size) = (image.size(), self.size(image, long_side));
        let (x, y) = enlargement(image, size);
        let first = scaled(first, 1.0 / x, 1.0 / y).boxes;
        let bands = Bands::of((size.width, size.height), &first, SIDE_STEP, BAND_PIXELS_MAX);
        let (mut seen, mut left_out) = (Vec::with_capacity(bands.bands.len()), 0);
        for band in &bands.bands {
            let (area, (width, height)) = bands.place(band, (own.width, own.height));
            let part = image.crop(to_sdk_quad(&Quad::from_rect(&area)), Size { width, height }).await?;
            let found = self.look(&part).await?;
            left_out += found.left_out;
            seen.push(found.boxes);
        }
        Ok(scaled(Found { boxes: bands.join(seen, &first), left_out }, x, y))
    }

    /// Size at which an image is shown to the model.
    fn size(&self, image: &Image, long_side: u32) -> Size {
        let Size { width, height } = image.size();
        let (width, height) = detect::input_size(width, height, long_side, SIDE_STEP);
        Size { width, height }
    }

    /// One run; boxes are in pixels of the image, which has the model's size.
    async fn look(&self, small: &Image) -> Result<Found, Error> {
        let Size { width, height } = small.size();
        // ImageNet's statistics on BGR as they stand: so PP-OCR's detectors are trained (inference.yml).
        let input = small.to_tensor(Normalization::image_net(Channels::Bgr)).await?;
        let [map] = self.model.run_one(&self.info, &input, [self.output.as_str()]).await?;
        let map = map.quantize(255.0).await?.to_u8()?;
        detect::boxes(&map, width as usize, height as usize, &self.boxes).map_err(|error| match error {
            detect::DetectError::Noise { .. } => Error::too_large("page_too_noisy", error.to_string()),
            detect::DetectError::Shape { .. } => Error::failed("model_output_shape", error.to_string()),
        })
    }
}

/// By how much an image is larger than what is shown of it, along both axes.
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

/// What the reader of a transcript must know where boxes were left out.
pub(crate) fn caution(left_out: usize) -> Option<String> {
    (left_out > 0).then(|| {
        format!(
            "{left_out} of the smallest specks left out: the page shows more than {BOXES_MAX} pieces of text"
        )
    })
}
