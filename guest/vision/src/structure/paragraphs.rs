//! Paragraphs and items of lists: the lines of each block of the layout, cut where one ends and the next begins.

use super::frame::Frame;
use super::numbers::is_value;
use super::patterns::{self, Marker};
use super::tokens::around;
use crate::geometry::Rect;
use crate::script::is_digit;

/// Ratio of sizes from which two lines belong to different paragraphs: of fonts, of heights read from pixels.
const SIZE_EMBEDDED: f32 = 1.08;
const SIZE_READ: f32 = 1.3;
/// Indent of a first line, in em.
const INDENT_EM: f32 = 0.8;
/// White space at the end of a short line: a fraction of the block's width, and em.
const SHORT_SHARE: f32 = 0.1;
const SHORT_EM: f32 = 2.0;
/// White space between lines that ends a paragraph, in em.
const GAP_EM: f32 = 1.2;

/// White space between texts side by side that are no row of one paragraph, in em: the spaces of justified text are narrower.
const BESIDE_EM: f32 = 2.5;
/// Rows of a block from which its short lines are rows, too.
const ROWS_MIN: usize = 3;
/// Words of a label before its colon.
const LABEL_WORDS_MAX: usize = 4;
/// Least capitals of a line that is set in them: fewer may be an abbreviation.
const CAPITALS_MIN: usize = 10;

/// Size of a footnote, as a fraction of running text: of fonts, of heights read from pixels.
pub(super) const SMALL_EMBEDDED: f32 = 0.95;
pub(super) const SMALL_READ: f32 = 0.9;

/// A paragraph or an item.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// Its lines: indices of pieces, several where they are joined.
    pub rows: Vec<Vec<usize>>,
    pub area: Rect,
    pub zone: u32,
    /// Index of the layout's block.
    pub block: u32,
    pub size: f32,
    pub embedded: bool,
    /// Its marker, where it is an item of a list.
    pub marker: Option<Marker>,
    /// True where its marker is no dash or star, which also begin lines of running text.
    pub bullet: bool,
    /// True where its lines are rows of a receipt, a form or a table of contents.
    pub rowed: bool,
    /// True where only the marker separates it from the paragraph before.
    pub cut_by_marker: bool,
}

/// A printed row: its pieces and its text.
struct Row {
    pieces: Vec<usize>,
    area: Rect,
    text: String,
    size: f32,
    embedded: bool,
    rowed: bool,
    level: bool,
    upside_down: bool,
}

/// Returns the paragraphs of the lines that are not taken, in reading order.
pub(super) fn blocks(frame: &Frame<'_>, taken: &[bool]) -> Vec<Draft> {
    let free: Vec<usize> =
        (0..frame.lines.len()).filter(|i| !taken.get(*i).copied().unwrap_or(false)).collect();
    let block = |i: &usize| frame.lines.get(*i).map(|line| line.block);
    let mut leaves: Vec<Vec<Row>> =
        free.chunk_by(|a, b| block(a) == block(b)).map(|leaf| rows(frame, leaf)).collect();
    keep_receipt(frame, &mut leaves);
    let mut out: Vec<Draft> = Vec::new();
    for rows in leaves {
        paragraphs(frame, rows, &mut out);
    }
    settle_lists(&mut out);
    out
}

/// Groups the lines of a block by rows. A row of several lines is joined where they are an entry and its number, a label
/// and its value, or a marker and its text.
fn rows(frame: &Frame<'_>, leaf: &[usize]) -> Vec<Row> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &index in leaf {
        let Some(line) = frame.lines.get(index) else { continue };
        let last = groups.last().and_then(|group| group.last()).and_then(|last| frame.lines.get(*last));
        let beside = last.is_some_and(|last| {
            let apart = (last.area.center().y - line.area.center().y).abs();
            apart < 0.4 * last.area.height.min(line.area.height)
                && line.area.x >= last.area.right() - 0.3 * frame.em
                && last.level
                && line.level
        });
        match groups.last_mut() {
            Some(group) if beside => group.push(index),
            _ => groups.push(vec![index]),
        }
    }
    let mut out = Vec::new();
    for group in groups {
        let texts: Vec<&str> =
            group.iter().filter_map(|i| frame.lines.get(*i)).map(|line| line.text).collect();
        let rowed = is_rowed(&texts);
        let marked =
            texts.len() == 2 && texts.first().is_some_and(|t| matches!(patterns::marker(t), Some((_, true))));
        if rowed || marked || group.len() == 1 {
            out.extend(row(frame, group, rowed));
        } else {
            out.extend(group.into_iter().filter_map(|index| row(frame, vec![index], false)));
        }
    }
    keep_rows(frame, &mut out);
    out
}

