//! Program text: letters of one width in a document that is otherwise set in letters of different widths.

use std::collections::BTreeSet;
use std::ops::Range;

use super::super::frame::Frame;
use super::super::model::Kind;
use super::super::paragraphs::Draft;
use crate::statistics::quantile;

/// Minimum characters of a word whose width is measured, and of one that is compared with those.
const WORD_MIN: usize = 4;
const SHORT_WORD_MIN: usize = 2;
/// Minimum measured words of a paragraph.
const WORDS_MIN: usize = 3;
/// Most relative deviation of the mean widths of letters. Proportional fonts vary by 8 % and more.
const SPREAD_MAX: f32 = 0.025;
/// Minimum different words of paragraphs that are joined: a few may have one width by chance.
const RUN_WORDS_MIN: usize = 5;
/// Ratio of sizes, and white space in em, at most, between paragraphs that are joined.
const SIZE_STEP: f32 = 1.03;
const GAP_EM: f32 = 3.5;
/// Fraction of the page's measured paragraphs from which the document is set in such a font, as by a typewriter.
const MAJORITY: f32 = 0.6;
/// Largest size of program text, as a fraction of running text.
const SIZE_MAX: f32 = 1.1;

/// Marks the paragraphs of program text, and joins those that follow each other: the layout parts them at indents and blank
/// lines. Only embedded text has words that are placed exactly enough.
pub(super) fn mark(
    frame: &Frame<'_>,
    drafts: &mut Vec<Draft>,
    kinds: &mut Vec<Option<Kind>>,
    captions: &mut Vec<Option<usize>>,
) {
    let samples: Vec<Vec<Sample<'_>>> = drafts.iter().map(|draft| samples(frame, draft)).collect();
    let runs = runs(frame, drafts, kinds, &samples);
    let mut even: Vec<Option<bool>> = samples.iter().map(|samples| is_even(samples)).collect();
    for place in runs.iter().flat_map(|run| run.clone()).filter(|at| kinds.get(*at) == Some(&None)) {
        if let Some(even) = even.get_mut(place) {
            *even = Some(true);
        }
    }
    let weight = |draft: &Draft| draft.rows.len();
    let measured: usize = drafts.iter().zip(&even).filter(|(_, e)| e.is_some()).map(|(d, _)| weight(d)).sum();
    let count: usize =
        drafts.iter().zip(&even).filter(|(_, e)| **e == Some(true)).map(|(d, _)| weight(d)).sum();
    if count as f32 > MAJORITY * measured as f32 {
        return;
    }
    for ((draft, kind), even) in drafts.iter().zip(kinds.iter_mut()).zip(even) {
        // A heading may have words of even width by chance.
        if kind.is_none() && even == Some(true) && draft.size <= SIZE_MAX * frame.body {
            *kind = Some(Kind::Code);
        }
    }
    for run in runs.into_iter().rev() {
        if run.clone().any(|at| kinds.get(at) != Some(&Some(Kind::Code))) {
            continue;
        }
        let others: Vec<Draft> = drafts.drain(run.start + 1..run.end).collect();
        kinds.drain(run.start + 1..run.end);
        captions.drain(run.start + 1..run.end);
        let Some(first) = drafts.get_mut(run.start) else { continue };
        first.rowed = false;
        first.area = others.iter().fold(first.area, |area, other| area.union(&other.area));
        first.rows.extend(others.into_iter().flat_map(|other| other.rows));
    }
}

/// A word, and the mean width of its letters as a fraction of its size.
struct Sample<'a> {
    text: &'a str,
    width: f32,
}

/// Returns the words of a paragraph that can be measured. All digits of most fonts have one width.
fn samples<'a>(frame: &Frame<'a>, draft: &Draft) -> Vec<Sample<'a>> {
    let lines = draft.rows.iter().flatten().filter_map(|i| frame.lines.get(*i)).filter(|line| line.embedded);
    let sample = |text: &'a str, width: f32| {
        let count = text.chars().count();
        let fits = count >= SHORT_WORD_MIN && text.is_ascii() && text.chars().any(char::is_alphabetic);
        fits.then_some(Sample { text, width: width / count as f32 })
    };
    lines
        .flat_map(|line| line.words.iter().map(move |word| (word.text, word.area.width / line.size)))
        .filter_map(|(text, width)| sample(text, width))
        .collect()
}

/// Returns whether the letters have one width; `None` where too few words are known.
fn is_even(samples: &[Sample<'_>]) -> Option<bool> {
    let long = samples.iter().filter(|sample| sample.text.len() >= WORD_MIN);
    // A word that is repeated has one width in every font.
    let words: BTreeSet<&str> = long.clone().map(|sample| sample.text).collect();
    let mut widths: Vec<f32> = long.map(|sample| sample.width).collect();
    if words.len() < WORDS_MIN {
        return None;
    }
    let middle = quantile(&mut widths, 0.5);
    let mut off: Vec<f32> = widths.iter().map(|width| (width - middle).abs()).collect();
    Some(quantile(&mut off, 0.8) <= SPREAD_MAX * middle)
}

/// Returns the runs of two and more paragraphs without a kind that follow each other in letters of one size and one width.
fn runs(
    frame: &Frame<'_>,
    drafts: &[Draft],
    kinds: &[Option<Kind>],
    samples: &[Vec<Sample<'_>>],
) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut start = 0;
    while start < drafts.len() {
        let own = samples.get(start).map_or(&[][..], Vec::as_slice);
        let middle = quantile(&mut own.iter().map(|sample| sample.width).collect::<Vec<_>>(), 0.5);
        let mut end = start + 1;
        if middle > 0.0 && kinds.get(start) == Some(&None) && is_all_near(own, middle) {
            while let (Some(last), Some(next), Some(more)) =
                (drafts.get(end - 1), drafts.get(end), samples.get(end))
            {
                let has_place = kinds.get(end) == Some(&None) && follows(frame, last, next);
                // A bracket alone has no width to measure.
                let is_mark = || !super::whole_text(frame, next).chars().any(char::is_alphabetic);
                if !has_place || !(is_all_near(more, middle) && (!more.is_empty() || is_mark())) {
                    break;
                }
                end += 1;
            }
        }
        let all = samples.get(start..end).unwrap_or_default();
        let words: BTreeSet<&str> = all.iter().flatten().map(|sample| sample.text).collect();
        if end - start > 1 && words.len() >= RUN_WORDS_MIN {
            out.push(start..end);
        }
        start = end;
    }
    out
}

/// Returns whether the letters of all words have a width.
fn is_all_near(samples: &[Sample<'_>], middle: f32) -> bool {
    samples.iter().all(|sample| (sample.width - middle).abs() <= SPREAD_MAX * middle)
}

/// Returns whether a paragraph stands below another one of its size, at most some blank lines apart.
fn follows(frame: &Frame<'_>, last: &Draft, next: &Draft) -> bool {
    let gap = next.area.y - last.area.bottom();
    let ratio = (last.size / next.size).max(next.size / last.size);
    last.embedded && next.embedded && ratio <= SIZE_STEP && gap > -0.5 * frame.em && gap <= GAP_EM * frame.em
}
