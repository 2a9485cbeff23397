//! A second detection pass in bands: a large map is split into overlapping parts, so that the size of a part, not of
//! the page, bounds the memory of a run. (A detector's run takes memory per pixel, and an engine keeps the memory of
//! its largest run.)
//!
//! A line belongs to the band whose core contains its middle; the margin around the core is wide enough for the rest of
//! it. A box that is too tall for a margin (a headline, a vertical line) is taken from the first pass, which covered
//! the whole page.

use super::TextBox;
use crate::geometry::{Point, Rect};

/// Pixels that a band shows beyond half of the tallest line, in map pixels: context for the detector.
const CONTEXT: f32 = 32.0;
/// Maximum margin, in map pixels: lines of print on a sheet tilted by 4 degrees.
const MARGIN_MAX: u32 = 128;
/// Distance from a band's inner edge below which a box is assumed to continue beyond it, in map pixels.
const CUT: f32 = 2.0;
/// Distance from a seam below which a middle can be seen on either side of it, in map pixels.
const SEAM: f32 = 4.0;
/// Fraction of a box that lies inside another box of the same object.
const SAME: f32 = 0.5;

/// The axis along which a map is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Bands are stacked vertically: text is level.
    Down,
    /// Bands are side by side: text is vertical.
    Across,
}

/// A part of a map, in map pixels along the axis of the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// First pixel shown.
    pub from: u32,
    /// End of the pixels shown (exclusive).
    pub to: u32,
    /// Start of the core, whose boxes belong to this band.
    core_from: u32,
    /// End of the core (exclusive).
    core_to: u32,
}

/// The bands of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bands {
    /// Axis of the cut.
    pub axis: Axis,
    /// The bands in order; one band if the map is small enough.
    pub bands: Vec<Band>,
    size: (u32, u32),
}

impl Bands {
    /// Splits a map of `size` (multiples of `step`) into bands of at most `pixels_max` pixels (more if the map is so
    /// wide that the margins alone exceed it), for text like `first`, the boxes of the first pass in pixels of this
    /// map. Band edges are multiples of `step`.
    pub fn of(size: (u32, u32), first: &[TextBox], step: u32, pixels_max: u32) -> Self {
        let step = step.max(1);
        let axis = axis(first);
        let (along, across) = match axis {
            Axis::Down => (size.1, size.0),
            Axis::Across => (size.0, size.1),
        };
        let margin = margin(first, axis).next_multiple_of(step).min(MARGIN_MAX.next_multiple_of(step));
        let rows_max = (pixels_max / across.max(1)).max(1);
        let whole = |bands| Self { axis, bands, size };
        if along <= rows_max {
            return whole(vec![Band { from: 0, to: along, core_from: 0, core_to: along }]);
        }
        // A core is never shorter than its margins; otherwise most of the work would be done twice.
        let core_max = rows_max.saturating_sub(2 * margin).max(2 * margin).max(step) / step * step;
        let count = along.div_ceil(core_max);
        let core = along.div_ceil(count).next_multiple_of(step);
        let band = |from: u32| {
            let to = (from + core).min(along);
            Band {
                from: from.saturating_sub(margin),
                to: (to + margin).min(along),
                core_from: from,
                core_to: to,
            }
        };
        whole((0..along).step_by(core as usize).map(band).collect())
    }

    /// Returns the rectangle of a band in an image of the given size, and the band's own size in map pixels.
    pub fn place(&self, band: &Band, image: (u32, u32)) -> (Rect, (u32, u32)) {
        let (x, y) = (image.0 as f32 / self.size.0.max(1) as f32, image.1 as f32 / self.size.1.max(1) as f32);
        let (from, to) = (band.from as f32, band.to as f32);
        match self.axis {
            Axis::Down => {
                let area = Rect::from_edges(0.0, from * y, image.0 as f32, to * y);
                (area, (self.size.0, band.to - band.from))
            }
            Axis::Across => {
                let area = Rect::from_edges(from * x, 0.0, to * x, image.1 as f32);
                (area, (band.to - band.from, self.size.1))
            }
        }
    }

