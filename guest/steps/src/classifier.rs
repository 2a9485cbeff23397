//! An opened classifier of pictures: scores by class, from its first output. Called by `rotation.rs` and `lines.rs`; the output
//! that a model is read by is also the detector's.

use lector_sdk::{Error, Model, ModelInfo, Tensor};

/// Most classes whose labels are read.
const CLASSES_MAX: u32 = 16;

/// An opened model.
pub(crate) struct Classifier {
    model: Model,
    pub(crate) info: ModelInfo,
    output: String,
    /// Labels of its classes, in their order.
    pub(crate) labels: Vec<String>,
}

impl Classifier {
    /// Opens the model that the deployment granted under `alias`.
    ///
    /// # Errors
    ///
    /// `Failed` (`model_without_output`), and any error of the host.
    pub(crate) fn open(alias: &str) -> Result<Self, Error> {
        let model = Model::open(alias)?;
        let info = model.describe();
        let output = output(&info, None)?;
        let labels = model.labels(&(0..info.labels.min(CLASSES_MAX)).collect::<Vec<_>>())?;
        Ok(Self { model, info, output, labels })
    }

    /// Returns the scores of a batch of pictures, as the model gives them, row by row.
    ///
    /// # Errors
    ///
    /// Any error of the host.
    pub(crate) async fn scores(&self, input: &Tensor) -> Result<Vec<f32>, Error> {
        let [scores] = self.model.run_one(&self.info, input, [self.output.as_str()]).await?;
        scores.to_f32()
    }
}

/// Returns the name of the output that a model is read by: `named` if it has that, otherwise its first.
///
/// # Errors
///
/// `Failed` (`model_without_output`) if it has none.
pub(crate) fn output(info: &ModelInfo, named: Option<&str>) -> Result<String, Error> {
    let named = info.outputs.iter().find(|port| Some(port.name.as_str()) == named);
    named
        .or(info.outputs.first())
        .map(|port| port.name.clone())
        .ok_or_else(|| Error::failed("model_without_output", format!("model `{}` has no output", info.name)))
}

/// Applies softmax to the scores of one picture, unless the model has already done so.
pub(crate) fn probabilities(scores: &[f32]) -> Vec<f32> {
    let sum: f32 = scores.iter().sum();
    if scores.iter().all(|&score| score >= 0.0) && (sum - 1.0).abs() < 1e-3 {
        return scores.to_vec();
    }
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores.iter().map(|score| (score - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_become_probabilities() {
        assert_eq!(probabilities(&[0.25, 0.75]), [0.25, 0.75]);
        let soft = probabilities(&[0.0, 0.0, 2000.0]);
        assert_eq!(soft, [0.0, 0.0, 1.0]);
    }
}
