//! The acceptance criteria of a model's engines: the golden batch and the thresholds of its description.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::digest::Sha256;
use super::spec::Task;
use crate::provider::Precision;

/// The `[acceptance]` section of a description.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptance {
    /// Pictures, in the catalog's folder.
    pub golden: Vec<PathBuf>,
    /// The thresholds.
    pub thresholds: Thresholds,
    /// Precisions that engines may use.
    pub precisions: Vec<Precision>,
    /// Digest of thresholds and pictures: acceptance by other ones does not count.
    pub digest: String,
}

/// Thresholds by task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Thresholds {
    /// For masks and boxes.
    Detection(DetectionLimits),
    /// For characters.
    Recognition(RecognitionLimits),
    /// For labels.
    Classification(ClassificationLimits),
}

/// Thresholds of a detector.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectionLimits {
    /// Probability above which a pixel is text.
    pub threshold: f32,
    /// Least intersection over union of the masks.
    pub mask_agreement_min: f64,
    /// Least share of boxes with a matching box.
    pub box_match_min: f64,
    /// Greatest difference of the masks' areas, as a share.
    pub area_drift_max: f64,
}

/// Thresholds of a recognizer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecognitionLimits {
    /// Least share of equal characters.
    pub character_agreement_min: f64,
    /// Greatest mean difference of the lines' confidence.
    pub confidence_drift_max: f64,
}

/// Thresholds of a classifier.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassificationLimits {
    /// Least share of pictures with the same label.
    pub label_agreement_min: f64,
    /// Greatest mean difference of the label's score.
    pub confidence_drift_max: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAcceptance {
    golden: Vec<String>,
    precisions: Option<Vec<Precision>>,
    limits: toml::Table,
}

pub(super) fn raise(raw: RawAcceptance, task: Task, catalog: &Path) -> Result<Acceptance, String> {
    let wrong = |e: toml::de::Error| format!("acceptance.limits: {}", e.message());
    let text = raw.limits.to_string();
    let thresholds = match task {
        Task::Detection => Thresholds::Detection(raw.limits.try_into().map_err(wrong)?),
        Task::Recognition => Thresholds::Recognition(raw.limits.try_into().map_err(wrong)?),
        Task::Classification => Thresholds::Classification(raw.limits.try_into().map_err(wrong)?),
        Task::Transcription => {
            return Err(
                "task = \"transcription\" takes no [acceptance]: its engine is not compared".to_owned()
            );
        }
    };
    let golden = raw.golden.iter().map(|name| within(catalog, name)).collect::<Result<Vec<_>, _>>()?;
    if golden.is_empty() {
        return Err("acceptance.golden names no picture".to_owned());
    }
    let mut parts = vec![text];
    for path in &golden {
        let digest = Sha256::of_file(path)
            .map_err(|e| format!("acceptance.golden: {} cannot be read: {e}", path.display()))?;
        parts.push(digest.as_str().to_owned());
    }
    Ok(Acceptance {
        golden,
        thresholds,
        precisions: raw.precisions.unwrap_or_else(|| vec![Precision::F32, Precision::Bf16, Precision::F16]),
        digest: Sha256::of(parts.join("\n").as_bytes()).as_str().to_owned(),
    })
}

/// Returns the path of a file below the catalog's folder; a path that leaves it is an error.
fn within(catalog: &Path, name: &str) -> Result<PathBuf, String> {
    let path = Path::new(name);
    if path.components().all(|part| matches!(part, Component::Normal(_))) && !name.is_empty() {
        Ok(catalog.join(path))
    } else {
        Err(format!("acceptance.golden names `{name}`, which is not a path below the catalog's folder"))
    }
}