    /// Joins the boxes of all bands (each in pixels of its band, in order of the bands) and of the first pass (in
    /// pixels of the map) to one list in pixels of the map.
    pub fn join(&self, found: Vec<Vec<TextBox>>, first: &[TextBox]) -> Vec<TextBox> {
        if let [_] = self.bands.as_slice() {
            return found.into_iter().flatten().collect();
        }
        let mut joined: Vec<TextBox> = Vec::new();
        for (band, found) in self.bands.iter().zip(found) {
            // Only a box that reaches into this band may be one of its boxes.
            let near: Vec<TextBox> =
                joined.iter().filter(|text| self.reach(text).1 > band.from as f32).copied().collect();
            let end = near.iter().map(|text| self.reach(text).1).fold(f32::NEG_INFINITY, f32::max);
            for text in found {
                let (x, y) = match self.axis {
                    Axis::Down => (0.0, band.from as f32),
                    Axis::Across => (band.from as f32, 0.0),
                };
                let text = TextBox { quad: text.quad.translated(x, y), ..text };
                let is_known = self.reach(&text).0 < end && is_among(&text, &near);
                if self.belongs(band, &text) && !is_known {
                    joined.push(text);
                }
            }
        }
        // No band saw a box that crosses a seam and is too tall for the margins as a whole.
        for text in first.iter().filter(|text| self.is_torn(text)) {
            let bounds = text.quad.bounds();
            joined.retain(|other| other.quad.share_inside(&bounds) < SAME);
            joined.push(*text);
        }
        joined.sort_by(|a, b| top(a).y.total_cmp(&top(b).y).then(top(a).x.total_cmp(&top(b).x)));
        joined
    }

    fn belongs(&self, band: &Band, text: &TextBox) -> bool {
        let (from, to) = self.reach(text);
        let middle = f32::midpoint(from, to);
        let inside = middle >= band.core_from as f32 - SEAM && middle < band.core_to as f32 + SEAM;
        inside && self.shows_whole(band, text)
    }

    /// Returns whether the box ends before the band's inner edges.
    fn shows_whole(&self, band: &Band, text: &TextBox) -> bool {
        let (from, to) = self.reach(text);
        (band.from == 0 || from >= band.from as f32 + CUT)
            && (band.to >= self.extent() || to <= band.to as f32 - CUT)
    }

    fn is_torn(&self, text: &TextBox) -> bool {
        !self.bands.iter().any(|band| self.shows_whole(band, text))
    }

    fn extent(&self) -> u32 {
        match self.axis {
            Axis::Down => self.size.1,
            Axis::Across => self.size.0,
        }
    }

    fn reach(&self, text: &TextBox) -> (f32, f32) {
        reach(text, self.axis)
    }
}

fn reach(text: &TextBox, axis: Axis) -> (f32, f32) {
    let bounds = text.quad.bounds();
    match axis {
        Axis::Down => (bounds.y, bounds.bottom()),
        Axis::Across => (bounds.x, bounds.right()),
    }
}

fn top(text: &TextBox) -> Point {
    let bounds = text.quad.bounds();
    Point::new(bounds.x, bounds.y)
}

/// Returns the axis across most of the text, weighted by length.
fn axis(first: &[TextBox]) -> Axis {
    let (mut level, mut on_end) = (0.0, 0.0);
    for text in first {
        let bounds = text.quad.bounds();
        let way = if bounds.height > bounds.width { &mut on_end } else { &mut level };
        *way += bounds.height.max(bounds.width);
    }
    if on_end > level { Axis::Across } else { Axis::Down }
}

/// Returns half of the extent along the axis of all but the tallest boxes, plus context.
fn margin(first: &[TextBox], axis: Axis) -> u32 {
    let mut extents: Vec<f32> = first
        .iter()
        .map(|text| {
            let (from, to) = reach(text, axis);
            to - from
        })
        .filter(|extent| extent.is_finite())
        .collect();
    extents.sort_unstable_by(f32::total_cmp);
    let most = extents.get(extents.len() * 19 / 20).copied().unwrap_or(0.0);
    (most / 2.0 + CONTEXT).ceil() as u32
}

