//! The order of the steps for a page, and the warnings in the transcript. Independent of the details of the steps. Used
//! by the standard guest and by guests that build on it.

use futures_util::future;
use lector_sdk::{
    Error, ErrorKind, Filter, Image, Page, PageKind, Quad as SdkQuad, Request, Size, TextLayerPolicy,
    Transcript, span,
};
use lector_vision::crop;
use lector_vision::detect::{Found, TextBox};
use lector_vision::geometry::{Quad, Rect, Rotation};
use lector_vision::layout;
use lector_vision::rules::{self, Rule};
use lector_vision::structure::Analysis;
use lector_vision::textlayer::{self, Verdict};

use crate::cascade::Cascade;
use crate::compose::{self, Blocks, Layout, Wanted};
use crate::convert::to_sdk_rotation;
use crate::detection::{self, Detector};
use crate::embedded::{self, Embedded};
use crate::fragment::Fragment;
use crate::languages;
use crate::lines::{self, Line};
use crate::resolution::{self, Sheet};
use crate::settings::{Settings, Structure};
use crate::{pixels, rotation, routing, stamps};

/// Fraction of a detected box that embedded text must cover to replace it.
const COVERED: f32 = 0.5;

/// Maximum pictures of a page that are read separately; more are read as one area.
const PICTURES_MAX: usize = 6;

/// Points added around a picture before text is detected in it, for letters at its edge.
const PICTURE_MARGIN_PT: f32 = 3.0;

/// Fraction of the text length in upside-down lines from which the page is upside down.
const PAGE_FLIPPED: f32 = 0.7;

/// Warning for a page that shows something and has no text.
const NOTHING_FOUND: &str = "the page is not empty, but no text was read on it";

/// Confidence below which a line across the direction of the page leads to a warning: noise beside text is read so.
const ACROSS_SURE: f32 = 0.75;

/// Length in line heights from which a line that is hardly read leads to a warning; a shorter one may be a mark.
const LONG_LINE: f32 = 5.0;

/// Resolution at which a page of embedded text is rendered for the rules of its tables, in dots per inch.
const RULES_DPI: f32 = 150.0;

/// Longer side of a page image in which the rules of tables are looked for: that of A4 at this resolution.
const RULES_SIDE: f32 = 1754.0;

/// Reads one page.
///
/// # Errors
///
/// `TooLarge` if the request sets a resolution that the page budget forbids, `Denied` if a model was not granted, and
/// any error of the host for renderings and runs.
pub async fn read_page(page: &Page, request: &Request, settings: &Settings) -> Result<Transcript, Error> {
    let policy = request.text_layer.unwrap_or(settings.text_layer.into());
    let words = request.words || settings.words;
    let walk = Walk { page, request, settings, words };
    if matches!(policy, TextLayerPolicy::Never) || !matches!(page.kind(), PageKind::Pdf) {
        if matches!(policy, TextLayerPolicy::Only) {
            return Ok(walk.only(&embedded::study(&no_layer(), page.size_pt())));
        }
        return walk.pixels_alone().await;
    }
    let embedded = {
        let _span = span("text-layer");
        embedded::study(&page.text_layer().await?, page.size_pt())
    };
    match (policy, embedded.verdict) {
        (TextLayerPolicy::Only, _) => Ok(walk.only(&embedded)),
        (_, Verdict::Real) if embedded.pictures.is_empty() => walk.embedded(&embedded).await,
        (_, Verdict::Real) => walk.both(&embedded).await,
        _ => walk.pixels_alone().await,
    }
}

fn no_layer() -> lector_sdk::TextLayer {
    lector_sdk::TextLayer { spans: Vec::new(), pictures: Vec::new(), unmapped: 0, rules: Vec::new() }
}

/// The input of every step.
struct Walk<'a> {
    page: &'a Page,
    request: &'a Request,
    settings: &'a Settings,
    words: bool,
}

