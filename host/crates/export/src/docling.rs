//! DoclingDocument JSON, as docling-core loads it.
//!
//! Texts, tables, pictures and groups are lists of their own that refer to each other by position, so the document is
//! written at the end. Headers, footers and page numbers are in the layer `furniture`. A caption is a child of its table or
//! picture, which names it.

use std::collections::BTreeMap;
use std::io::Write;

use lector_core::{BlockKind, BlockView, DocumentView, Line, PageView, Point, Transcript};
use serde::Serialize;

use crate::captions::Captions;
use crate::code::code_lines;
use crate::grid::{Grid, Slot};
use crate::joined::{joined, joined_or_rows, spaced};
use crate::json::tenth;
use crate::list::{Marker, split};
use crate::xml::one_line;
use crate::{ExportError, Format, Info, Several, Writer};

static INFO: Info = Info {
    name: "docling",
    about: "DoclingDocument JSON",
    content_type: "application/json",
    accepts: &[],
    extension: "docling.json",
    needs_words: false,
    streams: false,
    has_preface: false,
    reports_failures: false,
    several: Several::JsonArray,
    composed: None,
};

/// The version of the schema that is written.
const VERSION: &str = "1.8.0";
const BODY: &str = "#/body";

/// DoclingDocument JSON. A failed page is not in it.
#[derive(Debug)]
pub(crate) struct Docling;

impl Format for Docling {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn writer(&self) -> Box<dyn Writer> {
        Box::new(Document::default())
    }
}

#[derive(Debug, Default, Serialize)]
struct Document {
    texts: Vec<Text>,
    tables: Vec<Table>,
    pictures: Vec<Picture>,
    groups: Vec<Group>,
    pages: BTreeMap<u64, Page>,
    #[serde(skip)]
    body: Vec<Ref>,
}

#[derive(Clone, Debug, Serialize)]
struct Ref {
    #[serde(rename = "$ref")]
    target: String,
}

/// What every item has.
#[derive(Debug, Serialize)]
struct Node {
    self_ref: String,
    parent: Ref,
    children: Vec<Ref>,
    content_layer: &'static str,
    label: &'static str,
}

#[derive(Debug, Serialize)]
struct Text {
    #[serde(flatten)]
    node: Node,
    prov: Vec<Provenance>,
    orig: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enumerated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

#[derive(Debug, Serialize)]
struct Table {
    #[serde(flatten)]
    node: Node,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    captions: Vec<Ref>,
    prov: Vec<Provenance>,
    data: TableData,
}

#[derive(Debug, Serialize)]
struct TableData {
    table_cells: Vec<TableCell>,
    num_rows: u32,
    num_cols: u32,
}

#[derive(Debug, Serialize)]
struct TableCell {
    bbox: BoundingBox,
    row_span: u32,
    col_span: u32,
    start_row_offset_idx: u32,
    end_row_offset_idx: u32,
    start_col_offset_idx: u32,
    end_col_offset_idx: u32,
    text: String,
    column_header: bool,
    row_header: bool,
}

#[derive(Debug, Serialize)]
struct Picture {
    #[serde(flatten)]
    node: Node,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    captions: Vec<Ref>,
    prov: Vec<Provenance>,
}

#[derive(Debug, Serialize)]
struct Group {
    #[serde(flatten)]
    node: Node,
    name: &'static str,
}

#[derive(Debug, Serialize)]
struct Page {
    page_no: u64,
    size: PageSize,
}

#[derive(Debug, Serialize)]
struct PageSize {
    width: f64,
    height: f64,
}

#[derive(Debug, Serialize)]
struct Provenance {
    page_no: u64,
    bbox: BoundingBox,
    charspan: [usize; 2],
}

#[derive(Debug, Serialize)]
struct BoundingBox {
    l: f64,
    t: f64,
    r: f64,
    b: f64,
    coord_origin: &'static str,
}

impl BoundingBox {
    fn of(points: &[Point]) -> Self {
        let xs = || points.iter().map(|point| point.x);
        let ys = || points.iter().map(|point| point.y);
        let most = |values: &mut dyn Iterator<Item = f32>| values.reduce(f32::max).map_or(0.0, tenth);
        let least = |values: &mut dyn Iterator<Item = f32>| values.reduce(f32::min).map_or(0.0, tenth);
        Self {
            l: least(&mut xs()),
            t: least(&mut ys()),
            r: most(&mut xs()),
            b: most(&mut ys()),
            coord_origin: "TOPLEFT",
        }
    }
}

fn provenance(page_no: u64, points: &[Point], text: &str) -> Vec<Provenance> {
    vec![Provenance { page_no, bbox: BoundingBox::of(points), charspan: [0, text.chars().count()] }]
}

impl Writer for Document {
    fn page(
        &mut self,
        _document: &DocumentView<'_>,
        page: &PageView<'_>,
        _out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        if let Ok(transcript) = page.outcome {
            self.add(u64::from(page.index) + 1, transcript);
        }
        Ok(())
    }

