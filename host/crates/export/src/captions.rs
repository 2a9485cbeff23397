//! The captions of figures and tables. A guest states the object of a caption as the property `caption_of`, the id of the
//! object's block; a caption that states none, or an object that the page does not have, belongs to the object that
//! follows or precedes it in reading order.

use std::collections::BTreeMap;

use lector_core::{BlockKind, BlockView};

use crate::joined::caption_of;

/// The captions of a page, by positions in its views. An object has one caption at most, and a caption one object.
#[derive(Debug, Default)]
pub(crate) struct Captions {
    /// The caption of each object that has one.
    of_objects: BTreeMap<usize, usize>,
    /// The object of each of these captions.
    of_captions: BTreeMap<usize, usize>,
}

impl Captions {
    pub(crate) fn of(views: &[BlockView<'_>]) -> Self {
        let kind = |at: usize| views.get(at).and_then(|view| view.block).map(|block| &block.kind);
        let is_object = |at: usize| matches!(kind(at), Some(BlockKind::Figure | BlockKind::Table));
        let is_caption = |at: usize| matches!(kind(at), Some(BlockKind::Caption));
        let mut found = Self::default();
        let objects = (0..views.len()).rev().filter(|at| is_object(*at));
        // Of two blocks with one id, the first one.
        let objects: BTreeMap<u32, usize> =
            objects.filter_map(|at| Some((views.get(at)?.block?.id, at))).collect();
        // A caption whose object has another one already stays a paragraph of its own.
        let mut stated = vec![false; views.len()];
        for (at, view) in views.iter().enumerate().filter(|(at, _)| is_caption(*at)) {
            let object = caption_of(view).and_then(|id| objects.get(&id));
            if let (Some(&object), Some(stated)) = (object, stated.get_mut(at)) {
                *stated = true;
                found.join(object, at);
            }
        }
        let is_free = |at: usize| is_caption(at) && stated.get(at) == Some(&false);
        for at in 0..views.len() {
            if is_object(at) && is_free(at + 1) {
                found.join(at, at + 1);
            } else if is_free(at) && is_object(at + 1) && !is_free(at + 2) {
                found.join(at + 1, at);
            }
        }
        found
    }

    /// Joins an object and a caption, if neither is joined.
    fn join(&mut self, object: usize, caption: usize) {
        if !self.of_objects.contains_key(&object) && !self.of_captions.contains_key(&caption) {
            self.of_objects.insert(object, caption);
            self.of_captions.insert(caption, object);
        }
    }

    /// Returns the position of the caption of an object.
    pub(crate) fn of_object(&self, object: usize) -> Option<usize> {
        self.of_objects.get(&object).copied()
    }

    /// Returns whether the block at a position is the caption of an object, and so a part of it.
    pub(crate) fn has(&self, caption: usize) -> bool {
        self.of_captions.contains_key(&caption)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::{Block, Cell, Line, Quad, Size, Table, Transcript};

    use super::*;

    /// Returns a page: `f` is a figure, `t` a table, `c` a caption (`c2`: of the block with the id 2), `p` a paragraph; ids are
    /// positions.
    pub(crate) fn page(blocks: &[&str]) -> Transcript {
        let mut page = Transcript::blank(Size { width: 100, height: 100 }, 72.0);
        for (&block, id) in blocks.iter().zip(0..) {
            let (name, object) = block.split_at(1);
            let kind = match name {
                "f" => BlockKind::Figure,
                "t" => BlockKind::Table,
                "c" => BlockKind::Caption,
                _ => BlockKind::Text,
            };
            let cell = Cell {
                row: 0,
                column: 0,
                row_span: 1,
                column_span: 1,
                header: false,
                quad: Quad::default(),
                text: format!("cell {id}"),
                lines: Vec::new(),
            };
            page.blocks.push(Block {
                id,
                quad: Quad::default(),
                confidence: 1.0,
                table: (kind == BlockKind::Table).then(|| Table { rows: 1, columns: 1, cells: vec![cell] }),
                properties: (!object.is_empty()).then(|| format!("{{\"caption_of\":{object}}}")),
                kind,
            });
            if matches!(name, "c" | "p") {
                let line = Line::new(format!("text {id}"), 1.0, Quad::default());
                page.lines.push(Line { block_id: id, ..line });
            }
        }
        page
    }

    #[test]
    fn captions_go_to_the_object_that_they_state() {
        let check = |blocks: &[&str], expect: &[(usize, usize)]| {
            let page = page(blocks);
            let found = Captions::of(&page.block_views());
            let pairs: Vec<(usize, usize)> = found.of_objects.iter().map(|(a, b)| (*a, *b)).collect();
            assert_eq!(pairs, expect, "{blocks:?}");
            assert!(pairs.iter().all(|(object, caption)| {
                found.has(*caption) && found.of_object(*object) == Some(*caption)
            }));
        };
        check(&["c1", "t", "c3", "t"], &[(1, 0), (3, 2)]);
        check(&["t", "c0", "t", "c2"], &[(0, 1), (2, 3)]);
        check(&["c2", "p", "f"], &[(2, 0)]);
        // Two captions of one object; the second one is not another object's.
        check(&["c1", "t", "c1", "t"], &[(1, 0)]);
        // By reading order alone: as before, a caption belongs to what it follows.
        check(&["c", "t", "c", "t"], &[(1, 2)]);
        check(&["c", "t"], &[(1, 0)]);
        check(&["t", "c", "t"], &[(0, 1)]);
        // An id that is no object of the page, and a block that is none.
        check(&["c9", "t"], &[(1, 0)]);
        check(&["c1", "p", "t"], &[]);
        check(&["c", "t", "c1", "t"], &[(1, 2)]);
    }
}
