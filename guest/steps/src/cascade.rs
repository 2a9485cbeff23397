//! The recognizers of a page: those of a tier, or the one for the languages of the settings. With two of them (tier
//! `auto`), every line is read by the fast one first, and by the accurate one only where the fast one is unsure: a
//! cascade, as in Viola and Jones: "Rapid Object Detection using a Boosted Cascade of Simple Features", CVPR 2001.
//!
//! A reading is accepted by its expected errors per character: the mean of what its characters' probabilities lack to 1.
//! The cost of a second reading grows with the characters too, so this is what it buys for its cost. (By its least certain
//! character alone, a long line would be read twice for half an error.)
//!
//! A recognizer cannot be unsure of a character that it does not have: it reads a similar one. Therefore the accurate
//! recognizer reads a few lines of each page in any case, the least certain ones. If it finds letters that the fast one
//! lacks, it reads the whole page. And where the fast recognizer is mostly unsure of the first lines, it does not see the
//! rest.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use lector_sdk::{Error, Image, debug};
use lector_vision::ctc::Reading;
use lector_vision::detect::TextBox;
use lector_vision::geometry::{Quad, Rotation};

use crate::languages;
use crate::recognition::Recognizer;
use crate::routing::{self, Lines, Route, Routed};
use crate::settings::Settings;
use crate::transcriber::Transcriber;

/// Lines that show whether the fast recognizer can read the page; a page of fewer lines is not sampled.
const SAMPLE: usize = 8;

/// Least fraction of accepted lines in the sample. The fast recognizer costs a fifth of the accurate one, so below this
/// fraction it costs more than it saves.
const ACCEPTED_MIN: f32 = 0.25;

/// Lines of a page that the accurate recognizer reads in any case.
const VERIFIED: usize = 2;

/// The opened recognizers of a page.
pub(crate) struct Cascade(Readers);

enum Readers {
    /// PP-OCR's.
    Tier(Box<Tiered>),
    /// The one for the languages of the settings.
    Languages(Transcriber),
}

/// The recognizers of a tier.
struct Tiered {
    /// The recognizer of the page's script, where that is not PP-OCR's.
    routed: OnceCell<Routed>,
    /// The settings, where the script of the page is to be found.
    detection: Option<Settings>,
    accurate: Recognizer,
    fast: Option<Recognizer>,
    accepted: Accepted,
}

/// What was found out about the script of a page.
#[derive(Default)]
pub(crate) struct Routing {
    /// The warning for the page, where the recognizer of its script is missing.
    pub(crate) warning: Option<String>,
    /// Whether the lines are upside down; their quads were turned.
    pub(crate) on_their_heads: bool,
}

/// What a reading of the fast recognizer must have to be accepted.
#[derive(Clone, Copy)]
struct Accepted {
    /// Mean probability of the characters.
    mean_min: f32,
    /// Probability of the least certain character.
    min: f32,
}

impl Cascade {
    pub(crate) fn open(settings: &Settings) -> Result<Self, Error> {
        let names = languages::of_other_scripts(&settings.languages);
        if !names.is_empty() {
            return Ok(Self(Readers::Languages(Transcriber::open(&names, settings)?)));
        }
        let aliases = settings.tier.recognition();
        let (Some(accurate), first) = (aliases.last(), aliases.first()) else {
            return Err(Error::invalid("tier_without_model", "the tier names no recognizer"));
        };
        let fast = first.filter(|alias| *alias != accurate);
        Ok(Self(Readers::Tier(Box::new(Tiered {
            routed: OnceCell::new(),
            detection: settings.finds_script().then(|| settings.clone()),
            accurate: Recognizer::open(accurate, settings)?,
            fast: fast.map(|alias| Recognizer::open(alias, settings)).transpose()?,
            accepted: Accepted {
                mean_min: settings.recognition.accept_mean_min,
                min: settings.recognition.accept_min,
            },
        }))))
    }

    /// Returns the quads in which the text of the detected boxes of a page is read, in reading direction.
    pub(crate) fn reading_quads(&self, boxes: &[TextBox]) -> Vec<Quad> {
        let quads: Vec<Quad> = boxes.iter().map(|text| text.quad).collect();
        match &self.0 {
            Readers::Tier(tier) => tier.accurate.reading_quads(&quads),
            Readers::Languages(transcriber) => transcriber.reading_quads(&quads),
        }
    }

