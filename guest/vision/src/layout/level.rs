//! From quads to level cells: the page is turned back by the main direction of its text, and text across it at the
//! margins (a stamp, a spine title) is separated.

use std::f32::consts::{FRAC_PI_2, PI};

use super::cells::{Cell, Row};
use super::flow::Block;
use super::grid::Grid;
use crate::crop;
use crate::geometry::{Point, Quad};
use crate::rules::Rule;
use crate::statistics::{quantile, weighted_median};

/// Ratio of length to height from which a box indicates the text direction; shorter boxes indicate only a position.
const ASPECT_MIN: f32 = 2.5;
/// Most tilt of rules against the text, in radians; others belong to a drawing.
const RULE_TILT_MAX: f32 = 0.055;
/// Least length of rules that show the tilt of a page, in text heights.
const RULE_LENGTH: f32 = 10.0;
/// Difference in tilt of rules that agree, and the fraction of their length that must.
const RULE_SPREAD: f32 = 0.005;
const RULES_AGREE: f32 = 0.7;

/// Difference from every quarter turn, in radians, from which text stands beside the reading order: a watermark across the page. The
/// lines of a curved page differ less.
const DIAGONAL: f32 = 0.28;
/// Maximum fraction of the text, by length, that stands beside the reading order for that; more is the text itself.
const DIAGONAL_SHARE: f32 = 0.25;

/// A page ready to be cut.
pub(super) struct Leveled {
    /// Its boxes, level.
    pub cells: Vec<Cell>,
    /// Boxes beside the text across the reading direction, in reading direction, and diagonal ones over it.
    pub aside: Vec<Cell>,
    /// Whether each box of the input is upside down.
    pub upside_down: Vec<bool>,
    /// Indices of boxes without a finite position.
    pub unplaced: Vec<usize>,
    /// The lines drawn on it, level.
    pub grid: Grid,
}

impl Leveled {
    /// Returns the page mirrored, for text that runs from right to left: then it runs as all steps expect.
    pub fn mirrored(self) -> Self {
        let mirrored = |cells: &[Cell]| cells.iter().map(Cell::mirrored).collect::<Vec<Cell>>();
        let mut aside = mirrored(&self.aside);
        aside.reverse();
        Self { cells: mirrored(&self.cells), aside, grid: self.grid.mirrored(), ..self }
    }
}

/// Normalizes an angle to (-pi, pi].
fn wrapped(angle: f32) -> f32 {
    let turned = angle.rem_euclid(2.0 * PI);
    if turned > PI { turned - 2.0 * PI } else { turned }
}

/// Returns the number of quarter turns nearest to an angle, 0 to 3.
fn quarter(angle: f32) -> usize {
    (angle / FRAC_PI_2).round().rem_euclid(4.0) as usize
}

/// Returns the boxes in reading direction with their indices, whether or not the caller has already turned vertical ones.
fn reading(boxes: &[Quad]) -> impl Iterator<Item = (usize, Quad)> {
    let height = crop::level_height(boxes);
    boxes.iter().map(move |quad| crop::turned_to_read(quad, height)).enumerate()
}

/// Returns whether a box is turned by about half of a quarter against the text.
fn is_diagonal(quad: &Quad, angle: f32) -> bool {
    let off = wrapped(quad.angle() - angle);
    let tilt = off - (off / FRAC_PI_2).round() * FRAC_PI_2;
    tilt.abs() > DIAGONAL && quad.width() >= ASPECT_MIN * quad.height()
}

/// Returns the direction of most of the text, weighted by line length: the most frequent quarter, then the median
/// inside it.
fn direction(quads: &[(usize, Quad)]) -> f32 {
    let mut lengths = [0f32; 4];
    for (_, quad) in quads {
        if let Some(sum) = lengths.get_mut(quarter(quad.angle())) {
            *sum += quad.width();
        }
    }
    // Ties and an empty page read to the right.
    let main = (1..4).fold(0, |best, i| if lengths[i] > lengths[best] { i } else { best });
    let base = main as f32 * FRAC_PI_2;
    let tilts = quads
        .iter()
        .filter(|(_, q)| quarter(q.angle()) == main && q.width() >= ASPECT_MIN * q.height())
        .map(|(_, q)| (wrapped(q.angle() - base), q.width()));
    base + weighted_median(tilts)
}

/// Returns the direction of most of the text of these boxes; the rules drawn beside it tell its tilt.
pub(super) fn direction_of(boxes: &[Quad], rules: &[Rule]) -> f32 {
    let quads: Vec<(usize, Quad)> = reading(boxes).filter(|(_, quad)| quad.is_finite()).collect();
    along_rules(direction(&quads), &quads, rules)
}