/// Marks lines of one piece as rows: an article with its amount, a label with its value, where a wide gap or a neighbor of
/// the same kind says so; and the short lines among many rows, such as the name and the date at the top of a receipt.
fn keep_rows(frame: &Frame<'_>, rows: &mut [Row]) {
    let em = frame.em;
    let kinds: Vec<Option<Entry>> = rows.iter().map(|row| entry(frame, row)).collect();
    let of = |at: usize| Some((rows.get(at)?, kinds.get(at)?.as_ref()?));
    // Whether a row and the next one are of a kind, at a common edge.
    let alike = |at: usize| {
        let (Some((row, kind)), Some((next, next_kind))) = (of(at), of(at + 1)) else { return false };
        let edge = |row: &Row| if kind.is_amount() { row.area.right() } else { row.area.x };
        kind.is_amount() == next_kind.is_amount()
            && (edge(row) - edge(next)).abs() < 0.7 * em
            && !starts_anew(row, next, em)
    };
    let is_row: Vec<bool> = (0..rows.len())
        .map(|at| match of(at) {
            Some((_, Entry::Apart)) => true,
            Some(_) => at.checked_sub(1).is_some_and(alike) || alike(at),
            None => false,
        })
        .collect();
    for (row, is_row) in rows.iter_mut().zip(is_row) {
        row.rowed |= is_row;
    }
    let count = rows.iter().filter(|row| row.rowed).count();
    let Some(block) = around(rows.iter().map(|row| row.area)) else { return };
    if count >= ROWS_MIN && count * 3 >= rows.len() {
        keep_short(rows, block.width - SHORT_EM * em);
    }
}

/// Marks lines narrower than a width as rows; a line as wide as the text around it is running text.
fn keep_short(rows: &mut [Row], width: f32) {
    for row in rows.iter_mut().filter(|row| row.level) {
        row.rowed |= row.area.width < width && patterns::marker(&row.text).is_none();
    }
}

/// Marks the short lines of a page as rows where most of its lines are articles with their amounts: a receipt, whose other
/// lines the layout may have parted from these.
fn keep_receipt(frame: &Frame<'_>, leaves: &mut [Vec<Row>]) {
    let rows = || leaves.iter().flatten();
    let is_article = |row: &&Row| row.rowed && row.text.split_whitespace().next_back().is_some_and(is_amount);
    let (count, all) = (rows().filter(is_article).count(), rows().count());
    let Some(page) = around(rows().map(|row| row.area)) else { return };
    if count >= ROWS_MIN && count * 2 >= all {
        leaves.iter_mut().for_each(|rows| keep_short(rows, page.width - SHORT_EM * frame.em));
    }
}

/// What a line of one piece may be as a row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Entry {
    /// A text and an amount far from it.
    Apart,
    /// A text and an amount.
    Amount,
    /// A label and its value.
    Label,
}

impl Entry {
    /// Returns whether it ends in an amount.
    fn is_amount(self) -> bool {
        self != Self::Label
    }
}

fn entry(frame: &Frame<'_>, row: &Row) -> Option<Entry> {
    let [piece] = row.pieces.as_slice() else { return None };
    let line = frame.lines.get(*piece).filter(|line| line.level)?;
    // A tax class or a currency may follow the amount.
    let after = |text: &str| text.chars().count() <= 3 && text.chars().all(|c| c.is_uppercase() || c == '€');
    let at = line.words.iter().rposition(|word| !after(word.text))?;
    let (before, amount) = (line.words.get(..at)?, line.words.get(at)?);
    let letters = before.iter().flat_map(|word| word.text.chars()).filter(|c| c.is_alphabetic()).count();
    if letters >= 2 && is_amount(amount.text) {
        let gap = before.last().map_or(0.0, |last| amount.area.x - last.area.right());
        return Some(if gap >= BESIDE_EM * frame.em { Entry::Apart } else { Entry::Amount });
    }
    let (label, value) = row.text.split_once(": ")?;
    let is_short = label.split_whitespace().count() <= LABEL_WORDS_MAX;
    (is_short && !value.trim().is_empty() && patterns::is_label(&format!("{label}:"))).then_some(Entry::Label)
}

/// Returns whether a text is an amount of money: a number with two decimals, perhaps with a sign or a currency.
fn is_amount(text: &str) -> bool {
    let digits = text.trim_matches(|c: char| !is_digit(c));
    let decimals = digits.rsplit_once(['.', ',', '\u{66b}']).map(|(_, decimals)| decimals);
    is_value(text) && decimals.is_some_and(|decimals| decimals.chars().count() == 2)
}

