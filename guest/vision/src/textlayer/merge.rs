//! Merges embedded words into lines.

use super::{LayerLine, LayerWord, Span};
use crate::bidi;
use crate::geometry::{Quad, Rect, Rotation};
use crate::statistics::weighted_median;

/// Maximum gap inside a line, in font sizes: justified text stretches spaces to one, columns are farther apart.
const GAP_MAX: f32 = 1.5;

/// Length of a word in font sizes from which its area shows whether it is level or on end; "to" and "7" are shorter.
const LONG: f32 = 1.5;

/// Minimum extent in both directions, in font sizes, of a word that runs across the page at an angle. The area of a level letter is
/// at most two high.
const THICK: f32 = 2.2;
/// Maximum length of such a word for each letter, in font sizes: a word with a large initial is thick, and longer.
const LETTER_MAX: f32 = 1.1;

/// A line under construction.
struct Open<'a> {
    spans: Vec<&'a Span<'a>>,
    /// Whether it runs up or down the page; `None` while all of its words are too short to show it.
    on_end: Option<bool>,
    /// Whether it runs across the page at an angle, as a watermark does.
    is_tilted: bool,
    /// Whether the document ends it after its last word.
    ended: bool,
}

/// Returns whether a word runs up or down the page: higher than wide although it has several letters. `None` for a short word,
/// whose letters are as high as it is long.
fn on_end(span: &Span<'_>) -> Option<bool> {
    let Rect { width, height, .. } = span.area;
    let is_long = span.text.chars().count() >= 2 && width.max(height) > LONG * span.font_size;
    is_long.then_some(height > 1.5 * width)
}

/// Returns the quad of text whose lines are `size` high and that rises to the right inside its bounds: `w sin a - h cos a +
/// size cos 2a` is 0 for its angle. Bounds alone do not tell it from text that falls; a watermark rises.
fn rising(bounds: &Rect, size: f32) -> Quad {
    let (mut low, mut high) = (0.0f32, std::f32::consts::FRAC_PI_2);
    for _ in 0..20 {
        let angle = 0.5 * (low + high);
        let (sin, cos) = angle.sin_cos();
        let excess = bounds.width * sin - bounds.height * cos + size * (2.0 * angle).cos();
        if excess < 0.0 { low = angle } else { high = angle }
    }
    let (sin, cos) = low.sin_cos();
    let length = (bounds.width * cos + bounds.height * sin - 2.0 * size * sin * cos).max(0.0);
    let center = bounds.center();
    let level = Rect { x: center.x - length / 2.0, y: center.y - size / 2.0, width: length, height: size };
    Quad(Quad::from_rect(&level).0.map(|p| p.turned_about(center, -low)))
}

