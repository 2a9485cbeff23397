//! The pipeline that this guest's deployment wraps. Feature `wrapper`.
//!
//! A guest that calls it is a wrapper: its component imports `lector:ocr/pipeline`, and a deployment of it names the
//! deployment to wrap. The inner pipeline runs in its own instance, with its own settings and models, under the budget
//! of this call.
//!
//! ```
//! use lector_sdk::{ConfigError, Error, Page, Pipeline, PipelineInfo, Request, Transcript, inner};
//!
//! struct Upper;
//!
//! impl Pipeline for Upper {
//!     type Settings = std::collections::BTreeMap<String, String>;
//!
//!     fn configure(_: &Self::Settings) -> Result<PipelineInfo, ConfigError> {
//!         Ok(PipelineInfo::default())
//!     }
//!
//!     async fn recognize(page: &Page, request: &Request, _: &Self::Settings) -> Result<Transcript, Error> {
//!         let mut transcript = inner::recognize(page.share(), request).await?;
//!         transcript.lines.iter_mut().for_each(|line| line.text = line.text.to_uppercase());
//!         Ok(transcript)
//!     }
//! }
//! # fn main() {}
//! ```

use crate::{ConfigError, Error, Page, Pages, PipelineInfo, Request, Summary, Transcript, host};

/// Describes the wrapped pipeline, as its own settings configure it.
///
/// # Errors
///
/// If the deployment wraps no pipeline.
pub fn info() -> Result<PipelineInfo, ConfigError> {
    host::inner_configure()
}

/// Reads a page with the wrapped pipeline. [`Page::share`] makes the handle that it takes.
///
/// # Errors
///
/// `Denied` if the deployment wraps no pipeline, otherwise the error of the wrapped pipeline.
pub async fn recognize(page: Page, request: &Request) -> Result<Transcript, Error> {
    host::inner_recognize(page.0, request.clone()).await
}

/// Joins pages with the wrapped pipeline.
///
/// # Errors
/// As [`recognize`].
pub async fn assemble(pages: Pages) -> Result<Summary, Error> {
    host::inner_assemble(pages.0).await
}

/// Sets the options of later calls of the wrapped pipeline by this call, in place of those that were set before. Until then it
/// gets the defaults of its own schema. The client's options are this guest's, and are passed only by this function.
///
/// # Errors
///
/// The schema of the wrapped pipeline refuses them, or the deployment wraps no pipeline.
#[cfg(feature = "options")]
pub fn pass_options(options: &impl serde::Serialize) -> Result<(), Error> {
    let text = serde_json::to_string(options).map_err(|error| {
        Error::invalid("options_not_passed", format!("the options are not JSON: {error}"))
    })?;
    host::options_pass(&text).map_err(|ConfigError { pointer, message }| {
        let message = format!("the wrapped pipeline refuses the options: at \"{pointer}\": {message}");
        Error::invalid("options_not_passed", message)
    })
}
