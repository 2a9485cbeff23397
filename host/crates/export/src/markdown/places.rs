//! The places of lines and words in the Markdown of a page, for APIs that state offsets.
//!
//! A line is looked for in the Markdown of its own block, a line of a table in that of its own cell, from where the line before
//! it ends. What counts are letters: Markdown joins lines and changes white space, and readers take a letter from an
//! escape. A line that the guest joined to the next one has no hyphen.

use std::ops::Range;

use lector_core::{BlockKind, BlockView, Line, Table, Transcript};

use super::escape::unescaped;
use crate::grid::Grid;
use crate::list::split;

/// The place of a line in a text, in bytes, and the places of its words. What the text does not have is an empty place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinePlace {
    /// The line.
    pub range: Range<usize>,
    /// Its words.
    pub words: Vec<Range<usize>>,
}

/// Letters that are looked at where a text does not go on with a line: room for what the guest changed, and a bound of the
/// work for each line.
const LOOK_AHEAD_BYTES: usize = 256;
/// Takes the place of markup between cells. No letter is a control character.
const BETWEEN: char = '\u{1}';

/// Returns a page as Markdown, and the place of each of its lines.
pub(crate) fn of_page(page: &Transcript) -> (String, Vec<LinePlace>) {
    let mut places = vec![None; page.lines.len()];
    let text = super::written(page, None, |view, out, range| {
        let text = out.get(range.clone()).unwrap_or_default();
        let mut found = Found { places: &mut places, offset: range.start };
        match view.block.map(|block| (&block.kind, &block.table)) {
            _ if text.is_empty() => {}
            Some((BlockKind::Table, table)) => in_table(text, table.as_ref(), view, page, &mut found),
            kind => {
                let letters = match kind {
                    Some((BlockKind::Code, _)) => Letters::plain(text, text.find('\n').unwrap_or(0)),
                    Some((kind, _)) => Letters::markdown(text, body_of(kind, text)),
                    None => Letters::markdown(text, 0),
                };
                let is_item = matches!(kind, Some((BlockKind::ListItem, _)));
                let mut cursor = Cursor::new(&letters);
                for (nth, (at, line)) in view.lines.iter().enumerate() {
                    // The marker of an item is a part of the markup.
                    let text = if is_item && nth == 0 { split(&line.text).1 } else { &line.text };
                    found.put(*at, cursor.line(text, line));
                }
            }
        }
        for (at, _) in &view.lines {
            let end = text.len();
            found.put(*at, LinePlace { range: end..end, words: Vec::new() });
        }
    });
    let places = places.into_iter().zip(&page.lines).map(|(place, line)| {
        let mut place: LinePlace = place.unwrap_or_default();
        let end = place.range.end;
        place.words.resize(line.words.len(), end..end);
        place
    });
    (text, places.collect())
}

/// Returns the places of lines that follow each other in a text without escapes.
pub(crate) fn in_text<'a>(text: &str, lines: impl IntoIterator<Item = &'a Line>) -> Vec<LinePlace> {
    let letters = Letters::plain(text, 0);
    let mut cursor = Cursor::new(&letters);
    lines.into_iter().map(|line| cursor.line(&line.text, line)).collect()
}

/// Returns the beginning of a block's text after its markup.
fn body_of(kind: &BlockKind, text: &str) -> usize {
    match kind {
        BlockKind::Title | BlockKind::Heading { .. } | BlockKind::ListItem => {
            text.find(' ').map_or(0, |space| space + 1)
        }
        _ => 0,
    }
}

/// Finds the lines of a table: those of the cells, then the others.
fn in_table(
    text: &str,
    table: Option<&Table>,
    view: &BlockView<'_>,
    page: &Transcript,
    found: &mut Found<'_>,
) {
    let mut end = 0;
    if let Some(table) = table.filter(|_| text.starts_with(['|', '<'])) {
        let is_html = text.starts_with('<');
        // No text of a cell contains it.
        let mark = if is_html { "</table>" } else { "\n\n" };
        end = text.find(mark).map_or(text.len(), |at| at + mark.len());
        let letters = if is_html { Letters::html(text, end) } else { Letters::pipes(text, end) };
        let mut cursor = Cursor::new(&letters);
        for cell in Grid::of(table).cells() {
            cursor.skip_between();
            let Some(range) = cursor.exactly(&letters_of(&cell.text)) else { continue };
            let mut cursor = Cursor { letters: &letters, at: range.start, end: range.end };
            for (at, line) in BlockView::lines_of_cell(cell, page) {
                if view.block.is_some_and(|block| block.id == line.block_id) {
                    found.put(at, cursor.line(&line.text, line));
                }
            }
        }
    }
    let letters = Letters::markdown(text, end);
    let mut cursor = Cursor::new(&letters);
    for (at, line) in view.lines_outside_cells() {
        found.put(at, cursor.line(&line.text, line));
    }
}

/// The places that were found, in the text of the page.
struct Found<'a> {
    places: &'a mut Vec<Option<LinePlace>>,
    /// The beginning of the block.
    offset: usize,
}

impl Found<'_> {
    /// Takes the place of a line in its block, unless it has one.
    fn put(&mut self, at: usize, place: LinePlace) {
        if let Some(slot) = self.places.get_mut(at).filter(|slot| slot.is_none()) {
            let moved = |range: Range<usize>| range.start + self.offset..range.end + self.offset;
            let words = place.words.into_iter().map(moved).collect();
            *slot = Some(LinePlace { range: moved(place.range), words });
        }
    }
}

