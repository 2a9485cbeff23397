//! Embedded text: its quality, and its conversion to pieces of the transcript. Units are points until a piece is made.
//! Called once for a page whose text layer may be used.

use lector_sdk::{Source, TextLayer};
use lector_vision::geometry::Rect;
use lector_vision::rules::Rule;
use lector_vision::textlayer::{self, Layer, LayerLine, LayerWord, Origin, Span, Verdict};

use crate::convert::to_vision_rect;
use crate::fragment::{Fragment, Word};

/// The analysis of a page's text layer.
pub(crate) struct Embedded {
    pub(crate) verdict: Verdict,
    /// Its lines, in points.
    pub(crate) lines: Vec<LayerLine>,
    /// Pictures that may show text missing from the lines, in points.
    pub(crate) pictures: Vec<Rect>,
    /// Lines drawn on the page, in points.
    pub(crate) rules: Vec<Rule>,
}

/// Judges a text layer and merges its words into lines.
pub(crate) fn study(layer: &TextLayer, page: (f32, f32)) -> Embedded {
    let spans: Vec<Span<'_>> = layer
        .spans
        .iter()
        .map(|span| Span {
            text: &span.text,
            area: to_vision_rect(&span.area),
            font_size: span.font_size,
            visible: span.visible,
            ends_line: span.ends_line,
            origin: match span.source {
                Source::FormField => Origin::Field,
                Source::Annotation => Origin::Annotation,
                Source::Ocr | Source::TextLayer => Origin::Page,
            },
        })
        .collect();
    let pictures: Vec<Rect> = layer.pictures.iter().map(to_vision_rect).collect();
    let rules = layer.rules.iter().map(|area| Rule::along(&to_vision_rect(area))).collect();
    let layer = Layer { spans: &spans, pictures: &pictures, unmapped: layer.unmapped, page };
    Embedded {
        verdict: textlayer::judge(&layer),
        lines: textlayer::lines(&spans),
        pictures: textlayer::regions_to_read(&layer),
        rules,
    }
}

/// Returns the warning for a page of which only this layer is used, if any.
pub(crate) fn caution(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Real => None,
        Verdict::Hidden => Some("the embedded text is hidden text of another OCR program"),
        Verdict::Absent => Some("the page has no embedded text, and OCR was not requested"),
        Verdict::Garbage => Some("the embedded text contains meaningless characters"),
        Verdict::Misplaced => Some("the positions of the embedded text do not match the page"),
    }
}

/// Converts the lines to pieces of the transcript; `scale` is pixels per point in each direction.
pub(crate) fn fragments(lines: &[LayerLine], scale: (f32, f32), words: bool) -> Vec<Fragment> {
    let word = |word: &LayerWord| Word {
        text: word.text.clone(),
        confidence: 1.0,
        quad: word.quad.scaled(scale.0, scale.1),
    };
    lines
        .iter()
        .filter(|line| !line.text.trim().is_empty())
        .map(|line| Fragment {
            text: line.text.trim().to_owned(),
            confidence: 1.0,
            quad: line.quad.scaled(scale.0, scale.1),
            words: if words { line.words.iter().map(word).collect() } else { Vec::new() },
            source: match line.origin {
                Origin::Page => Source::TextLayer,
                Origin::Field => Source::FormField,
                Origin::Annotation => Source::Annotation,
            },
            font_size: Some(line.font_size * scale.1),
        })
        .collect()
}
