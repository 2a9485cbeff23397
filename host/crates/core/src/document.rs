//! The document model: the results of pages and of the whole document, and the views that output formats read.
//!
//! A result owns its transcripts through a holder `T`, because the data plane counts the memory of every transcript
//! (`Held` of `lector-control`). A view borrows from a result, and is the same for every holder: [`DocumentView`] is the
//! envelope (names, counts, times, summary), [`PageView`] one page. The transcript itself is in [`crate::text`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::call::Timing;
use crate::fault::Fault;
use crate::id::{DeploymentName, RequestId};
use crate::text::{Block, Cell, Line, Summary, Transcript};

/// The result of a page.
#[derive(Debug)]
pub struct PageResult<T = Transcript> {
    /// Position in the document, from 0.
    pub index: u32,
    /// The transcript, or the fault.
    pub outcome: Result<Arc<T>, Fault>,
    /// Durations of the steps.
    pub timing: Timing,
}

/// The result of a document that was read to the end.
#[derive(Debug)]
pub struct DocumentResult<T = Transcript, S = Summary> {
    /// The request.
    pub request: RequestId,
    /// The deployment that read it.
    pub deployment: DeploymentName,
    /// The client's name for the document.
    pub name: Option<String>,
    /// `application/pdf`, `image/png`, ...
    pub content_type: &'static str,
    /// Pages of the document; `pages` may be a selection.
    pub page_count: u32,
    /// The selected pages, in page order.
    pub pages: Vec<PageResult<T>>,
    /// The guest's summary.
    pub summary: Option<Arc<S>>,
    /// The reason that there is no summary although pages were read.
    pub summary_fault: Option<Fault>,
    /// Pages that were read.
    pub pages_ok: u32,
    /// Pages that failed.
    pub pages_failed: u32,
    /// Time from submission to end.
    pub total: Duration,
}

/// A page of a document, read or failed.
#[derive(Clone, Copy, Debug)]
pub struct PageView<'a> {
    /// Position in the document, from 0.
    pub index: u32,
    /// The transcript, or the fault.
    pub outcome: Result<&'a Transcript, &'a Fault>,
    /// Durations of the steps.
    pub timing: &'a Timing,
}

/// The envelope of a document: everything but its pages.
#[derive(Clone, Copy, Debug)]
pub struct DocumentView<'a> {
    /// The request.
    pub request: &'a RequestId,
    /// The deployment that read it.
    pub deployment: &'a DeploymentName,
    /// The client's name for the document.
    pub name: Option<&'a str>,
    /// `application/pdf`, `image/png`, ...
    pub content_type: &'a str,
    /// Pages of the document.
    pub page_count: u32,
    /// Positions of the selected pages, from 0, in page order.
    pub selected: &'a [u32],
    /// The guest's summary.
    pub summary: Option<&'a Summary>,
    /// The reason that there is no summary although pages were read.
    pub summary_fault: Option<&'a Fault>,
    /// Pages that were read.
    pub pages_ok: u32,
    /// Pages that failed.
    pub pages_failed: u32,
    /// Time from submission to end.
    pub total: Duration,
}

// Not derived: a derived `Clone` would demand it of the holders.
impl<T> Clone for PageResult<T> {
    fn clone(&self) -> Self {
        Self { index: self.index, outcome: self.outcome.clone(), timing: self.timing.clone() }
    }
}

impl<T, S> Clone for DocumentResult<T, S> {
    fn clone(&self) -> Self {
        Self {
            request: self.request.clone(),
            deployment: self.deployment.clone(),
            name: self.name.clone(),
            content_type: self.content_type,
            page_count: self.page_count,
            pages: self.pages.clone(),
            summary: self.summary.clone(),
            summary_fault: self.summary_fault.clone(),
            pages_ok: self.pages_ok,
            pages_failed: self.pages_failed,
            total: self.total,
        }
    }
}

