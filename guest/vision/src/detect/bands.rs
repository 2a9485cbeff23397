//! A second look in bands: a large map in parts that overlap, so that the memory of a run is bounded by a part's size and
//! not by the page's. (A detector's run takes memory by the pixel, and an engine keeps what its largest run took.)
//!
//! A line belongs to the band whose core holds its middle; the margin around the core is wide enough to hold the rest of
//! it. What is too tall for a margin, a headline or a line on end, is taken from the first look, which saw the page whole.

use super::TextBox;
use crate::geometry::{Point, Rect};

/// What a band shows beyond half of the tallest line, in map pixels: the surroundings that the detector judges by.
const CONTEXT: f32 = 32.0;
/// Widest margin, in map pixels: lines of print on a sheet tilted by 4 degrees.
const MARGIN_MAX: u32 = 128;
/// A box that ends this near to a band's inner edge goes on beyond it, in map pixels.
const CUT: f32 = 2.0;
/// Middles this near to a seam can be seen on either side of it, in map pixels.
const SEAM: f32 = 4.0;
/// Share of a box that lies inside another one of the same thing.
const SAME: f32 = 0.5;

/// Along which axis a map is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Bands lie on each other: text is level.
    Down,
    /// Bands stand side by side: text stands on end.
    Across,
}

/// A part of a map, in its pixels along the axis of the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// First pixel that it shows.
    pub from: u32,
    /// Pixel after the last one that it shows.
    pub to: u32,
    /// From where on what is found belongs to it.
    core_from: u32,
    /// Up to where.
    core_to: u32,
}

/// A map's bands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bands {
    /// How they are cut.
    pub axis: Axis,
    /// In order; one where the map is small enough.
    pub bands: Vec<Band>,
    size: (u32, u32),
}

impl Bands {
    /// Bands of at most `pixels_max` pixels (more where the map is so wide that margins alone take them) over a map of `size` (multiples of `step`), for text like `first`, the
    /// boxes of the first look in pixels of this map. Their edges are multiples of `step`.
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
        // A core is never shorter than its margins, or most of the work would be done twice.
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

    /// Where a band lies in an image of the given size, and the band's own size in map pixels.
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

    /// One list of boxes in pixels of the map, out of what each band shows (in its own pixels, by order of bands) and
    /// what the first look found (in pixels of the map).
    pub fn join(&self, found: Vec<Vec<TextBox>>, first: &[TextBox]) -> Vec<TextBox> {
        if let [_] = self.bands.as_slice() {
            return found.into_iter().flatten().collect();
        }
        let mut joined: Vec<TextBox> = Vec::new();
        for (band, found) in self.bands.iter().zip(found) {
            let before = joined.len();
            for text in found {
                let (x, y) = match self.axis {
                    Axis::Down => (0.0, band.from as f32),
                    Axis::Across => (band.from as f32, 0.0),
                };
                let text = TextBox { quad: text.quad.translated(x, y), ..text };
                if self.belongs(band, &text) && !is_among(&text, joined.get(..before).unwrap_or_default()) {
                    joined.push(text);
                }
            }
        }
        // What crosses a seam and is too tall for the margins was seen by no band as a whole.
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

    /// Whether it ends before the band's inner edges.
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

/// Text that runs across the cut, counted by length.
fn axis(first: &[TextBox]) -> Axis {
    let (mut level, mut on_end) = (0.0, 0.0);
    for text in first {
        let bounds = text.quad.bounds();
        let way = if bounds.height > bounds.width { &mut on_end } else { &mut level };
        *way += bounds.height.max(bounds.width);
    }
    if on_end > level { Axis::Across } else { Axis::Down }
}

/// Half of what all but the tallest boxes reach over along the axis, and context.
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

    /// What a detector sees of `page` through the bands: whatever lies in them, cut at their edges.
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
