//! Fuzz targets of guest input: answers, pipeline infos, config errors, schemas of options, and components.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use lector_core::options::{FILLED_BYTES_MAX, OPTIONS_BYTES_MAX, parse_options};
use lector_core::{
    Direction, Finding, Line, LineSource, Point, Quad, Rotation, Size, Summary, Transcript, Word,
};
use lector_fuzz::Feed;

use crate::bindings::lector::ocr::{model, pipeline_types as pipeline};
use crate::bindings::lector::types::geometry;
use crate::{answer, convert, inspect};

const RESULT_BYTES_MAX: u64 = 4096;

fn quad(feed: &mut Feed<'_>) -> geometry::Quad {
    // Mostly valid, so that the checks after the first are reached too.
    let mut point = || {
        let wild = feed.byte() > 250;
        let mut number = || if wild { feed.float() } else { f32::from(feed.byte()) };
        geometry::Point { x: number(), y: number() }
    };
    geometry::Quad { top_left: point(), top_right: point(), bottom_right: point(), bottom_left: point() }
}

fn confidence(feed: &mut Feed<'_>) -> f32 {
    if feed.byte() > 250 { feed.float() } else { f32::from(feed.byte()) / 255.0 }
}

fn transcript(feed: &mut Feed<'_>) -> model::Transcript {
    model::Transcript {
        size: geometry::Size { width: u32::from(feed.byte()), height: u32::from_le_bytes(feed.bytes()) },
        dpi: if feed.byte() > 200 { feed.float() } else { 72.0 },
        rotation: geometry::Rotation::Half,
        lines: feed.list(40, |feed| model::Line {
            text: feed.text(60),
            confidence: confidence(feed),
            quad: quad(feed),
            words: feed.list(5, |feed| model::Word {
                text: feed.text(20),
                confidence: confidence(feed),
                quad: quad(feed),
            }),
            source: model::Source::Ocr,
            direction: model::Direction::Rtl,
            block_id: u32::from_le_bytes(feed.bytes()),
        }),
        blocks: feed.list(6, block),
        findings: feed.list(8, |feed| model::Finding {
            kind: feed.text(10),
            text: feed.text(20),
            value: (feed.byte() > 128).then(|| feed.text(10)),
            confidence: confidence(feed),
            lines: feed.list(3, |feed| u32::from(feed.byte() / 8)),
            quad: quad(feed),
        }),
        warnings: feed.list(4, |feed| feed.text(30)),
        properties: (feed.byte() > 250).then(|| feed.text(40)),
    }
}

fn block(feed: &mut Feed<'_>) -> model::Block {
    let small = |feed: &mut Feed<'_>| u32::from(feed.byte() / 64);
    let table = model::Table {
        rows: small(feed),
        columns: small(feed),
        cells: feed.list(4, |feed| model::Cell {
            row: small(feed),
            column: small(feed),
            row_span: small(feed),
            column_span: small(feed),
            header: feed.byte() > 128,
            quad: quad(feed),
            text: feed.text(10),
            lines: feed.list(2, |feed| u32::from(feed.byte() / 32)),
        }),
    };
    let kind = match feed.byte() % 4 {
        0 => model::BlockKind::Table,
        1 => model::BlockKind::Heading(feed.byte()),
        2 => model::BlockKind::Other(feed.text(10)),
        _ => model::BlockKind::Text,
    };
    let table = matches!(kind, model::BlockKind::Table).then_some(table);
    let (quad, confidence) = (quad(feed), confidence(feed));
    model::Block { id: u32::from(feed.byte()), kind, quad, confidence, table, properties: None }
}

