//! Headings and the title: by size against running text, by numbering, by capitals and by white space; levels by depth of the
//! number or rank of the size.

use super::super::frame::Frame;
use super::super::levels::{HeadingSize, SizeRanks};
use super::super::model::Kind;
use super::super::paragraphs::Draft;
use super::super::{numbers, patterns};
use super::{whole_text, zone_area};
use crate::script::{is_digit, is_unspaced};

/// Ratio to running text from which a line is a heading by its size: of fonts, of heights read from pixels.
const LARGER_EMBEDDED: f32 = 1.12;
const LARGER_READ: f32 = 1.3;
/// The same for a line that begins with a number.
const NUMBERED_EMBEDDED: f32 = 1.04;
const NUMBERED_READ: f32 = 1.12;
/// Letters side by side that are a word.
const WORD_MIN: usize = 3;
/// Height of embedded text across the page, as a multiple of its font size: its box holds the whole slope.
const SLOPE: f32 = 2.0;
/// Ratio from which two headings differ in level.
const STEP_EMBEDDED: f32 = 1.06;
const STEP_READ: f32 = 1.17;
/// Most lines and characters of a heading.
const LINES_MAX: usize = 3;
const CHARACTERS_MAX: usize = 180;
/// Most characters of a heading that only white space or capitals indicate.
const SHORT_MAX: usize = 80;
/// Minimum lines of a page where white space indicates headings.
const PAGE_LINES_MIN: usize = 15;
/// Ratio to running text from which the largest heading of the first page is the title.
const TITLE: f32 = 1.35;
/// Fraction of the page in which the title lies.
const TITLE_PLACE: f32 = 0.5;
/// Deepest level.
const LEVEL_MAX: u8 = 6;

struct Heading {
    draft: usize,
    ratio: f32,
    embedded: bool,
    depth: Option<u8>,
    /// The first part of its number.
    number: Option<u32>,
    /// True where nothing but a number without a dot says that it is a heading: an address has one, too.
    needs_sibling: bool,
}

/// Marks headings and the title among the paragraphs without a kind.
pub(super) fn mark(frame: &Frame<'_>, drafts: &[Draft], kinds: &mut [Option<Kind>]) {
    let mut headings: Vec<Heading> = Vec::new();
    for (at, draft) in drafts.iter().enumerate() {
        if kinds.get(at).copied().flatten().is_none()
            && let Some(heading) = heading(frame, drafts, kinds, at, draft)
        {
            headings.push(heading);
        }
    }
    let numbers: Vec<Option<u32>> = headings.iter().map(|heading| heading.number).collect();
    let mut places = 0..;
    headings.retain(|heading| {
        let place = places.next();
        let is_near = |(at, other): (usize, &Option<u32>)| {
            let pair = heading.number.zip(*other).filter(|_| place != Some(at));
            pair.is_some_and(|(own, other)| own.abs_diff(other) <= 1)
        };
        !heading.needs_sibling || numbers.iter().enumerate().any(is_near)
    });
    // A page of headings has none: a poster, a slide of one size, a cover sheet keeps what is larger than the rest.
    let text = drafts.iter().zip(kinds.iter()).filter(|(_, kind)| kind.is_none()).count();
    if headings.len() > 8 && headings.len() * 3 > text * 2 {
        headings.retain(|heading| heading.ratio >= LARGER_READ);
    }
    let levels = levels(frame, drafts, &headings);
    for (heading, kind) in headings.iter().zip(levels) {
        if let Some(place) = kinds.get_mut(heading.draft) {
            *place = Some(kind);
        }
    }
}

