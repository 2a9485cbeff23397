//! Test guest: misbehaves in the way its settings name, one deed an instance. What the host must do about
//! each deed stands in `host/crates/runtime/tests/hostile.rs`.
#![allow(clippy::panic, clippy::unwrap_used, reason = "on purpose: a guest that does wrong")]

use std::hint::black_box;
use std::pin::pin;
use std::task::Poll;

use lector_sdk::{
    Complaint, Declaration, Error, Finding, Image, Line, Model, Origin, Page, Pipeline, Quad, Rect, Request,
    Size, Summary, Tensor, Transcript,
};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    deed: Deed,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Deed {
    /// Behaves.
    #[default]
    None,
    /// Never comes back from `configure`.
    SpinInConfigure,
    /// Never comes back from `recognize`.
    SpinInRecognize,
    /// Never comes back from `assemble`.
    SpinInAssemble,
    /// Allocates until it aborts.
    Memory,
    /// Allocates until it is refused, and goes on refusing to go.
    MemoryThenSpin,
    /// Keeps images of one pixel and panics when it gets no more.
    Handles,
    /// Opens spans, which cannot be refused by an error.
    Spans,
    /// Keeps large images and hands the refusal back.
    Pixels,
    /// Calls itself for ever.
    Recursion,
    /// Panics.
    Panic,
    /// Panics while an inference is under way.
    TrapInInference,
    /// Awaits an inference.
    AwaitInference,
    /// Answers with one long string.
    HugeReply,
    /// Answers with two hundred thousand empty lines.
    LongReply,
    /// Logs ten million lines.
    LogStorm,
    /// Asks the host for the page's index for ever.
    CallStorm,
    /// Awaits what never comes, with nothing under way.
    AwaitForEver,
    /// Answers with a position that is no number.
    NotANumber,
    /// Answers with a probability of 7.
    Confidence,
    /// Answers with a finding in a line that is not there.
    FindingNowhere,
    /// Declares a batching wish for a model that it does not open.
    Declaration,
    /// Passes on what the host refused, in words of its own.
    PassOn,
}

struct Hostile;

impl Pipeline for Hostile {
    type Settings = Settings;

    fn configure(settings: &Settings) -> Result<Declaration, Complaint> {
        match settings.deed {
            Deed::SpinInConfigure => spin(),
            Deed::Declaration => Ok(Declaration {
                batching: vec![lector_sdk::Batching {
                    model: "not-mine".to_owned(),
                    max_batch: 1,
                    max_wait_us: 0,
                    preferred_widths: Vec::new(),
                    priority: lector_sdk::Priority::High,
                    isolated: true,
                }],
                ..Declaration::default()
            }),
            _ => Ok(Declaration::default()),
        }
    }

    async fn recognize(page: &Page, _: &Request, settings: &Settings) -> Result<Transcript, Error> {
        let mut answer = Transcript::blank(Size { width: 100, height: 100 }, 72.0);
        answer.lines.push(line("fine"));
        match settings.deed {
            Deed::SpinInRecognize => spin(),
            Deed::Memory => {
                let mut held = Vec::new();
                loop {
                    held.push(black_box(vec![1_u8; 1 << 20]));
                }
            }
            Deed::MemoryThenSpin => {
                let mut held: Vec<Vec<u8>> = Vec::new();
                loop {
                    let mut piece = Vec::new();
                    if piece.try_reserve_exact(1 << 20).is_ok() {
                        piece.resize(1 << 20, 1);
                        held.push(black_box(piece));
                    }
                }
            }
            Deed::Handles => hold(1).unwrap(),
            Deed::Spans => {
                let mut held = Vec::new();
                loop {
                    held.push(lector_sdk::span("held"));
                }
            }
            Deed::Pixels => hold(1000)?,
            Deed::Recursion => {
                black_box(recurse(1));
            }
            Deed::Panic => panic!("told to panic"),
            Deed::TrapInInference => {
                let model = Model::open("model")?;
                let input = Tensor::from_f32(&[1, 4], &[0.0; 4])?;
                let mut run = pin!(model.run(vec![("x", input)], &["y"]));
                std::future::poll_fn(|cx| {
                    assert!(run.as_mut().poll(cx).is_pending(), "the test's model never answers");
                    Poll::Ready(())
                })
                .await;
                panic!("in the middle of an inference");
            }
            Deed::AwaitInference => {
                let input = Tensor::from_f32(&[1, 4], &[0.0; 4])?;
                Model::open("model")?.run(vec![("x", input)], &["y"]).await?;
            }
            Deed::HugeReply => answer.lines = vec![line(&"x".repeat(80 << 20))],
            Deed::LongReply => answer.lines = vec![line(""); 200_000],
            Deed::LogStorm => {
                for turn in 0..10_000_000_u32 {
                    lector_sdk::info(format!("line {turn} of the storm"));
                }
            }
            Deed::CallStorm => loop {
                black_box(page.index());
            },
            Deed::AwaitForEver => std::future::pending().await,
            Deed::NotANumber => answer.lines[0].quad.top_left.x = f32::NAN,
            Deed::Confidence => answer.lines[0].confidence = 7.0,
            Deed::FindingNowhere => answer.findings.push(Finding {
                kind: "nothing".to_owned(),
                text: String::new(),
                line: 1,
                quad: answer.lines[0].quad,
            }),
            Deed::PassOn => {
                page.render(200.0).await.map_err(|error| match error {
                    Error::Unreadable(why) => Error::Unreadable(format!("while rendering: {why}")),
                    other => other,
                })?;
            }
            Deed::None | Deed::SpinInConfigure | Deed::SpinInAssemble | Deed::Declaration => {}
        }
        Ok(answer)
    }

    async fn assemble(pages: Vec<Transcript>, settings: &Settings) -> Result<Summary, Error> {
        match settings.deed {
            Deed::SpinInAssemble => spin(),
            _ => Ok(Summary { text: lector_sdk::join_pages(&pages), extra: None }),
        }
    }
}

fn line(text: &str) -> Line {
    Line {
        text: text.to_owned(),
        confidence: 1.0,
        quad: Quad::from_rect(Rect { x: 1.0, y: 1.0, width: 10.0, height: 5.0 }),
        words: Vec::new(),
        origin: Origin::Ocr,
        block: 0,
    }
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Keeps square images until the host refuses one.
fn hold(side: u32) -> Result<(), Error> {
    let pixels = vec![0_u8; (side * side * 3) as usize];
    let mut held = Vec::new();
    loop {
        held.push(Image::from_rgb(Size { width: side, height: side }, &pixels)?);
    }
}

/// Deeper than any stack; the end is there for the compiler alone.
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    if depth == u64::MAX {
        return frame[0];
    }
    recurse(depth + 1).wrapping_add(frame[(depth % 16) as usize])
}

lector_sdk::export!(Hostile);
