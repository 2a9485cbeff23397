//! The host's line recognizer for the scripts that PP-OCR lacks: one line a run, several runs in flight. Its labels are the
//! languages that are installed. Called by the cascade (`cascade.rs`).

use std::borrow::Cow;
use std::rc::Rc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lector_sdk::{Channels, Crop, Crops, Error, Image, Model, Normalization, Size, Tensor};
use lector_vision::crop::{self, CropOptions, Piece};
use lector_vision::ctc::{Glyph, Reading};
use lector_vision::geometry::Quad;

use crate::convert::to_sdk_quad;
use crate::data_letters;
use crate::languages;
use crate::line_runs::{RunsInTime, joined};
use crate::lookalikes::Letters;
use crate::scripts;
use crate::settings::Settings;

/// Alias of the model.
pub(crate) const ALIAS: &str = "scripts";

/// Code of the host where the granted model cannot run: libtesseract or every language is missing.
pub(crate) const WITHOUT_ENGINE: &str = "model_without_engine";

const INPUTS: [&str; 2] = ["line", "languages"];
const OUTPUTS: [&str; 2] = ["text", "words"];

/// Numbers of a word in the second output: left, top, right and bottom edge, confidence.
const WORD_NUMBERS: usize = 5;

/// Rows of a line's picture: above what the recognizer scales it to, so that it can tell the line from its neighbors' ink.
const HEIGHT: u32 = 64;
/// Rows where the data of Armenian reads it: of pictures that are scaled down and sharpened by libtesseract it reads the thin
/// `ն` of sans-serif fonts as `ե` or `ծ` (ADR 0180).
const HEIGHT_ARMENIAN: u32 = 32;

/// Maximum columns of a piece of a line, in line heights.
const WIDTH_MAX: u32 = 100;

/// Returns how lines are cut out for these languages.
fn crop_options(names: &[&str]) -> CropOptions {
    let height = if names.contains(&"hye") { HEIGHT_ARMENIAN } else { HEIGHT };
    CropOptions { height, width_max: WIDTH_MAX * height, ..CropOptions::default() }
}

/// The opened model and the languages of the page.
pub(crate) struct Transcriber {
    model: Rc<Model>,
    /// Labels of the languages.
    languages: Tensor,
    /// Names of the languages' data.
    names: Vec<String>,
    /// Letters of the script of the first language that look like Latin ones.
    letters: Option<&'static Letters>,
    crops: CropOptions,
    in_flight: usize,
    in_time: RunsInTime,
}

impl Transcriber {
    /// Opens the model for languages by the names of their data.
    ///
    /// # Errors
    ///
    /// `Invalid` (`language_not_installed`) with the package to install, and any error of the host.
    pub(crate) fn open(names: &[&str], settings: &Settings) -> Result<Self, Error> {
        let model = match Model::open(ALIAS) {
            // The host has no library, or not one language.
            Err(error) if error.code == WITHOUT_ENGINE => {
                return Err(not_installed(names.first().copied().unwrap_or_default(), &[]));
            }
            outcome => outcome?,
        };
        let installed = model.labels(&(0..model.describe().labels).collect::<Vec<_>>())?;
        Self::of(&Rc::new(model), &installed, names, settings)
    }

    /// Makes a recognizer for languages of the opened model, whose labels are `installed`.
    ///
    /// # Errors
    ///
    /// As of [`Transcriber::open`].
    pub(crate) fn of(
        model: &Rc<Model>,
        installed: &[String],
        names: &[&str],
        settings: &Settings,
    ) -> Result<Self, Error> {
        Ok(Self {
            model: Rc::clone(model),
            languages: labels(installed, names)?,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            letters: names
                .iter()
                .find_map(|name| scripts::of_language(name))
                .and_then(|script| Letters::of_script(script.name)),
            crops: crop_options(names),
            in_flight: settings.recognition.in_flight as usize,
            in_time: RunsInTime::default(),
        })
    }

    /// Reads one picture with one language of the opened model.
    pub(crate) async fn one(
        model: &Model,
        installed: &[String],
        name: &str,
        picture: &Tensor,
    ) -> Result<Reading, Error> {
        run(model, picture, &labels(installed, &[name])?).await
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
        let mut readings = self.as_the_data_writes(image, quads).await?;
        for glyph in readings.iter_mut().flatten().flat_map(|reading| &mut reading.glyphs) {
            if let Some(Cow::Owned(text)) = self.letters.map(|letters| letters.in_one_script(&glyph.text)) {
                glyph.text = text;
            }
            for name in &self.names {
                if let Cow::Owned(text) = data_letters::restored(name, &glyph.text) {
                    glyph.text = text;
                }
            }
        }
        Ok(readings)
    }

    /// As [`Transcriber::read`], with the letters of the language data, which differ by language.
    pub(crate) async fn as_the_data_writes(
        &self,
        image: &Image,
        quads: &[Quad],
    ) -> Result<Vec<Option<Reading>>, Error> {
        let pieces = crop::pieces(quads, &self.crops);
        let runs = pieces.iter().map(|piece| self.in_time.run(self.run(image, piece)));
        let readings: Vec<Option<Reading>> =
            stream::iter(runs).buffered(self.in_flight).try_collect().await?;
        Ok(joined(quads.len(), &pieces, readings))
    }

    async fn run(&self, image: &Image, piece: &Piece) -> Result<Reading, Error> {
        let crops = vec![Crop { image, quad: to_sdk_quad(&piece.quad), width: piece.width }];
        let size = Size { width: piece.width, height: self.crops.height };
        // The model takes red, green and blue in 0 to 1.
        let normalization =
            Normalization { mean: (0.0, 0.0, 0.0), std: (1.0, 1.0, 1.0), channels: Channels::Rgb };
        let line = Crops { crops, size, normalization }.stack().await?;
        run(&self.model, &line, &self.languages).await
    }
}