fn is_among(text: &TextBox, others: &[TextBox]) -> bool {
    let bounds = text.quad.bounds();
    others.iter().rev().any(|other| other.quad.share_inside(&bounds) >= SAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Quad;

    fn text(x: f32, y: f32, width: f32, height: f32) -> TextBox {
        TextBox { quad: Quad::from_rect(&Rect { x, y, width, height }), score: 0.9 }
    }

    /// Returns what a detector sees of `page` through the bands: their contents, cut at their edges.
    fn seen(bands: &Bands, page: &[TextBox]) -> Vec<Vec<TextBox>> {
        let view = |band: &Band| {
            let (area, size) = bands.place(band, bands.size);
            assert_eq!((area.width, area.height), (size.0 as f32, size.1 as f32));
            let cut = |text: &TextBox| {
                let part = text.quad.bounds().intersection(&area);
                (part.area() > 0.0)
                    .then(|| TextBox { quad: Quad::from_rect(&part).translated(-area.x, -area.y), ..*text })
            };
            page.iter().filter_map(cut).collect()
        };
        bands.bands.iter().map(view).collect()
    }

    fn lines(count: usize) -> Vec<TextBox> {
        (0..count).map(|i| text(50.0, 10.0 + 25.0 * i as f32, 900.0, 18.0)).collect()
    }

    #[test]
    fn bands_cover_the_map_within_their_bound() {
        for size in [(1664, 2336), (2560, 1792), (1824, 2560), (4096, 4096), (32, 4096), (4096, 32), (32, 32)]
        {
            for pixels_max in [1_800_000, 600_000, 1] {
                let bands = Bands::of(size, &lines(20), 32, pixels_max);
                let extent = bands.extent();
                assert_eq!(bands.bands.first().map(|band| (band.from, band.core_from)), Some((0, 0)));
                assert_eq!(bands.bands.last().map(|band| (band.to, band.core_to)), Some((extent, extent)));
                for pair in bands.bands.windows(2) {
                    assert_eq!(pair[0].core_to, pair[1].core_from);
                }
                for band in &bands.bands {
                    assert!(band.from.is_multiple_of(32) && band.to.is_multiple_of(32), "{size:?} {band:?}");
                    let pixels = (band.to - band.from) * size.0;
                    assert!(pixels <= pixels_max.max(size.0 * 320), "{size:?} {pixels_max} {band:?}");
                }
            }
        }
        assert_eq!(Bands::of((1664, 1056), &[], 32, 1_800_000).bands.len(), 1);
    }

    #[test]
    fn every_line_is_found_once() {
        let page = lines(100);
        let bands = Bands::of((1024, 2560), &page, 32, 700_000);
        assert!(bands.bands.len() > 3);
        assert_eq!(bands.join(seen(&bands, &page), &page), page);
    }

    #[test]
    fn a_line_on_a_seam_is_one_line_although_bands_see_it_differently() {
        let page = lines(100);
        let bands = Bands::of((1024, 2560), &page, 32, 700_000);
        let seam = bands.bands[0].core_to as f32;
        let line = text(100.0, seam - 9.0, 300.0, 18.0);
        let mut found = seen(&bands, &[line]);
        found[0][0].quad = found[0][0].quad.translated(0.0, 1.5);
        found[1][0].quad = found[1][0].quad.translated(0.0, -1.5);
        assert_eq!(bands.join(found, &[]).len(), 1);
    }

    #[test]
    fn what_no_band_holds_is_taken_from_the_first_look() {
        let mut page = lines(60);
        let tall = text(960.0, 100.0, 30.0, 2300.0);
        page.push(tall);
        let bands = Bands::of((1024, 2560), &page, 32, 700_000);
        let joined = bands.join(seen(&bands, &page), &page);
        assert_eq!(joined.len(), page.len());
        assert_eq!(joined.iter().filter(|text| text.quad.bounds().height > 1000.0).count(), 1);
    }

    #[test]
    fn text_on_end_is_cut_the_other_way() {
        let page: Vec<TextBox> = (0..90).map(|i| text(10.0 + 25.0 * i as f32, 50.0, 18.0, 900.0)).collect();
        let bands = Bands::of((2560, 1024), &page, 32, 700_000);
        assert_eq!(bands.axis, Axis::Across);
        let mut joined = bands.join(seen(&bands, &page), &page);
        joined.sort_by(|a, b| top(a).x.total_cmp(&top(b).x));
        assert_eq!(joined, page);
    }
}
