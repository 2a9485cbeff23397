//! The steps of the standard pipeline as a library: from a page to a transcript.
//!
//! Owns the order of the steps, their settings, and the calls to the host for pixels and model runs. The algorithms
//! between two runs are in `lector-vision`, the handles in `lector-sdk`. Used by the standard guest, which exports
//! [`Standard`] as it is, and by guests that process its result: make [`Settings`] a member of your own settings, call
//! [`declare`] in `configure` and [`read_page`] in `recognize`.
//!
//! [`read_page`] uses the text layer if it is real. Otherwise it renders the page, finds its orientation, detects text
//! (again at a higher resolution for small print), recognizes lines with several runs in flight, reads upside-down
//! lines again, sorts the lines into reading order, and finds their blocks and tables. [`read_document`] finds what spans
//! pages: the outline, repeated headers and footers, paragraphs and tables that go on.
#![warn(missing_docs)]

mod cascade;
mod classifier;
mod compose;
mod convert;
mod data_letters;
mod detection;
mod document;
mod embedded;
mod fragment;
mod languages;
mod line_runs;
mod lines;
mod lookalikes;
mod pixels;
mod recognition;
mod resolution;
mod rotation;
mod routing;
mod scripts;
mod settings;
mod stamps;
mod transcriber;
mod walk;

#[cfg(test)]
mod tests;

use lector_sdk::{
    BatchingConfig, ConfigError, Error, Page, Pages, Pipeline, PipelineInfo, Request, Summary, Transcript,
};

pub use document::read_document;
pub use settings::{Detection, Recognition, Settings, Structure, TextLayer, Tier};
pub use walk::read_page;

/// The standard pipeline.
pub struct Standard;

impl Pipeline for Standard {
    type Settings = Settings;

    fn configure(settings: &Settings) -> Result<PipelineInfo, ConfigError> {
        declare(settings)
    }

    async fn recognize(page: &Page, request: &Request, settings: &Settings) -> Result<Transcript, Error> {
        read_page(page, request, settings).await
    }

    async fn assemble(pages: Pages, _: &Settings) -> Result<Summary, Error> {
        read_document(pages).await
    }
}

/// Checks the settings of the standard steps and lists the models that they open.
///
/// # Errors
///
/// A [`ConfigError`] about the first member that is out of range. Its pointer starts at the settings of the steps, so a
/// guest that keeps them in a member of its own adds that member as a prefix.
pub fn declare(settings: &Settings) -> Result<PipelineInfo, ConfigError> {
    settings.check()?;
    let mut models = vec![settings.tier.detection().to_owned()];
    models.extend(settings.recognition_models().iter().map(|&alias| alias.to_owned()));
    if settings.page_orientation {
        models.push(rotation::ALIAS.to_owned());
    }
    if settings.line_orientation {
        models.push(lines::ALIAS.to_owned());
    }
    let batching = settings.recognition_models().iter().map(|alias| BatchingConfig {
        max_wait_us: settings.recognition.wait_us,
        ..BatchingConfig::of(*alias)
    });
    let mut features = vec!["lines".to_owned()];
    if settings.structure == Structure::Full {
        features.extend(["blocks".to_owned(), "tables".to_owned()]);
    }
    if settings.words {
        features.push("words".to_owned());
    }
    // The host puts the languages of a request into the settings, and opens the model where it can.
    features.push("languages".to_owned());
    if !models.iter().any(|alias| alias == transcriber::ALIAS) {
        features.push(format!("optional-model:{}", transcriber::ALIAS));
    }
    Ok(PipelineInfo { models, batching: batching.collect(), features })
}