    /// Reads the text inside each quad (corners in reading direction) with the accurate recognizer, in their order.
    /// `None` where the time of the page did not suffice.
    pub(crate) async fn read_accurately(
        &self,
        image: &Image,
        quads: &[Quad],
    ) -> Result<Vec<Option<Reading>>, Error> {
        match &self.0 {
            Readers::Tier(tier) => match tier.routed.get() {
                Some(routed) => routed.transcriber.read(image, quads).await,
                None => tier.accurate.read(image, quads).await,
            },
            Readers::Languages(transcriber) => transcriber.read(image, quads).await,
        }
    }

    /// Returns the refusal of a run because the time of the page is nearly over, if there was one.
    pub(crate) fn late(&self) -> Option<Error> {
        match &self.0 {
            Readers::Tier(tier) => {
                let routed = || tier.routed.get().and_then(|routed| routed.transcriber.late());
                tier.accurate.late().or_else(|| tier.fast.as_ref().and_then(Recognizer::late)).or_else(routed)
            }
            Readers::Languages(transcriber) => transcriber.late(),
        }
    }

    /// Reads the text inside each quad (corners in reading direction), in their order. Each line has the reading of the
    /// most accurate recognizer that has read it; `None` where the time of the page did not suffice for any.
    pub(crate) async fn read(&self, image: &Image, quads: &[Quad]) -> Result<Vec<Option<Reading>>, Error> {
        match &self.0 {
            Readers::Tier(tier) => match tier.routed.get() {
                Some(routed) => routed.transcriber.read(image, quads).await,
                None => tier.read(image, quads).await,
            },
            Readers::Languages(transcriber) => transcriber.read(image, quads).await,
        }
    }
}

impl Cascade {
    /// Finds the script of the lines that were read, where the readings are doubtful and no languages are named; reads
    /// them again with the recognizer of the script, where PP-OCR lacks it, and keeps that recognizer for the page. Turns the
    /// quads where the lines are upside down.
    pub(crate) async fn route(
        &self,
        image: &Image,
        quads: &mut [Quad],
        readings: &mut Vec<Option<Reading>>,
    ) -> Result<Routing, Error> {
        match &self.0 {
            Readers::Tier(tier) if self.late().is_none() => tier.route(image, quads, readings).await,
            _ => Ok(Routing::default()),
        }
    }
}

impl Tiered {
    /// Reads the lines again with the recognizer of their script, where PP-OCR lacks it.
    async fn route(
        &self,
        image: &Image,
        quads: &mut [Quad],
        readings: &mut Vec<Option<Reading>>,
    ) -> Result<Routing, Error> {
        let Some(settings) = &self.detection else { return Ok(Routing::default()) };
        let found = match routing::route(&Lines { image, quads, readings: readings.as_slice() }, settings)
            .await?
        {
            Route::Stays => return Ok(Routing::default()),
            Route::Missing(warning) => return Ok(Routing { warning: Some(warning), ..Routing::default() }),
            Route::Script(found) => found,
        };
        let on_their_heads = found.on_their_heads;
        let mut before = std::mem::take(readings);
        if on_their_heads {
            for quad in quads.iter_mut() {
                *quad = quad.rotated_corners(Rotation::Half);
            }
            // What PP-OCR has read the wrong way up says nothing.
            before = self.accurate.read(image, quads).await?;
        }
        let routed = self.routed.get_or_init(|| *found);
        *readings = routed.read(image, quads, before).await?;
        Ok(Routing { warning: None, on_their_heads })
    }

    async fn read(&self, image: &Image, quads: &[Quad]) -> Result<Vec<Option<Reading>>, Error> {
        let Some(fast) = &self.fast else { return self.accurate.read(image, quads).await };
        let mut page =
            Sheet { image, quads, readings: vec![None; quads.len()], accurate: vec![false; quads.len()] };

        let sample = sample(quads.len());
        page.read(fast, &sample, false).await?;
        let accepted = sample.iter().filter(|&&line| page.accepts(line, self.accepted)).count();
        if accepted as f32 >= ACCEPTED_MIN * sample.len() as f32 {
            let rest: Vec<usize> = page.lines(|reading, _| reading.is_none());
            page.read(fast, &rest, false).await?;
        }

        let mut again: Vec<usize> =
            (0..quads.len()).filter(|&line| !page.accepts(line, self.accepted)).collect();
        again.extend(page.least_certain(&again, VERIFIED.saturating_sub(again.len())));
        page.read(&self.accurate, &again, true).await?;

        let foreign = fast.lacks(&page.letters())?;
        if !foreign.is_empty() {
            let letters: String = foreign.iter().take(16).collect();
            debug(format!("the fast recognizer lacks `{letters}`: the accurate one reads the page"));
            let rest = page.lines(|_, accurate| !accurate);
            page.read(&self.accurate, &rest, true).await?;
        }
        Ok(page.readings)
    }
}