async fn run(model: &Model, line: &Tensor, languages: &Tensor) -> Result<Reading, Error> {
    let [line_input, languages_input] = INPUTS;
    let outputs = model.run(&[(line_input, line), (languages_input, languages)], &OUTPUTS).await?;
    let [text, words] = outputs.as_slice() else {
        return Err(Error::failed("model_output_count", "the line recognizer returned no text and words"));
    };
    let text = String::from_utf8(text.to_u8()?)
        .map_err(|error| Error::failed("model_output_text", format!("the text is not UTF-8: {error}")))?;
    reading(&text, &words.to_f32()?)
}

/// Returns the labels of languages as an input of the model.
fn labels(installed: &[String], names: &[&str]) -> Result<Tensor, Error> {
    let label = |name: &&str| {
        let found = installed.iter().position(|own| own == name);
        found.map(|label| label as i64).ok_or_else(|| not_installed(name, installed))
    };
    let labels: Vec<i64> = names.iter().map(label).collect::<Result<_, Error>>()?;
    Tensor::new(&[1, labels.len()], &labels)
}

/// Makes a reading of the model's outputs: a word is one glyph, because its characters have no places of their own. An error
/// where the outputs differ in their words: the others would be lost.
fn reading(text: &str, words: &[f32]) -> Result<Reading, Error> {
    let count = text.split_terminator('\n').filter(|word| !word.is_empty()).count();
    if words.len() != count * WORD_NUMBERS {
        let message = format!(
            "model `{ALIAS}` returned {count} words and {} numbers of their places; it must return {WORD_NUMBERS} of each word",
            words.len()
        );
        return Err(Error::failed("model_output_shape", message));
    }
    let mut glyphs: Vec<Glyph> = Vec::new();
    let mut places = words.chunks_exact(WORD_NUMBERS);
    for word in text.split_terminator('\n') {
        if word.is_empty() {
            if let Some(last) = glyphs.last() {
                let space = Glyph { text: " ".to_owned(), ..last.clone() };
                glyphs.push(space);
            }
            continue;
        }
        let Some(&[from, _, to, _, confidence]) = places.next() else { continue };
        glyphs.push(Glyph { text: word.to_owned(), confidence, from, to });
    }
    Ok(Reading { glyphs })
}

fn not_installed(name: &str, installed: &[String]) -> Error {
    let package = languages::package(name);
    let installed = if installed.is_empty() { "no language".to_owned() } else { installed.join(", ") };
    Error::invalid(
        "language_not_installed",
        format!(
            "the data of language `{name}` is not installed on this server (package {package}): the operator installs it with \
             `cargo xtask setup --languages {name}` on Debian, and copies it to a server that runs from a package \
             (deploy/README.md, Languages); installed: {installed}"
        ),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_vision::ctc;
    use lector_vision::geometry::Rect;

    use super::*;

    #[test]
    fn words_are_joined_as_the_model_says() {
        let word = |from: f32, to: f32| [from, 0.0, to, 1.0, 0.9];
        let words = [word(0.5, 1.0), word(0.25, 0.5), word(0.0, 0.2)].concat();
        // Right to left: the first word is at the right end.
        let reading = reading("שלום\n\nעו\nלם\n", &words).unwrap();
        assert_eq!(reading.text(), "שלום עולם");
        assert!((reading.confidence() - 0.9).abs() < 1e-6);
        assert_eq!((reading.glyphs[0].from, reading.glyphs[3].to), (0.5, 0.2));
        // A box of a word reaches from its left to its right end.
        let line = Quad::from_rect(&Rect { x: 0.0, y: 0.0, width: 100.0, height: 10.0 });
        let places: Vec<(String, f32, f32)> = ctc::words(&reading, &line)
            .into_iter()
            .map(|word| (word.text, word.quad.0[0].x, word.quad.0[1].x))
            .collect();
        assert_eq!(places, [("שלום".to_owned(), 50.0, 100.0), ("עולם".to_owned(), 0.0, 50.0)]);
        assert_eq!(super::reading("", &[]).unwrap().text(), "");
    }

    #[test]
    fn lines_of_armenian_are_cut_out_smaller() {
        let [russian, armenian, mixed] = [&["rus"][..], &["hye"], &["eng", "hye"]].map(crop_options);
        assert_eq!((russian.height, russian.width_max), (64, 6400));
        assert_eq!((armenian.height, armenian.width_max), (32, 3200));
        assert_eq!(mixed, armenian);
    }

    #[test]
    fn outputs_that_differ_in_their_words_are_an_error() {
        for (text, numbers) in [("a\nb\n", 5), ("a\n", 10), ("a\n", 4), ("a\n", 6), ("", 5), ("a\n\nb\n", 0)]
        {
            let error = super::reading(text, &vec![0.5; numbers]).expect_err(text);
            assert_eq!(error.code, "model_output_shape", "{text:?} {numbers}");
            assert!(error.message.contains(&format!(" {numbers} numbers")), "{}", error.message);
        }
    }

    #[test]
    fn a_language_that_is_not_installed_names_its_package() {
        let error = not_installed("chi_sim", &["eng".to_owned()]);
        assert_eq!(error.code, "language_not_installed");
        assert!(error.message.contains("tesseract-ocr-chi-sim") && error.message.contains("installed: eng"));
    }
}
