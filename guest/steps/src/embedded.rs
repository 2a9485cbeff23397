//! Embedded text: what it is worth and what of it becomes pieces of the transcript. Units are points until a
//! piece is made. Called once a page whose text layer may be used.

use lector_sdk::{Source, TextLayer};
use lector_vision::geometry::Rect;
use lector_vision::textlayer::{self, Layer, LayerLine, LayerWord, Span, Verdict};

use crate::convert::to_vision_rect;
use crate::fragment::{Fragment, Word};

/// What a page's text layer gives.
pub(crate) struct Embedded {
    pub(crate) verdict: Verdict,
    /// Its lines, in points.
    pub(crate) lines: Vec<LayerLine>,
    /// Pictures that may show text that no line says, in points.
    pub(crate) pictures: Vec<Rect>,
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
        })
        .collect();
    let pictures: Vec<Rect> = layer.pictures.iter().map(to_vision_rect).collect();
    let layer = Layer { spans: &spans, pictures: &pictures, unmapped: layer.unmapped, page };
    Embedded {
        verdict: textlayer::judge(&layer),
        lines: textlayer::lines(&spans),
        pictures: textlayer::regions_to_read(&layer),
    }
}

/// What the reader of a transcript must know where nothing but this layer is used.
pub(crate) fn caution(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Real => None,
        Verdict::Hidden => Some("the embedded text was laid under the page by another OCR program"),
        Verdict::Absent => Some("the page has no embedded text, and reading pixels was not asked for"),
        Verdict::Garbage => Some("the embedded text has characters without a meaning"),
        Verdict::Misplaced => Some("the embedded text does not stand where it is shown"),
    }
}

/// The lines as pieces of the transcript; `scale` is pixels per point in each direction.
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
            source: Source::TextLayer,
        })
        .collect()
}
