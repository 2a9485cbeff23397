//! A page as PaddleOCR's clients read it.

use lector_core::{BlockKind, BlockView, Quad, Transcript};
use lector_export::parts;
use serde_json::{Value, json};

use super::super::reading::{Reading, bounds, confidence};

/// Resolution at which PaddleX renders PDF pages, dots per inch.
const PDF_DPI: f32 = 144.0;

/// The form of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Lines.
    Ocr,
    /// Blocks, lines and Markdown.
    Layout,
}

impl Kind {
    /// Returns the kind that a model of the Job API returns. Clients join whatever they find, so it is never both.
    pub(super) fn of_model(model: &str) -> Self {
        if model.to_ascii_lowercase().starts_with("pp-ocr") { Self::Ocr } else { Self::Layout }
    }

    /// Returns the name that the configuration may map to a deployment.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ocr => "ocr",
            Self::Layout => "layout-parsing",
        }
    }

    /// Returns the member of the result.
    pub(super) fn member(self) -> &'static str {
        match self {
            Self::Ocr => "ocrResults",
            Self::Layout => "layoutParsingResults",
        }
    }
}

/// The scale of coordinates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    is_pdf: bool,
}

impl Scale {
    /// Returns the scale in a document of this type.
    pub(super) fn of(content_type: &str) -> Self {
        Self { is_pdf: content_type == "application/pdf" }
    }

    fn factor(self, page: &Transcript) -> f32 {
        if self.is_pdf && page.dpi > 0.0 { PDF_DPI / page.dpi } else { 1.0 }
    }

    fn size(self, page: &Transcript) -> (i64, i64) {
        let factor = self.factor(page);
        let scaled = |pixels: u32| (pixels as f32 * factor).round() as i64;
        (scaled(page.size.width), scaled(page.size.height))
    }
}

/// Returns `dataInfo` of the whole document.
pub(super) fn data_info(reading: &Reading) -> Value {
    let pages: Vec<&Transcript> = reading.pages().map(|(_, page)| page).collect();
    info_of(&pages, Scale::of(reading.result.content_type))
}

/// Returns `dataInfo` of a part of a document.
pub(super) fn info_of(pages: &[&Transcript], scale: Scale) -> Value {
    if let ([page], false) = (pages, scale.is_pdf) {
        let (width, height) = scale.size(page);
        return json!({ "type": "image", "width": width, "height": height });
    }
    let size = |page: &&Transcript| {
        let (width, height) = scale.size(page);
        json!({ "width": width, "height": height })
    };
    // A TIFF has several pages, too.
    let sizes: Vec<Value> = pages.iter().map(size).collect();
    json!({ "type": "pdf", "numPages": pages.len(), "pages": sizes })
}

/// Returns the element of the list of pages.
pub(super) fn json(kind: Kind, index: u32, pages: usize, page: &Transcript, scale: Scale) -> Value {
    let factor = scale.factor(page);
    match kind {
        Kind::Ocr => json!({ "prunedResult": lines(page, factor), "ocrImage": "" }),
        Kind::Layout => {
            let (width, height) = scale.size(page);
            let (blocks, boxes) = blocks(page, factor);
            json!({
                "prunedResult": {
                    "page_count": pages,
                    "page_index": index,
                    "width": width,
                    "height": height,
                    "model_settings": { "use_doc_preprocessor": false },
                    "parsing_res_list": blocks,
                    "layout_det_res": { "boxes": boxes },
                    "overall_ocr_res": lines(page, factor),
                },
                "markdown": {
                    "text": parts::page_markdown(page).trim_end(),
                    "images": {},
                    "isStart": true,
                    "isEnd": true,
                },
                "outputImages": {},
                "inputImage": null,
            })
        }
    }
}

fn polygon(quad: &Quad, factor: f32) -> Value {
    let whole = |value: f32| if value.is_finite() { (value * factor).round() as i64 } else { 0 };
    quad.0.iter().map(|point| json!([whole(point.x), whole(point.y)])).collect()
}

/// Returns the lines: five lists of the same length.
fn lines(page: &Transcript, factor: f32) -> Value {
    let polygons: Vec<Value> = page.lines.iter().map(|line| polygon(&line.quad, factor)).collect();
    let texts: Vec<&str> = page.lines.iter().map(|line| line.text.as_str()).collect();
    let scores: Vec<f64> = page.lines.iter().map(|line| confidence(line.confidence)).collect();
    let boxes: Vec<[i64; 4]> = page.lines.iter().map(|line| bounds(&line.quad, factor)).collect();
    json!({
        "model_settings": { "use_doc_preprocessor": false, "use_textline_orientation": false },
        "dt_polys": polygons.clone(),
        "text_type": "general",
        "text_rec_score_thresh": 0.0,
        "rec_texts": texts,
        "rec_scores": scores,
        "rec_polys": polygons,
        "rec_boxes": boxes,
    })
}

