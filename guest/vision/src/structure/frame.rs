//! The page as the steps see it: level lines with their words and sizes, level rules, and typical sizes. A page whose text
//! runs from right to left is mirrored: its columns, indents, markers and label columns are then where the steps expect them.

use std::f32::consts::{FRAC_PI_2, PI};

use super::model::{Block, Piece, Sheet, Table};
use super::tokens::Word;
use super::wording::Vocabulary;
use crate::bidi;
use crate::geometry::{Point, Quad, Rect};
use crate::layout;
use crate::rules::Rule;
use crate::statistics::weighted_median;
use crate::strokes::{Stroke, strokes};

/// Minimum characters beside tables that tell the size of running text.
const BODY_CHARACTERS_MIN: f32 = 200.0;

/// A level line.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    pub text: &'a str,
    pub area: Rect,
    pub words: Vec<Word<'a>>,
    /// Size of its font, or its height.
    pub size: f32,
    /// True where `size` is that of a font.
    pub embedded: bool,
    pub block: u32,
    pub zone: u32,
    /// False for text across the page, and for text upside down.
    pub level: bool,
    pub upside_down: bool,
}

/// A table that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub area: Rect,
    pub table: Table,
    /// Indices of its lines, ascending.
    pub lines: Vec<usize>,
    pub confidence: f32,
}

/// A level page. Index of a line: that of its piece.
pub(super) struct Frame<'a> {
    pub lines: Vec<Line<'a>>,
    pub across: Vec<Stroke>,
    pub down: Vec<Stroke>,
    /// Typical height of a line: the unit of distances.
    pub em: f32,
    /// Typical size of running text.
    pub body: f32,
    pub page: Rect,
    pub first: bool,
    pub pictures: Vec<Rect>,
    pub vocabulary: Vocabulary,
    angle: f32,
    center: Point,
    /// True where the text runs from right to left, and all positions are mirrored.
    mirrored: bool,
}

impl<'a> Frame<'a> {
    pub fn of(pieces: &[Piece<'a>], rules: &[Rule], sheet: &Sheet<'_>) -> Self {
        let quads: Vec<Quad> = pieces.iter().map(|piece| piece.quad).collect();
        let angle = layout::direction(&quads, rules);
        let center = Point::new(sheet.size.0 / 2.0, sheet.size.1 / 2.0);
        let mirrored = bidi::are_right_to_left(pieces.iter().map(|piece| piece.text));
        let facing = |rect: Rect| if mirrored { rect.mirrored(center.x) } else { rect };
        let level = |quad: &Quad| Quad(quad.0.map(|p| p.turned_about(center, -angle)));
        let area = |quad: &Quad| {
            let turned = level(quad);
            let bounds = turned.bounds();
            let height = turned.height().min(bounds.height);
            // The bounds of a long line with a small tilt of its own are higher than the line.
            facing(if turned.angle().abs() < 0.3 {
                Rect { x: bounds.x, y: bounds.center().y - height / 2.0, width: bounds.width, height }
            } else {
                bounds
            })
        };
        let finite = |quad: &Quad| if quad.is_finite() { *quad } else { Quad::default() };
        let lines: Vec<Line<'a>> = pieces
            .iter()
            .enumerate()
            .map(|(line, piece)| {
                let quad = finite(&piece.quad);
                let turn = level(&quad).angle();
                let own = area(&quad);
                let mut words: Vec<Word<'a>> = piece
                    .words
                    .iter()
                    .filter(|word| !word.text.trim().is_empty())
                    .map(|word| {
                        // A word without a place is anywhere in its line.
                        let area = if word.quad.is_finite() { area(&word.quad) } else { own };
                        Word { text: word.text, area, line, at: 0, mirrored }
                    })
                    .collect();
                words.sort_by(|a, b| a.area.x.total_cmp(&b.area.x));
                if words.is_empty() {
                    words.push(Word { text: piece.text, area: own, line, at: 0, mirrored });
                }
                words.iter_mut().enumerate().for_each(|(at, word)| word.at = at);
                let size = piece.font_size.filter(|size| *size > 0.0);
                Line {
                    text: piece.text,
                    area: own,
                    words,
                    size: size.unwrap_or(quad.height()).max(f32::EPSILON),
                    embedded: size.is_some(),
                    block: piece.block,
                    zone: piece.zone,
                    upside_down: piece.quad.is_finite()
                        && turn.abs() > PI - 0.3
                        && quad.width() >= 1.5 * quad.height(),
                    level: piece.quad.is_finite() && (turn.abs() < 0.3 || quad.width() < 1.5 * quad.height()),
                }
            })
            .collect();
        let placed = |p: Point| {
            let p = p.turned_about(center, -angle);
            if mirrored { Point::new(2.0 * center.x - p.x, p.y) } else { p }
        };
        let (across, down) = strokes(rules.iter().map(|rule| (placed(rule.from), placed(rule.to))));
        let weighted = |value: fn(&Line<'a>) -> f32| {
            let values = lines.iter().filter(|line| line.level);
            weighted_median(values.map(|line| (value(line), line.text.chars().count() as f32)))
        };
        let (em, body) = (weighted(|line| line.area.height), weighted(|line| line.size));
        let quarter = (angle / FRAC_PI_2).round().rem_euclid(2.0) as i32 == 1;
        let (width, height) = if quarter { (sheet.size.1, sheet.size.0) } else { sheet.size };
        let page = Rect { x: center.x - width / 2.0, y: center.y - height / 2.0, width, height };
        let pictures =
            sheet.pictures.iter().map(|rect| facing(level(&Quad::from_rect(rect)).bounds())).collect();
        let vocabulary = Vocabulary::of(lines.iter().map(|line| line.text));
        let unit = |value: f32| if value > 0.0 { value } else { 1.0 };
        Self {
            lines,
            across,
            down,
            em: unit(em),
            body: unit(body),
            page,
            first: sheet.first,
            pictures,
            vocabulary,
            angle,
            center,
            mirrored,
        }
    }

    /// Returns for each line whether it belongs to a table.
    pub fn taken(&self, tables: &[Found]) -> Vec<bool> {
        let mut taken = vec![false; self.lines.len()];
        for line in tables.iter().flat_map(|table| &table.lines) {
            if let Some(place) = taken.get_mut(*line) {
                *place = true;
            }
        }
        taken
    }

    /// Measures the size of running text on the lines that are not taken, where there are enough: tables are set smaller.
    pub fn measure_body(&mut self, taken: &[bool]) {
        let free = self.lines.iter().zip(taken).filter(|(line, taken)| line.level && !**taken);
        let values: Vec<(f32, f32)> =
            free.map(|(line, _)| (line.size, line.text.chars().count() as f32)).collect();
        if values.iter().map(|(_, count)| count).sum::<f32>() >= BODY_CHARACTERS_MIN {
            self.body = weighted_median(values).max(f32::EPSILON);
        }
    }

    /// Turns the positions of a block back to the page; the columns of its table count from the left again.
    pub fn place_back(&self, block: &mut Block) {
        let back = |quad: &Quad| {
            let quad = if self.mirrored { quad.mirrored(self.center.x) } else { *quad };
            Quad(quad.0.map(|p| p.turned_about(self.center, self.angle)))
        };
        block.quad = back(&block.quad);
        let Some(table) = &mut block.table else { return };
        for cell in &mut table.cells {
            cell.quad = back(&cell.quad);
            if self.mirrored {
                cell.column = table.columns.saturating_sub(cell.column + cell.column_span);
            }
        }
        if self.mirrored {
            table.cells.sort_by_key(|cell| (cell.row, cell.column));
        }
    }
}