/// Corrects a direction by the rules of the page where they agree: a table of short cells has boxes that hardly show its tilt,
/// and rows that cross it.
fn along_rules(angle: f32, quads: &[(usize, Quad)], rules: &[Rule]) -> f32 {
    let mut heights: Vec<f32> = quads.iter().map(|(_, quad)| quad.height()).collect();
    let height = quantile(&mut heights, 0.5);
    let tilts: Vec<(f32, f32)> = rules
        .iter()
        .map(|rule| {
            let (x, y) = (rule.to.x - rule.from.x, rule.to.y - rule.from.y);
            let off = wrapped(y.atan2(x) - angle);
            (off - (off / FRAC_PI_2).round() * FRAC_PI_2, x.hypot(y))
        })
        .filter(|(tilt, length)| tilt.abs() <= RULE_TILT_MAX && *length >= RULE_LENGTH * height)
        .collect();
    let all: f32 = tilts.iter().map(|(_, length)| length).sum();
    let middle = weighted_median(tilts.iter().copied());
    let agreeing: Vec<f32> = tilts
        .iter()
        .filter(|(tilt, _)| (tilt - middle).abs() <= RULE_SPREAD)
        .map(|(_, length)| *length)
        .collect();
    let agree = agreeing.len() >= 2 && agreeing.iter().sum::<f32>() >= RULES_AGREE * all;
    if agree { angle + middle } else { angle }
}

/// Turns a page level.
pub(super) fn level(boxes: &[Quad], rules: &[Rule], page: (f32, f32)) -> Leveled {
    let (quads, nowhere): (Vec<_>, Vec<_>) = reading(boxes).partition(|(_, quad)| quad.is_finite());
    let angle = along_rules(direction(&quads), &quads, rules);
    let center = Point::new(page.0 / 2.0, page.1 / 2.0);
    let grid = Grid::of(
        rules
            .iter()
            .map(|rule| (rule.from.turned_about(center, -angle), rule.to.turned_about(center, -angle))),
    );
    let mut cells = Vec::with_capacity(quads.len());
    let (mut across, mut aside) = (Vec::new(), Vec::new());
    let length = |quads: &mut dyn Iterator<Item = &Quad>| quads.map(Quad::width).sum::<f32>();
    let all = length(&mut quads.iter().map(|(_, quad)| quad));
    let diagonal = length(&mut quads.iter().map(|(_, quad)| quad).filter(|quad| is_diagonal(quad, angle)));
    let has_watermark = diagonal <= DIAGONAL_SHARE * all;
    let mut upside_down = vec![false; boxes.len()];
    for (index, quad) in &quads {
        let level = Quad(quad.0.map(|p| p.turned_about(center, -angle)));
        let cell = Cell::new(*index, &level);
        let own = quarter(wrapped(quad.angle() - angle));
        if let Some(place) = upside_down.get_mut(*index) {
            *place = own == 2 && quad.width() >= ASPECT_MIN * quad.height();
        }
        // A turned word among the lines is read at its position; only long ones can be distinguished from short upright
        // ones.
        if has_watermark && is_diagonal(quad, angle) {
            aside.push(cell);
        } else if own % 2 == 1 && quad.width() >= ASPECT_MIN * quad.height() {
            across.push(cell);
        } else {
            cells.push(cell);
        }
    }
    // Text across the page stays in the flow if level text is on both sides of it (headings of table columns).
    for cell in across {
        let beside = |c: &&Cell| c.top < cell.bottom && c.bottom > cell.top;
        let left = cells.iter().filter(beside).filter(|c| c.center_x() < cell.left).count();
        let right = cells.iter().filter(beside).filter(|c| c.center_x() > cell.right).count();
        let below = cells
            .iter()
            .filter(|c| c.left < cell.right && c.right > cell.left && c.top >= cell.bottom)
            .count();
        if (left > 0 && right > 0) || below > 0 { cells.push(cell) } else { aside.push(cell) }
    }
    aside.sort_by(|a, b| a.left.total_cmp(&b.left));
    let unplaced = nowhere.into_iter().map(|(i, _)| i).collect();
    Leveled { cells, aside, upside_down, unplaced, grid }
}

/// Reverses the stretches of the reading order that are upside down: such a paragraph begins at its lower right.
pub(super) fn upend(blocks: &mut [Block], upside_down: &[bool]) {
    let is_turned = |row: &Row| row.iter().all(|cell| upside_down.get(cell.index).copied().unwrap_or(false));
    if !upside_down.contains(&true) {
        return;
    }
    for block in blocks.iter_mut() {
        for stretch in block.rows.chunk_by_mut(|a, b| is_turned(a) && is_turned(b)) {
            if stretch.first().is_some_and(is_turned) {
                stretch.reverse();
                stretch.iter_mut().for_each(|row| row.reverse());
            }
        }
    }
    let is_whole = |block: &Block| block.rows.iter().all(is_turned);
    for stretch in blocks.chunk_by_mut(|a, b| a.zone == b.zone && is_whole(a) && is_whole(b)) {
        if stretch.first().is_some_and(is_whole) {
            stretch.reverse();
        }
    }
}
