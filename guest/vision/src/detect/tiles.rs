//! Detection in tiles, for pages of extreme shape: a receipt, a banner, a strip. Scaled as a whole to the detector's input,
//! their letters would be smaller than a pixel; scaled by their shorter side and cut into overlapping tiles, they are read as
//! any other page.
//!
//! A box that ends at the edge of a tile is the part of one that the next tile sees more of; the parts are joined.

use super::TextBox;
use super::size::input_size;
use crate::geometry::{Quad, Rect};

/// Ratio of the sides from which a page is read in tiles.
const ASPECT_MIN: f32 = 4.0;
/// Ratio of the sides whose scale a page of extreme shape gets: about that of two pages below each other.
const ASPECT_SCALE: f32 = 2.5;
/// Largest scale of a tiled page: more than the image has only costs.
const SCALE_MAX: f32 = 1.0;
/// Gain of scale that is worth tiles.
const GAIN_MIN: f32 = 1.1;
/// Overlap of tiles, in map pixels: more than a line is high.
const OVERLAP: u32 = 128;
/// Most pixels of the map of a page; a longer page is read at a lower scale.
const PIXELS_MAX: u32 = 24_000_000;
/// Longest side of a tile, in map pixels: what every detector of the catalog takes (`side_max`), and what a common page has.
const SIDE_MAX: u32 = 2_048;
/// Fraction of the thickness (or of the extent along the cut, up to half of the overlap) that parts of one box share.
const SAME: f32 = 0.5;

/// The tiles of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiles {
    /// Size of the map of the whole page, in pixels.
    pub size: (u32, u32),
    /// Start and end of each tile along the longer side, in map pixels.
    pub spans: Vec<(u32, u32)>,
    tall: bool,
}

impl Tiles {
    /// Returns the tiles of an image of `width` by `height`, or `None` where one input of `long_side` shows it well.
    /// Tiles are multiples of `step` and have at most about `pixels_max` pixels. `finer` multiplies the scale, up to that
    /// of the image.
    pub fn of(image: (u32, u32), long_side: u32, step: u32, pixels_max: u32, finer: f32) -> Option<Self> {
        let (width, height) = (image.0.max(1) as f32, image.1.max(1) as f32);
        let (short, long) = (width.min(height), width.max(height));
        if long < ASPECT_MIN * short {
            return None;
        }
        let plain = input_size(image.0, image.1, long_side, step);
        let shown = plain.0.max(plain.1) as f32 / long;
        let most = (PIXELS_MAX as f32 / (short * long)).sqrt().min(SCALE_MAX);
        let scale = (finer * long_side as f32 / (ASPECT_SCALE * short)).min(most);
        // A side of less than a step is squeezed into it; at its own scale it is only enlarged.
        if scale < GAIN_MIN * shown {
            return None;
        }
        let step = step.max(1);
        let side = |pixels: f32| ((pixels * scale / step as f32).ceil() as u32).max(1) * step;
        let (across, along) = (side(short), side(long));
        let overlap = OVERLAP.next_multiple_of(step);
        let tile = (pixels_max / across).min(SIDE_MAX) / step * step;
        let tile = tile.max(2 * overlap + step);
        let mut spans = Vec::new();
        let mut from = 0;
        while from + tile < along {
            spans.push((from, from + tile));
            from += tile - overlap;
        }
        spans.push((from, along));
        let tall = height > width;
        Some(Self { size: if tall { (across, along) } else { (along, across) }, spans, tall })
    }

    /// Returns the area of a tile in an image of the given size, and the tile's own size in map pixels.
    pub fn place(&self, span: (u32, u32), image: (u32, u32)) -> (Rect, (u32, u32)) {
        let (x, y) = (image.0 as f32 / self.size.0 as f32, image.1 as f32 / self.size.1 as f32);
        let (from, to) = (span.0 as f32, span.1 as f32);
        if self.tall {
            (Rect::from_edges(0.0, from * y, image.0 as f32, to * y), (self.size.0, span.1 - span.0))
        } else {
            (Rect::from_edges(from * x, 0.0, to * x, image.1 as f32), (span.1 - span.0, self.size.1))
        }
    }

    /// Returns the place of a tile's first pixel in the map.
    pub fn origin(&self, span: (u32, u32)) -> (f32, f32) {
        if self.tall { (0.0, span.0 as f32) } else { (span.0 as f32, 0.0) }
    }

    /// Joins the boxes of all tiles (each in pixels of its tile, in order of the tiles) to one list in pixels of the map, from
    /// the top.
    pub fn join(&self, found: Vec<Vec<TextBox>>) -> Vec<TextBox> {
        let mut joined: Vec<TextBox> = Vec::new();
        for (span, boxes) in self.spans.iter().zip(found) {
            let (x, y) = self.origin(*span);
            // Only a box that reaches into this tile may be the other part of one of its boxes.
            let near: Vec<usize> = (0..joined.len())
                .filter(|at| joined.get(*at).is_some_and(|text| self.end(&text.quad) > span.0 as f32))
                .collect();
            for text in boxes {
                let text = TextBox { quad: text.quad.translated(x, y), ..text };
                let is_same =
                    |at: &usize| joined.get(*at).is_some_and(|other| self.is_same(&other.quad, &text.quad));
                match near.iter().copied().find(is_same).and_then(|at| joined.get_mut(at)) {
                    Some(other) => {
                        other.quad = Quad::around(&[other.quad, text.quad]).unwrap_or(other.quad);
                        other.score = other.score.max(text.score);
                    }
                    None => joined.push(text),
                }
            }
        }
        let top = |text: &TextBox| text.quad.bounds();
        joined.sort_by(|a, b| top(a).y.total_cmp(&top(b).y).then(top(a).x.total_cmp(&top(b).x)));
        joined
    }