/// Returns the thickness of most words in font sizes: more than 1 where the font sizes of the document are wrong.
fn thickness(spans: &[Span<'_>]) -> f32 {
    let thickness =
        |span: &Span<'_>| span.area.width.min(span.area.height) / span.font_size.max(f32::EPSILON);
    weighted_median(spans.iter().map(|span| (thickness(span), span.text.chars().count() as f32)))
}

/// Returns whether a word runs across the page at an angle: it is thicker than its font in both directions.
fn is_tilted(span: &Span<'_>, thickness: f32) -> bool {
    let letters = span.text.chars().count();
    let size = span.font_size;
    letters >= 2
        && span.area.width.min(span.area.height) > THICK * size * thickness.max(1.0)
        && rising(&span.area, size).width() <= LETTER_MAX * letters as f32 * size
}

/// Returns whether a word continues text at an angle: it begins at a corner of the last one.
fn follows_at_an_angle(last: &Span<'_>, next: &Span<'_>) -> bool {
    let (a, b, size) = (&last.area, &next.area, last.font_size);
    let near = |a_from: f32, a_to: f32, b_from: f32, b_to: f32| {
        let middle = 0.5 * (b_from + b_to);
        (middle < a_from || middle > a_to) && (b_from - a_to).max(a_from - b_to) <= GAP_MAX * size
    };
    (next.font_size - size).abs() <= 0.05 * size
        && near(a.x, a.right(), b.x, b.right())
        && near(a.y, a.bottom(), b.y, b.bottom())
}

/// Returns whether most of the text runs up or down the page, by the length of the words that show it.
fn mostly_on_end(spans: &[Span<'_>]) -> bool {
    let sign = |span: &Span<'_>| on_end(span).map_or(0.0, |on_end| if on_end { 1.0 } else { -1.0 });
    spans.iter().map(|span| sign(span) * span.area.width.max(span.area.height)).sum::<f32>() > 0.0
}

/// Merges words into lines: neighbors in the document's own order that share a baseline and follow each other closely, to either
/// side (some scripts run to the left). A line is of one origin. A word drawn again in the same place (a shadow, a fake bold) is
/// used once.
pub fn lines(spans: &[Span<'_>]) -> Vec<LayerLine> {
    let (main, thickness) = (mostly_on_end(spans), thickness(spans));
    let mut lines: Vec<Open<'_>> = Vec::new();
    for span in spans.iter().filter(|s| !s.text.trim().is_empty()) {
        let own = on_end(span);
        if let Some(line) = lines.last_mut()
            && let Some(last) = line.spans.last()
        {
            if is_shadow(last, span) {
                line.ended |= span.ends_line;
                continue;
            }
            // A short word has the direction of its neighbor; two of them have that of most of the page.
            let on_end = own.or(line.on_end).unwrap_or(main);
            let alike = line.on_end.is_none_or(|line| line == on_end);
            let is_next = match line.is_tilted {
                true => follows_at_an_angle(last, span),
                false => alike && !is_tilted(span, thickness) && follows(&last.area, span, on_end),
            };
            if !line.ended && last.origin == span.origin && is_next {
                line.spans.push(span);
                line.on_end = line.on_end.or(own);
                line.ended = span.ends_line;
                join_short_words(&mut lines);
                continue;
            }
        }
        let is_tilted = is_tilted(span, thickness);
        let on_end = if is_tilted { Some(false) } else { own };
        lines.push(Open { on_end, is_tilted, spans: vec![span], ended: span.ends_line });
        join_short_words(&mut lines);
    }
    let is_on_end = |line: &Open<'_>| line.on_end.unwrap_or(main);
    let (on_end, level): (Vec<&Open<'_>>, Vec<&Open<'_>>) =
        lines.iter().filter(|line| !line.is_tilted).partition(|line| is_on_end(line));
    let downwards = balance(&on_end, |area| area.y) > 0;
    let upside_down = balance(&level, |area| area.x) < 0;
    let rotation = |line: &Open<'_>| match is_on_end(line) {
        true if downwards => Rotation::Quarter,
        // A single word is not sufficient evidence; vertical text is mostly turned to the left and read upwards.
        true => Rotation::ThreeQuarters,
        false if is_upside_down(line, upside_down) => Rotation::Half,
        false => Rotation::None,
    };
    lines.iter().filter_map(|line| close(line, rotation(line))).collect()
}

/// Joins short words before the last line with it, where they continue in its direction: among themselves they were compared in
/// that of most of the page.
fn join_short_words(lines: &mut Vec<Open<'_>>) {
    while let [.., before, last] = lines.as_slice()
        && let (None, false, Some(on_end), false) = (before.on_end, before.ended, last.on_end, last.is_tilted)
        && let (Some(end), Some(start)) = (before.spans.last(), last.spans.first())
        && end.origin == start.origin
        && follows(&end.area, start, on_end)
        && let Some(last) = lines.pop()
        && let Some(before) = lines.last_mut()
    {
        before.spans.extend(last.spans);
        (before.on_end, before.ended) = (last.on_end, last.ended);
    }
}

/// Returns the number of words of a line that stand after the previous one in a direction, less those that stand before it, by
/// the place `at`. The words of a script that runs to the left show nothing.
fn steps(line: &Open<'_>, at: impl Fn(&Rect) -> f32) -> i32 {
    if line.spans.iter().any(|span| bidi::is_right_to_left(span.text)) {
        return 0;
    }
    let step = |pair: &[&Span<'_>]| match pair {
        [last, next] if at(&next.area) > at(&last.area) => 1,
        [last, next] if at(&next.area) < at(&last.area) => -1,
        _ => 0,
    };
    line.spans.windows(2).map(step).sum()
}

fn balance(lines: &[&Open<'_>], at: impl Fn(&Rect) -> f32) -> i32 {
    lines.iter().map(|line| steps(line, &at)).sum()
}

/// Returns whether a level line is upside down: its words run to the left although its script does not. Where they show nothing,
/// it is as `most` of the page; two words in the order of no reader are too few to differ from it.
fn is_upside_down(line: &Open<'_>, most: bool) -> bool {
    match steps(line, |area| area.x) {
        ..=-2 => true,
        1.. => false,
        _ => most && !line.spans.iter().any(|span| bidi::is_right_to_left(span.text)),
    }
}

fn is_shadow(last: &Span<'_>, span: &Span<'_>) -> bool {
    let least = last.area.area().min(span.area.area());
    last.text == span.text && least > 0.0 && last.area.intersection(&span.area).area() > 0.7 * least
}

/// Returns whether a word continues after another one.
fn follows(last: &Rect, span: &Span<'_>, on_end: bool) -> bool {
    let next = &span.area;
    let both = last.intersection(next);
    let size = span.font_size.max(if on_end { next.width } else { next.height }).max(1.0);
    // Distance between the two intervals along the line; negative if they overlap.
    let (shared, thickness, gap) = if on_end {
        let gap = (next.y - last.bottom()).max(last.y - next.bottom());
        ((last.right().min(next.right()) - last.x.max(next.x)), last.width.min(next.width), gap)
    } else {
        let gap = (next.x - last.right()).max(last.x - next.right());
        ((last.bottom().min(next.bottom()) - last.y.max(next.y)), last.height.min(next.height), gap)
    };
    shared >= 0.4 * thickness
        && gap <= GAP_MAX * size
        && both.area() <= 0.5 * last.area().min(next.area()).max(1.0)
}

/// Returns the median font size, weighted by characters.
fn main_size(spans: &[&Span<'_>]) -> f32 {
    weighted_median(spans.iter().map(|span| (span.font_size, span.text.chars().count() as f32)))
}

fn close(line: &Open<'_>, rotation: Rotation) -> Option<LayerLine> {
    let font_size = main_size(&line.spans);
    let quad_of = |area: &Rect| match line.is_tilted {
        true => rising(area, font_size),
        false => Quad::from_rect(area).rotated_corners(rotation),
    };
    let first = line.spans.first()?;
    let around = line.spans.iter().fold(first.area, |around, span| around.union(&span.area));
    let text: Vec<&str> = line.spans.iter().map(|s| s.text.trim()).collect();
    let words = line
        .spans
        .iter()
        .map(|s| LayerWord { text: s.text.trim().to_owned(), quad: quad_of(&s.area) })
        .collect();
    let origin = first.origin;
    Some(LayerLine { text: text.join(" "), quad: quad_of(&around), words, font_size, origin })
}