/// A page that passes is finite, in range, within its budget, and survives a JSON round trip.
#[test]
fn fuzz_transcript() {
    let line = Line {
        text: "t".into(),
        confidence: 1.0,
        quad: Quad([Point { x: 1.0, y: 1.0 }; 4]),
        words: vec![Word { text: "w".into(), confidence: 1.0, quad: Quad::default() }],
        source: LineSource::Ocr,
        direction: Direction::Ltr,
        block_id: 0,
    };
    let sound = Transcript {
        size: Size { width: 1, height: 1 },
        dpi: 72.0,
        rotation: Rotation::None,
        lines: vec![line],
        blocks: vec![],
        findings: vec![Finding {
            kind: "k".into(),
            text: "t".into(),
            value: None,
            confidence: 1.0,
            lines: vec![0],
            quad: Quad::default(),
        }],
        warnings: vec!["w".into()],
        properties: None,
    };
    answer::transcript(sound, RESULT_BYTES_MAX).unwrap();
    let mut seed = vec![9, 1, 0, 0, 0, 0];
    seed.extend([3, 0, 2, 0, b'a', b'b'].repeat(60));
    let seeds = [seed, vec![1; 400], (0..=255).cycle().take(900).collect()];
    lector_fuzz::target("transcript", &seeds, &[&f32::NAN.to_le_bytes(), &[251], &[0, 0, 0, 0]], |input| {
        let read = convert::transcript(transcript(&mut Feed::new(input)));
        let page = answer::transcript(read, RESULT_BYTES_MAX).map_err(|fault| fault.code)?;
        let bytes: usize = page.lines.iter().map(|line| line.text.len()).sum();
        assert!(bytes as u64 <= RESULT_BYTES_MAX && page.size.pixels() > 0);
        let words =
            page.lines.iter().flat_map(|line| line.words.iter().map(|word| (word.quad, word.confidence)));
        let lines = page.lines.iter().map(|line| (line.quad, line.confidence));
        for (quad, confidence) in lines.chain(words) {
            assert!(quad.is_finite() && (0.0..=1.0).contains(&confidence));
        }
        let known = |lines: &[u32]| lines.iter().all(|line| (*line as usize) < page.lines.len());
        assert!(page.findings.iter().all(|found| !found.lines.is_empty() && known(&found.lines)));
        let cells =
            page.blocks.iter().filter_map(|block| block.table.as_ref()).flat_map(|table| &table.cells);
        assert!(cells.into_iter().all(|cell| known(&cell.lines)));
        let json = serde_json::to_string(&page).unwrap();
        assert_eq!(serde_json::from_str::<Transcript>(&json).unwrap(), page);
        Ok::<_, &'static str>((page.lines.len(), page.findings.len(), page.blocks.len()))
    });
}

/// Pipeline infos, config errors, summaries and errors are short or refused, and never cut inside a character.
#[test]
fn fuzz_pipeline_info() {
    let seeds = [vec![2, 0, 1, 0, b'a', 1, 0, b'b', 1, 0, 1, 0, b'a'], vec![0xe4; 600], vec![7; 5000]];
    lector_fuzz::target("pipeline_info", &seeds, &["ä".as_bytes(), &[255, 255]], |input| {
        let mut feed = Feed::new(input);
        let names = |feed: &mut Feed<'_>| feed.list(80, |feed| feed.text(300));
        let pipeline_info = pipeline::PipelineInfo {
            models: names(&mut feed),
            batching: feed.list(80, |feed| pipeline::BatchingConfig {
                model: feed.text(300),
                max_batch: u32::from_le_bytes(feed.bytes()),
                max_wait_us: u32::from_le_bytes(feed.bytes()),
                preferred_widths: feed.list(80, |feed| u32::from_le_bytes(feed.bytes())),
                priority: pipeline::Priority::High,
                isolated: true,
            }),
            features: names(&mut feed),
        };
        let text = String::from_utf8_lossy(input).into_owned();
        let config_error = answer::config_error(convert::config_error(pipeline::ConfigError {
            pointer: text.clone(),
            message: text.clone(),
        }));
        assert!(config_error.pointer.len() <= 4200 && config_error.message.len() <= 4200);
        assert!(answer::message(&text).len() <= 2100);
        let summary = Summary { text: text.clone(), properties: Some(text) };
        let summed = answer::summary(summary, RESULT_BYTES_MAX).is_ok();
        let accepted =
            answer::pipeline_info(convert::pipeline_info(pipeline_info)).map_err(|fault| fault.code)?;
        assert!(accepted.models.len() <= 64 && accepted.models.iter().all(|name| name.len() <= 256));
        assert!(accepted.batching.iter().all(|hint| accepted.models.contains(&hint.model)));
        Ok::<_, &'static str>((summed, accepted.models.len(), accepted.batching.len()))
    });
}