/// Returns the blocks in reading order, and their areas.
fn blocks(page: &Transcript, factor: f32) -> (Vec<Value>, Vec<Value>) {
    let (mut blocks, mut boxes) = (Vec::new(), Vec::new());
    for (at, view) in page.block_views().iter().enumerate() {
        let Some(area) = area(view, factor) else { continue };
        let kind = view.block.map_or(&BlockKind::Text, |block| &block.kind);
        let table = view.block.and_then(|block| block.table.as_ref());
        let content = match table {
            Some(table) => parts::table_html(table).trim_end().to_owned(),
            None => parts::block_text(view),
        };
        let score = confidence(view.block.map_or(1.0, |block| block.confidence));
        blocks.push(json!({
            "block_label": label(kind),
            "block_content": content,
            "block_bbox": area,
            "block_id": at,
            "block_order": at + 1,
            "group_id": at,
        }));
        boxes.push(json!({ "cls_id": 0, "label": label(kind), "score": score, "coordinate": area }));
    }
    (blocks, boxes)
}

/// Returns the area of a block: its own, or that of its lines.
fn area(view: &BlockView<'_>, factor: f32) -> Option<[i64; 4]> {
    if let Some(block) = view.block {
        return Some(bounds(&block.quad, factor));
    }
    let lines = view.lines.iter().map(|(_, line)| bounds(&line.quad, factor));
    lines.reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])])
}

/// Returns the label of PP-StructureV3.
fn label(kind: &BlockKind) -> &'static str {
    match kind {
        BlockKind::Title => "doc_title",
        BlockKind::Heading { .. } => "paragraph_title",
        BlockKind::Table => "table",
        BlockKind::Figure => "image",
        BlockKind::Caption => "figure_title",
        BlockKind::Formula => "formula",
        BlockKind::Header => "header",
        BlockKind::Footer => "footer",
        BlockKind::PageNumber => "number",
        BlockKind::Footnote => "footnote",
        BlockKind::Code => "algorithm",
        BlockKind::Stamp => "seal",
        BlockKind::Text | BlockKind::ListItem | BlockKind::FormField | BlockKind::Other { .. } => "text",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::{Line, Point, Size};

    use super::*;

    fn page() -> Transcript {
        let corner = |x, y| Point { x, y };
        let quad = Quad([corner(20.0, 40.0), corner(120.0, 40.0), corner(120.0, 61.0), corner(20.0, 61.0)]);
        let line = |text: &str| Line::new(text, 0.98766, quad);
        Transcript {
            lines: vec![line("one"), line("two")],
            ..Transcript::blank(Size { width: 1700, height: 2200 }, 200.0)
        }
    }

    #[test]
    fn pdf_pages_are_scaled_to_144_dpi_and_images_are_not() {
        for (is_pdf, width, bbox) in
            [(true, 1224, json!([14, 29, 86, 44])), (false, 1700, json!([20, 40, 120, 61]))]
        {
            let result = json(Kind::Layout, 0, 1, &page(), Scale { is_pdf });
            let pruned = &result["prunedResult"];
            assert_eq!(
                (&pruned["width"], &pruned["parsing_res_list"][0]["block_bbox"]),
                (&json!(width), &bbox)
            );
            assert_eq!(pruned["overall_ocr_res"]["rec_boxes"][1], bbox);
            assert_eq!(pruned["layout_det_res"]["boxes"][0]["coordinate"], bbox);
            assert_eq!(result["markdown"]["text"], "one two");
            assert_eq!(result["markdown"]["images"], json!({}));
        }
    }

    #[test]
    fn the_lists_of_lines_have_one_length() {
        let pruned = &json(Kind::Ocr, 0, 1, &page(), Scale { is_pdf: true })["prunedResult"];
        for list in ["rec_texts", "rec_scores", "rec_boxes", "rec_polys", "dt_polys"] {
            assert_eq!(pruned[list].as_array().unwrap().len(), 2, "{list}");
        }
        assert_eq!(pruned["rec_scores"][0], 0.9877);
        assert_eq!(pruned["rec_polys"][0], json!([[14, 29], [86, 29], [86, 44], [14, 44]]));
    }

    #[test]
    fn models_of_lines_and_of_blocks() {
        for (model, kind) in [
            ("PP-OCRv5", Kind::Ocr),
            ("PP-OCRv5-latin", Kind::Ocr),
            ("PP-OCRv6", Kind::Ocr),
            ("PP-StructureV3", Kind::Layout),
            ("PaddleOCR-VL-1.6", Kind::Layout),
            ("new", Kind::Layout),
        ] {
            assert_eq!(Kind::of_model(model), kind, "{model}");
        }
    }
}