/// The lines of a page, while they are read.
struct Sheet<'a> {
    image: &'a Image,
    quads: &'a [Quad],
    readings: Vec<Option<Reading>>,
    /// Whether the reading is the accurate recognizer's.
    accurate: Vec<bool>,
}

impl Sheet<'_> {
    /// Reads the named lines with `recognizer`, and keeps its readings.
    async fn read(&mut self, recognizer: &Recognizer, lines: &[usize], accurate: bool) -> Result<(), Error> {
        if lines.is_empty() {
            return Ok(());
        }
        let quads: Vec<Quad> = lines.iter().filter_map(|&line| self.quads.get(line).copied()).collect();
        let readings = recognizer.read(self.image, &quads).await?;
        for (&line, reading) in lines.iter().zip(readings) {
            let Some(reading) = reading else { continue };
            if let (Some(place), Some(by)) = (self.readings.get_mut(line), self.accurate.get_mut(line)) {
                (*place, *by) = (Some(reading), accurate);
            }
        }
        Ok(())
    }

    /// Returns the lines for which `wanted` holds, given the reading and whether it is accurate.
    fn lines(&self, wanted: impl Fn(Option<&Reading>, bool) -> bool) -> Vec<usize> {
        let all = self.readings.iter().zip(&self.accurate).enumerate();
        all.filter(|(_, (reading, accurate))| wanted(reading.as_ref(), **accurate))
            .map(|(line, _)| line)
            .collect()
    }

    /// Returns whether the line was read, with the certainty that is needed.
    fn accepts(&self, line: usize, needed: Accepted) -> bool {
        let certain = |min| min >= needed.min && self.mean(line).is_some_and(|mean| mean >= needed.mean_min);
        self.certainty(line).is_some_and(certain)
    }

    /// Returns the probabilities of the line's characters, without spaces.
    fn probabilities(&self, line: usize) -> impl Iterator<Item = f32> {
        let reading = self.readings.get(line).and_then(Option::as_ref);
        let glyphs = reading.into_iter().flat_map(|reading| &reading.glyphs);
        glyphs.filter(|glyph| !glyph.text.trim().is_empty()).map(|glyph| glyph.confidence)
    }

    /// Returns the probability of the line's least certain character; `None` without characters.
    fn certainty(&self, line: usize) -> Option<f32> {
        self.probabilities(line).min_by(f32::total_cmp)
    }

    /// Returns the mean probability of the line's characters; `None` without characters.
    fn mean(&self, line: usize) -> Option<f32> {
        let characters = self.probabilities(line).count();
        (characters > 0).then(|| self.probabilities(line).sum::<f32>() / characters as f32)
    }

    /// Returns the `count` accepted lines (all except `rejected`) of which the recognizer is least certain.
    fn least_certain(&self, rejected: &[usize], count: usize) -> Vec<usize> {
        let mut accepted: Vec<(usize, f32)> = (0..self.quads.len())
            .filter(|line| rejected.binary_search(line).is_err())
            .filter_map(|line| Some((line, self.certainty(line)?)))
            .collect();
        accepted.sort_by(|a, b| a.1.total_cmp(&b.1));
        accepted.into_iter().take(count).map(|(line, _)| line).collect()
    }

    /// Returns the letters that the accurate recognizer has read with some certainty. Han characters are left out: both
    /// recognizers have thousands of them, and a rare one says nothing about the other lines.
    fn letters(&self) -> BTreeSet<char> {
        let read = self.readings.iter().zip(&self.accurate).filter(|(_, accurate)| **accurate);
        read.filter_map(|(reading, _)| reading.as_ref())
            .flat_map(|reading| &reading.glyphs)
            .filter(|glyph| glyph.confidence >= 0.5)
            .flat_map(|glyph| glyph.text.chars())
            .filter(|&c| c.is_alphabetic() && !c.is_ascii() && !is_han(c))
            .collect()
    }
}

/// Returns the lines of the sample, spread evenly over the page.
fn sample(lines: usize) -> Vec<usize> {
    if lines <= SAMPLE {
        return (0..lines).collect();
    }
    (0..SAMPLE).map(|index| index * lines / SAMPLE).collect()
}

/// Returns whether the character is a Han character (Unicode blocks of CJK ideographs).
fn is_han(c: char) -> bool {
    matches!(c, '\u{3005}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}')
}