impl<T: AsRef<Transcript>> PageResult<T> {
    /// Returns the view of the page.
    pub fn view(&self) -> PageView<'_> {
        let outcome = self.outcome.as_ref().map(|page| (**page).as_ref());
        PageView { index: self.index, outcome, timing: &self.timing }
    }
}

impl<T, S> DocumentResult<T, S> {
    /// Returns the positions of the selected pages, from 0.
    pub fn selected(&self) -> Vec<u32> {
        self.pages.iter().map(|page| page.index).collect()
    }
}

impl<T: AsRef<Transcript>, S> DocumentResult<T, S> {
    /// Returns the pages that were read, in order.
    pub fn transcripts(&self) -> impl Iterator<Item = (u32, &Transcript)> {
        self.pages.iter().filter_map(|page| Some((page.index, page.view().outcome.ok()?)))
    }
}

impl<T, S: AsRef<Summary>> DocumentResult<T, S> {
    /// Returns the view of the document; `selected` is the result of [`DocumentResult::selected`].
    pub fn view<'a>(&'a self, selected: &'a [u32]) -> DocumentView<'a> {
        DocumentView {
            request: &self.request,
            deployment: &self.deployment,
            name: self.name.as_deref(),
            content_type: self.content_type,
            page_count: self.page_count,
            selected,
            summary: self.summary.as_ref().map(|summary| (**summary).as_ref()),
            summary_fault: self.summary_fault.as_ref(),
            pages_ok: self.pages_ok,
            pages_failed: self.pages_failed,
            total: self.total,
        }
    }
}

/// A block of a page with its lines.
#[derive(Clone, Debug)]
pub struct BlockView<'a> {
    /// Its record; `None` for lines whose block has none, which are text.
    pub block: Option<&'a Block>,
    /// Its lines in reading order, with their positions in [`Transcript::lines`].
    pub lines: Vec<(usize, &'a Line)>,
}

impl<'a> BlockView<'a> {
    /// Returns the lines of a table's cell, in the cell's order. Positions outside the page are skipped.
    pub fn lines_of_cell(cell: &Cell, page: &'a Transcript) -> Vec<(usize, &'a Line)> {
        let line = |&at: &u32| {
            let at = usize::try_from(at).ok()?;
            Some((at, page.lines.get(at)?))
        };
        cell.lines.iter().filter_map(line).collect()
    }

    /// Returns the lines of the block that no cell of its table contains.
    pub fn lines_outside_cells(&self) -> Vec<(usize, &'a Line)> {
        let cells = self.block.and_then(|block| block.table.as_ref()).map_or(&[][..], |table| &table.cells);
        let inside: std::collections::BTreeSet<u32> =
            cells.iter().flat_map(|cell| cell.lines.iter().copied()).collect();
        let outside = |at: usize| u32::try_from(at).is_ok_and(|at| !inside.contains(&at));
        self.lines.iter().copied().filter(|(at, _)| outside(*at)).collect()
    }
}

