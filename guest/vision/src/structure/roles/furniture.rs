//! Headers, footers and page numbers, by their place at the edge of the page.

use super::super::frame::{Found, Frame, Line};
use super::super::model::Kind;
use super::super::paragraphs::Draft;
use super::super::patterns;
use super::super::tokens::around;
use super::row_text;
use crate::geometry::Rect;

/// Fraction of the page's height, from the edge, in which a header or footer lies.
const EDGE: f32 = 0.085;
/// The same for a page number.
const NUMBER_EDGE: f32 = 0.12;
/// White space between a header and the text, in em.
const GAP_EM: f32 = 1.2;
/// Most rows of a header.
const ROWS_MAX: usize = 3;
/// Maximum size of a header, as a fraction of running text.
const SIZE_MAX: f32 = 1.15;
/// Distance from the start of the text at which its lines begin, indented or not, in em.
const LINE_EM: f32 = 3.0;
/// White space between the lines of a text, at most, as a multiple of their height.
const LEADING: f32 = 0.8;
/// Most page numbers of a page beside which there may be heads.
const NUMBERS_MAX: usize = 16;
/// Minimum lines of a page that may have headers, and minimum height in em: a note, a label or a receipt has none.
const LINES_MIN: usize = 8;
const HEIGHT_MIN_EM: f32 = 30.0;

/// Splits paragraphs at the edge of the page that hold a page number beside other text.
pub(super) fn divided(frame: &Frame<'_>, drafts: Vec<Draft>) -> Vec<Draft> {
    let mut out = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let edge = in_edge(frame, &draft.area, NUMBER_EDGE);
        let number = |row: &Vec<usize>| patterns::is_page_number(&row_text(frame, row));
        if !edge
            || draft.rows.len() < 2
            || draft.rows.len() > ROWS_MAX
            || !draft.rows.iter().any(number)
            || draft.rowed
        {
            out.push(draft);
            continue;
        }
        for row in &draft.rows {
            let areas = row.iter().filter_map(|i| frame.lines.get(*i)).map(|line| line.area);
            let area = around(areas).unwrap_or(draft.area);
            out.push(Draft { rows: vec![row.clone()], area, ..draft.clone() });
        }
    }
    out
}

/// Returns whether a page of so many level lines may have headers.
pub(super) fn may_have(frame: &Frame<'_>, lines: usize) -> bool {
    lines >= LINES_MIN && frame.page.height >= HEIGHT_MIN_EM * frame.em
}

/// Returns whether a line is level text on the page, and no speck or dash at its edge.
pub(super) fn is_text(frame: &Frame<'_>, line: &Line<'_>) -> bool {
    line.level && frame.page.contains(line.area.center()) && line.text.chars().any(char::is_alphanumeric)
}

/// Returns whether an area is where page numbers are.
pub(super) fn is_at_edge(frame: &Frame<'_>, area: &Rect) -> bool {
    in_edge(frame, area, NUMBER_EDGE)
}

fn in_edge(frame: &Frame<'_>, area: &Rect, share: f32) -> bool {
    let depth = share * frame.page.height;
    area.bottom() <= frame.page.y + depth || area.y >= frame.page.bottom() - depth
}