    fn tail(&mut self, document: &DocumentView<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        #[derive(Serialize)]
        struct Root {
            self_ref: &'static str,
            children: Vec<Ref>,
            content_layer: &'static str,
            name: &'static str,
            label: &'static str,
        }
        #[derive(Serialize)]
        struct Whole<'a> {
            schema_name: &'static str,
            version: &'static str,
            name: &'a str,
            body: Root,
            #[serde(flatten)]
            items: &'a Document,
        }
        let body = Root {
            self_ref: BODY,
            children: std::mem::take(&mut self.body),
            content_layer: "body",
            name: "_root_",
            label: "unspecified",
        };
        let name = document.name.unwrap_or("document");
        let whole = Whole { schema_name: "DoclingDocument", version: VERSION, name, body, items: self };
        serde_json::to_writer(&mut *out, &whole)?;
        Ok(out.write_all(b"\n")?)
    }
}

impl Document {
    fn add(&mut self, page_no: u64, page: &Transcript) {
        let size = PageSize { width: page.size.width.into(), height: page.size.height.into() };
        self.pages.insert(page_no, Page { page_no, size });
        let mut list: Option<usize> = None;
        let views = page.block_views();
        let captions = Captions::of(&views);
        for (at, view) in views.iter().enumerate().filter(|(at, _)| !captions.has(*at)) {
            let caption = captions.of_object(at).and_then(|own| views.get(own));
            let kind = view.block.map_or(&BlockKind::Text, |block| &block.kind);
            if *kind != BlockKind::ListItem {
                list = None;
            }
            match kind {
                BlockKind::ListItem => {
                    let at = *list.get_or_insert_with(|| self.open_list());
                    self.list_item(page_no, view, at);
                }
                BlockKind::Table => self.table(page_no, view, caption),
                BlockKind::Figure => self.picture(page_no, view, caption),
                BlockKind::Code => {
                    let text = code_lines(view).join("\n").trim_end().to_owned();
                    self.text(page_no, &view.lines, text, kind, BODY.to_owned());
                }
                kind => self.text(page_no, &view.lines, joined_or_rows(view), kind, BODY.to_owned()),
            }
        }
    }

    /// Makes a reference to a new item and adds it to the body if that is its parent.
    fn node(
        &mut self,
        list: &str,
        at: usize,
        parent: String,
        layer: &'static str,
        label: &'static str,
    ) -> Node {
        let self_ref = format!("#/{list}/{at}");
        if parent == BODY {
            self.body.push(Ref { target: self_ref.clone() });
        }
        Node { self_ref, parent: Ref { target: parent }, children: Vec::new(), content_layer: layer, label }
    }

    fn open_list(&mut self) -> usize {
        let at = self.groups.len();
        let node = self.node("groups", at, BODY.to_owned(), "body", "list");
        self.groups.push(Group { node, name: "list" });
        at
    }

    fn list_item(&mut self, page_no: u64, view: &BlockView<'_>, list: usize) {
        let whole = joined(view);
        if whole.is_empty() {
            return;
        }
        let (marker, text) = split(&whole);
        let node = self.node("texts", self.texts.len(), format!("#/groups/{list}"), "body", "list_item");
        if let Some(group) = self.groups.get_mut(list) {
            group.node.children.push(Ref { target: node.self_ref.clone() });
        }
        let (enumerated, marker) = match marker {
            Marker::Bullet => (false, "-".to_owned()),
            Marker::Number(number) => (true, format!("{number}.")),
        };
        self.texts.push(Text {
            node,
            prov: provenance(page_no, &points(&view.lines), text),
            text: text.to_owned(),
            orig: whole.clone(),
            level: None,
            enumerated: Some(enumerated),
            marker: Some(marker),
        });
    }

