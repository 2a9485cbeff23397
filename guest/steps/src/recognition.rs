//! Line recognition with one model: pieces of the page in width-sorted batches, several runs in flight, labels to
//! characters. Independent of the origin of the lines. Called by the cascade (`cascade.rs`).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lector_sdk::{Channels, Crop, Crops, Error, Image, Model, ModelInfo, Normalization, Size};
use lector_vision::batch::{self, Batch, Widths};
use lector_vision::crop::{self, CropOptions, Piece};
use lector_vision::ctc::{self, Decoded, Reading};
use lector_vision::geometry::Quad;

use crate::convert::to_sdk_quad;
use crate::line_runs::{RunsInTime, joined};
use crate::settings::Settings;

/// Outputs that the host appends to the recognizer: the best label and its probability per step.
const OUTPUTS: [&str; 2] = ["ids", "confidence"];

/// Rows of the recognizer's input, in pixels.
const HEIGHT: u32 = 48;

/// Maximum width of the recognizer's input, in pixels (upstream's largest profile).
const WIDTH_MAX: u32 = 3200;

/// Width step if the engine has no width buckets, in pixels: four steps of the recognizer.
const WIDTH_STEP: u32 = 32;

/// Maximum of rows times width of one run, in columns: 9 MB of input.
const COLUMNS_MAX: u64 = 16_384;

/// An opened model and its parameters.
pub(crate) struct Recognizer {
    model: Model,
    info: ModelInfo,
    crops: CropOptions,
    in_flight: usize,
    batch_rows: usize,
    padding_max: f32,
    /// Texts of labels seen so far on this page.
    labels: RefCell<BTreeMap<u32, String>>,
    /// Characters of all labels, once they were needed.
    alphabet: RefCell<Option<BTreeSet<char>>>,
    in_time: RunsInTime,
}

impl Recognizer {
    /// Opens the model that the deployment granted under `alias`.
    pub(crate) fn open(alias: &str, settings: &Settings) -> Result<Self, Error> {
        let model = Model::open(alias)?;
        let info = model.describe();
        let widest = info.width_buckets.last().copied().unwrap_or(WIDTH_MAX).min(WIDTH_MAX);
        let recognition = &settings.recognition;
        Ok(Self {
            model,
            crops: CropOptions { height: HEIGHT, width_max: widest, ..CropOptions::default() },
            in_flight: recognition.in_flight as usize,
            batch_rows: recognition.batch_rows.min(info.max_batch.max(1)) as usize,
            padding_max: recognition.padding_max,
            info,
            labels: RefCell::default(),
            alphabet: RefCell::default(),
            in_time: RunsInTime::default(),
        })
    }

    /// Returns the quads in which the text of the detected boxes of a page is read, in reading direction.
    pub(crate) fn reading_quads(&self, quads: &[Quad]) -> Vec<Quad> {
        crop::reading_quads(quads, &self.crops)
    }

    /// Returns the refusal of a run because the time of the page is nearly over, if there was one.
    pub(crate) fn late(&self) -> Option<Error> {
        self.in_time.late()
    }

    /// Reads the text inside each quad (corners in reading direction), in their order; `None` where the time of the page did
    /// not suffice.
    pub(crate) async fn read(&self, image: &Image, quads: &[Quad]) -> Result<Vec<Option<Reading>>, Error> {
        let pieces = crop::pieces(quads, &self.crops);
        let decoded = self.decode(image, &pieces).await?;
        self.learn_labels(&decoded)?;
        let labels = self.labels.borrow();
        let text = |label| labels.get(&label).map(String::as_str);
        let readings = decoded.iter().map(|decoded| Some(ctc::reading(decoded.as_ref()?, text)));
        Ok(joined(quads.len(), &pieces, readings))
    }