impl Transcript {
    /// Returns the blocks in reading order, each with its lines.
    ///
    /// A block with a record has all lines of its id, at the position of the first one. A record without lines (a
    /// figure, an empty table) precedes the first line of a later record. Adjacent lines of an id without a record are
    /// a block of text.
    pub fn block_views(&self) -> Vec<BlockView<'_>> {
        let records: BTreeMap<u32, usize> =
            self.blocks.iter().enumerate().rev().map(|(at, block)| (block.id, at)).collect();
        let mut lines: Vec<Vec<(usize, &Line)>> = vec![Vec::new(); self.blocks.len()];
        for (at, line) in self.lines.iter().enumerate() {
            if let Some(lines) = records.get(&line.block_id).and_then(|&record| lines.get_mut(record)) {
                lines.push((at, line));
            }
        }
        let mut views: Vec<BlockView<'_>> = Vec::new();
        let mut lines: Vec<Option<Vec<(usize, &Line)>>> = lines.into_iter().map(Some).collect();
        // The id of the block without a record that the last view is.
        let mut open = None;
        // Before it, every record is written or waits for its own first line: no record is looked at twice here.
        let mut due = 0;
        for (at, line) in self.lines.iter().enumerate() {
            let Some(&record) = records.get(&line.block_id) else {
                match views.last_mut().filter(|_| open == Some(line.block_id)) {
                    Some(view) => view.lines.push((at, line)),
                    None => views.push(BlockView { block: None, lines: vec![(at, line)] }),
                }
                open = Some(line.block_id);
                continue;
            };
            open = None;
            for earlier in due..record {
                let slot = lines.get_mut(earlier).filter(|own| own.as_ref().is_some_and(Vec::is_empty));
                if let Some(own) = slot.and_then(Option::take) {
                    views.push(BlockView { block: self.blocks.get(earlier), lines: own });
                }
            }
            due = due.max(record);
            if let Some(own) = lines.get_mut(record).and_then(Option::take) {
                views.push(BlockView { block: self.blocks.get(record), lines: own });
            }
        }
        let rest = self.blocks.iter().zip(lines).filter_map(|(block, own)| Some((block, own?)));
        views.extend(rest.map(|(block, lines)| BlockView { block: Some(block), lines }));
        views
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::geometry::{Quad, Size};
    use crate::text::BlockKind;

    fn page(blocks: &[u32], lines: &[u32]) -> Transcript {
        let block = |&id| Block {
            id,
            kind: BlockKind::Text,
            quad: Quad::default(),
            confidence: 1.0,
            table: None,
            properties: None,
        };
        let line = |&block_id| Line { block_id, ..Line::new("x", 1.0, Quad::default()) };
        Transcript {
            blocks: blocks.iter().map(block).collect(),
            lines: lines.iter().map(line).collect(),
            ..Transcript::blank(Size { width: 10, height: 10 }, 72.0)
        }
    }

    #[test]
    fn blocks_have_their_lines_in_reading_order() {
        let check = |blocks: &[u32], lines: &[u32], expect: &[(Option<u32>, &[usize])]| {
            let page = page(blocks, lines);
            let views: Vec<(Option<u32>, Vec<usize>)> = page
                .block_views()
                .into_iter()
                .map(|view| {
                    (view.block.map(|block| block.id), view.lines.into_iter().map(|(at, _)| at).collect())
                })
                .collect();
            let expect: Vec<_> = expect.iter().map(|(id, lines)| (*id, lines.to_vec())).collect();
            assert_eq!(views, expect, "{blocks:?} {lines:?}");
        };
        check(&[], &[], &[]);
        check(&[], &[0, 0, 1, 0], &[(None, &[0, 1]), (None, &[2]), (None, &[3])]);
        // Record 5 has no lines; 9 follows the last line.
        check(
            &[1, 5, 2, 9],
            &[1, 1, 2],
            &[(Some(1), &[0, 1]), (Some(5), &[]), (Some(2), &[2]), (Some(9), &[])],
        );
        check(&[1, 2], &[1, 2, 1, 7], &[(Some(1), &[0, 2]), (Some(2), &[1]), (None, &[3])]);
        // The second record of an id is empty.
        check(&[1, 1], &[1], &[(Some(1), &[0]), (Some(1), &[])]);
    }

    /// With a look at all earlier records for each line, this is 3e10 steps.
    #[test]
    fn a_page_of_many_short_blocks_takes_steps_by_its_length() {
        let ids: Vec<u32> = (0..250_000).collect();
        let views = page(&ids, &ids).block_views().len();
        assert_eq!(views, ids.len());
        // Records without lines are passed over once, too.
        let none: Vec<u32> = ids.iter().map(|_| 249_999).collect();
        assert_eq!(page(&ids, &none).block_views().len(), ids.len());
    }
}
