//! Lines on their head. Most lines of a page that stands upright need no look; those that read badly, and those
//! that stand on end, are shown to a classifier and, where it is sure, read once more the other way round.
//! Called once a page, after the first reading.

use lector_sdk::{Channels, Crop, Crops, Error, Image, Model, Normalization, Size, span};
use lector_vision::ctc::Reading;
use lector_vision::geometry::{Quad, Rotation};
use lector_vision::{crop, orientation};

use crate::convert::to_sdk_quad;
use crate::recognition::Recognizer;
use crate::rotation::probabilities;

/// Alias of the line classifier.
pub(crate) const ALIAS: &str = "textline-orientation";

/// The classifier's input, in pixels; a line is squeezed into it.
const INPUT: Size = Size { width: 192, height: 48 };

/// A line that reads worse than this may stand on its head.
const DOUBTFUL: f32 = 0.8;

/// Class that means "turned by 180 degrees".
const UPSIDE_DOWN: &str = "180";

/// Lines of one classifier run.
const BATCH: usize = 16;

/// A line as detected and as read.
pub(crate) struct Line {
    /// As the detector gave it.
    pub(crate) detected: Quad,
    /// In reading direction.
    pub(crate) quad: Quad,
    pub(crate) reading: Reading,
    /// Whether it was found on its head.
    pub(crate) flipped: bool,
}

/// Reads doubtful lines once more where the classifier finds them upside down, and keeps the better reading.
pub(crate) async fn upright(image: &Image, lines: &mut [Line], recognizer: &Recognizer) -> Result<(), Error> {
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
    let readings = recognizer.read(image, &turned).await?;
    for ((index, quad), reading) in heads.into_iter().zip(turned).zip(readings) {
        if let Some(line) = lines.get_mut(index)
            && reading.confidence() > line.reading.confidence()
        {
            (line.quad, line.reading, line.flipped) = (quad, reading, true);
        }
    }
    Ok(())
}

/// The probability of each line to be upside down.
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
            let message = format!("model `{name}` gave {given} scores for {} lines", batch.len());
            return Err(Error::failed("model_output_shape", message));
        }
        let score = |row: &[f32]| probabilities(row).get(class).copied().unwrap_or(0.0);
        upside_down.extend(scores.chunks_exact(classes).map(score));
    }
    Ok(upside_down)
}

/// Columns that a line takes in the classifier's input: its own shape, and no more than there are.
fn columns(quad: &Quad) -> u32 {
    let columns = INPUT.height as f32 * quad.width() / quad.height().max(1.0);
    (columns.ceil() as u32).clamp(1, INPUT.width)
}