/// Joins the label of a chapter ("Chapter 4") and the heading below it, which is its title.
pub(super) fn join_labels(
    frame: &Frame<'_>,
    drafts: &mut Vec<Draft>,
    kinds: &mut Vec<Option<Kind>>,
    captions: &mut Vec<Option<usize>>,
) {
    let is_heading = |kind: Option<&Option<Kind>>| matches!(kind, Some(Some(Kind::Heading(_) | Kind::Title)));
    for at in (0..drafts.len().saturating_sub(1)).rev() {
        let both = is_heading(kinds.get(at)) && is_heading(kinds.get(at + 1));
        let (Some(label), Some(title)) = (drafts.get(at), drafts.get(at + 1)) else { continue };
        if !both || label.zone != title.zone || !patterns::is_chapter_label(whole_text(frame, label).trim()) {
            continue;
        }
        let title = drafts.remove(at + 1);
        kinds.remove(at + 1);
        captions.remove(at + 1);
        if let Some(label) = drafts.get_mut(at) {
            label.area = label.area.union(&title.area);
            label.size = label.size.max(title.size);
            label.rows.extend(title.rows);
        }
        if let Some(kind) = kinds.get_mut(at).filter(|kind| **kind != Some(Kind::Title)) {
            *kind = Some(Kind::Heading(1));
        }
    }
}

fn heading(
    frame: &Frame<'_>,
    drafts: &[Draft],
    kinds: &[Option<Kind>],
    at: usize,
    draft: &Draft,
) -> Option<Heading> {
    let text = whole_text(frame, draft);
    let text = text.trim();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let characters = text.chars().count();
    // Without the number before it.
    let titled = text.trim_start_matches(|c: char| is_digit(c) || matches!(c, '.' | ' ')).chars().count();
    let ratio = draft.size / frame.body;
    let is_larger = ratio >= if draft.embedded { LARGER_EMBEDDED } else { LARGER_READ };
    // A formula or a price may be large: it has no word.
    let is_worded = letters * 2 >= titled || (is_larger && has_word(text));
    if draft.rows.len() > LINES_MAX
        || draft.rowed
        || letters < 2
        || characters > CHARACTERS_MAX
        || !is_worded
        || is_slanted(frame, draft)
    {
        return None;
    }
    let depth = patterns::numbering(text);
    let ends = text.ends_with(['.', ',', ';', '。', '，', '、']) || text.ends_with('-');
    let number = depth.and_then(|_| patterns::leading_number(text));
    let made =
        Some(Heading { draft: at, ratio, embedded: draft.embedded, depth, number, needs_sibling: false });
    if is_larger {
        let sentence = ends && draft.rows.len() > 1 || text.ends_with(':') && characters > SHORT_MAX / 2;
        return if sentence && depth.is_none() { None } else { made };
    }
    let zone = zone_area(frame, draft.zone);
    let followed = drafts.iter().zip(kinds).skip(at + 1).find(|(next, _)| next.zone == draft.zone).filter(
        |(next, kind)| {
            next.area.y >= draft.area.center().y && matches!(kind, None | Some(Kind::ListItem | Kind::Code))
        },
    );
    let gap_above = gap_above(frame, draft);
    let gap_below = followed.map(|(next, _)| next.area.y - draft.area.bottom());
    let not_small = ratio >= if draft.embedded { 0.97 } else { 0.85 };
    let apart = gap_above >= 0.35 * frame.em;
    if ends || draft.rows.len() > 2 || !not_small || frame.lines.len() < PAGE_LINES_MIN / 2 {
        return None;
    }
    if depth.is_some()
        && apart
        && characters <= 120
        && draft.area.width <= 0.95 * zone.width.max(20.0 * frame.em)
    {
        let a_little = ratio >= if draft.embedded { NUMBERED_EMBEDDED } else { NUMBERED_READ };
        let needs_sibling = !a_little && patterns::is_bare_number(text);
        return made.map(|heading| Heading { needs_sibling, ..heading });
    }
    let short = characters <= SHORT_MAX && draft.rows.len() == 1 && draft.area.width <= 0.75 * zone.width;
    let (Some((next, _)), Some(below), true) = (followed, gap_below, short && apart) else { return None };
    let upper = text.chars().filter(|c| c.is_uppercase()).count();
    let lower = text.chars().filter(|c| c.is_lowercase()).count();
    if lower == 0 && upper >= 4 && next.rows.len() >= 2 {
        return made;
    }
    let starts =
        text.chars().next().is_some_and(|c| c.is_uppercase() || (c.is_alphabetic() && !c.is_ascii()));
    let no_mark = !text.ends_with([':', '!', '?', ')']) && !text.contains(['@', '|']);
    let plain = !text.chars().any(is_digit) && !numbers::is_value(text);
    let spaced = gap_above >= below + 0.25 * frame.em && below <= 1.2 * frame.em;
    let long = next.rows.len() >= 3 && next.area.width >= 0.75 * zone.width;
    (starts && no_mark && plain && spaced && long && frame.lines.len() >= PAGE_LINES_MIN)
        .then_some(())
        .and(made)
}

