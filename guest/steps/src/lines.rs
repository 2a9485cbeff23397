//! Correction of upside-down lines. Most lines of an upright page need no check. Lines with a low confidence, and
//! vertical lines, are passed to a classifier; if it is certain, they are read again in the other direction. Called
//! once per page, after the first reading.

use lector_sdk::{Channels, Crop, Crops, Error, Image, Model, Normalization, Size, span};
use lector_vision::ctc::Reading;
use lector_vision::geometry::{Quad, Rotation};
use lector_vision::{crop, orientation};

use crate::cascade::Cascade;
use crate::convert::to_sdk_quad;
use crate::rotation::probabilities;

/// Alias of the line classifier.
pub(crate) const ALIAS: &str = "textline-orientation";

/// The classifier's input, in pixels; a line is squeezed into it.
const INPUT: Size = Size { width: 192, height: 48 };

/// Confidence below which a line may be upside down.
const DOUBTFUL: f32 = 0.8;

/// Class of "turned by 180 degrees".
const UPSIDE_DOWN: &str = "180";

/// Lines per classifier run.
const BATCH: usize = 16;

/// A line as detected and as read.
pub(crate) struct Line {
    /// Quad of the detector.
    pub(crate) detected: Quad,
    /// Quad in reading direction.
    pub(crate) quad: Quad,
    pub(crate) reading: Reading,
    /// Whether it was found to be upside down.
    pub(crate) flipped: bool,
}

/// Reads doubtful lines again if the classifier finds them upside down, and keeps the better reading.
pub(crate) async fn upright(image: &Image, lines: &mut [Line], recognizer: &Cascade) -> Result<(), Error> {
    let doubtful: Vec<usize> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.reading.confidence() < DOUBTFUL || crop::is_vertical(&line.detected))
        .map(|(index, _)| index)
        .collect();
    if doubtful.is_empty() {
        return Ok(());
    }
    let _span = span("textline-orientation");
    let quads: Vec<Quad> = doubtful.iter().filter_map(|&index| Some(lines.get(index)?.quad)).collect();
    let flipped = orientation::flipped(&quads, &classify(image, &quads).await?);
    let heads: Vec<usize> =
        doubtful.into_iter().zip(flipped).filter_map(|(index, flipped)| flipped.then_some(index)).collect();
    let turned: Vec<Quad> = heads
        .iter()
        .filter_map(|&index| Some(lines.get(index)?.quad.rotated_corners(Rotation::Half)))
        .collect();
    let readings = recognizer.read_accurately(image, &turned).await?;
    for ((index, quad), reading) in heads.into_iter().zip(turned).zip(readings) {
        if let Some(line) = lines.get_mut(index)
            && reading.confidence() > line.reading.confidence()
        {
            (line.quad, line.reading, line.flipped) = (quad, reading, true);
        }
    }
    Ok(())
}

/// Returns the probability of each line to be upside down.
async fn classify(image: &Image, quads: &[Quad]) -> Result<Vec<f32>, Error> {
    let model = Model::open(ALIAS)?;
    let info = model.describe();
    let Some(output) = info.outputs.first().map(|port| port.name.clone()) else {
        return Err(Error::failed("model_without_output", format!("model `{}` has no output", info.name)));
    };
    let labels = model.labels(&(0..info.labels.min(16)).collect::<Vec<_>>())?;
    let class = labels.iter().position(|label| label.trim().starts_with(UPSIDE_DOWN)).unwrap_or(1);
    let rows = BATCH.min(info.max_batch.max(1) as usize);
    let mut upside_down = Vec::with_capacity(quads.len());
    for batch in quads.chunks(rows) {
        let crop = |quad| Crop { image, quad: to_sdk_quad(quad), width: columns(quad) };
        let crops = batch.iter().map(crop).collect();
        let normalization = Normalization::half(Channels::Bgr);
        let input = Crops { crops, size: INPUT, normalization }.stack().await?;
        let [scores] = model.run_one(&info, &input, [output.as_str()]).await?;
        let scores = scores.to_f32()?;
        let classes = scores.len() / batch.len();
        if classes == 0 || scores.len() != classes * batch.len() {
            let (name, given) = (&info.name, scores.len());
            let message = format!("model `{name}` returned {given} scores for {} lines", batch.len());
            return Err(Error::failed("model_output_shape", message));
        }
        let score = |row: &[f32]| probabilities(row).get(class).copied().unwrap_or(0.0);
        upside_down.extend(scores.chunks_exact(classes).map(score));
    }
    Ok(upside_down)
}

/// Returns the columns of a line in the classifier's input: by its aspect, at most the input's width.
fn columns(quad: &Quad) -> u32 {
    let columns = INPUT.height as f32 * quad.width() / quad.height().max(1.0);
    (columns.ceil() as u32).clamp(1, INPUT.width)
}
