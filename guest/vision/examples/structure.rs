//! Reads pages as JSON, one on each line of standard input, and prints their blocks as JSON, one page on each line. For
//! measurements on born-digital documents without a server; see `tests/bench/parse`.
//!
//! A page is `{"size": [w, h], "first": true, "words": [[text, x, y, w, h, font_size, ends_line, source], ..],
//! "pictures": [[x, y, w, h], ..], "rules": [[x0, y0, x1, y1], ..]}`, in points. With `"image": [path, w, h]`, a file of RGB triples,
//! the rules are found in its pixels, as the standard guest does. `"lines": [[text, x, y, w, h, [[word, x, y, w, h], ..]], ..]`
//! in place of `words` are lines read from pixels, which have no font.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a program for developers")]

use std::io::BufRead;

use lector_vision::bidi;
use lector_vision::geometry::{Point, Quad, Rect};
use lector_vision::layout;
use lector_vision::rules::{self, Rule};
use lector_vision::structure::{self, Analysis, Block, Kind, Piece, Sheet, Token, Vocabulary};
use lector_vision::textlayer::{self, LayerLine, LayerWord, Origin, Span};
use serde_json::{Value, json};

fn main() {
    for line in std::io::stdin().lock().lines() {
        let page: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        println!("{}", read(&page));
    }
}

fn number(value: &Value, at: usize) -> f32 {
    value[at].as_f64().unwrap_or(0.0) as f32
}

fn rects(value: &Value) -> Vec<Rect> {
    let rect =
        |v: &Value| Rect { x: number(v, 0), y: number(v, 1), width: number(v, 2), height: number(v, 3) };
    value.as_array().map(|all| all.iter().map(rect).collect()).unwrap_or_default()
}

/// Finds the rules in a rendering of the page; `None` without one.
fn in_pixels(image: &Value, size: (f32, f32)) -> Option<Vec<Rule>> {
    let rgb = std::fs::read(image[0].as_str()?).expect("the pixels");
    let (width, height) = (number(image, 1), number(image, 2));
    let found = rules::crossing(&rgb, width as usize, height as usize);
    Some(found.iter().map(|rule| rule.scaled(size.0 / width, size.1 / height)).collect())
}

fn read(page: &Value) -> Value {
    let size = (number(&page["size"], 0), number(&page["size"], 1));
    let words = page["words"].as_array().cloned().unwrap_or_default();
    let spans: Vec<Span<'_>> = words
        .iter()
        .map(|w| Span {
            text: w[0].as_str().unwrap_or_default(),
            area: Rect { x: number(w, 1), y: number(w, 2), width: number(w, 3), height: number(w, 4) },
            font_size: number(w, 5),
            visible: true,
            ends_line: w[6].as_bool().unwrap_or(false),
            origin: match w[7].as_str() {
                Some("form-field") => Origin::Field,
                Some("annotation") => Origin::Annotation,
                _ => Origin::Page,
            },
        })
        .collect();
    let rule = |r: &Value| Rule {
        from: Point::new(number(r, 0), number(r, 1)),
        to: Point::new(number(r, 2), number(r, 3)),
    };
    let rules: Vec<Rule> =
        page["rules"].as_array().map(|all| all.iter().map(rule).collect()).unwrap_or_default();
    let rules = in_pixels(&page["image"], size).unwrap_or(rules);
    let lines = match page["lines"].as_array() {
        Some(read) => read.iter().map(line_read).collect(),
        None => textlayer::lines(&spans),
    };
    let quads: Vec<_> = lines.iter().map(|line| line.quad).collect();
    // As the guest does: the order of embedded text needs no lines.
    let guides: &[Rule] = if page["lines"].is_array() { &rules } else { &[] };
    let from_right = bidi::are_right_to_left(lines.iter().map(|line| line.text.as_str()));
    let placed = if from_right {
        layout::reading_order_from_right(&quads, guides, size)
    } else {
        layout::reading_order(&quads, guides, size)
    };
    let mut texts = Vec::new();
    for group in placed.chunk_by(|a, b| a.line == b.line) {
        let mut members: Vec<_> = group.iter().filter_map(|place| lines.get(place.index)).collect();
        if from_right {
            members.reverse();
        }
        bidi::to_reading_order(&mut members, |line| &line.text);
        let joined: Vec<&str> = members.iter().map(|line| line.text.as_str()).collect();
        texts.push((joined.join(" "), members, group[0]));
    }
    let pieces: Vec<Piece<'_>> = texts
        .iter()
        .map(|(text, members, place)| Piece {
            text,
            quad: layout::join_line(&members.iter().map(|line| line.quad).collect::<Vec<_>>())
                .unwrap_or_default(),
            words: members
                .iter()
                .flat_map(|line| &line.words)
                .map(|word| Token { text: &word.text, quad: word.quad })
                .collect(),
            font_size: members.first().map(|line| line.font_size).filter(|size| *size > 0.0),
            block: place.block,
            zone: place.zone,
        })
        .collect();
    let pictures = rects(&page["pictures"]);
    let sheet = Sheet { size, first: page["first"].as_bool().unwrap_or(false), pictures: &pictures };
    let (blocks, vocabulary) = Analysis::of(pieces.clone(), sheet).blocks(&rules);
    let blocks: Vec<Value> = blocks.iter().map(|block| shown(block, &pieces, &vocabulary)).collect();
    json!({ "blocks": blocks })
}

/// Makes a line read from pixels, without the size of a font.
fn line_read(line: &Value) -> LayerLine {
    let quad = |v: &Value| {
        let rect = Rect { x: number(v, 1), y: number(v, 2), width: number(v, 3), height: number(v, 4) };
        Quad::from_rect(&rect)
    };
    let text = |v: &Value| v[0].as_str().unwrap_or_default().to_owned();
    let words = line[5].as_array().into_iter().flatten();
    LayerLine {
        words: words.map(|word| LayerWord { text: text(word), quad: quad(word) }).collect(),
        text: text(line),
        quad: quad(line),
        font_size: 0.0,
        origin: Origin::Page,
    }
}

fn shown(block: &Block, pieces: &[Piece<'_>], vocabulary: &Vocabulary) -> Value {
    let rows: Vec<String> = block
        .rows
        .iter()
        .map(|row| row.iter().map(|at| pieces[*at].text).collect::<Vec<_>>().join(" "))
        .collect();
    let bounds = block.quad.bounds();
    let level = if let Kind::Heading(level) = block.kind { level } else { 0 };
    let table = block.table.as_ref().map(|table| {
        let cells: Vec<Value> = table
            .cells
            .iter()
            .map(|c| {
                json!({ "row": c.row, "column": c.column, "row_span": c.row_span, "column_span": c.column_span,
                    "header": c.header, "text": c.text })
            })
            .collect();
        json!({ "rows": table.rows, "columns": table.columns, "cells": cells })
    });
    json!({
        "kind": format!("{:?}", block.kind).split('(').next(),
        "level": level,
        "box": [bounds.x, bounds.y, bounds.right(), bounds.bottom()],
        "text": structure::join(rows.iter().map(String::as_str), vocabulary),
        "rows": rows,
        "table": table,
        "caption_of": block.caption_of,
        "size": block.size,
    })
}
