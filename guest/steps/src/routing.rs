//! Script routing: where PP-OCR is unsure of a page, or reads letters of a language that it has in part only, the script is
//! found and its lines are read by the host's line recognizer. Called once by the cascade, for pages whose languages
//! neither the request nor the settings name; a page that PP-OCR reads with confidence costs nothing here.
//!
//! Script detection proposes, a trial decides: a few lines are read with the data of each installed language of the script,
//! and the one that reads its own letters with confidence has the page. Detection alone takes Hebrew for Thai at times, and
//! knows neither Armenian nor Georgian. A trial reads the lines both ways up: before this step PP-OCR has judged which way the
//! page lies, and of letters that it lacks it reads some better upside down.

use std::rc::Rc;

use lector_sdk::{Channels, Error, ErrorKind, Filter, Image, Model, Normalization, Size, span};
use lector_vision::ctc::Reading;
use lector_vision::geometry::{Quad, Rect, Rotation};

use crate::convert::to_sdk_quad;
use crate::languages;
use crate::scripts::{self, Detected, SCRIPTS, Script};
use crate::settings::Settings;
use crate::transcriber::{self, Transcriber, WITHOUT_ENGINE};

/// Mean probability of a page's characters below which PP-OCR is unsure of the page.
const UNSURE: f32 = 0.85;
/// Mean probability below which a page that looks like Latin may be of a script that script detection does not know.
const VERY_UNSURE: f32 = 0.8;
/// Confidence of a line below which it may be of another script: of these lines the script is found.
const DOUBTFUL: f32 = 0.9;

/// Letters for each line height of a line's width below which most of the line was not read: Latin letters are two, Chinese ones
/// are one. A recognizer reads nothing where it knows no letter, with confidence in the commas between.
const SPARSE: f32 = 0.3;

/// Lines that are read on trial, the longest ones.
const TRIAL_LINES: usize = 3;
/// Languages that are tried on a page.
const TRIALS_MAX: usize = 8;
/// Languages of one script that are tried.
const TRIALS_OF_A_SCRIPT: usize = 3;
/// Least mean probability of a trial with which a language has the page.
const TRIAL_SURE: f32 = 0.75;

/// Lines in the picture for script detection, and its most pixels.
const DETECTION_LINES: usize = 8;
const DETECTION_PIXELS: f32 = 1_200_000.0;
/// Certainty of script detection (its score divided by 100) from which other scripts are not tried.
const DETECTION_SURE: f32 = 0.04;

/// Lead that PP-OCR's reading of a line needs over one in letters of the page's script: letters that look alike in both
/// (`A`, `O`, `C`) are read with confidence by either.
const LEAD: f32 = 0.15;

/// The data of script detection, as a label of the model.
const DETECTION: &str = "osd";

/// Who reads the page.
pub(crate) enum Route {
    /// PP-OCR, as it has.
    Stays,
    /// PP-OCR, because what would read it is missing: the warning for the page.
    Missing(String),
    /// The line recognizer.
    Script(Box<Routed>),
}

/// The recognizer of a page's script.
pub(crate) struct Routed {
    pub(crate) transcriber: Transcriber,
    script: &'static Script,
    /// Whether the lines are read upside down, as the quads of the trial were.
    pub(crate) on_their_heads: bool,
}

/// The lines of a page and what PP-OCR has read.
pub(crate) struct Lines<'a> {
    pub(crate) image: &'a Image,
    pub(crate) quads: &'a [Quad],
    pub(crate) readings: &'a [Option<Reading>],
}

/// Finds who reads the page.
///
/// # Errors
///
/// Any error of the host but those that say that the line recognizer is not to be had.
pub(crate) async fn route(lines: &Lines<'_>, settings: &Settings) -> Result<Route, Error> {
    let page = Page::of(lines);
    let guessed = scripts::by_letters(&page.text);
    if guessed.is_none() && page.mean >= UNSURE && !page.is_sparse {
        return Ok(Route::Stays);
    }
    let _span = span("script");
    match find(lines, &page, guessed, settings).await {
        // The time of the page is nearly over: what was read stays as it is.
        Err(error) if error.kind == ErrorKind::Deadline => Ok(Route::Stays),
        outcome => outcome,
    }
}

/// What PP-OCR has read, as a whole.
struct Page {
    text: String,
    /// Mean probability of the characters; 0 where nothing was read.
    mean: f32,
    /// Whether most of its lines, by their width, have hardly any letters.
    is_sparse: bool,
    /// The lines of which the script is found, those with a low confidence or hardly any letters; all where there are none.
    doubtful: Vec<usize>,
}

