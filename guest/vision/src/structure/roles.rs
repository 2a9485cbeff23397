//! Roles of blocks: furniture by place, captions and footnotes by pattern and place, headings by size and numbering, code by
//! the even width of its letters.

mod code;
mod furniture;
mod headings;
mod heads;

use super::frame::{Found, Frame};
use super::model::{Block, Kind};
use super::paragraphs::{Draft, SMALL_EMBEDDED, SMALL_READ};
use super::patterns::{self, Object};
use super::tokens::around;
use crate::geometry::{Quad, Rect};

/// White space between a caption and its table or figure, in em.
const CAPTION_GAP_EM: f32 = 3.0;
/// Most lines of a caption.
const CAPTION_LINES_MAX: usize = 12;
/// Fraction of the page above which no footnote begins.
const FOOTNOTE_TOP: f32 = 0.5;
/// Fraction of the page that a picture takes to be a figure.
const FIGURE_SHARE: (f32, f32) = (0.01, 0.85);

/// Returns the blocks in reading order with their roles.
pub(super) fn assign(frame: &Frame<'_>, drafts: Vec<Draft>, tables: Vec<Found>) -> Vec<Block> {
    let drafts = furniture::divided(frame, heads::split(frame, drafts));
    let mut kinds = furniture::kinds(frame, &drafts, &tables);
    let figures = figures(frame, &tables);
    let objects: Vec<(Rect, Object)> = tables
        .iter()
        .map(|table| (table.area, Object::Table))
        .chain(figures.iter().map(|area| (*area, Object::Figure)))
        .collect();
    let mut captions: Vec<Option<usize>> = vec![None; drafts.len()];
    for ((draft, kind), of) in drafts.iter().zip(&mut kinds).zip(&mut captions) {
        if kind.is_none() && draft.rows.len() <= CAPTION_LINES_MAX {
            let Some(caption) = patterns::caption(&first_line(frame, draft)) else { continue };
            let near = nearest(frame, draft, caption.object, &objects);
            if caption.is_marked || (near.is_some() && draft.rows.len() <= 3) {
                *kind = Some(Kind::Caption);
                *of = near;
            }
        }
    }
    let mut drafts = drafts;
    code::mark(frame, &mut drafts, &mut kinds, &mut captions);
    for (draft, kind) in drafts.iter().zip(&mut kinds) {
        if kind.is_none() && draft.marker.is_some() {
            *kind = Some(Kind::ListItem);
        }
    }
    footnotes(frame, &drafts, &mut kinds);
    headings::mark(frame, &drafts, &mut kinds);
    headings::join_labels(frame, &mut drafts, &mut kinds, &mut captions);
    ordered(frame, Roles { drafts, kinds, captions, tables, figures })
}

struct Roles {
    drafts: Vec<Draft>,
    kinds: Vec<Option<Kind>>,
    /// For a caption, its table, or its figure counted from the number of tables.
    captions: Vec<Option<usize>>,
    tables: Vec<Found>,
    figures: Vec<Rect>,
}

/// Sorts paragraphs, tables and figures into one sequence.
fn ordered(frame: &Frame<'_>, roles: Roles) -> Vec<Block> {
    let Roles { drafts, kinds, captions, tables, figures } = roles;
    let first = |draft: &Draft| draft.rows.first().and_then(|row| row.first()).copied().unwrap_or(usize::MAX);
    // The key is the first line, and for a figure that of the block below it.
    let mut keyed: Vec<(usize, u8, usize, Block)> = Vec::new();
    for (at, area) in figures.iter().enumerate() {
        let object = tables.len() + at;
        let own = captions.iter().position(|of| *of == Some(object)).and_then(|i| drafts.get(i));
        let below = drafts.iter().find(|draft| {
            let shared = draft.area.right().min(area.right()) - draft.area.x.max(area.x);
            shared > 0.0 && draft.area.center().y > area.bottom()
        });
        let key = own.or(below).map_or(usize::MAX, first);
        let block = plain(Kind::Figure, Vec::new(), *area, 0.8);
        keyed.push((key, 0, object, block));
    }
    for (at, found) in tables.iter().enumerate() {
        let rows = found.lines.iter().map(|line| vec![*line]).collect();
        let mut block = plain(Kind::Table, rows, found.area, found.confidence);
        block.table = Some(found.table.clone());
        keyed.push((found.lines.first().copied().unwrap_or(usize::MAX), 1, at, block));
    }
    let count = tables.len() + figures.len();
    for (at, (draft, kind)) in drafts.iter().zip(kinds).enumerate() {
        let kind = kind.unwrap_or(Kind::Text);
        let confidence = match kind {
            Kind::Text | Kind::ListItem => 0.9,
            Kind::Header | Kind::Footer | Kind::Code | Kind::Footnote => 0.7,
            _ => 0.8,
        };
        let mut block = plain(kind, draft.rows.clone(), draft.area, confidence);
        block.rowed = draft.rowed && kind == Kind::Text;
        block.size = draft.size;
        block.caption_of = captions.get(at).copied().flatten();
        keyed.push((first(draft), 2, count + at, block));
    }
    keyed.sort_by_key(|(key, class, _, _)| (*key, *class));
    let mut place = vec![0; count + drafts.len()];
    for (at, (_, _, object, _)) in keyed.iter().enumerate() {
        if let Some(slot) = place.get_mut(*object) {
            *slot = at;
        }
    }
    let mut blocks: Vec<Block> = keyed.into_iter().map(|(_, _, _, block)| block).collect();
    for block in &mut blocks {
        block.caption_of = block.caption_of.and_then(|object| place.get(object).copied());
        if block.size <= 0.0 {
            block.size = frame.body;
        }
    }
    blocks
}

