//! Test guest that misbehaves in the way its settings name, one misbehavior per instance. The expected reactions of the
//! host are in `host/crates/runtime/tests/runtime/hostile.rs`.
#![allow(clippy::panic, clippy::unwrap_used, reason = "on purpose: a guest that misbehaves")]

use std::hint::black_box;
use std::pin::pin;
use std::task::Poll;

use lector_sdk::{
    ConfigError, Error, Finding, Image, Line, Model, Page, Pages, Pipeline, PipelineInfo, Quad, Rect,
    Request, Size, Summary, Tensor, Transcript,
};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    behavior: Behavior,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Behavior {
    /// Behaves correctly.
    #[default]
    None,
    /// Never returns from `configure`.
    SpinInConfigure,
    /// Never returns from `recognize`.
    SpinInRecognize,
    /// Never returns from `assemble`.
    SpinInAssemble,
    /// Allocates until it aborts.
    Memory,
    /// Allocates until it is refused, and then spins.
    MemoryThenSpin,
    /// Keeps images of one pixel and panics when it gets no more.
    Handles,
    /// Opens spans, whose calls have no error to return.
    Spans,
    /// Keeps large images and returns the host's refusal.
    Pixels,
    /// Recurses without end.
    Recursion,
    /// Panics.
    Panic,
    /// Panics while an inference is in flight.
    TrapInInference,
    /// Awaits an inference.
    AwaitInference,
    /// Answers with one long string.
    HugeReply,
    /// Answers with a gibibyte out of a mebibyte: a thousand lines that share their bytes.
    SharedReply,
    /// Answers with two hundred thousand empty lines.
    LongReply,
    /// Logs ten million lines.
    LogStorm,
    /// Requests the page's index from the host without end.
    CallStorm,
    /// Awaits an event that never occurs, with no operation in flight.
    AwaitForEver,
    /// Awaits an event that never occurs, and wakes itself each time.
    WakeForEver,
    /// Answers with a position that is NaN.
    NotANumber,
    /// Answers with a probability of 7.
    Confidence,
    /// Answers with a finding in a line that does not exist.
    FindingNowhere,
    /// Returns a batching hint for a model that it does not open.
    PipelineInfo,
    /// Returns the host's refusal with a message of its own.
    PassOn,
}

struct Hostile;

impl Pipeline for Hostile {
    type Settings = Settings;

    fn configure(settings: &Settings) -> Result<PipelineInfo, ConfigError> {
        match settings.behavior {
            Behavior::SpinInConfigure => spin(),
            Behavior::PipelineInfo => Ok(PipelineInfo {
                batching: vec![lector_sdk::BatchingConfig {
                    model: "not-mine".to_owned(),
                    max_batch: 1,
                    max_wait_us: 0,
                    preferred_widths: Vec::new(),
                    priority: lector_sdk::Priority::High,
                    isolated: true,
                }],
                ..PipelineInfo::default()
            }),
            Behavior::TrapInInference | Behavior::AwaitInference => {
                Ok(PipelineInfo { models: vec!["model".to_owned()], ..PipelineInfo::default() })
            }
            _ => Ok(PipelineInfo::default()),
        }
    }