/// Returns the kinds of the paragraphs that are furniture.
pub(super) fn kinds(frame: &Frame<'_>, drafts: &[Draft], tables: &[Found]) -> Vec<Option<Kind>> {
    let mut kinds = vec![None; drafts.len()];
    let level = frame.lines.iter().filter(|line| line.level);
    let mut areas: Vec<Rect> = level.map(|line| line.area).collect();
    if !may_have(frame, areas.len()) {
        return kinds;
    }
    areas.sort_by(|a, b| a.y.total_cmp(&b.y));
    let top = limit(&areas, frame.page.y, frame);
    // The same from below: the page turned upside down.
    let turned = |area: &Rect| Rect { y: -area.bottom(), ..*area };
    let mut below: Vec<Rect> = areas.iter().map(turned).collect();
    below.sort_by(|a, b| a.y.total_cmp(&b.y));
    let bottom = -limit(&below, -frame.page.bottom(), frame);
    let text = || frame.lines.iter().filter(|line| is_text(frame, line)).map(|line| line.area);
    let ends = (
        text().map(|area| area.y).reduce(f32::min).unwrap_or(0.0),
        text().map(|area| area.bottom()).reduce(f32::max).unwrap_or(0.0),
    );
    for (draft, kind) in drafts.iter().zip(&mut kinds) {
        let text = super::whole_text(frame, draft);
        let own_row = draft.rows.len() == 1 && !draft.rowed;
        let outermost = draft.area.y <= ends.0 + frame.em || draft.area.bottom() >= ends.1 - frame.em;
        if own_row && outermost && in_edge(frame, &draft.area, NUMBER_EDGE) && patterns::is_page_number(&text)
        {
            *kind = Some(Kind::PageNumber);
            continue;
        }
        let plain = draft.rows.len() <= ROWS_MAX && draft.size <= SIZE_MAX * frame.body;
        let clear = !tables.iter().any(|table| table.area.intersection(&draft.area).area() > 0.0);
        if !(plain && clear) {
            continue;
        }
        let (above, below) = (draft.area.bottom() <= top, draft.area.y >= bottom);
        if (above || below) && own_row && patterns::is_page_number(&text) {
            *kind = Some(Kind::PageNumber);
        } else if above {
            *kind = Some(Kind::Header);
        } else if below {
            *kind = Some(Kind::Footer);
        }
    }
    beside_numbers(frame, drafts, &mut kinds);
    kinds
}

/// Marks the lines beside a page number at the edge of the page: a running head without white space below it.
fn beside_numbers(frame: &Frame<'_>, drafts: &[Draft], kinds: &mut [Option<Kind>]) {
    let numbers: Vec<Rect> = drafts
        .iter()
        .zip(kinds.iter())
        .filter(|(_, kind)| **kind == Some(Kind::PageNumber))
        .map(|(draft, _)| draft.area)
        .take(NUMBERS_MAX)
        .collect();
    let is_beside = |draft: &Draft, number: &Rect| {
        (number.center().y - draft.area.center().y).abs() < 0.5 * number.height.max(draft.area.height)
    };
    let of_text: Vec<Rect> = drafts
        .iter()
        .zip(kinds.iter())
        .filter(|(draft, kind)| kind.is_none() && !numbers.iter().any(|number| is_beside(draft, number)))
        .map(|(draft, _)| draft.area)
        .collect();
    let text = around(of_text.iter().copied()).unwrap_or(frame.page);
    // A number in the margin is beside a line of the text, which goes on above or below it.
    let in_margin: Vec<bool> = numbers
        .iter()
        .map(|number| {
            let reach = LEADING * number.height;
            let close = |area: &Rect| (area.y - number.bottom()).max(number.y - area.bottom()) < reach;
            let outside =
                number.x > text.right() + 0.5 * frame.em || number.right() < text.x - 0.5 * frame.em;
            outside && of_text.iter().any(close)
        })
        .collect();
    let is_head = |draft: &Draft| {
        let is_line = (draft.area.x - text.x).abs() < LINE_EM * frame.em;
        numbers
            .iter()
            .zip(&in_margin)
            .any(|(number, margin)| is_beside(draft, number) && !(*margin && is_line))
    };
    for (draft, kind) in drafts.iter().zip(kinds) {
        if kind.is_none()
            && draft.rows.len() == 1
            && !draft.rowed
            && in_edge(frame, &draft.area, NUMBER_EDGE)
            && is_head(draft)
        {
            let above = draft.area.center().y < frame.page.center().y;
            *kind = Some(if above { Kind::Header } else { Kind::Footer });
        }
    }
}

/// Returns the position above which text is header: the last wide gap below at most three rows at the edge; above all text
/// where there is none. `areas` ascend.
fn limit(areas: &[Rect], page_top: f32, frame: &Frame<'_>) -> f32 {
    let edge = page_top + EDGE * frame.page.height;
    let (mut end, mut rows, mut found) = (f32::NEG_INFINITY, 0, f32::NEG_INFINITY);
    for area in areas {
        if area.y > end - 0.3 * frame.em {
            if rows > 0 && area.y - end >= GAP_EM * frame.em && end <= edge {
                found = end;
            }
            rows += 1;
        }
        end = end.max(area.bottom());
        if rows > ROWS_MAX || end > edge {
            break;
        }
    }
    found
}