impl Walk<'_> {
    fn sheet(&self) -> Sheet {
        Sheet {
            kind: self.page.kind(),
            size_pt: self.page.size_pt(),
            native_dpi: self.page.native_dpi(),
            pixels_max: self.page.pixels_max(),
        }
    }

    /// Reads embedded text alone: no model run, and a small rendering only where the page may have tables and the document
    /// does not tell the lines drawn around them.
    async fn embedded(&self, embedded: &Embedded) -> Result<Transcript, Error> {
        let (mut transcript, fragments) = self.embedded_fragments(embedded);
        let size = transcript.size;
        let layout = Layout::of(&fragments, &[], size);
        let mut analysis = self.analysis(&layout, &[]);
        let mut rules = self.drawn(embedded, size);
        if rules.is_empty() && analysis.as_mut().is_some_and(Analysis::may_have_tables) {
            rules = self.table_rules(size).await?;
        }
        let wanted = self.wanted(transcript.dpi, analysis, &rules);
        compose::page(&mut transcript, &layout, Rotation::None, wanted);
        Ok(transcript)
    }

    /// Returns the transcript without lines, and the fragments.
    fn embedded_fragments(&self, embedded: &Embedded) -> (Transcript, Vec<Fragment>) {
        let dpi = resolution::wanted(&self.sheet(), self.request.dpi, self.settings.dpi);
        let size = self.page.size_at(dpi);
        let fragments = embedded::fragments(&embedded.lines, self.scale(size), self.has_words());
        let mut transcript = Transcript::blank(size, dpi);
        transcript.warnings.extend(embedded::left_out(embedded));
        (transcript, fragments)
    }

    /// Returns the lines that the document draws, in pixels of an image of `size`.
    fn drawn(&self, embedded: &Embedded, size: Size) -> Vec<Rule> {
        let (x, y) = self.scale(size);
        embedded.rules.iter().filter(|_| self.is_structured()).map(|rule| rule.scaled(x, y)).collect()
    }

    /// Finds the lines drawn on the page, in pixels of an image of `size`.
    async fn table_rules(&self, size: Size) -> Result<Vec<Rule>, Error> {
        let _span = span("rules");
        let (width, height) = self.page.size_pt();
        let inches = (width / 72.0) * (height / 72.0);
        let most = (self.page.pixels_max() as f32 * 0.9 / inches.max(f32::EPSILON)).sqrt();
        let image = self.page.render(RULES_DPI.min(most)).await?;
        self.rules_of(&image, size)
    }

    /// Finds the lines drawn around tables on the page image; `None` where it has none, or none are wanted.
    async fn grid_rules(
        &self,
        image: &Image,
        analysis: Option<&mut Analysis<'_>>,
    ) -> Result<Option<Vec<Rule>>, Error> {
        let size = image.size();
        if !analysis.is_some_and(Analysis::may_have_tables) {
            return Ok(None);
        }
        let scale = (RULES_SIDE / size.width.max(size.height).max(1) as f32).min(1.0);
        let side = |pixels: u32| ((pixels as f32 * scale).round() as u32).max(1);
        let small = Size { width: side(size.width), height: side(size.height) };
        let small = image.resize(small, Filter::Bilinear).await?;
        self.rules_of(&small, size).map(Some)
    }

    /// Finds the lines drawn on an image, in pixels of an image of `size`.
    fn rules_of(&self, image: &Image, size: Size) -> Result<Vec<Rule>, Error> {
        let own = image.size();
        let found = rules::crossing(&image.read(0, 0, own)?, own.width as usize, own.height as usize);
        let (x, y) = (size.width as f32 / own.width as f32, size.height as f32 / own.height as f32);
        Ok(found.iter().map(|rule| rule.scaled(x, y)).collect())
    }

    /// Reads embedded text alone because the settings or the request demand it.
    fn only(&self, embedded: &Embedded) -> Transcript {
        let (mut transcript, fragments) = self.embedded_fragments(embedded);
        let rules = self.drawn(embedded, transcript.size);
        let layout = Layout::of(&fragments, &[], transcript.size);
        let wanted = self.wanted(transcript.dpi, self.analysis(&layout, &[]), &rules);
        compose::page(&mut transcript, &layout, Rotation::None, wanted);
        transcript.warnings.extend(embedded::caution(embedded.verdict).map(str::to_owned));
        transcript
    }

    fn is_structured(&self) -> bool {
        self.settings.structure == Structure::Full
    }

    /// Returns whether fragments need words: for the transcript, or for the cells of tables.
    fn has_words(&self) -> bool {
        self.words || self.is_structured()
    }

    /// Returns what the tables and blocks of the page are found by, where they are wanted.
    fn analysis<'l>(&self, layout: &'l Layout<'_>, pictures: &'l [Rect]) -> Option<Analysis<'l>> {
        self.is_structured().then(|| layout.analysis(self.page.index() == 0, pictures))
    }

    fn wanted<'b>(&self, dpi: f32, analysis: Option<Analysis<'b>>, rules: &'b [Rule]) -> Wanted<'b> {
        let blocks = analysis.map(|analysis| Blocks { analysis, rules, points: 72.0 / dpi });
        Wanted { words: self.words, blocks }
    }

    /// Combines real embedded text with pictures beside it, which are read from pixels.
    async fn both(&self, embedded: &Embedded) -> Result<Transcript, Error> {
        let (image, mut transcript) = self.render().await?;
        transcript.warnings.extend(embedded::left_out(embedded));
        let size = image.size();
        let scale = self.scale(size);
        let mut fragments = embedded::fragments(&embedded.lines, scale, self.has_words());
        let detector = Detector::open(self.settings)?;
        let mut boxes = Vec::new();
        for area in areas(&embedded.pictures, scale, size) {
            let found = find_inside(&image, &area, &detector).await?;
            transcript.warnings.extend(detection::caution(found.left_out));
            boxes.extend(found.boxes);
        }
        // Coverage is computed in points, the unit of the layer's lines.
        let in_points: Vec<Quad> =
            boxes.iter().map(|text| text.quad.scaled(1.0 / scale.0, 1.0 / scale.1)).collect();
        let rest: Vec<TextBox> = textlayer::uncovered(&in_points, &embedded.lines, COVERED)
            .into_iter()
            .filter_map(|index| boxes.get(index).copied())
            .collect();
        if !rest.is_empty() {
            let recognizer = Cascade::open(self.settings)?;
            let read = self.read_lines(&image, &rest, &recognizer, &mut transcript).await?;
            fragments.extend(self.kept(&read, &mut transcript));
        }
        let pictures: Vec<Rect> =
            embedded.pictures.iter().map(|rect| rect.scaled(scale.0, scale.1)).collect();
        let layout = Layout::of(&fragments, &[], size);
        let mut analysis = self.analysis(&layout, &pictures);
        let mut rules = self.grid_rules(&image, analysis.as_mut()).await?.unwrap_or_default();
        let drawn = self.drawn(embedded, size);
        if !drawn.is_empty() {
            // The document tells the lines exactly but for those that pictures show.
            rules.retain(|rule| {
                pictures.iter().any(|area| area.contains(rule.from) && area.contains(rule.to))
            });
            rules.extend(drawn);
        }
        let wanted = self.wanted(transcript.dpi, analysis, &rules);
        compose::page(&mut transcript, &layout, Rotation::None, wanted);
        Ok(transcript)
    }

    /// Reads everything from pixels.
    async fn pixels_alone(&self) -> Result<Transcript, Error> {
        let (image, mut transcript) = self.render().await?;
        let thumbnail = pixels::thumbnail(&image).await?;
        let look = pixels::look(&thumbnail)?;
        if look.is_flat {
            return Ok(transcript);
        }
        let detector = Detector::open(self.settings)?;
        let scores = async {
            if !self.settings.page_orientation {
                return Ok(None);
            }
            rotation::classify(&thumbnail).await.map(Some)
        };
        let ((found, rules), scores) = future::try_join(detector.find_with_rules(&image), scores).await?;
        drop(thumbnail);
        if found.boxes.is_empty() {
            transcript.warnings.push(NOTHING_FOUND.to_owned());
            return Ok(transcript);
        }
        let recognizer = Cascade::open(self.settings)?;
        let mut rotation = match scores {
            Some(_) => rotation::decide(scores, &found.boxes, &image, &recognizer).await?,
            None => Rotation::None,
        };
        let (image, found, mut rules) = if rotation == Rotation::None {
            (image, found, rules)
        } else {
            let upright = image.rotate(to_sdk_rotation(rotation)).await?;
            drop(image);
            let (found, rules) = detector.find_with_rules(&upright).await?;
            (upright, found, rules)
        };
        transcript.warnings.extend(detection::caution(found.left_out));
        let mut read = self.read_lines(&image, &found.boxes, &recognizer, &mut transcript).await?;
        if let Some(error) = recognizer.late().filter(|_| read.is_empty()) {
            return Err(error);
        }
        if look.has_stamps && recognizer.late().is_none() {
            match stamps::read_under(&image, &detector, &recognizer, &mut read).await {
                // What was read without this is the answer.
                Err(error) if error.kind == ErrorKind::Deadline => {}
                outcome => outcome?,
            }
        }
        let size = image.size();
        let on_its_head = is_on_its_head(&read);
        if on_its_head {
            for line in &mut read {
                line.quad = line.quad.turned(Rotation::Half, size.width as f32, size.height as f32);
            }
            for rule in &mut rules {
                *rule = rule.turned(Rotation::Half, size.width as f32, size.height as f32);
            }
            rotation = Rotation::from_quarters(rotation.quarters() + 2);
        }
        let fragments = self.kept(&read, &mut transcript);
        if fragments.is_empty() && transcript.warnings.is_empty() {
            transcript.warnings.push(NOTHING_FOUND.to_owned());
        }
        transcript.rotation = to_sdk_rotation(rotation);
        // The lines drawn on the page guide its order, but not the question whether it has tables.
        let layout = Layout::of(&fragments, &rules, size);
        let mut analysis = self.analysis(&layout, &[]);
        let mut grid = if rules.is_empty() || analysis.is_none() {
            self.grid_rules(&image, analysis.as_mut()).await?
        } else {
            let plain = Layout::of(&fragments, &[], size);
            self.grid_rules(&image, self.analysis(&plain, &[]).as_mut()).await?
        };
        // The fragments are in the image turned upright by the reading; its pixels are not.
        for rule in grid.iter_mut().flatten().filter(|_| on_its_head) {
            *rule = rule.turned(Rotation::Half, size.width as f32, size.height as f32);
        }
        let wanted = self.wanted(transcript.dpi, analysis, grid.as_deref().unwrap_or(&rules));
        compose::page(&mut transcript, &layout, rotation, wanted);
        Ok(transcript)
    }

    /// Renders the page, and makes an empty transcript of its size.
    async fn render(&self) -> Result<(Image, Transcript), Error> {
        let resolution = resolution::choose(&self.sheet(), self.request.dpi, self.settings.dpi)?;
        let _span = span("render");
        let image = self.page.render(resolution.dpi).await?;
        let mut transcript = Transcript::blank(image.size(), resolution.dpi);
        transcript.warnings.extend(resolution.warning);
        let unknown = languages::unknown(&self.settings.languages);
        transcript.warnings.extend(unknown.map(|tag| {
            format!("the language `{tag}` is unknown to the recognizers and changes nothing: check its tag")
        }));
        Ok((image, transcript))
    }

    /// Reads the detected boxes, doubtful lines in both directions. Where the time of the page does not suffice, returns what
    /// was read, and adds a warning.
    async fn read_lines(
        &self,
        image: &Image,
        boxes: &[TextBox],
        recognizer: &Cascade,
        transcript: &mut Transcript,
    ) -> Result<Vec<Line>, Error> {
        let mut quads = recognizer.reading_quads(boxes);
        let mut readings = {
            let _span = span("recognition");
            recognizer.read(image, &quads).await?
        };
        let routing = recognizer.route(image, &mut quads, &mut readings).await?;
        let is_routed = routing.warning.is_some();
        transcript.warnings.extend(routing.warning);
        let mut read: Vec<Line> = boxes
            .iter()
            .zip(quads)
            .zip(readings)
            .filter_map(|((text, quad), reading)| {
                Some(Line { detected: text.quad, quad, reading: reading?, flipped: routing.on_their_heads })
            })
            .collect();
        if self.settings.line_orientation && recognizer.late().is_none() {
            lines::upright(image, &mut read, recognizer).await?;
            lines::second_look(image, &mut read, recognizer).await?;
        }
        if recognizer.late().is_some() {
            let (missing, all) = (boxes.len() - read.len(), boxes.len());
            transcript.warnings.push(format!(
                "the time of the page was not enough: {missing} of {all} lines were not read, others not checked"
            ));
        } else if !is_routed {
            transcript.warnings.extend(unread(&read));
        }
        Ok(read)
    }

    /// Returns the lines above the minimum score; a warning counts the others.
    fn kept(&self, read: &[Line], transcript: &mut Transcript) -> Vec<Fragment> {
        let pieces =
            read.iter().filter_map(|line| Fragment::read(&line.reading, line.quad, self.has_words()));
        let least = self.settings.min_score;
        let (kept, left): (Vec<_>, Vec<_>) = pieces.partition(|fragment| fragment.confidence >= least);
        if !left.is_empty() {
            let count = left.len();
            let lines = if count == 1 { "line" } else { "lines" };
            transcript.warnings.push(format!("{count} {lines} below the minimum score of {least} left out"));
        }
        transcript.warnings.extend(across(&kept));
        kept
    }

    /// Returns pixels per point in each direction.
    fn scale(&self, size: Size) -> (f32, f32) {
        let (width, height) = self.page.size_pt();
        (size.width as f32 / width.max(f32::EPSILON), size.height as f32 / height.max(f32::EPSILON))
    }
}

