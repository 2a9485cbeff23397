//! Tests of the guest on the fake host, from embedded text to findings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use lector_sdk::fake::FakeHost;
use lector_sdk::{Line, Quad, Rect, Size, Transcript, Word};

use super::*;

/// Returns a host on which this guest wraps the standard pipeline.
fn host() -> FakeHost {
    FakeHost::new().wraps::<lector_steps::Standard>("{}")
}

fn quad(x: f32, width: f32) -> Quad {
    Quad::from_rect(Rect { x, y: 10.0, width, height: 20.0 })
}

/// Makes a line of words, ten pixels per character.
fn line(text: &str, with_words: bool) -> Line {
    let mut words = Vec::new();
    let mut x = 0.0;
    for word in text.split(' ') {
        let width = word.chars().count() as f32 * 10.0;
        words.push(Word { text: word.to_owned(), confidence: 0.9, quad: quad(x, width) });
        x += width + 10.0;
    }
    let words = if with_words { words } else { Vec::new() };
    Line { words, ..Line::new(text, 0.9, quad(0.0, x - 10.0)) }
}

fn redacted(line: Line, settings: &str) -> Transcript {
    let settings: Settings = serde_json::from_str(settings).unwrap();
    let mut transcript = Transcript::blank(Size { width: 1000, height: 100 }, 200.0);
    transcript.lines.push(line);
    redact(&mut transcript, &Finders::new(&settings).unwrap(), &settings);
    transcript
}

#[test]
fn text_words_and_boxes_are_masked_together() {
    let text = "Mail jane@x.org or pay 4111 1111 1111 1111 now";
    for with_words in [true, false] {
        let transcript = redacted(line(text, with_words), "{}");
        let line = &transcript.lines[0];
        assert_eq!(line.text, "Mail ****@*.*** or pay **** **** **** 1111 now");
        assert_eq!(line.text.chars().count(), text.chars().count());
        let words: Vec<&str> = line.words.iter().map(|word| word.text.as_str()).collect();
        if with_words {
            assert_eq!(words.join(" "), line.text);
        }
        let [email, card] = transcript.findings.as_slice() else { panic!("two findings") };
        assert_eq!((email.kind.as_str(), email.text.as_str()), ("email", "****@*.***"));
        assert_eq!((card.kind.as_str(), card.text.as_str()), ("card", "**** **** **** 1111"));
        let bounds = card.quad.bounds();
        assert!((bounds.x - 230.0).abs() < 1.0 && (bounds.width - 190.0).abs() < 1.0, "{bounds:?}");
    }
}

#[test]
fn a_finding_inside_a_word_takes_a_part_of_it() {
    let transcript = redacted(line("see <jane@x.org> there", true), "{}");
    let bounds = transcript.findings[0].quad.bounds();
    assert!((bounds.x - 50.0).abs() < 1.0 && (bounds.width - 100.0).abs() < 1.0, "{bounds:?}");
    assert_eq!(transcript.lines[0].words[1].text, "<****@*.***>");
}

#[test]
fn patterns_and_kinds_are_the_deployments_choice() {
    let settings =
        r##"{"kinds": ["phone"], "mask": "#", "patterns": [{"kind": "case", "pattern": "AZ-\\d+"}]}"##;
    let transcript = redacted(line("AZ-17 jane@x.org +49 30 901820", true), settings);
    assert_eq!(transcript.lines[0].text, "##-## jane@x.org +## ## ######");
    let kinds: Vec<&str> = transcript.findings.iter().map(|finding| finding.kind.as_str()).collect();
    assert_eq!(kinds, ["case", "phone"]);
}