/// The letters of a text as readers take them, without white space, and where each of them is in the text.
struct Letters {
    letters: String,
    /// For each letter: its offset in `letters`, and its place in the text.
    places: Vec<(usize, Range<usize>)>,
    text_end: usize,
}

fn is_letter(c: &char) -> bool {
    // The last two become spaces in HTML.
    !c.is_whitespace() && !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

fn letters_of(text: &str) -> String {
    text.chars().filter(is_letter).collect()
}

impl Letters {
    fn new(text: &str) -> Self {
        Self { letters: String::new(), places: Vec::new(), text_end: text.len() }
    }

    fn push(&mut self, c: char, range: Range<usize>) {
        if is_letter(&c) || c == BETWEEN {
            self.places.push((self.letters.len(), range));
            self.letters.push(c);
        }
    }

    /// Returns the letters of a text without markup, from an offset on.
    fn plain(text: &str, from: usize) -> Self {
        let mut letters = Self::new(text);
        for (at, c) in text.get(from..).unwrap_or_default().char_indices() {
            letters.push(c, from + at..from + at + c.len_utf8());
        }
        letters
    }

    /// Returns the letters of running text with escapes, from an offset on.
    fn markdown(text: &str, from: usize) -> Self {
        let mut letters = Self::new(text);
        let mut at = from;
        while let Some((c, length)) = text.get(at..).and_then(unescaped) {
            letters.push(c, at..at + length);
            at += length;
        }
        letters
    }

    /// Returns the letters of a pipe table that ends at an offset.
    fn pipes(text: &str, end: usize) -> Self {
        let mut letters = Self::new(text);
        let (mut at, mut row) = (0, 0);
        while let Some((c, length)) = text.get(at..end).and_then(unescaped) {
            row += usize::from(c == '\n');
            // The second row is the rule below the head.
            match (c, length, row) {
                ('|', 1, _) => letters.push(BETWEEN, at..at + 1),
                (_, _, 1) => {}
                _ => letters.push(c, at..at + length),
            }
            at += length;
        }
        letters
    }

    /// Returns the letters of an HTML table that ends at an offset.
    fn html(text: &str, end: usize) -> Self {
        const ENTITIES: [(&str, char); 5] =
            [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&#39;", '\'')];
        let mut letters = Self::new(text);
        let mut at = 0;
        while let Some(rest) = text.get(at..end).filter(|rest| !rest.is_empty()) {
            let entity = ENTITIES.iter().find(|(entity, _)| rest.starts_with(entity));
            let (c, length) = match (entity, rest.chars().next()) {
                (Some((entity, c)), _) => (*c, entity.len()),
                (None, Some('<')) => (BETWEEN, rest.find('>').map_or(rest.len(), |end| end + 1)),
                (None, first) => first.map_or((BETWEEN, rest.len()), |c| (c, c.len_utf8())),
            };
            letters.push(c, at..at + length);
            at += length;
        }
        letters
    }

    /// Returns the place in the text of some letters; of none, the place of the letter that follows.
    fn place(&self, range: Range<usize>) -> Range<usize> {
        let nth = |offset: usize| self.places.partition_point(|(at, _)| *at < offset);
        let start = self.places.get(nth(range.start)).map_or(self.text_end, |(_, place)| place.start);
        match nth(range.end).checked_sub(1).and_then(|last| self.places.get(last)) {
            Some((_, place)) if !range.is_empty() => start..place.end,
            _ => start..start,
        }
    }
}

/// The letters that are left of a text, or of a part of it.
struct Cursor<'a> {
    letters: &'a Letters,
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    fn new(letters: &'a Letters) -> Self {
        Self { letters, at: 0, end: letters.letters.len() }
    }

    fn rest(&self) -> &'a str {
        self.letters.letters.get(self.at..self.end).unwrap_or_default()
    }

    fn skip_between(&mut self) {
        self.at = self.end - self.rest().trim_start_matches(BETWEEN).len();
    }

    /// Takes letters if they are the next ones.
    fn exactly(&mut self, wanted: &str) -> Option<Range<usize>> {
        if wanted.is_empty() || !self.rest().starts_with(wanted) {
            return None;
        }
        let start = self.at;
        self.at += wanted.len();
        Some(start..self.at)
    }

    /// Takes a text: the next letters, without a hyphen at its end if need be; else from a little further on.
    fn take(&mut self, text: &str) -> Option<Range<usize>> {
        let wanted = letters_of(text);
        let joined = wanted.trim_end_matches(['-', '\u{ad}', '\u{2010}', '\u{ac}']);
        if let Some(range) = self.exactly(&wanted).or_else(|| self.exactly(joined)) {
            return Some(range);
        }
        let rest = self.rest();
        let near = rest.get(..rest.floor_char_boundary(wanted.len() + LOOK_AHEAD_BYTES))?;
        let skipped = near.find(&wanted).filter(|_| !wanted.is_empty())?;
        self.at += skipped;
        self.exactly(&wanted)
    }

    /// Takes a line, whose text may be without its marker.
    fn line(&mut self, text: &str, line: &Line) -> LinePlace {
        let Some(range) = self.take(text) else {
            let range = self.letters.place(self.at..self.at);
            let words = vec![range.clone(); line.words.len()];
            return LinePlace { range, words };
        };
        let mut inside = Cursor { letters: self.letters, at: range.start, end: range.end };
        let words = line.words.iter().map(|word| {
            let word = inside.take(&word.text).unwrap_or(inside.at..inside.at);
            self.letters.place(word)
        });
        LinePlace { words: words.collect(), range: self.letters.place(range) }
    }
}

#[cfg(test)]
mod tests;