/// Returns the warning about long lines of which hardly a letter was read: the recognizers lack their script.
fn unread(read: &[Line]) -> Option<String> {
    let is_unread = |line: &&Line| {
        let (width, height) = (line.quad.width(), line.quad.height());
        width >= LONG_LINE * height && routing::sparse(&line.quad, &line.reading.text())
    };
    let count = read.iter().filter(is_unread).count();
    let lines = if count == 1 { "1 line" } else { &format!("{count} lines") };
    (count > 0).then(|| {
        format!(
            "{lines} with hardly any letters read, perhaps of a script that the recognizers lack: name the languages of the page \
             (`languages=`)"
        )
    })
}

/// Returns the warning about lines at right angles to most of the text that were read with a low confidence.
fn across(kept: &[Fragment]) -> Option<String> {
    let quads: Vec<Quad> = kept.iter().map(|fragment| fragment.quad).collect();
    let main = layout::direction(&quads, &[]);
    let quarters = |angle: f32| (angle / std::f32::consts::FRAC_PI_2).round() as i32;
    let is_doubtful = |fragment: &&Fragment| {
        fragment.confidence < ACROSS_SURE && quarters(fragment.quad.angle() - main).rem_euclid(2) == 1
    };
    let count = kept.iter().filter(is_doubtful).count();
    let lines = if count == 1 { "1 line" } else { &format!("{count} lines") };
    (count > 0).then(|| {
        format!("{lines} across the text read with a confidence below {ACROSS_SURE}; the text may be wrong")
    })
}