/// Returns whether a text has a word: letters side by side, or one of a script whose words have one.
fn has_word(text: &str) -> bool {
    let is_word = |word: &str| word.chars().count() >= WORD_MIN || word.chars().any(is_unspaced);
    text.split(|c: char| !c.is_alphabetic()).any(is_word)
}

/// Returns whether a paragraph runs across the page: a watermark.
fn is_slanted(frame: &Frame<'_>, draft: &Draft) -> bool {
    let first = draft.rows.first().and_then(|row| row.first()).and_then(|piece| frame.lines.get(*piece));
    first.is_some_and(|line| !line.level || (line.embedded && line.area.height > SLOPE * line.size))
}

/// Returns the white space above a paragraph in its zone; a large value where it is the first.
fn gap_above(frame: &Frame<'_>, draft: &Draft) -> f32 {
    let above = frame.lines.iter().filter(|line| {
        let shared = line.area.right().min(draft.area.right()) - line.area.x.max(draft.area.x);
        line.zone == draft.zone && shared > 0.0 && line.area.center().y < draft.area.y
    });
    above.map(|line| draft.area.y - line.area.bottom()).fold(10.0 * frame.em, f32::min)
}

/// Returns the kinds of headings: the depth of the own number, else that of the numbers of its size, else the rank of the size.
fn levels(frame: &Frame<'_>, drafts: &[Draft], headings: &[Heading]) -> Vec<Kind> {
    let size = |heading: &Heading| HeadingSize {
        size: heading.ratio,
        step: if heading.embedded { STEP_EMBEDDED } else { STEP_READ },
        depth: heading.depth,
    };
    let ranks = SizeRanks::of(headings.iter().map(size));
    let rank = |heading: &Heading| ranks.rank(heading.ratio);
    let title = title(frame, drafts, headings, &rank);
    let above = u8::from(title.is_some() && headings.iter().filter(|h| rank(h) == 0).count() == 1);
    headings
        .iter()
        .enumerate()
        .map(|(at, heading)| {
            if title == Some(at) {
                return Kind::Title;
            }
            let own = rank(heading);
            let by_size = (own as u8).saturating_add(1).saturating_sub(above);
            let level = heading.depth.or(ranks.depth(own)).unwrap_or(by_size);
            Kind::Heading(level.clamp(1, LEVEL_MAX))
        })
        .collect()
}

/// Returns the heading that is the title: the one of the largest size, on the upper half of the first page.
fn title(
    frame: &Frame<'_>,
    drafts: &[Draft],
    headings: &[Heading],
    rank: &impl Fn(&Heading) -> usize,
) -> Option<usize> {
    let at = headings.iter().position(|heading| rank(heading) == 0)?;
    let heading = headings.get(at)?;
    let area = drafts.get(heading.draft)?.area;
    let high = area.center().y < frame.page.y + TITLE_PLACE * frame.page.height;
    let single = headings.iter().filter(|h| rank(h) == 0).count() == 1;
    (frame.first && high && single && heading.ratio >= TITLE && heading.depth.is_none()).then_some(at)
}