impl Page {
    fn of(lines: &Lines<'_>) -> Self {
        let read: Vec<Option<(String, f32)>> =
            lines.readings.iter().map(|own| own.as_ref().map(parts)).collect();
        let is_sparse: Vec<bool> = lines
            .quads
            .iter()
            .zip(&read)
            .map(|(quad, own)| sparse(quad, own.as_ref().map_or("", |(text, _)| text)))
            .collect();
        let width: f32 = lines.quads.iter().map(Quad::width).sum();
        let sparse_width: f32 =
            lines.quads.iter().zip(&is_sparse).filter(|(_, own)| **own).map(|(quad, _)| quad.width()).sum();
        let is_doubtful =
            |own: &Option<(String, f32)>| own.as_ref().is_none_or(|(_, confidence)| *confidence < DOUBTFUL);
        let mut doubtful: Vec<usize> = (0..)
            .zip(read.iter().zip(&is_sparse))
            .filter(|(_, (own, is_sparse))| **is_sparse || is_doubtful(own))
            .map(|(line, _)| line)
            .collect();
        if doubtful.is_empty() {
            doubtful = (0..lines.quads.len()).collect();
        }
        let texts: Vec<&str> = read.iter().flatten().map(|(text, _)| text.as_str()).collect();
        Self {
            text: texts.join(" "),
            mean: mean(read.iter().flatten()).unwrap_or(0.0),
            is_sparse: sparse_width > 0.5 * width,
            doubtful,
        }
    }
}

/// Returns the text and the confidence of a reading; both are sums over its characters.
fn parts(reading: &Reading) -> (String, f32) {
    (reading.text(), reading.confidence())
}

/// Returns whether a line has hardly any letters for its width.
pub(crate) fn sparse(quad: &Quad, read: &str) -> bool {
    let letters = read.chars().filter(|c| !c.is_whitespace()).count();
    (letters as f32) < SPARSE * quad.width() / quad.height().max(1.0)
}

async fn find(
    lines: &Lines<'_>,
    page: &Page,
    guessed: Option<&'static Script>,
    settings: &Settings,
) -> Result<Route, Error> {
    let model = match Model::open(transcriber::ALIAS) {
        Ok(model) => Rc::new(model),
        Err(error) => return Ok(without_recognizer(&error, guessed)),
    };
    let installed = model.labels(&(0..model.describe().labels).collect::<Vec<_>>())?;
    let is_installed = |language: &str| installed.iter().any(|own| own == language);
    let (detected, score) = match guessed {
        Some(script) => (Detected::Other(script), 1.0),
        None if is_installed(DETECTION) => detect(lines, page, &model, &installed).await?,
        None => (Detected::Nothing, 0.0),
    };
    let mut tried: Vec<&'static Script> = Vec::new();
    if let Detected::Other(script) = detected {
        tried.push(script);
    }
    // Of Georgian PP-OCR reads the commas, with confidence.
    let is_very_unsure = page.mean < VERY_UNSURE || page.is_sparse;
    if detected == Detected::OfPpOcr && !is_very_unsure {
        return Ok(Route::Stays);
    }
    if is_very_unsure && detected != Detected::Nothing && guessed.is_none_or(Script::is_latin) {
        // Script detection takes these for Latin or another script, and PP-OCR's letters look Vietnamese in some fonts.
        tried.extend(["Armenian", "Georgian"].into_iter().filter_map(scripts::named));
    }
    if detected != Detected::OfPpOcr && score < DETECTION_SURE {
        // PP-OCR's letters tell Vietnamese, and its trial would be met by any Latin page.
        let is_new = |script: &&'static Script| !script.is_latin() && !tried.contains(script);
        let more: Vec<&'static Script> = SCRIPTS.iter().filter(is_new).collect();
        tried.extend(more);
    }
    // Without script detection, scripts are tried in the order of the table, up to a limit: the page may be of another one.
    let is_detected = guessed.is_some() || is_installed(DETECTION);
    let undecided = || if is_detected { Route::Stays } else { Route::Missing(unsure()) };
    let upright = sample(lines, page);
    let on_their_heads: Vec<Quad> = upright.iter().map(|quad| quad.rotated_corners(Rotation::Half)).collect();
    let mut trials = 0;
    for script in tried {
        let mut passed: Vec<(Trial, Routed)> = Vec::new();
        let own = script.languages.iter().filter(|language| is_installed(language));
        for language in own.take(TRIALS_OF_A_SCRIPT) {
            if trials == TRIALS_MAX {
                return Ok(undecided());
            }
            trials += 1;
            let transcriber = Transcriber::of(&model, &installed, &[*language], settings)?;
            let mut outcome = trial(lines.image, &upright, &transcriber, script).await?;
            let is_turned = outcome.is_none();
            if is_turned {
                outcome = trial(lines.image, &on_their_heads, &transcriber, script).await?;
            }
            if let Some((mean, text)) = outcome {
                let trial = Trial { language, mean, text };
                passed.push((trial, Routed { transcriber, script, on_their_heads: is_turned }));
            }
        }
        let all: Vec<&Trial> = passed.iter().map(|(trial, _)| trial).collect();
        if let Some(best) = best(&all) {
            return Ok(Route::Script(Box::new(passed.swap_remove(best).1)));
        }
    }
    Ok(match detected {
        Detected::Other(script)
            if score >= DETECTION_SURE && !script.languages.iter().any(|own| is_installed(own)) =>
        {
            Route::Missing(not_installed(script))
        }
        _ => undecided(),
    })
}