/// Returns whether most of the text is upside down: then the page is, and its reading order is turned too. A vertical line
/// that runs up the page was turned as well, but is that on an upright page, too: it tells something only without level lines.
fn is_on_its_head(read: &[Line]) -> bool {
    let is_level = |line: &&Line| !crop::is_vertical(&line.detected);
    let has_level = read.iter().any(|line| is_level(&line));
    let witnesses = || read.iter().filter(move |line| !has_level || is_level(line));
    let length = |line: &Line| line.quad.width() * line.reading.confidence();
    let total: f32 = witnesses().map(length).sum();
    let flipped: f32 = witnesses().filter(|line| line.flipped).map(length).sum();
    total > 0.0 && flipped >= PAGE_FLIPPED * total
}

/// Converts pictures to areas of the page image, in pixels; too many pictures become the one area around all.
fn areas(pictures: &[Rect], scale: (f32, f32), size: Size) -> Vec<Rect> {
    let page = Rect { x: 0.0, y: 0.0, width: size.width as f32, height: size.height as f32 };
    let grown = |rect: &Rect| {
        let margin = PICTURE_MARGIN_PT;
        Rect::from_edges(rect.x - margin, rect.y - margin, rect.right() + margin, rect.bottom() + margin)
            .scaled(scale.0, scale.1)
            .intersection(&page)
    };
    let areas: Vec<Rect> = pictures.iter().map(grown).filter(|area| area.area() > 0.0).collect();
    match areas.split_first() {
        Some((first, rest)) if areas.len() > PICTURES_MAX => {
            vec![rest.iter().fold(*first, |all, area| all.union(area))]
        }
        _ => areas,
    }
}

