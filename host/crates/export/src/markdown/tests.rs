#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use lector_core::{Block, Cell, Line, Quad, Size};
use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::*;

/// Returns the texts of the paragraphs, headings, items and cells that a reader without autolinks finds.
fn read(markdown: &str) -> Vec<String> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES;
    let mut texts: Vec<String> = Vec::new();
    for event in Parser::new_ext(markdown, options) {
        match event {
            Event::Start(Tag::Paragraph | Tag::Heading { .. } | Tag::Item | Tag::TableCell) => {
                texts.push(String::new())
            }
            Event::Text(text) => texts.last_mut().unwrap().push_str(&text),
            Event::SoftBreak | Event::HardBreak => texts.last_mut().unwrap().push('\n'),
            Event::Start(Tag::List(_) | Tag::Table(_) | Tag::TableHead | Tag::TableRow) => {}
            Event::End(
                TagEnd::Paragraph
                | TagEnd::Heading(_)
                | TagEnd::Item
                | TagEnd::List(_)
                | TagEnd::Table
                | TagEnd::TableHead
                | TagEnd::TableRow
                | TagEnd::TableCell,
            ) => {}
            event => panic!("{event:?} in {markdown}"),
        }
    }
    texts
}

fn page(kind: BlockKind, lines: &[&str], rows: bool) -> Transcript {
    let mut page = Transcript::blank(Size { width: 100, height: 100 }, 72.0);
    page.lines = lines.iter().map(|text| Line::new(*text, 1.0, Quad::default())).collect();
    let cell = Cell {
        row: 1,
        column: 0,
        row_span: 1,
        column_span: 1,
        header: false,
        quad: Quad::default(),
        text: lines.concat(),
        lines: (0..lines.len() as u32).collect(),
    };
    let table = (kind == BlockKind::Table).then(|| Table { rows: 2, columns: 1, cells: vec![cell] });
    let properties = rows.then(|| r#"{"rows":true}"#.to_owned());
    page.blocks = vec![Block { id: 0, kind, quad: Quad::default(), confidence: 1.0, table, properties }];
    page
}

/// Text with what has a meaning in Markdown, beside letters and in URLs.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("https://x.org/".to_owned()),
        Just("www.x.org".to_owned()),
        Just("a_b@x-y.org".to_owned()),
        Just("&amp;".to_owned()),
        Just("&#35;".to_owned()),
        "[-_*~`<>|&#+=.:;!?'\"()\\[\\]\\\\^/@ 1a]{1,6}",
        "[a-z]{1,3}",
        Just(" ".to_owned()),
        "\\PC{0,4}",
        any::<String>(),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

#[test]
fn a_beginning_that_marks_nothing_has_no_escape() {
    for plain in ["-5 °C", "+49 30 1234", "1.5 kg", "#1 of 3", "=SUM(A1)", "--help", ":-)", "3.", "7) "] {
        let is_marker = plain.ends_with(['.', ' ']);
        assert_eq!(paragraph(plain) != plain, is_marker, "{plain}");
    }
    let marked = ["- a", "-", "---", "- - -", "+ a", "# a", "#", "===", ":-:", "12. a"];
    for text in marked {
        assert_eq!(paragraph(text).matches('\\').count(), 1, "{text}");
    }
    assert_eq!(paragraph("12. a"), "12\\. a");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn readers_find_the_text_as_it_is(text in text(), second in text()) {
        let whole = one_line(&text);
        prop_assume!(!whole.is_empty());
        for kind in [BlockKind::Text, BlockKind::Heading { level: 3 }, BlockKind::Caption, BlockKind::Table] {
            let markdown = of_page(&page(kind, &[&text], false), None);
            prop_assert_eq!(read(&markdown).concat(), whole.as_str(), "{}", markdown);
        }
        // The marker of an item is not in its text.
        let item = format!("• {whole}");
        let markdown = of_page(&page(BlockKind::ListItem, &[&item], false), None);
        prop_assert_eq!(read(&markdown).concat(), whole.as_str(), "{}", markdown);
        let rows: Vec<String> = [one_line(&text), one_line(&second)].into_iter().filter(|row| !row.is_empty()).collect();
        let markdown = of_page(&page(BlockKind::Text, &[&text, &second], true), None);
        prop_assert_eq!(read(&markdown).concat(), rows.join("\n"), "{}", markdown);
    }
}

#[test]
fn links_stay_as_they_are_in_every_block() {
    let link = "https://x.org/a_b?c=1&d=2#e";
    let kinds = [
        BlockKind::Text,
        BlockKind::Heading { level: 1 },
        BlockKind::Table,
        BlockKind::ListItem,
        BlockKind::Footnote,
    ];
    for kind in kinds {
        let markdown = of_page(&page(kind.clone(), &[&format!("{link}, first_last@x.org")], false), None);
        assert!(markdown.contains(&format!("{link}, first_last@x.org")), "{kind:?}: {markdown}");
    }
}