#[test]
fn a_number_that_touches_another_finding_is_masked_whole() {
    for (pattern, text, expect, kinds) in [
        // The pattern hits two digits of the number, its end and more, the number as a whole, all but its ends.
        ("30", "call +49 30 901820", "call +** ** ******", &["phone", "x"][..]),
        ("901820 ext", "call +49 30 901820 ext", "call +** ** ****** ***", &["phone", "x"]),
        (r"\+[\d ]+", "call +49 30 901820 now", "call +** ** ****** now", &["x"]),
        (r"49 .* 90", "call +49 30 901820 now", "call +** ** ****** now", &["phone", "x"]),
        // The number is inside the other finding.
        (r"call .* now", "call +49 30 901820 now", "**** +** ** ****** ***", &["x"]),
    ] {
        let settings = serde_json::json!({ "patterns": [{ "kind": "x", "pattern": pattern }] }).to_string();
        let transcript = redacted(line(text, true), &settings);
        assert_eq!(transcript.lines[0].text, expect, "{pattern}");
        let words: Vec<&str> = transcript.lines[0].words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(words.join(" "), expect, "{pattern}");
        let found: Vec<&str> = transcript.findings.iter().map(|finding| finding.kind.as_str()).collect();
        assert_eq!(found, kinds, "{pattern}");
    }
}

