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
    /// Number of words left out because no viewer shows them.
    pub(crate) invisible: usize,
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
    let verdict =
        textlayer::judge(&Layer { spans: &spans, pictures: &pictures, unmapped: layer.unmapped, page });
    let all = spans.len();
    let mut spans = spans;
    if verdict == Verdict::Real {
        // In a hidden layer all is invisible; here it stands beside text that is shown.
        spans.retain(|span| textlayer::is_shown(span, &pictures));
    }
    let layer = Layer { spans: &spans, pictures: &pictures, unmapped: layer.unmapped, page };
    Embedded {
        verdict,
        lines: textlayer::lines(&spans),
        pictures: textlayer::regions_to_read(&layer),
        rules,
        invisible: all - spans.len(),
    }
}

/// Returns the warning about words that no viewer shows, if there are any.
pub(crate) fn left_out(embedded: &Embedded) -> Option<String> {
    let words = if embedded.invisible == 1 { "word" } else { "words" };
    (embedded.invisible > 0)
        .then(|| format!("{} invisible {words} of the embedded text left out", embedded.invisible))
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

#[cfg(test)]
mod tests {
    use lector_sdk::TextSpan;

    use super::*;

    #[test]
    fn invisible_words_beside_real_text_are_left_out_but_over_pictures() {
        let span = |row: u8, visible| TextSpan {
            text: "embedded".to_owned(),
            area: lector_sdk::Rect { x: 50.0, y: 14.0 * f32::from(row), width: 50.0, height: 12.0 },
            font_size: 10.0,
            visible,
            ends_line: true,
            source: Source::TextLayer,
        };
        let spans = (0..6).map(|row| span(row, row < 4)).collect();
        let mut layer = TextLayer { spans, pictures: Vec::new(), unmapped: 0, rules: Vec::new() };
        let found = study(&layer, (600.0, 800.0));
        assert_eq!((found.verdict, found.lines.len(), found.invisible), (Verdict::Real, 4, 2));
        assert_eq!(left_out(&found).as_deref(), Some("2 invisible words of the embedded text left out"));
        layer.pictures = vec![lector_sdk::Rect { x: 0.0, y: 69.0, width: 600.0, height: 30.0 }];
        let found = study(&layer, (600.0, 800.0));
        assert_eq!((found.lines.len(), found.invisible), (5, 1));
        layer.spans.iter_mut().for_each(|span| span.visible = false);
        let found = study(&layer, (600.0, 800.0));
        assert_eq!((found.verdict, found.lines.len(), left_out(&found)), (Verdict::Hidden, 6, None));
    }
}
