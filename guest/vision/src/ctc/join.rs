//! Pieces of one long line, read apart with an overlap, become one reading again.

use super::{Glyph, Reading};

/// A reading of a part of a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What was read; its places are shares of the part.
    pub reading: Reading,
    /// Where the part begins, as a share of the line.
    pub from: f32,
    /// Where the part ends, as a share of the line.
    pub to: f32,
}

/// Joins parts that follow each other with overlaps. The seam of two parts is where they agree longest inside the
/// overlap: the end of a part is cut off there, since a recognizer sees half a character at the edge of its piece.
/// Where they agree on nothing, both are cut at the middle of the overlap.
pub fn join(parts: &[Part]) -> Reading {
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

/// How many glyphs of `left` to keep and of `right` to skip, where both show the stretch from `from` to `to`.
fn seam(left: &[Glyph], right: &[Glyph], from: f32, to: f32) -> (usize, usize) {
    let middle = |g: &Glyph| (g.from + g.to) / 2.0;
    let start = left.partition_point(|g| middle(g) < from);
    let stop = right.partition_point(|g| middle(g) <= to);
    // Longest common run of the two tails; a glyph's width of disagreement on its place is allowed. Overlaps hold a few
    // dozen characters at most, so the quadratic search is short.
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
        // Inside the common run the seam's place does not change the text; its middle is farthest from both edges.
        return (i + run / 2, j + run / 2);
    }
    let half = (from + to) / 2.0;
    (left.partition_point(|g| middle(g) < half), right.partition_point(|g| middle(g) < half))
}