#[test]
fn settings_that_do_not_hold_are_pointed_at() {
    for (json, pointer) in [
        (r#"{"mask": ""}"#, "/mask"),
        (r#"{"mask": "ab"}"#, "/mask"),
        (r#"{"mask": "x"}"#, "/mask"),
        (r#"{"keep_last": 5}"#, "/keep_last"),
        (r#"{"kinds": ["email", "name"]}"#, "/kinds/1"),
        (r#"{"patterns": [{"kind": "A", "pattern": "x"}]}"#, "/patterns/0/kind"),
        (r#"{"patterns": [{"kind": "a", "pattern": ""}]}"#, "/patterns/0/pattern"),
        (
            r#"{"patterns": [{"kind": "a", "pattern": "b"}, {"kind": "a", "pattern": "("}]}"#,
            "/patterns/1/pattern",
        ),
        (r#"{"patterns": [{"kind": "a", "pattern": "x*"}]}"#, "/patterns/0/pattern"),
        (r#"{"patterns": [{"kind": "a"}]}"#, "/patterns/0"),
        (r#"{"reading": {}}"#, "/reading"),
        (r#"{"reading": {"dpi": 1}}"#, "/reading"),
        (r#"{"dpi": 200}"#, "/dpi"),
    ] {
        let config_error = host().configure::<Redact>(json).expect_err(json);
        assert_eq!(config_error.pointer, pointer, "{json}: {}", config_error.message);
    }
    let pipeline_info = host().configure::<Redact>("{}").unwrap();
    assert_eq!(
        pipeline_info.features,
        ["lines", "blocks", "tables", "languages", "optional-model:scripts", "findings"]
    );
    assert!(pipeline_info.models.is_empty(), "the wrapped pipeline opens the models");
    let error = FakeHost::new().configure::<Redact>("{}").expect_err("nothing is wrapped");
    assert!(error.message.contains("wraps"), "{}", error.message);
}

#[test]
fn the_document_is_summed_up_by_kind() {
    let pages = vec![
        redacted(line("a@b.org c@d.org", true), "{}"),
        redacted(line("nothing here", true), "{}"),
        redacted(line("4111 1111 1111 1111", true), "{}"),
    ];
    let summary = host().assemble::<Redact>(pages, "{}").unwrap();
    assert_eq!(summary.text, "*@*.*** *@*.***\n\u{c}\nnothing here\n\u{c}\n**** **** **** 1111\n");
    let properties: serde_json::Value = serde_json::from_str(&summary.properties.unwrap()).unwrap();
    assert_eq!(properties, serde_json::json!({"findings": {"total": 3, "by_kind": {"card": 1, "email": 2}}}));
}

#[test]
fn what_the_wrapped_pipeline_adds_is_masked_too() {
    let settings = Settings::default();
    let mut transcript = Transcript::blank(Size { width: 1000, height: 100 }, 200.0);
    transcript.lines.push(line("a plain line", true));
    let account = Finding::new("account", "DE89 3704 0044 0532 0130 00", 0, quad(0.0, 10.0));
    transcript.findings.push(account.with_value("DE89370400440532013000"));
    transcript.set_property("to", serde_json::json!([{ "jane@x.org": "jane@x.org" }, 7]));
    redact(&mut transcript, &Finders::new(&settings).unwrap(), &settings);
    let finding = &transcript.findings[0];
    assert_eq!(finding.text, "**** **** **** **** **30 00");
    assert_eq!(finding.value.as_deref(), Some("******************3000"));
    assert_eq!(transcript.properties.as_deref(), Some(r#"{"to":[{"****@*.***":"****@*.***"},7]}"#));
}

#[test]
fn a_page_is_read_by_the_wrapped_pipeline() {
    use lector_sdk::fake::FakePage;

    /// Reads one line, with words if they are asked for.
    struct Inner;

    impl Pipeline for Inner {
        type Settings = BTreeMap<String, String>;

        fn configure(_: &Self::Settings) -> Result<PipelineInfo, ConfigError> {
            Ok(PipelineInfo::default())
        }

        async fn recognize(page: &Page, request: &Request, _: &Self::Settings) -> Result<Transcript, Error> {
            let mut transcript = Transcript::blank(page.size_at(72.0), 72.0);
            transcript.lines.push(line("Mail jane@x.org", request.words));
            Ok(transcript)
        }
    }

    let host = FakeHost::new().wraps::<Inner>("{}");
    for words in [true, false] {
        let request = Request { words, ..Request::default() };
        let page = host.recognize::<Redact>(FakePage::white(200, 50), request, "{}").unwrap();
        assert_eq!(page.lines[0].text, "Mail ****@*.***");
        assert_eq!(page.lines[0].words.len(), if words { 2 } else { 0 });
        let bounds = page.findings[0].quad.bounds();
        assert!((bounds.x - 50.0).abs() < 1.0, "from words, whether they are asked for or not: {bounds:?}");
    }
    let error =
        FakeHost::new().recognize::<Redact>(FakePage::white(9, 9), Request::default(), "{}").unwrap_err();
    assert!(error.message.contains("wraps"), "{}", error.message);
}

#[test]
fn what_blocks_repeat_of_a_line_is_masked_too() {
    use lector_sdk::{Block, BlockKind, Cell, Table};
    let settings = Settings::default();
    let mut transcript = Transcript::blank(Size { width: 1000, height: 100 }, 200.0);
    transcript.lines.push(line("Ada jane@x.org 4111 1111 1111 1111", true));
    transcript.lines.push(Line { block_id: 1, ..line("Mail jane@x.org", true) });
    transcript.lines.push(Line { block_id: 2, ..line("a plain line", true) });
    let cell = |column, text: &str| Cell::new(0, column, text, quad(0.0, 10.0)).with_lines([0]);
    // The number lies in two cells, in neither of which it is one.
    let cells = Table::new(1, 3)
        .with(cell(0, "Ada jane@x.org"))
        .with(cell(1, "4111 1111"))
        .with(cell(2, "1111 1111"));
    transcript.blocks = vec![Block::of_table(0, cells, quad(0.0, 10.0))];
    for (id, text) in [(1, "Mail jane@x.org"), (2, "a plain line and jane@x.org of two")] {
        let mut block = Block::new(id, BlockKind::Text, quad(0.0, 10.0));
        block.set_property("text", text);
        transcript.blocks.push(block);
    }
    redact(&mut transcript, &Finders::new(&settings).unwrap(), &settings);
    let table = transcript.blocks[0].table.as_ref().unwrap();
    let texts: Vec<&str> = table.cells.iter().map(|cell| cell.text.as_str()).collect();
    assert_eq!(texts, ["Ada ****@*.***", "**** ****", "**** ****"]);
    assert_eq!(transcript.blocks[1].properties, None);
    assert_eq!(transcript.blocks[2].property("text").unwrap(), "a plain line and ****@*.*** of two");
}
