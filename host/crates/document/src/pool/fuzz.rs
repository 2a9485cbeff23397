//! Fuzz target of the answers of a compromised worker: the host accepts only plausible sizes and numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use lector_core::{Rect, Size, TextLayer, TextSpan};
use lector_fuzz::Feed;

use super::checks;
use super::job::DocumentHandle;
use crate::kind::Kind;
use crate::wire::{Limits, Opened, PageFacts};

const LIMITS: Limits =
    Limits { pages_max: 100, image_pixels_max: 1_000_000, text_characters_max: 100, text_words_max: 3 };

fn facts(feed: &mut Feed<'_>) -> PageFacts {
    if feed.byte().is_multiple_of(2) {
        PageFacts::Pdf { width_pt: feed.float(), height_pt: feed.float() }
    } else {
        let size = Size { width: u32::from_le_bytes(feed.bytes()), height: u32::from_le_bytes(feed.bytes()) };
        PageFacts::Raster { size, dpi: feed.float() }
    }
}

#[test]
fn fuzz_claims() {
    let handle = DocumentHandle {
        account: lector_core::fair::Account::new("tenant".into(), 1),
        id: 1,
        kind: Kind::Pdf,
        password: None,
        limits: LIMITS,
        file: std::sync::OnceLock::new(),
        crashes: std::sync::atomic::AtomicU32::new(0),
        close: Box::new(|_| ()),
    };
    let page = |kind: u8| {
        let mut bytes = vec![1, kind];
        bytes.extend(if kind == 0 { 595_f32.to_le_bytes() } else { 100_u32.to_le_bytes() });
        bytes.extend(if kind == 0 { 842_f32.to_le_bytes() } else { 100_u32.to_le_bytes() });
        bytes.extend(200_f32.to_le_bytes());
        bytes
    };
    let seeds = [
        [&[2, 0, 0, 0, 3, 0][..], &page(0), &page(1)].concat(),
        [&[100, 0, 0, 0, 101, 0][..], &page(1).repeat(100)].concat(),
        vec![0; 64],
    ];
    let words: [&[u8]; 4] =
        [&f32::NAN.to_le_bytes(), &f32::INFINITY.to_le_bytes(), &(-0.0_f32).to_le_bytes(), &[0xff; 4]];
    lector_fuzz::target("claims", &seeds, &words, |input| {
        let mut feed = Feed::new(input);
        let pages = u32::from_le_bytes(feed.bytes());
        let known = feed.list(130, |feed| (feed.byte() > 0).then(|| facts(feed)));
        let opened = Opened { pages, facts: known };
        let accepted = checks::opened(&opened, &handle);
        if accepted {
            assert!((1..=LIMITS.pages_max).contains(&opened.pages));
            for page in opened.facts.iter().flatten() {
                match page {
                    PageFacts::Pdf { width_pt, height_pt } => {
                        assert!(*width_pt > 0.0 && height_pt.is_finite())
                    }
                    PageFacts::Raster { size, dpi } => {
                        assert!(size.pixels() <= LIMITS.image_pixels_max && size.pixels() > 0 && *dpi > 0.0);
                    }
                }
            }
        }
        let mut rect =
            || Rect { x: feed.float(), y: feed.float(), width: feed.float(), height: feed.float() };
        let areas = [rect(), rect(), rect()];
        let layer = TextLayer {
            spans: vec![TextSpan {
                text: "t".into(),
                area: areas[0],
                font_size: feed.float(),
                visible: true,
                ends_line: false,
                source: lector_core::LineSource::TextLayer,
            }],
            pictures: vec![areas[1]],
            unmapped: 0,
            rules: vec![areas[2]],
        };
        let text_accepted = checks::text_layer(&layer, &handle);
        if text_accepted {
            assert!(areas.iter().all(|area| area.x.is_finite() && area.width >= 0.0 && area.height >= 0.0));
        }
        (accepted, opened.facts.len().min(4), text_accepted)
    });
}
