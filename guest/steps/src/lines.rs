//! Correction of the direction of lines. Most lines of an upright page need no check. Lines with a low confidence, and
//! vertical lines, are passed to a classifier; if it is certain, they are read again in the other direction. What is still
//! doubtful then, and may run in another direction, is read so as well. Called once per page, after the first reading.

use lector_sdk::{Channels, Crop, Crops, Error, ErrorKind, Image, Normalization, Size, span};
use lector_vision::ctc::Reading;
use lector_vision::geometry::{Quad, Rotation};
use lector_vision::{crop, orientation};

use crate::cascade::Cascade;
use crate::classifier::{Classifier, probabilities};
use crate::convert::to_sdk_quad;

/// Alias of the line classifier.
pub(crate) const ALIAS: &str = "textline-orientation";

/// The classifier's input, in pixels; a line is squeezed into it.
const INPUT: Size = Size { width: 192, height: 48 };

/// Confidence below which a line may be upside down.
const DOUBTFUL: f32 = 0.8;

/// Class of "turned by 180 degrees".
const UPSIDE_DOWN: &str = "180";

/// Largest ratio of length to height of a box whose text may run across it: a label of two letters is longer than high, and
/// one letter says nothing about its direction.
const ACROSS_ASPECT: f32 = 1.05;

/// Characters up to which a line is a short one: letters such as S, O, X, 8 and pairs such as `no` read alike upside down.
const SHORT: usize = 4;

/// Advantage in confidence of a reading in another direction.
const CLEARLY_BETTER: f32 = 0.15;

/// Most lines of a page that are read in other directions: a page of noise has hundreds of doubtful lines.
const SECOND_LOOKS_MAX: usize = 64;

/// Lines per classifier run.
const BATCH: usize = 16;

/// A line as detected and as read.
pub(crate) struct Line {
    /// Quad of the detector.
    pub(crate) detected: Quad,
    /// Quad in reading direction.
    pub(crate) quad: Quad,
    pub(crate) reading: Reading,
    /// Whether it was found to be upside down: its quad is turned.
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
    let probabilities = match classify(image, &quads).await {
        // The time of the page is nearly over: what was read stays as it is.
        Err(error) if error.kind == ErrorKind::Deadline => return Ok(()),
        outcome => outcome?,
    };
    let flipped = orientation::flipped(&quads, &probabilities);
    let heads: Vec<usize> =
        doubtful.into_iter().zip(flipped).filter_map(|(index, flipped)| flipped.then_some(index)).collect();
    let turned: Vec<Quad> = heads
        .iter()
        .filter_map(|&index| Some(lines.get(index)?.quad.rotated_corners(Rotation::Half)))
        .collect();
    let readings = recognizer.read_accurately(image, &turned).await?;
    for ((index, quad), reading) in heads.into_iter().zip(turned).zip(readings) {
        let Some((line, reading)) = lines.get_mut(index).zip(reading) else { continue };
        let lead = if reading.text().chars().count() <= SHORT { CLEARLY_BETTER } else { 0.0 };
        if reading.confidence() > line.reading.confidence() + lead {
            (line.quad, line.reading, line.flipped) = (quad, reading, !line.flipped);
        }
    }
    Ok(())
}

/// Reads lines that are still doubtful in the directions that their box allows, and keeps a reading that is clearly better: a
/// line up the page that the classifier did not recognize, a short label at a right angle to the text.
pub(crate) async fn second_look(
    image: &Image,
    lines: &mut [Line],
    recognizer: &Cascade,
) -> Result<(), Error> {
    let doubtful: Vec<usize> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.reading.confidence() < DOUBTFUL)
        .map(|(index, _)| index)
        .take(SECOND_LOOKS_MAX)
        .collect();
    let mut other: Vec<(usize, Quad, bool)> = Vec::new();
    for index in doubtful {
        let Some(line) = lines.get(index) else { continue };
        if crop::is_vertical(&line.detected) {
            other.push((index, line.quad.rotated_corners(Rotation::Half), !line.flipped));
        } else if line.detected.width() <= ACROSS_ASPECT * line.detected.height() {
            for turn in [Rotation::Quarter, Rotation::ThreeQuarters] {
                other.push((index, line.quad.rotated_corners(turn), line.flipped));
            }
        }
    }
    if other.is_empty() {
        return Ok(());
    }
    let _span = span("second-look");
    let quads: Vec<Quad> = other.iter().map(|(_, quad, _)| *quad).collect();
    let readings = recognizer.read_accurately(image, &quads).await?;
    for ((index, quad, flipped), reading) in other.into_iter().zip(readings) {
        if let (Some(line), Some(reading)) = (lines.get_mut(index), reading)
            && reading.confidence() >= line.reading.confidence() + CLEARLY_BETTER
        {
            (line.quad, line.reading, line.flipped) = (quad, reading, flipped);
        }
    }
    Ok(())
}

/// Returns the probability of each line to be upside down.
async fn classify(image: &Image, quads: &[Quad]) -> Result<Vec<f32>, Error> {
    let classifier = Classifier::open(ALIAS)?;
    let is_class = |label: &String| label.trim().starts_with(UPSIDE_DOWN);
    let class = classifier.labels.iter().position(is_class).unwrap_or(1);
    let rows = BATCH.min(classifier.info.max_batch.max(1) as usize);
    let mut upside_down = Vec::with_capacity(quads.len());
    for batch in quads.chunks(rows) {
        let crop = |quad| Crop { image, quad: to_sdk_quad(quad), width: columns(quad) };
        let crops = batch.iter().map(crop).collect();
        let normalization = Normalization::half(Channels::Bgr);
        let input = Crops { crops, size: INPUT, normalization }.stack().await?;
        let scores = classifier.scores(&input).await?;
        let classes = scores.len() / batch.len();
        if classes == 0 || scores.len() != classes * batch.len() {
            let (name, given) = (&classifier.info.name, scores.len());
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
