//! Merges embedded words into lines.

use super::{LayerLine, LayerWord, Span};
use crate::geometry::{Quad, Rect, Rotation};
use crate::statistics::weighted_median;

/// Maximum gap inside a line, in font sizes: justified text stretches spaces to one, columns are farther apart.
const GAP_MAX: f32 = 1.5;

/// A line under construction.
struct Open<'a> {
    spans: Vec<&'a Span<'a>>,
    on_end: bool,
}

/// Returns whether a word runs up or down the page: higher than wide although it has several letters.
fn on_end(span: &Span<'_>) -> bool {
    span.text.chars().count() >= 2
        && span.area.height > 1.5 * span.area.width
        && span.area.height > 1.5 * span.font_size
}

/// Merges words into lines: neighbors in the document's own order that share a baseline and follow each other closely,
/// to either side (some scripts run to the left). A line is of one origin. A word drawn again in the same place (a shadow, a fake bold) is used
/// once.
pub fn lines(spans: &[Span<'_>]) -> Vec<LayerLine> {
    let downwards = runs_downwards(spans);
    let close = |line: Open<'_>| close(line, downwards);
    let mut lines: Vec<LayerLine> = Vec::new();
    let mut open: Option<Open<'_>> = None;
    let mut ended = false;
    for span in spans.iter().filter(|s| !s.text.trim().is_empty()) {
        if let Some(line) = &mut open
            && let Some(last) = line.spans.last()
        {
            if is_shadow(last, span) {
                ended |= span.ends_line;
                continue;
            }
            // A single letter is not higher than wide; it continues in the direction of its neighbors.
            let alike = line.on_end == on_end(span) || span.text.chars().count() < 2;
            if !ended && alike && last.origin == span.origin && follows(&last.area, span, line.on_end) {
                line.spans.push(span);
                ended = span.ends_line;
                continue;
            }
        }
        lines.extend(open.take().and_then(close));
        open = Some(Open { on_end: on_end(span), spans: vec![span] });
        ended = span.ends_line;
    }
    lines.extend(open.and_then(close));
    lines
}

/// Returns whether the vertical text of this page mostly runs down it, by the order of consecutive words.
fn runs_downwards(spans: &[Span<'_>]) -> bool {
    let steps = spans.windows(2).filter_map(|pair| {
        let [last, next] = pair else { return None };
        (on_end(last) && on_end(next) && follows(&last.area, next, true)).then_some(next.area.y > last.area.y)
    });
    let (down, all) = steps.fold((0, 0), |(down, all), is_down| (down + usize::from(is_down), all + 1));
    2 * down > all
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

fn close(line: Open<'_>, downwards: bool) -> Option<LayerLine> {
    let quad_of = |area: &Rect| {
        let quad = Quad::from_rect(area);
        match (line.on_end, downwards) {
            (false, _) => quad,
            (true, true) => quad.rotated_corners(Rotation::Quarter),
            // A single word is not sufficient evidence; vertical text is mostly turned to the left and read upwards.
            (true, false) => quad.rotated_corners(Rotation::ThreeQuarters),
        }
    };
    let first = line.spans.first()?;
    let around = line.spans.iter().fold(first.area, |around, span| around.union(&span.area));
    let text: Vec<&str> = line.spans.iter().map(|s| s.text.trim()).collect();
    let words = line
        .spans
        .iter()
        .map(|s| LayerWord { text: s.text.trim().to_owned(), quad: quad_of(&s.area) })
        .collect();
    let font_size = main_size(&line.spans);
    let origin = first.origin;
    Some(LayerLine { text: text.join(" "), quad: quad_of(&around), words, font_size, origin })
}