    /// Runs all pieces, at most `in_flight` runs at once, widest first; `None` where the time of the page did not suffice.
    async fn decode(&self, image: &Image, pieces: &[Piece]) -> Result<Vec<Option<Decoded>>, Error> {
        let widths: Vec<u32> = pieces.iter().map(|piece| piece.width).collect();
        let grid = match self.info.width_buckets.as_slice() {
            [] => Widths::Step(WIDTH_STEP),
            buckets => Widths::Buckets(buckets),
        };
        let batches = batch::plan(&widths, grid, self.batch_rows, self.padding_max, COLUMNS_MAX);
        let mut decoded = vec![None; pieces.len()];
        let runs = batches.iter().map(|batch| self.in_time.run(self.run(image, pieces, batch)));
        let mut done = stream::iter(runs).buffer_unordered(self.in_flight);
        while let Some(rows) = done.try_next().await? {
            for (piece, row) in rows.into_iter().flatten() {
                if let Some(place) = decoded.get_mut(piece) {
                    *place = Some(row);
                }
            }
        }
        Ok(decoded)
    }

    /// Runs one batch; returns each member's index with its decoded row.
    async fn run(
        &self,
        image: &Image,
        pieces: &[Piece],
        batch: &Batch,
    ) -> Result<Vec<(usize, Decoded)>, Error> {
        let members: Vec<(usize, &Piece)> =
            batch.members.iter().filter_map(|&index| Some((index, pieces.get(index)?))).collect();
        let crops = members
            .iter()
            .map(|(_, piece)| Crop {
                image,
                quad: to_sdk_quad(&piece.quad),
                width: piece.width.clamp(1, batch.width),
            })
            .collect();
        let size = Size { width: batch.width, height: HEIGHT };
        let normalization = Normalization::half(Channels::Bgr);
        let input = Crops { crops, size, normalization }.stack().await?;
        let [ids, confidence] = self.model.run_one(&self.info, &input, OUTPUTS).await?;
        let steps = ids.shape().last().copied().unwrap_or(0);
        let (ids, confidence) = (ids.to_i64()?, confidence.to_f32()?);
        if ids.len() != confidence.len() || ids.len() != members.len() * steps {
            let message = format!(
                "model `{}` returned {} labels and {} probabilities for {} lines of {steps} steps",
                self.info.name,
                ids.len(),
                confidence.len(),
                members.len()
            );
            return Err(Error::failed("model_output_shape", message));
        }
        let mut rows = Vec::with_capacity(members.len());
        for (row, (index, piece)) in members.into_iter().enumerate() {
            let steps_of_row = row * steps..(row + 1) * steps;
            let (Some(ids), Some(confidence)) = (ids.get(steps_of_row.clone()), confidence.get(steps_of_row))
            else {
                continue;
            };
            let content = ctc::content_steps(steps, piece.width, batch.width);
            rows.push((index, ctc::decode(ids, confidence, content)));
        }
        Ok(rows)
    }

    /// Returns which of `characters` the model has no label for, ascending.
    ///
    /// # Errors
    ///
    /// Any error of the host.
    pub(crate) fn lacks(&self, characters: &BTreeSet<char>) -> Result<BTreeSet<char>, Error> {
        let mut alphabet = self.alphabet.borrow_mut();
        if alphabet.is_none() {
            let labels: Vec<u32> = (0..self.info.labels).collect();
            let texts = self.model.labels(&labels)?;
            *alphabet = Some(texts.iter().flat_map(|text| text.chars()).collect());
        }
        let known = alphabet.as_ref();
        Ok(characters.iter().copied().filter(|c| known.is_some_and(|known| !known.contains(c))).collect())
    }

    /// Requests the texts of new labels from the model, with one call for all of them.
    fn learn_labels(&self, decoded: &[Option<Decoded>]) -> Result<(), Error> {
        let mut known = self.labels.borrow_mut();
        let decoded: Vec<Decoded> = decoded.iter().flatten().cloned().collect();
        let mut unknown = ctc::labels_used(&decoded);
        unknown.retain(|label| !known.contains_key(label));
        if unknown.is_empty() {
            return Ok(());
        }
        let texts = self.model.labels(&unknown)?;
        known.extend(unknown.into_iter().zip(texts));
        Ok(())
    }
}