fn row(frame: &Frame<'_>, pieces: Vec<usize>, rowed: bool) -> Option<Row> {
    let lines: Vec<_> = pieces.iter().filter_map(|i| frame.lines.get(*i)).collect();
    let texts: Vec<&str> = lines.iter().map(|line| line.text).collect();
    let longest = lines.iter().max_by_key(|line| line.text.len())?;
    Some(Row {
        area: around(lines.iter().map(|line| line.area))?,
        text: texts.join(" "),
        size: longest.size,
        embedded: longest.embedded,
        level: longest.level,
        upside_down: longest.upside_down,
        pieces,
        rowed,
    })
}

/// Returns whether texts side by side are one row: an entry with dots to its page, an article with its price, a label
/// with its value.
fn is_rowed(texts: &[&str]) -> bool {
    let [first, .., last] = texts else {
        return texts.first().is_some_and(|text| is_leader_row(text));
    };
    let letters = first.chars().filter(|c| c.is_alphabetic()).count() >= 2;
    let leader = texts.iter().any(|text| patterns::ends_in_leader(text));
    let number = is_value(last) || patterns::is_page_number(last);
    (letters && number && (leader || texts.len() <= 4)) || (texts.len() == 2 && patterns::is_label(first))
}

/// Returns whether a text holds leader dots before a number at its end.
fn is_leader_row(text: &str) -> bool {
    let Some((head, number)) = text.trim_end().rsplit_once([' ', '.', '…', '·']) else { return false };
    let short = number.chars().count() <= 6;
    short && (is_value(number) || patterns::is_page_number(number)) && {
        let rest = &text[..head.len() + text[head.len()..].chars().next().map_or(0, char::len_utf8)];
        patterns::ends_in_leader(rest) || rest.trim_end().ends_with(" . .")
    }
}

/// Cuts the rows of one block into paragraphs.
fn paragraphs(frame: &Frame<'_>, rows: Vec<Row>, out: &mut Vec<Draft>) {
    let em = frame.em;
    let Some(block) = around(rows.iter().map(|row| row.area)) else { return };
    let (left, right) = (block.x, block.right());
    let start_of_block = out.len();
    let mut before: Option<Row> = None;
    // The number of the last footnote.
    let mut notes: Option<u32> = None;
    for row in rows {
        let marker = patterns::marker(&row.text).map(|(marker, _)| marker).filter(|_| !row.rowed);
        let item =
            out.get(start_of_block..).and_then(<[Draft]>::last).and_then(|d| d.marker.map(|_| d.area.x));
        let (ends, by_marker) = match &before {
            None => (true, false),
            Some(last) => {
                let hard = starts_anew(last, &row, em)
                    || is_next_note(frame, &row, left, notes)
                    || (item.is_none() && is_new_paragraph(last, &row, (left, right), em))
                    || item.is_some_and(|x| leaves_item(last, &row, x, right, em));
                (hard || marker.is_some(), !hard && marker.is_some())
            }
        };
        if is_small(frame, &row) && patterns::footnote(&row.text) && ends {
            notes = note_number(&row.text);
        }
        let line = row.pieces.first().and_then(|i| frame.lines.get(*i));
        match out.last_mut() {
            Some(draft) if !ends => {
                draft.rows.push(row.pieces.clone());
                draft.area = draft.area.union(&row.area);
            }
            _ => out.push(Draft {
                rows: vec![row.pieces.clone()],
                area: row.area,
                zone: line.map_or(0, |line| line.zone),
                block: line.map_or(0, |line| line.block),
                size: row.size,
                embedded: row.embedded,
                marker,
                bullet: patterns::is_bullet(&row.text),
                rowed: row.rowed,
                cut_by_marker: by_marker,
            }),
        }
        before = Some(row);
    }
}

/// Returns whether a row cannot belong to the paragraph of the row before.
fn starts_anew(last: &Row, row: &Row, em: f32) -> bool {
    let both = last.embedded && row.embedded;
    let ratio = (last.size / row.size).max(row.size / last.size);
    let turned = last.upside_down && row.upside_down;
    let gap = if turned { last.area.y - row.area.bottom() } else { row.area.y - last.area.bottom() };
    let back = if turned { last.area.bottom() < row.area.y } else { row.area.bottom() < last.area.y };
    ratio > if both { SIZE_EMBEDDED } else { SIZE_READ }
        || gap > GAP_EM * em
        || is_beside(last, row, em)
        || is_capitals(&last.text) != is_capitals(&row.text)
        || back
        || row.rowed != last.rowed
        || row.level != last.level
        || patterns::caption(&row.text).is_some_and(|caption| caption.is_marked)
        || is_numbered_heading(&row.text, row.area.width, last.area.width)
        || is_numbered_heading(&last.text, last.area.width, row.area.width)
}

