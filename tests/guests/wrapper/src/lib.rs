//! Test guest that wraps another pipeline. It converts the lines of the inner result to capitals and adds properties.
//! Its other settings make it use the inner pipeline incorrectly, or in another way.

use std::pin::pin;
use std::task::Poll;

use lector_sdk::{
    ConfigError, Error, Page, Pages, Pipeline, PipelineInfo, Request, Summary, Transcript, inner,
};

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    manner: Manner,
    /// Options for the inner pipeline, where the manner is to pass them.
    pass: serde_json::Value,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Manner {
    /// Converts to capitals and adds a property.
    #[default]
    Upper,
    /// Panics while the inner pipeline reads.
    TrapMeanwhile,
    /// Reads twice at once.
    Twice,
    /// Answers even if the inner pipeline fails.
    Forgive,
    /// Passes options to the inner pipeline.
    Pass,
}

struct Upper;

impl Pipeline for Upper {
    type Settings = Settings;

    fn configure(_: &Settings) -> Result<PipelineInfo, ConfigError> {
        Ok(PipelineInfo { features: vec!["upper".to_owned()], ..PipelineInfo::default() })
    }

    async fn recognize(page: &Page, request: &Request, settings: &Settings) -> Result<Transcript, Error> {
        let mut transcript = match settings.manner {
            Manner::Upper => inner::recognize(page.share(), request).await?,
            Manner::TrapMeanwhile => {
                let mut run = pin!(inner::recognize(page.share(), request));
                std::future::poll_fn(|cx| {
                    assert!(run.as_mut().poll(cx).is_pending(), "no pipeline answers at once");
                    Poll::Ready(())
                })
                .await;
                #[allow(clippy::panic, reason = "on purpose: a test of traps")]
                {
                    panic!("while the inner pipeline reads")
                }
            }
            Manner::Twice => {
                let mut both = inner::recognize(page.share(), request).await?;
                both.lines.extend(inner::recognize(page.share(), request).await?.lines);
                both
            }
            Manner::Pass => {
                inner::pass_options(&settings.pass)?;
                inner::recognize(page.share(), request).await?
            }
            Manner::Forgive => match inner::recognize(page.share(), request).await {
                Ok(read) => read,
                Err(error) => {
                    let mut blank = Transcript::blank(page.size_at(72.0), 72.0);
                    blank.warnings.push(format!("{}: {}", error.code, error.message));
                    blank
                }
            },
        };
        transcript.lines.iter_mut().for_each(|line| line.text = line.text.to_uppercase());
        transcript.set_property("lines", transcript.lines.len());
        transcript.set_property("file_name", request.file_name.clone());
        transcript.set_property("page_count", request.page_count);
        let left = lector_sdk::budget::remaining();
        transcript.set_property("compute_left_us", left.compute_us);
        Ok(transcript)
    }

    async fn assemble(mut pages: Pages, _: &Settings) -> Result<Summary, Error> {
        let mut kept = Vec::new();
        while let Some(page) = pages.next().await? {
            kept.push(page);
        }
        let count = kept.len();
        let inner = inner::assemble(Pages::from_list(kept)?).await?;
        Ok(Summary::of(format!("{}\n{}", inner.text, "END")).with_property("pages", count))
    }
}

lector_sdk::export!(Upper);
