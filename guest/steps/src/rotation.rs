//! Page orientation. A classifier and the shape of the boxes suggest a rotation. Before a page is turned, a few of its
//! lines are read both ways, because a page that is turned wrongly is unreadable. Called once for a page that is read
//! from pixels.

use lector_sdk::{Channels, Error, Image, Normalization, Quad as SdkQuad, Rect, Size, span};
use lector_vision::detect::TextBox;
use lector_vision::geometry::{Quad, Rotation};
use lector_vision::orientation::{self, RotationOptions};

use crate::cascade::Cascade;
use crate::classifier::{Classifier, probabilities};

/// Alias of the page classifier.
pub(crate) const ALIAS: &str = "page-orientation";

/// Side of the classifier's input, in pixels.
const SIDE: u32 = 224;

/// Lines that are read to verify a rotation.
const SAMPLES: usize = 6;

/// Minimum advantage in mean probability of another rotation over the page as it is.
const BETTER_BY: f32 = 0.05;

/// Runs the classifier. `scores[i]` is the probability that the page must be turned clockwise by `i` quarters.
pub(crate) async fn classify(thumbnail: &Image) -> Result<[f32; 4], Error> {
    let _span = span("page-orientation");
    let classifier = Classifier::open(ALIAS)?;
    let Size { width, height } = thumbnail.size();
    // The center of the page, as in the classifier's training; the full extent of a side that is shorter than that.
    let middle = |length: u32| {
        if length > SIDE { ((length - SIDE) as f32 / 2.0, SIDE as f32) } else { (0.0, length as f32) }
    };
    let ((x, width), (y, height)) = (middle(width), middle(height));
    let center = SdkQuad::from_rect(Rect { x, y, width, height });
    let input = thumbnail.crop(center, Size { width: SIDE, height: SIDE }).await?;
    let input = input.to_tensor(Normalization::image_net(Channels::Rgb)).await?;
    Ok(by_turn(&probabilities(&classifier.scores(&input).await?), &classifier.labels))
}

/// Converts scores by class to scores by rotation. The classifier returns the degrees clockwise by which the page was
/// turned; it must be turned back.
fn by_turn(scores: &[f32], labels: &[String]) -> [f32; 4] {
    let mut turns = [0.0; 4];
    for (class, &score) in scores.iter().enumerate() {
        let degrees = labels.get(class).and_then(|label| label.trim().parse::<usize>().ok());
        let turned = degrees.unwrap_or(class * 90) / 90 % 4;
        turns[(4 - turned) % 4] += score;
    }
    turns
}

/// Returns the rotation of the page: the suggestion of classifier and boxes, if reading confirms it.
pub(crate) async fn decide(
    scores: Option<[f32; 4]>,
    boxes: &[TextBox],
    image: &Image,
    recognizer: &Cascade,
) -> Result<Rotation, Error> {
    let quads: Vec<Quad> = boxes.iter().map(|text| text.quad).collect();
    let suggested = orientation::page_rotation(scores, &quads, &RotationOptions::default());
    let candidates: &[Rotation] = match suggested {
        Rotation::None => return Ok(Rotation::None),
        Rotation::Half => &[Rotation::None, Rotation::Half],
        Rotation::Quarter | Rotation::ThreeQuarters => {
            &[Rotation::None, Rotation::Quarter, Rotation::ThreeQuarters]
        }
    };
    let _span = span("page-orientation");
    let samples = longest(&quads);
    let mut best = (Rotation::None, f32::NEG_INFINITY);
    for &rotation in candidates {
        let confidence = readability(image, &samples, rotation, recognizer).await?;
        let lead = if rotation == Rotation::None { 0.0 } else { BETTER_BY };
        if confidence > best.1 + lead {
            best = (rotation, confidence);
        }
    }
    Ok(best.0)
}

/// Returns the longest boxes, which are the strongest evidence.
fn longest(quads: &[Quad]) -> Vec<Quad> {
    let length = |quad: &Quad| quad.width().max(quad.height());
    let mut quads = quads.to_vec();
    quads.sort_by(|a, b| length(b).total_cmp(&length(a)));
    quads.truncate(SAMPLES);
    quads
}

/// Returns the mean probability of the characters that are read if the page must be turned by `rotation` to be upright.
async fn readability(
    image: &Image,
    samples: &[Quad],
    rotation: Rotation,
    recognizer: &Cascade,
) -> Result<f32, Error> {
    // On the unturned page, the text runs in the inverse rotation.
    let runs = rotation.inverse();
    let quads: Vec<Quad> = samples.iter().map(|quad| quad.rotated_corners(runs)).collect();
    let readings = recognizer.read_accurately(image, &quads).await?;
    let sum: f32 = readings.iter().flatten().map(|reading| reading.confidence()).sum();
    Ok(sum / readings.len().max(1) as f32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn classes_become_turns() {
        let labels = ["0", "90", "180", "270"].map(str::to_owned);
        assert_eq!(by_turn(&[0.7, 0.1, 0.0, 0.2], &labels), [0.7, 0.2, 0.0, 0.1]);
        assert_eq!(by_turn(&[0.7, 0.1, 0.0, 0.2], &[]), [0.7, 0.2, 0.0, 0.1]);
    }
}
