//! Finding text: the detector at an adaptive size, its probability map to boxes. Knows nothing of what the text
//! says. Called once a page, and once more for each picture inside a page with real embedded text.

use lector_sdk::{Channels, Error, Filter, Image, Model, ModelInfo, Normalisation, Size, span};
use lector_vision::detect::{self, Adaptive, DbOptions, TextBox};

use crate::settings::Settings;

/// Name of the probability map among the detector's outputs, where it has several.
const OUTPUT: &str = "fetch_name_0";

/// The detector is a convolutional pyramid: sides are multiples of this, in pixels.
const SIDE_STEP: u32 = 32;

/// Shortest side of a kernel that counts as text, in map pixels (DB's reference value).
const KERNEL_SIDE_MIN: f32 = 3.0;

/// More boxes than any page of print holds; beyond it the page is noise, and an error says so.
const BOXES_MAX: usize = 8000;

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
            return Err(Error::Failed(format!("model `{}` has no output to read boxes from", info.name)));
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
    pub(crate) async fn find(&self, image: &Image) -> Result<Vec<TextBox>, Error> {
        let _span = span("detection");
        let (found, map) = self.look(image, self.long_side).await?;
        let Size { width, height } = image.size();
        let again = detect::refine(&found, (map.width, map.height), (width, height), &self.adaptive);
        let (found, map) = match again {
            Some(long_side) => self.look(image, long_side).await?,
            None => (found, map),
        };
        let (x, y) = (width as f32 / map.width as f32, height as f32 / map.height as f32);
        Ok(found.into_iter().map(|text| TextBox { quad: text.quad.scaled(x, y), ..text }).collect())
    }

    /// One run; boxes are in pixels of its map, whose size comes with them.
    async fn look(&self, image: &Image, long_side: u32) -> Result<(Vec<TextBox>, Size), Error> {
        let Size { width, height } = image.size();
        let (width, height) = detect::input_size(width, height, long_side, SIDE_STEP);
        let size = Size { width, height };
        let input = {
            let small = image.resize(size, Filter::Bilinear).await?;
            // ImageNet's statistics on BGR as they stand: so PP-OCR's detectors are trained (inference.yml).
            small.to_tensor(Normalisation::image_net(Channels::Bgr)).await?
        };
        let [map] = self.model.run_one(&self.info, input, [self.output.as_str()]).await?;
        let map = map.quantise(255.0).await?.to_u8()?;
        let found =
            detect::boxes(&map, width as usize, height as usize, &self.boxes).map_err(
                |error| match error {
                    detect::DetectError::TooMany { .. } => Error::TooLarge(error.to_string()),
                    detect::DetectError::Shape { .. } => Error::Failed(error.to_string()),
                },
            )?;
        Ok((found, size))
    }
}