    async fn recognize(page: &Page, _: &Request, settings: &Settings) -> Result<Transcript, Error> {
        let mut answer = Transcript::blank(Size { width: 100, height: 100 }, 72.0);
        answer.lines.push(line("fine"));
        match settings.behavior {
            Behavior::SpinInRecognize => spin(),
            Behavior::Memory => {
                let mut held = Vec::new();
                loop {
                    held.push(black_box(vec![1_u8; 1 << 20]));
                }
            }
            Behavior::MemoryThenSpin => {
                let mut held: Vec<Vec<u8>> = Vec::new();
                loop {
                    let mut piece = Vec::new();
                    if piece.try_reserve_exact(1 << 20).is_ok() {
                        piece.resize(1 << 20, 1);
                        held.push(black_box(piece));
                    }
                }
            }
            Behavior::Handles => hold(1).unwrap(),
            Behavior::Spans => {
                let mut held = Vec::new();
                loop {
                    held.push(lector_sdk::span("held"));
                }
            }
            Behavior::Pixels => hold(1000)?,
            Behavior::Recursion => {
                black_box(recurse(1));
            }
            Behavior::Panic => panic!("panics as configured"),
            Behavior::TrapInInference => {
                let model = Model::open("model")?;
                let (input, zeros, output) = arguments(&model)?;
                let (inputs, outputs) = ([(input.as_str(), &zeros)], [output.as_str()]);
                let mut run = pin!(model.run(&inputs, &outputs));
                std::future::poll_fn(|cx| {
                    assert!(run.as_mut().poll(cx).is_pending(), "no model answers at once");
                    Poll::Ready(())
                })
                .await;
                panic!("in the middle of an inference");
            }
            Behavior::AwaitInference => {
                let model = Model::open("model")?;
                let (input, zeros, output) = arguments(&model)?;
                model.run(&[(&input, &zeros)], &[&output]).await?;
            }
            Behavior::HugeReply => answer.lines = vec![line(&"x".repeat(80 << 20))],
            Behavior::SharedReply => answer.lines = shared_lines(),
            Behavior::LongReply => answer.lines = vec![line(""); 200_000],
            Behavior::LogStorm => {
                for index in 0..10_000_000_u32 {
                    lector_sdk::info(format!("line {index} of the log storm"));
                }
            }
            Behavior::CallStorm => loop {
                black_box(page.index());
            },
            Behavior::AwaitForEver => std::future::pending().await,
            Behavior::WakeForEver => {
                std::future::poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    Poll::<()>::Pending
                })
                .await;
            }
            Behavior::NotANumber => answer.lines[0].quad.top_left.x = f32::NAN,
            Behavior::Confidence => answer.lines[0].confidence = 7.0,
            Behavior::FindingNowhere => {
                let quad = answer.lines[0].quad;
                answer.findings.push(Finding::new("nothing", "", 1, quad));
            }
            Behavior::PassOn => {
                page.render(200.0).await.map_err(|error| error.within("while rendering"))?;
            }
            Behavior::None
            | Behavior::SpinInConfigure
            | Behavior::SpinInAssemble
            | Behavior::PipelineInfo => {}
        }
        Ok(answer)
    }

    async fn assemble(pages: Pages, settings: &Settings) -> Result<Summary, Error> {
        match settings.behavior {
            Behavior::SpinInAssemble => spin(),
            _ => Ok(Summary::of(lector_sdk::join_pages(&pages.collect().await?))),
        }
    }
}

fn line(text: &str) -> Line {
    Line::new(text, 1.0, Quad::from_rect(Rect { x: 1.0, y: 1.0, width: 10.0, height: 5.0 }))
}

/// Runs the model on zeros, with the smallest extents that a detector accepts, and requests its first output.
fn arguments(model: &Model) -> Result<(String, Tensor, String), Error> {
    let info = model.describe();
    let (input, output) = (&info.inputs[0], &info.outputs[0]);
    let extent = |(axis, extent): (usize, &i64)| match usize::try_from(*extent) {
        Ok(extent) => extent,
        Err(_) if axis == 0 => 1,
        Err(_) => 64,
    };
    let shape: Vec<usize> = input.shape.iter().enumerate().map(extent).collect();
    let zeros: Vec<f32> = vec![0.0; shape.iter().product()];
    Ok((input.name.clone(), Tensor::from_f32(&shape, &zeros)?, output.name.clone()))
}

/// Makes a thousand lines of a mebibyte each, all of them with the same bytes. No owner of them is ever dropped: the
/// host rejects the answer and drops the instance.
fn shared_lines() -> Vec<Line> {
    let bytes: &'static mut [u8] = vec![b'x'; 1 << 20].leak();
    let (start, length) = (bytes.as_mut_ptr(), bytes.len());
    let one = |_| {
        // SAFETY: valid as far as the bytes go (leaked, ASCII, length and capacity as allocated). Several owners are
        // the misbehavior under test; none of them writes or frees before the instance ends.
        let text = unsafe { String::from_raw_parts(start, length, length) };
        Line { text, ..line("") }
    };
    (0..1024).map(one).collect()
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

/// Recurses deeper than any stack; the end exists only for the compiler.
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    if depth == u64::MAX {
        return frame[0];
    }
    recurse(depth + 1).wrapping_add(frame[(depth % 16) as usize])
}

lector_sdk::export!(Hostile);