    fn table(&mut self, page_no: u64, view: &BlockView<'_>, caption: Option<&BlockView<'_>>) {
        let Some((block, table)) = view.block.and_then(|block| Some((block, block.table.as_ref()?))) else {
            self.caption(page_no, caption, BODY);
            return self.text(page_no, &view.lines, joined(view), &BlockKind::Text, BODY.to_owned());
        };
        let grid = Grid::of(table);
        let headers = grid.header_rows();
        let slots = (0..grid.rows).flat_map(|row| grid.row(row).collect::<Vec<_>>());
        let cells = slots.filter_map(|slot| match slot {
            Slot::Cell(cell) => Some(TableCell {
                bbox: BoundingBox::of(&cell.quad.0),
                row_span: cell.row_span,
                col_span: cell.column_span,
                start_row_offset_idx: cell.row,
                end_row_offset_idx: cell.row.saturating_add(cell.row_span),
                start_col_offset_idx: cell.column,
                end_col_offset_idx: cell.column.saturating_add(cell.column_span),
                text: one_line(&cell.text),
                column_header: cell.header && cell.row < headers,
                row_header: cell.header && cell.row >= headers,
            }),
            Slot::Covered(_) | Slot::Empty => None,
        });
        let data = TableData { table_cells: cells.collect(), num_rows: grid.rows, num_cols: grid.columns };
        let mut node = self.node("tables", self.tables.len(), BODY.to_owned(), "body", "table");
        let captions: Vec<Ref> = self.caption(page_no, caption, &node.self_ref).into_iter().collect();
        node.children.extend(captions.iter().cloned());
        self.tables.push(Table { node, captions, prov: provenance(page_no, &block.quad.0, ""), data });
        let outside = view.lines_outside_cells();
        self.text(page_no, &outside, spaced(&outside), &BlockKind::Text, BODY.to_owned());
    }

    fn picture(&mut self, page_no: u64, view: &BlockView<'_>, caption: Option<&BlockView<'_>>) {
        let Some(block) = view.block else { return };
        let at = self.pictures.len();
        let node = self.node("pictures", at, BODY.to_owned(), "body", "picture");
        let parent = node.self_ref.clone();
        let captions: Vec<Ref> = self.caption(page_no, caption, &parent).into_iter().collect();
        self.pictures.push(Picture { node, captions, prov: provenance(page_no, &block.quad.0, "") });
        let child = self.texts.len();
        self.text(page_no, &view.lines, joined(view), &BlockKind::Text, parent);
        if let Some(picture) = self.pictures.get_mut(at) {
            picture.node.children.extend(picture.captions.iter().cloned());
            let text = self.texts.get(child).map(|text| Ref { target: text.node.self_ref.clone() });
            picture.node.children.extend(text);
        }
    }

    /// Adds the caption of an object; returns its reference.
    fn caption(&mut self, page_no: u64, caption: Option<&BlockView<'_>>, parent: &str) -> Option<Ref> {
        let (caption, at) = (caption?, self.texts.len());
        self.text(page_no, &caption.lines, joined(caption), &BlockKind::Caption, parent.to_owned());
        self.texts.get(at).map(|text| Ref { target: text.node.self_ref.clone() })
    }

    fn text(
        &mut self,
        page_no: u64,
        lines: &[(usize, &Line)],
        text: String,
        kind: &BlockKind,
        parent: String,
    ) {
        let (layer, label) = match kind {
            BlockKind::Title => ("body", "title"),
            BlockKind::Heading { .. } => ("body", "section_header"),
            BlockKind::Caption => ("body", "caption"),
            BlockKind::Formula => ("body", "formula"),
            BlockKind::Footnote => ("body", "footnote"),
            BlockKind::Code => ("body", "code"),
            BlockKind::Header => ("furniture", "page_header"),
            BlockKind::Footer | BlockKind::PageNumber => ("furniture", "page_footer"),
            _ => ("body", "text"),
        };
        let level = match kind {
            BlockKind::Heading { level } => Some((*level).max(1)),
            _ => None,
        };
        if text.is_empty() {
            return;
        }
        let node = self.node("texts", self.texts.len(), parent, layer, label);
        let prov = provenance(page_no, &points(lines), &text);
        self.texts.push(Text { node, prov, orig: text.clone(), text, level, enumerated: None, marker: None });
    }
}

fn points(lines: &[(usize, &Line)]) -> Vec<Point> {
    lines.iter().flat_map(|(_, line)| line.quad.0).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use crate::captions::tests::page;
    use crate::sample;

    #[test]
    fn an_object_names_its_caption() {
        let document = sample::document_of(vec![page(&["c1", "t", "c3", "t", "f", "c4"])]);
        let bytes = crate::document(&super::Docling, &document).unwrap();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        let items = |list: &str| value[list].as_array().unwrap().clone();
        let objects = [items("tables"), items("pictures")].concat();
        let texts: Vec<Value> = items("texts");
        for (object, caption) in objects.iter().zip(["text 0", "text 2", "text 5"]) {
            let target = object["captions"][0]["$ref"].as_str().unwrap();
            let text = texts.iter().find(|text| text["self_ref"] == target).unwrap();
            assert_eq!((&text["text"], &text["label"]), (&json!(caption), &json!("caption")));
            assert_eq!(text["parent"]["$ref"], object["self_ref"]);
            assert_eq!(object["children"], json!([{ "$ref": target }]));
        }
        assert_eq!(value["body"]["children"].as_array().unwrap().len(), 3);
    }
}
