//! Joins the readings of overlapping pieces of one long line.

use super::{Glyph, Reading};

/// A reading of a part of a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The reading; its positions are fractions of the part.
    pub reading: Reading,
    /// Start of the part, as a fraction of the line.
    pub from: f32,
    /// End of the part, as a fraction of the line.
    pub to: f32,
}

/// Joins consecutive overlapping parts. The seam of two parts is their longest common run of characters inside the
/// overlap; characters at the end of a part beyond it are dropped, because a recognizer sees half a character at the
/// edge of its piece. Without a common run, both are cut at the middle of the overlap. A line whose characters stand from
/// right to left is joined from its right end.
pub fn join(parts: &[Part]) -> Reading {
    if parts.len() > 1 && run_to_left(parts) {
        let from_right: Vec<Part> = parts.iter().rev().map(mirrored).collect();
        let line = Part { reading: joined(&from_right), from: 0.0, to: 1.0 };
        return mirrored(&line).reading;
    }
    joined(parts)
}

/// Returns whether most characters stand to the left of the one before.
fn run_to_left(parts: &[Part]) -> bool {
    let pairs = || parts.iter().flat_map(|part| part.reading.glyphs.windows(2));
    let steps = |is_step: fn(f32, f32) -> bool| {
        pairs().filter(|pair| matches!(pair, [a, b] if is_step(a.from + a.to, b.from + b.to))).count()
    };
    steps(|a, b| b < a) > steps(|a, b| b > a)
}

/// Returns the part of the mirrored line.
fn mirrored(part: &Part) -> Part {
    let mirror = |g: &Glyph| Glyph { from: 1.0 - g.to, to: 1.0 - g.from, ..g.clone() };
    let reading = Reading { glyphs: part.reading.glyphs.iter().map(mirror).collect() };
    Part { reading, from: 1.0 - part.to, to: 1.0 - part.from }
}

/// Joins parts of a line whose characters stand from left to right.
fn joined(parts: &[Part]) -> Reading {
    let mut line: Vec<Glyph> = Vec::new();
    let mut end = 0.0;
    for part in parts {
        let span = (part.to - part.from).max(0.0);
        let place = |share: f32| part.from + share * span;
        let next: Vec<Glyph> = part
            .reading
            .glyphs
            .iter()
            .map(|g| Glyph { from: place(g.from), to: place(g.to), ..g.clone() })
            .collect();
        if line.is_empty() {
            line = next;
        } else {
            let (keep, skip) = seam(&line, &next, part.from, end);
            line.truncate(keep);
            line.extend(next.into_iter().skip(skip));
        }
        end = part.to;
    }
    Reading { glyphs: line }
}

/// Returns the number of glyphs of `left` to keep and of `right` to skip; both show the stretch from `from` to `to`.
fn seam(left: &[Glyph], right: &[Glyph], from: f32, to: f32) -> (usize, usize) {
    let middle = |g: &Glyph| (g.from + g.to) / 2.0;
    let start = left.partition_point(|g| middle(g) < from);
    let stop = right.partition_point(|g| middle(g) <= to);
    // Longest common run of the two tails; positions may differ by one glyph width. Overlaps hold at most a few dozen
    // characters, so the quadratic search is short.
    let mut best: (usize, usize, usize) = (0, 0, 0);
    for i in start..left.len() {
        for j in 0..stop {
            let run = left[i..]
                .iter()
                .zip(&right[j..stop])
                .take_while(|(a, b)| {
                    let width = (a.to - a.from).max(b.to - b.from);
                    a.text == b.text && (middle(a) - middle(b)).abs() <= 1.5 * width
                })
                .count();
            if run > best.2 {
                best = (i, j, run);
            }
        }
    }
    let (i, j, run) = best;
    if run > 0 {
        // Inside the common run the position of the seam does not change the text; its middle is farthest from both
        // edges.
        return (i + run / 2, j + run / 2);
    }
    let half = (from + to) / 2.0;
    (left.partition_point(|g| middle(g) < half), right.partition_point(|g| middle(g) < half))
}