/// Finds text inside an area of the image, in pixels of the image.
async fn find_inside(image: &Image, area: &Rect, detector: &Detector) -> Result<Found, Error> {
    let size = Size { width: area.width.ceil().max(1.0) as u32, height: area.height.ceil().max(1.0) as u32 };
    let corners = SdkQuad::from_rect(lector_sdk::Rect {
        x: area.x,
        y: area.y,
        width: size.width as f32,
        height: size.height as f32,
    });
    let mut found = detector.find(&image.crop(corners, size).await?).await?;
    for text in &mut found.boxes {
        text.quad = text.quad.translated(area.x, area.y);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use lector_vision::ctc::{Glyph, Reading};

    use super::*;

    /// Makes a line as it is read: vertical boxes are read downwards, and turned where they are upside down.
    fn line(width: f32, height: f32, flipped: bool) -> Line {
        let detected = Quad::from_rect(&Rect { x: 10.0, y: 10.0, width, height });
        let quad = crop::turned_to_read(&detected, 20.0);
        let quad = if flipped { quad.rotated_corners(Rotation::Half) } else { quad };
        let glyph = Glyph { text: "a".to_owned(), confidence: 0.9, from: 0.0, to: 1.0 };
        Line { detected, quad, reading: Reading { glyphs: vec![glyph] }, flipped }
    }

    #[test]
    fn long_lines_with_hardly_any_letters_are_counted() {
        let with = |text: &str, width| {
            let mut line = line(width, 20.0, false);
            let glyph = |c: char| Glyph { text: c.to_string(), confidence: 0.9, from: 0.0, to: 1.0 };
            line.reading.glyphs = text.chars().map(glyph).collect();
            line
        };
        assert_eq!(unread(&[with("some words of text", 180.0), with("", 40.0)]), None);
        let warning = unread(&[with("", 400.0), with("some words of text", 180.0), with(", .", 300.0)]);
        assert!(
            warning.is_some_and(|warning| warning.starts_with("2 lines ") && warning.contains("languages="))
        );
    }

    #[test]
    fn level_lines_tell_whether_a_page_is_on_its_head() {
        let level = |flipped| line(200.0, 20.0, flipped);
        let vertical = |flipped| line(20.0, 600.0, flipped);
        for (lines, expect) in [
            (vec![], false),
            (vec![level(false), level(false)], false),
            (vec![level(true), level(true), level(true)], true),
            (vec![level(true), level(false)], false),
            // Text up the page beside level text that is upright: the axis of a chart, the spine of a cover.
            (vec![level(false), vertical(true), vertical(true), vertical(true)], false),
            (vec![level(true), level(true), vertical(false)], true),
            // Vertical writing alone.
            (vec![vertical(true), vertical(true)], true),
            (vec![vertical(false), vertical(true)], false),
        ] {
            let flipped: Vec<bool> = lines.iter().map(|line| line.flipped).collect();
            assert_eq!(is_on_its_head(&lines), expect, "{flipped:?}");
        }
    }
}