/// Returns the route of a page whose line recognizer is not to be had. A deployment that was not granted one has no use for
/// a warning.
fn without_recognizer(error: &Error, guessed: Option<&'static Script>) -> Route {
    if error.code != WITHOUT_ENGINE {
        return Route::Stays;
    }
    Route::Missing(guessed.map_or_else(unsure, not_installed))
}

/// Returns the warning for a page that was read with a low confidence, of an unknown script.
fn unsure() -> String {
    "the text was read with a low confidence and may be of a script that the recognizers lack: to read it, run \
     `cargo xtask setup --languages` on the server (Debian's packages tesseract-ocr-osd and tesseract-ocr-LANGUAGE)"
        .to_owned()
}

fn not_installed(script: &'static Script) -> String {
    let language = script.languages.first().copied().unwrap_or_default();
    format!(
        "the page looks {}, for which no language is installed on this server; its text is probably wrong: install one, such \
         as package {} (`cargo xtask setup --languages {language}`)",
        script.name,
        languages::package(language)
    )
}

/// Asks libtesseract for the script of a part of the page; returns it with its certainty.
async fn detect(
    lines: &Lines<'_>,
    page: &Page,
    model: &Model,
    installed: &[String],
) -> Result<(Detected, f32), Error> {
    let Some(area) = area(lines, page) else { return Ok((Detected::Nothing, 0.0)) };
    let scale = (DETECTION_PIXELS / area.area().max(1.0)).sqrt().min(1.0);
    let own = Size { width: area.width.max(1.0) as u32, height: area.height.max(1.0) as u32 };
    let part = lines.image.crop(to_sdk_quad(&Quad::from_rect(&area)), own).await?;
    let side = |pixels: u32| ((pixels as f32 * scale) as u32).max(1);
    let small = Size { width: side(own.width), height: side(own.height) };
    let part = if scale < 1.0 { part.resize(small, Filter::Bilinear).await? } else { part };
    let plain = Normalization { mean: (0.0, 0.0, 0.0), std: (1.0, 1.0, 1.0), channels: Channels::Rgb };
    let reading = Transcriber::one(model, installed, DETECTION, &part.to_tensor(plain).await?).await?;
    Ok((scripts::detected(&reading.text()), reading.confidence()))
}

/// Returns the part of the page with the doubtful lines in its middle, whole lines wide.
fn area(lines: &Lines<'_>, page: &Page) -> Option<Rect> {
    let mut bounds: Vec<Rect> =
        page.doubtful.iter().filter_map(|&line| Some(lines.quads.get(line)?.bounds())).collect();
    bounds.sort_by(|a, b| a.y.total_cmp(&b.y));
    let from = bounds.len().saturating_sub(DETECTION_LINES) / 2;
    let mut chosen = bounds.into_iter().skip(from).take(DETECTION_LINES);
    let first = chosen.next()?;
    let all = chosen.fold(first, |all, own| all.union(&own));
    let margin = first.height / 2.0;
    let size = lines.image.size();
    let whole = Rect { x: 0.0, y: 0.0, width: size.width as f32, height: size.height as f32 };
    let grown = Rect::from_edges(all.x - margin, all.y - margin, all.right() + margin, all.bottom() + margin);
    Some(grown.intersection(&whole)).filter(|area| area.area() > 0.0)
}

/// Returns the lines for trials.
fn sample(lines: &Lines<'_>, page: &Page) -> Vec<Quad> {
    let mut quads: Vec<Quad> =
        page.doubtful.iter().filter_map(|&line| lines.quads.get(line).copied()).collect();
    quads.sort_by(|a, b| b.width().total_cmp(&a.width()));
    quads.truncate(TRIAL_LINES);
    quads
}

/// Returns the mean probability of the characters of texts with their confidences; `None` without any.
fn mean<'a>(read: impl IntoIterator<Item = &'a (String, f32)>) -> Option<f32> {
    let (mut sum, mut count) = (0.0, 0.0);
    for (text, confidence) in read {
        let letters = text.chars().count() as f32;
        sum += confidence * letters;
        count += letters;
    }
    (count > 0.0).then(|| sum / count)
}