fn plain(kind: Kind, rows: Vec<Vec<usize>>, area: Rect, confidence: f32) -> Block {
    let quad = Quad::from_rect(&area);
    Block { kind, rows, quad, confidence, table: None, caption_of: None, rowed: false, size: 0.0 }
}

/// Returns the text of the first line.
pub(super) fn first_line(frame: &Frame<'_>, draft: &Draft) -> String {
    row_text(frame, draft.rows.first().map_or(&[], Vec::as_slice))
}

fn row_text(frame: &Frame<'_>, row: &[usize]) -> String {
    let texts: Vec<&str> = row.iter().filter_map(|i| frame.lines.get(*i)).map(|line| line.text).collect();
    texts.join(" ")
}

/// Returns the text of all lines, joined with spaces.
pub(super) fn whole_text(frame: &Frame<'_>, draft: &Draft) -> String {
    let rows: Vec<String> = draft.rows.iter().map(|row| row_text(frame, row)).collect();
    rows.join(" ")
}

/// Returns the table or figure next to a caption: one that the caption names comes before one that is nearer.
fn nearest(frame: &Frame<'_>, draft: &Draft, named: Object, objects: &[(Rect, Object)]) -> Option<usize> {
    let mut best: Option<(bool, f32, usize)> = None;
    for (at, (area, object)) in objects.iter().enumerate() {
        let shared = draft.area.right().min(area.right()) - draft.area.x.max(area.x);
        let gap = (area.y - draft.area.bottom()).max(draft.area.y - area.bottom());
        if shared <= 0.0 || gap > CAPTION_GAP_EM * frame.em || gap < -frame.em {
            continue;
        }
        let other = named != Object::Either && *object != named;
        if best.is_none_or(|(worse, distance, _)| (other, gap) < (worse, distance)) {
            best = Some((other, gap, at));
        }
    }
    best.map(|(_, _, at)| at)
}

/// Returns the pictures that are figures: neither decoration nor the scan of the page, and without most of its text.
fn figures(frame: &Frame<'_>, tables: &[Found]) -> Vec<Rect> {
    let page = frame.page.area().max(f32::EPSILON);
    let lines = frame.lines.len().max(1);
    let is_figure = |area: &Rect| {
        let share = area.area() / page;
        let inside = frame.lines.iter().filter(|line| area.contains(line.area.center())).count();
        share >= FIGURE_SHARE.0
            && share <= FIGURE_SHARE.1
            && area.width.min(area.height) >= 2.0 * frame.em
            && (inside * 4 < lines || inside < 3)
            && !tables.iter().any(|table| table.area.intersection(area).area() > 0.5 * table.area.area())
    };
    frame.pictures.iter().map(|area| area.intersection(&frame.page)).filter(is_figure).collect()
}

/// Marks footnotes: small paragraphs with a mark, at the end of their zone.
fn footnotes(frame: &Frame<'_>, drafts: &[Draft], kinds: &mut [Option<Kind>]) {
    let mut zone = None;
    let mut open = true;
    for (draft, kind) in drafts.iter().zip(kinds).rev() {
        if kind.is_some_and(|kind| matches!(kind, Kind::Footer | Kind::PageNumber | Kind::Header)) {
            continue;
        }
        if zone != Some(draft.zone) {
            (zone, open) = (Some(draft.zone), true);
        }
        let limit = if draft.embedded { SMALL_EMBEDDED } else { SMALL_READ };
        let small = draft.size <= limit * frame.body;
        let low = draft.area.y > frame.page.y + FOOTNOTE_TOP * frame.page.height;
        let marked = patterns::footnote(&first_line(frame, draft));
        let plain = matches!(kind, None | Some(Kind::ListItem));
        open &= small && low && plain;
        if open && marked {
            *kind = Some(Kind::Footnote);
        }
    }
}

/// Returns the extent of all text of a zone.
pub(super) fn zone_area(frame: &Frame<'_>, zone: u32) -> Rect {
    around(frame.lines.iter().filter(|line| line.zone == zone).map(|line| line.area)).unwrap_or(frame.page)
}