    /// Returns the end of a box along the longer side.
    fn end(&self, quad: &Quad) -> f32 {
        let bounds = quad.bounds();
        if self.tall { bounds.bottom() } else { bounds.right() }
    }

    /// Returns whether two boxes of neighboring tiles show one piece of text.
    fn is_same(&self, a: &Quad, b: &Quad) -> bool {
        let (a, b) = (a.bounds(), b.bounds());
        let shared = a.intersection(&b);
        let (along, across) =
            if self.tall { (shared.height, shared.width) } else { (shared.width, shared.height) };
        let least = (a.width.min(b.width), a.height.min(b.height));
        let (long, thick) = if self.tall { (least.1, least.0) } else { least };
        along > 0.0 && along >= SAME * long.min(OVERLAP as f32) && across >= SAME * thick
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn text(x: f32, y: f32, width: f32, height: f32) -> TextBox {
        TextBox { quad: Quad::from_rect(&Rect { x, y, width, height }), score: 0.9 }
    }

    /// Returns what a detector sees of `page` through the tiles: their contents, cut at their edges.
    fn seen(tiles: &Tiles, page: &[TextBox]) -> Vec<Vec<TextBox>> {
        let view = |span: &(u32, u32)| {
            let (area, _) = tiles.place(*span, tiles.size);
            let cut = |text: &TextBox| {
                let part = text.quad.bounds().intersection(&area);
                let (x, y) = tiles.origin(*span);
                let visible = part.width >= 3.0 && part.height >= 3.0;
                visible.then(|| TextBox { quad: Quad::from_rect(&part).translated(-x, -y), ..*text })
            };
            page.iter().filter_map(cut).collect()
        };
        tiles.spans.iter().map(view).collect()
    }

    #[test]
    fn common_pages_have_no_tiles() {
        for size in [(1654, 2339), (2339, 1654), (1000, 3900), (64, 64), (1, 1), (0, 0)] {
            assert_eq!(Tiles::of(size, 1280, 32, 1_800_000, 1.0), None, "{size:?}");
        }
        // Small enough for one input at its own scale.
        assert_eq!(Tiles::of((1240, 100), 1280, 32, 1_800_000, 1.0), None);
    }

    #[test]
    fn a_receipt_keeps_its_letters() {
        let tiles = Tiles::of((300, 12_040), 1280, 32, 1_800_000, 1.0).unwrap();
        assert_eq!(tiles.size, (320, 12_064));
        assert!(
            tiles.spans.len() >= 3
                && tiles
                    .spans
                    .iter()
                    .all(|(from, to)| to - from <= SIDE_MAX && (to - from) * 320 <= 1_800_000)
        );
        let huge = Tiles::of((3000, 60_000), 1280, 32, 1_800_000, 1.0).unwrap();
        assert!(huge.size.0 * huge.size.1 <= 26_000_000, "{:?}", huge.size);
    }

    proptest! {
        #[test]
        fn tiles_cover_the_page_and_join_to_what_is_on_it(
            short in 20u32..900, aspect in 4.1f32..60.0, tall in any::<bool>(), rows in 1usize..40, height in 8.0f32..60.0,
        ) {
            let long = (short as f32 * aspect) as u32;
            let image = if tall { (short, long) } else { (long, short) };
            let Some(tiles) = Tiles::of(image, 640, 32, 200_000, 1.0) else { return Ok(()) };
            prop_assert!(tiles.spans.iter().all(|(from, to)| to - from <= SIDE_MAX));
            prop_assert_eq!(tiles.spans[0].0, 0);
            prop_assert_eq!(tiles.spans.last().unwrap().1, tiles.size.0.max(tiles.size.1));
            prop_assert!(tiles.spans.windows(2).all(|pair| pair[0].1 >= pair[1].0 + OVERLAP && pair[0].0 < pair[1].0));
            let (width, total) = (tiles.size.0 as f32, tiles.size.1 as f32);
            let pitch = (total / rows as f32).max(height * 1.5);
            let page: Vec<TextBox> = (0..rows)
                .map(|row| text(4.0, 4.0 + row as f32 * pitch, width - 8.0, height))
                .filter(|text| text.quad.bounds().bottom() < total)
                .collect();
            let joined = tiles.join(seen(&tiles, &page));
            prop_assert_eq!(joined.len(), page.len());
            for (joined, real) in joined.iter().zip(&page) {
                let (a, b) = (joined.quad.bounds(), real.quad.bounds());
                prop_assert!((a.x - b.x).abs() < 1.0 && (a.width - b.width).abs() < 1.0, "{:?} {:?}", a, b);
                prop_assert!((a.y - b.y).abs() < 1.0 && (a.height - b.height).abs() < 1.0, "{:?} {:?}", a, b);
            }
        }
    }
}