/// Inspection of a component, before anything is compiled.
#[test]
fn fuzz_component() {
    let mut seeds = vec![b"\0asm\x0d\0\x01\0".to_vec(), b"\0asm\x01\0\0\0".to_vec()];
    // A component with an import and an export, byte by byte after the component model's `Binary.md`.
    let mut small = b"\0asm\x0d\0\x01\0".to_vec();
    small.extend([7, 9, 1, 0x42, 2, 1, 0x40, 0, 1, 0, 4]);
    small.extend([10, 10, 1, 0, 4, b'a', b':', b'b', b'/', 5, 0, 0]);
    small.extend([5, 2, 1, 1, 11, 6, 1, 0, 1, b'x', 5, 0]);
    seeds.push(small);
    let echo =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../guest/target/components/echo.wasm");
    // The first bytes of a real component: section headers, types, imports.
    seeds.extend(std::fs::read(echo).ok().map(|wasm| wasm.into_iter().take(8192).collect()));
    let words: [&[u8]; 6] = [
        b"\0asm\x0d\0\x01\0",
        b"\0asm\x01\0\0\0",
        b"lector:ocr/pipeline@0.2.0",
        &[10],
        &[11],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
    ];
    lector_fuzz::target("component", &seeds, &words, |input| {
        let inspection = inspect::inspect(input).map_err(|fault| fault.code)?;
        assert_eq!(inspection.bytes, input.len() as u64);
        assert!(inspection.unknown_imports.len() <= inspection.imports.len());
        let error_mapping = inspection.check().map_err(|fault| fault.code);
        Ok::<_, &'static str>((error_mapping, inspection.imports.len(), inspection.exports.len()))
    });
}

/// Accepted options satisfy the schema as they were filled in.
#[test]
fn fuzz_guest_options() {
    let seeds = [
        br#"{"type":"object","properties":{"a":{"enum":["x",1],"default":"x"}}}
{"a":1.0}"#
            .to_vec(),
        br#"{"type":"object","additionalProperties":{"items":{"type":"integer","minimum":-1,"exclusiveMaximum":9}}}
{"b":[1,2]}"#
            .to_vec(),
        br#"{"type":"object","required":["c"],"properties":{"c":{"type":"object","default":{},"properties":{"d":{"maxLength":3}}}}}
{}"#
            .to_vec(),
    ];
    let words: [&[u8]; 12] = [
        br#""type":"#,
        br#""default":"#,
        br#""properties":{"#,
        br#""items":{"#,
        br#""enum":["#,
        br#""const":"#,
        br#""minimum":"#,
        br#""required":["#,
        b"-0.0",
        b"1e308",
        b"18446744073709551615",
        b"null",
    ];
    lector_fuzz::target("guest_options", &seeds, &words, |input| {
        let text = String::from_utf8_lossy(input);
        let (schema, options) = text.split_once('\n').unwrap_or((text.as_ref(), "{}"));
        let schema = match answer::options_schema(schema) {
            Ok(schema) => schema,
            Err(fault) => {
                assert!(fault.message.len() < 4096, "the message repeats the input");
                return "no schema";
            }
        };
        let Ok(options) = parse_options(options) else { return "no options" };
        match schema.check(options) {
            Ok(filled) => {
                // `1e9` is written as `1000000000.0`.
                assert!(filled.len() <= OPTIONS_BYTES_MAX * 8 + FILLED_BYTES_MAX);
                // serde_json reads a double of many digits to the last bit but one.
                if !filled.contains('.') {
                    let again = schema.check(serde_json::from_str(&filled).unwrap()).unwrap();
                    assert_eq!(again, filled);
                }
                "accepted"
            }
            Err(error) => {
                assert!(error.message.len() < 4096, "the message repeats the input");
                "refused"
            }
        }
    });
}
