//! Test guest with a batching policy that behaves as the settings say, correctly or not. It reads with the standard
//! steps; without settings for these, it makes one run of the model `model`.

use std::cell::{Cell, RefCell};
use std::hint::black_box;

use lector_sdk::batching::{BatchingPolicy, Decision, EngineState, WaitingRun};
use lector_sdk::{ConfigError, Error, Model, Page, Pipeline, PipelineInfo, Request, Tensor, Transcript};

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Settings of the standard steps.
    reading: Option<lector_steps::Settings>,
    manner: Manner,
    /// Number of valid answers of an instance before the misbehavior.
    sound_first: u64,
    /// For `slow`: iterations of a loop.
    turns: u64,
}

/// Behavior of the batching policy.
#[derive(Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Manner {
    /// Runs the oldest item.
    #[default]
    Sound,
    /// Runs the oldest item after a loop.
    Slow,
    /// Never answers.
    Spin,
    /// Panics.
    Panic,
    /// Names an unknown item.
    Stranger,
    /// Waits past every deadline.
    Patient,
    /// Answers with a list as long as its memory allows.
    Flood,
    /// Keeps 64 KiB more with each question.
    Grow,
    /// Opens a model, which a batching policy may not do.
    Reach,
    /// Answers with the number of its questions as a wait in microseconds, which shows that an instance is reused.
    Count,
}

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

struct Planner;

impl Pipeline for Planner {
    type Settings = Settings;

    fn configure(settings: &Settings) -> Result<PipelineInfo, ConfigError> {
        if let Some(reading) = &settings.reading {
            return lector_steps::declare(reading);
        }
        Ok(PipelineInfo { models: vec!["model".to_owned()], ..PipelineInfo::default() })
    }

    async fn recognize(page: &Page, request: &Request, settings: &Settings) -> Result<Transcript, Error> {
        if let Some(reading) = &settings.reading {
            return lector_steps::read_page(page, request, reading).await;
        }
        let input = Tensor::from_f32(&[1, 4], &[0.0; 4])?;
        Model::open("model")?.run(&[("x", &input)], &["y"]).await?;
        Ok(Transcript::blank(page.size_at(72.0), 72.0))
    }
}

impl BatchingPolicy for Planner {
    fn plan(waiting: &[WaitingRun], _: &EngineState, _: u64, settings: &Settings) -> Decision {
        let asked = ASKED.with(|asked| asked.replace(asked.get() + 1)) + 1;
        let oldest = || Decision::Run(waiting.iter().take(1).map(|run| run.id).collect());
        if asked <= settings.sound_first {
            return oldest();
        }
        match settings.manner {
            Manner::Sound => oldest(),
            Manner::Slow => {
                // A loop that the compiler cannot remove.
                let mut turns = 0_u64;
                while turns < settings.turns {
                    turns = black_box(turns + 1);
                }
                oldest()
            }
            Manner::Spin => loop {
                black_box(asked);
            },
            #[allow(clippy::panic, reason = "on purpose: a test of traps")]
            Manner::Panic => panic!("the planner guest panics as configured"),
            Manner::Stranger => Decision::Run(vec![u64::MAX]),
            Manner::Patient => Decision::Wait(u64::MAX),
            Manner::Flood => Decision::Run(vec![1; 1 << 18]),
            Manner::Grow => {
                KEPT.with(|kept| kept.borrow_mut().push(black_box(vec![1; 64 << 10])));
                oldest()
            }
            Manner::Reach => match Model::open("model") {
                Ok(_) | Err(_) => oldest(),
            },
            Manner::Count => Decision::Wait(asked),
        }
    }
}

lector_sdk::export!(Planner, batching);
