//! Validation of worker answers. A worker reads hostile bytes and may be compromised; the host accepts an answer only
//! if it has the right size and consists of finite numbers.

use lector_core::{Rect, TextLayer};

use super::job::DocumentHandle;
use crate::wire::{Opened, PageFacts};

/// Largest number of pictures, and of drawn lines, that a worker may report for a page.
const AREAS_MAX: usize = 8_192;

pub(super) fn opened(opened: &Opened, handle: &DocumentHandle) -> bool {
    let pages = opened.pages;
    let known = u32::try_from(opened.facts.len()).unwrap_or(u32::MAX);
    (1..=handle.limits.pages_max).contains(&pages)
        && known <= pages
        && opened.facts.iter().flatten().all(|page| facts(page, handle))
}

pub(super) fn facts(facts: &PageFacts, handle: &DocumentHandle) -> bool {
    let positive = |value: f32| value.is_finite() && value > 0.0;
    match facts {
        PageFacts::Pdf { width_pt, height_pt } => positive(*width_pt) && positive(*height_pt),
        PageFacts::Raster { size, dpi } => {
            positive(*dpi) && (1..=handle.limits.image_pixels_max).contains(&size.pixels())
        }
    }
}

pub(super) fn text_layer(layer: &TextLayer, handle: &DocumentHandle) -> bool {
    // A character has four bytes at most.
    let bytes_max = u64::from(handle.limits.text_characters_max) * 4;
    let bytes: u64 = layer.spans.iter().map(|span| span.text.len() as u64).sum();
    if layer.spans.len() > handle.limits.text_words_max as usize || bytes > bytes_max {
        return false;
    }
    let finite = |r: &Rect| {
        let numbers = [r.x, r.y, r.width, r.height];
        numbers.iter().all(|number| number.is_finite()) && r.width >= 0.0 && r.height >= 0.0
    };
    layer.pictures.len().max(layer.rules.len()) <= AREAS_MAX
        && layer.pictures.iter().chain(&layer.rules).all(finite)
        && layer.spans.iter().all(|span| finite(&span.area) && span.font_size.is_finite())
}