/// Returns whether a row begins a footnote after another one, whose number is `last`. A line that goes on may begin with a number.
fn is_next_note(frame: &Frame<'_>, row: &Row, left: f32, last: Option<u32>) -> bool {
    let own = note_number(&row.text);
    is_small(frame, row)
        && row.area.x <= left + INDENT_EM * frame.em
        && patterns::footnote(&row.text)
        && own.is_none_or(|own| last.is_some_and(|last| own == last + 1))
}

/// Returns the number of a footnote; `None` where another mark stands before it.
fn note_number(text: &str) -> Option<u32> {
    patterns::leading_number(text.trim_start().trim_start_matches(['[', '(']))
}

fn is_small(frame: &Frame<'_>, row: &Row) -> bool {
    row.size <= if row.embedded { SMALL_EMBEDDED } else { SMALL_READ } * frame.body
}

/// Returns whether a row stands beside the row before, apart from it: text of two columns that the layout did not part.
fn is_beside(last: &Row, row: &Row, em: f32) -> bool {
    let shared = last.area.bottom().min(row.area.bottom()) - last.area.y.max(row.area.y);
    let apart = (row.area.x - last.area.right()).max(last.area.x - row.area.right());
    shared > 0.5 * last.area.height.min(row.area.height) && apart >= BESIDE_EM * em
}

/// Returns whether a line is set in capitals: a heading before running text of the same size.
fn is_capitals(text: &str) -> bool {
    let upper = text.chars().filter(|c| c.is_uppercase()).count();
    upper >= CAPITALS_MIN && !text.chars().any(char::is_lowercase)
}

/// Returns whether a line with a number of two levels or more is a heading next to a line that is longer.
fn is_numbered_heading(text: &str, width: f32, beside: f32) -> bool {
    let deep = patterns::numbering(text).is_some_and(|depth| depth > 1);
    deep && width < 0.85 * beside && !patterns::ends_sentence(text)
}

/// Returns whether a row begins a paragraph: it is indented, or the row before is short and ends a sentence.
fn is_new_paragraph(last: &Row, row: &Row, (left, right): (f32, f32), em: f32) -> bool {
    // The second line of a numbered heading begins below the first letter of its title.
    if row.rowed
        || row.upside_down
        || (patterns::numbering(&last.text).is_some() && last.size >= row.size && row.area.x > last.area.x)
    {
        return false;
    }
    let indented = row.area.x > left + INDENT_EM * em && row.area.x > last.area.x + INDENT_EM * em;
    let short = last.area.right() < right - SHORT_EM * em - SHORT_SHARE * (right - left);
    let ends = patterns::ends_sentence(&last.text);
    // Centered lines are indented by their length.
    let centered = (row.area.center().x - last.area.center().x).abs() < 0.5 * em;
    (indented && !centered) || (short && (ends || row.area.x > left + INDENT_EM * em))
}

/// Returns whether a row ends the item that starts at `x`: it begins left of the item's text, after a full stop or a short
/// line.
fn leaves_item(last: &Row, row: &Row, x: f32, right: f32, em: f32) -> bool {
    let at_marker = row.area.x < x + 0.5 * em;
    let short = last.area.right() < right - SHORT_EM * em;
    row.area.x < x - em || (at_marker && (short || patterns::ends_sentence(&last.text)))
}

/// Confirms the items of lists: a dash or a number needs a sibling. Others are paragraphs, and go back to the one they were
/// cut from.
fn settle_lists(drafts: &mut Vec<Draft>) {
    let siblings = |a: &Draft, b: &Draft| {
        a.zone == b.zone && a.marker.zip(b.marker).is_some_and(|(marker, next)| marker.precedes(next))
    };
    let mut confirmed = vec![false; drafts.len()];
    for i in 0..drafts.len() {
        for j in i + 1..(i + 4).min(drafts.len()) {
            let linked = drafts.get(i).zip(drafts.get(j)).is_some_and(|(a, b)| siblings(a, b));
            // Running text between two numbers makes them headings.
            let between = drafts
                .get(i + 1..j)
                .unwrap_or_default()
                .iter()
                .any(|d| d.marker.is_none() && d.rows.len() > 2);
            if linked && !between {
                for place in [i, j] {
                    if let Some(flag) = confirmed.get_mut(place) {
                        *flag = true;
                    }
                }
            }
        }
    }
    let mut out: Vec<Draft> = Vec::with_capacity(drafts.len());
    for (mut draft, confirmed) in drafts.drain(..).zip(confirmed) {
        let own = draft.marker == Some(Marker::Bullet) && draft.bullet;
        let confirmed = confirmed || own;
        if !confirmed {
            draft.marker = None;
        }
        match out.last_mut() {
            Some(last) if !confirmed && draft.cut_by_marker && last.block == draft.block => {
                last.area = last.area.union(&draft.area);
                last.rows.extend(draft.rows);
            }
            _ => out.push(draft),
        }
    }
    *drafts = out;
}