/// A language that read the sample with enough confidence.
struct Trial {
    /// Name of its data.
    language: &'static str,
    /// Mean probability of the characters.
    mean: f32,
    text: String,
}

/// Returns the place of the language that has the page.
fn best(trials: &[&Trial]) -> Option<usize> {
    let (first, surest) = trials.iter().enumerate().max_by(|(_, a), (_, b)| a.mean.total_cmp(&b.mean))?;
    // The data of Arabic reads Persian with confidence, in Arabic letters; that of Persian reads both as they are.
    let persian = trials.iter().position(|own| own.language == "fas" && is_persian(&own.text));
    Some(persian.filter(|_| surest.language == "ara").unwrap_or(first))
}

/// Tells whether a text that the data of Persian has read is Persian: of the letters of drawn pages in Arabic and Pashto 7 to
/// 8 % are of forms that Persian does not have, of those in Persian at most 0.2 %.
fn is_persian(text: &str) -> bool {
    const OTHERS: [char; 4] = ['ة', 'ى', 'ي', 'ك'];
    const SHARE_MAX: f32 = 0.02;
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let others = text.chars().filter(|c| OTHERS.contains(c)).count();
    others as f32 <= SHARE_MAX * letters as f32
}

/// Reads the sample; returns the mean probability of the characters and the text where they suffice.
async fn trial(
    image: &Image,
    sample: &[Quad],
    transcriber: &Transcriber,
    script: &Script,
) -> Result<Option<(f32, String)>, Error> {
    let read: Vec<(String, f32)> =
        transcriber.as_the_data_writes(image, sample).await?.iter().flatten().map(parts).collect();
    let text: String = read.iter().map(|(text, _)| text.as_str()).collect();
    let sure = mean(&read).filter(|mean| *mean >= TRIAL_SURE && script.has_page(&text));
    Ok(sure.map(|mean| (mean, text)))
}

impl Routed {
    /// Reads the page, and returns for each line the reading of the recognizer that has it: lines of the script are the line
    /// recognizer's, others stay as PP-OCR has read them.
    pub(crate) async fn read(
        &self,
        image: &Image,
        quads: &[Quad],
        before: Vec<Option<Reading>>,
    ) -> Result<Vec<Option<Reading>>, Error> {
        let readings = self.transcriber.read(image, quads).await?;
        let chosen = readings.into_iter().zip(before).map(|(own, before)| match (own, before) {
            (Some(own), Some(before)) => Some(if self.has(&own, &before) { own } else { before }),
            (own, before) => own.or(before),
        });
        Ok(chosen.collect())
    }

    fn has(&self, own: &Reading, before: &Reading) -> bool {
        self.script.has_line(&own.text()) && own.confidence() >= before.confidence() - LEAD
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn persian_is_told_from_arabic_by_its_letters() {
        let trial = |language, mean, text: &str| Trial { language, mean, text: text.to_owned() };
        let chosen = |trials: &[Trial]| best(&trials.iter().collect::<Vec<_>>());
        // A Persian line, and an Arabic one, by both data.
        let persian = [
            trial("ara", 0.91, "تمام افراد بشر آزاد به دنيا مي آيند"),
            trial("fas", 0.85, "تمام افراد بشر آزاد به دنیا می آیند"),
        ];
        assert_eq!(chosen(&persian), Some(1));
        let arabic =
            [trial("ara", 0.9, "يولد جميع الناس أحراراً"), trial("fas", 0.77, "يولد جميع الناس احراراً")];
        assert_eq!(chosen(&arabic), Some(0));
        // Urdu is read with more confidence by its own data than by both.
        let urdu = [
            trial("ara", 0.82, "تمام انسان"),
            trial("fas", 0.77, "تمام انسان"),
            trial("urd", 0.9, "تمام انسان"),
        ];
        assert_eq!(chosen(&urdu), Some(2));
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn a_missing_recognizer_is_a_warning_where_it_was_granted() {
        let missing = |code: &str, name: Option<&str>| match without_recognizer(
            &Error::denied(code, "x"),
            name.and_then(scripts::named),
        ) {
            Route::Missing(warning) => Some(warning),
            _ => None,
        };
        assert_eq!(missing("model_not_granted", Some("Greek")), None);
        assert!(missing(WITHOUT_ENGINE, None).unwrap().contains("cargo xtask setup --languages"));
        assert!(missing(WITHOUT_ENGINE, Some("Greek")).unwrap().contains("tesseract-ocr-ell"));
    }
}
