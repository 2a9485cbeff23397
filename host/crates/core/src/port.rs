//! Port traits: inference and documents as `runtime`, `control` and `serving` use them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;

use crate::batching::{BatchingHints, Planner};
use crate::compose::{Composed, PageText, PdfStandard};
pub use crate::composition::BatchComposition;
use crate::fair::Account;
use crate::fault::{Fault, Kind};
use crate::id::{ModelName, TenantName};
use crate::image::Image;
use crate::model::ModelInfo;
use crate::tensor::Tensor;
use crate::text::TextLayer;

/// One run of a model, as it is offered to a lane.
#[derive(Clone, Debug)]
pub struct WorkItem {
    /// Model to run.
    pub model: ModelName,
    /// Tenant that the run is charged to.
    pub tenant: TenantName,
    /// Inputs by name.
    pub inputs: Vec<(String, Tensor)>,
    /// Names of the requested outputs, in the order of the answer.
    pub outputs: Vec<String>,
    /// Time after which the answer is useless; the item is then dropped without a run.
    pub deadline: Instant,
    /// Settings for sharing the engine.
    pub scheduling: Scheduling,
}

/// Settings for sharing an engine with other items.
#[derive(Clone, Debug)]
pub struct Scheduling {
    /// Weight of the tenant in the lane; 1 or more.
    pub weight: u32,
    /// Batching settings that the revision declared for this model.
    pub hints: BatchingHints,
    /// The revision's batching policy, where it has one.
    pub planner: Option<Arc<dyn Planner>>,
    /// Fraction of the input that is content, 0 to 1; the rest is padding.
    pub content: f32,
}

impl Default for Scheduling {
    fn default() -> Self {
        Self { weight: 1, hints: BatchingHints::default(), planner: None, content: 1.0 }
    }
}

/// The answer to a [`WorkItem`].
#[derive(Clone, Debug)]
pub struct WorkDone {
    /// The outputs, in the order of the request.
    pub outputs: Vec<Tensor>,
    /// Time from the offer to the start of the run.
    pub queue_wait: Duration,
    /// Time of the run, which all co-batched items share.
    pub run: Duration,
    /// Composition of the batch.
    pub composition: BatchComposition,
    /// Engine variant: provider and precision, e.g. `openvino` and `bf16`; empty where unknown.
    pub variant: (&'static str, &'static str),
}

/// An engine that could not be built or loaded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FailedEngine {
    /// Model of the engine.
    pub model: ModelName,
    /// Provider and precision, e.g. `openvino/bf16`.
    pub variant: String,
    /// Reason of the failure.
    #[serde(rename = "last_error")]
    pub why: String,
}

/// The inference plane as `runtime` sees it. Implemented by `lector-inference`.
///
/// Dropping the future of `infer` withdraws the item: an item whose caller has gone is never run.
pub trait Engines: Send + Sync + 'static {
    /// Returns the model of that name; `None` where the catalog has none or no lane is open for it.
    fn model(&self, name: &ModelName) -> Option<Arc<ModelInfo>>;
    /// Opens a lane for each of these models that has none. Calls may overlap and repeat; open lanes are unchanged. A
    /// fault names the model and the cause: `model_not_found`, `model_unavailable`.
    fn prepare(&self, models: Vec<ModelName>) -> BoxFuture<'static, Result<(), Fault>>;
    /// Closes every lane except those of these models, after their current runs, and returns the closed models. The
    /// caller ensures that no `prepare` for other models is in progress: it would be undone.
    fn retain(&self, models: Vec<ModelName>) -> BoxFuture<'static, Vec<ModelName>>;
    /// Returns the engines that could not be built or loaded, of one model or of all. A fault `model_unknown` for a
    /// name that is not in the catalog. Empty where engines do not fail.
    fn failed(&self, model: Option<&ModelName>) -> Result<Vec<FailedEngine>, Fault> {
        let _ = model;
        Ok(Vec::new())
    }
    /// Schedules a new try for these engines, with the retry backoff reset. Does not wait.
    fn retry(&self, failed: &[FailedEngine]) {
        let _ = failed;
    }
    /// Runs one item. A full lane returns a fault of kind `Busy` at once.
    fn infer(&self, item: WorkItem) -> BoxFuture<'static, Result<WorkDone, Fault>>;
}

/// Kind of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// A PDF page, rendered at any resolution.
    Pdf,
    /// A picture.
    Raster,
}

/// Metadata of a page, available without rendering.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageInfo {
    /// Position in the document, from 0.
    pub index: u32,
    /// Kind of the page.
    pub kind: PageKind,
    /// Width in points (1/72 inch), as displayed.
    pub width_pt: f32,
    /// Height in points, as displayed.
    pub height_pt: f32,
    /// Resolution of a raster page (nominal where the file states none); `None` for PDF.
    pub native_dpi: Option<f32>,
}

/// One page, rendered on demand. Implemented by `lector-document`; called by `runtime`.
pub trait PageSource: Send + Sync + 'static {
    /// Returns the metadata.
    fn info(&self) -> PageInfo;
    /// Returns the embedded text; empty for a raster page.
    fn text_layer(&self) -> BoxFuture<'static, Result<TextLayer, Fault>>;
    /// Renders the page at `dpi`. More than `pixels_max` pixels are a fault `page_too_many_pixels`.
    fn render(&self, dpi: f32, pixels_max: u64) -> BoxFuture<'static, Result<Image, Fault>>;
}

/// Client input for opening a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DocumentHint {
    /// `Content-Type` as the client stated it. The magic number decides; a contradiction is a fault.
    pub content_type: Option<String>,
    /// Password of an encrypted PDF.
    pub password: Option<String>,
}

/// Opens documents. Implemented by `lector-document`; called by `control` and `serving`.
pub trait Documents: Send + Sync + 'static {
    /// Opens a document from its bytes: a PDF or an image. This and all work on its pages is charged to `account`,
    /// which also determines its share of the workers.
    fn open(
        &self,
        account: Account,
        bytes: Arc<Vec<u8>>,
        hint: DocumentHint,
    ) -> BoxFuture<'static, Result<Arc<dyn OpenDocument>, Fault>>;
}

/// An open document. Dropping it frees its memory in the workers.
pub trait OpenDocument: Send + Sync + 'static {
    /// Returns the media type: `application/pdf`, `image/png`, ...
    fn content_type(&self) -> &'static str;
    /// Returns the number of pages, 1 or more.
    fn page_count(&self) -> u32;
    /// Returns the page at `index`; a fault `page_out_of_range` beyond the last one.
    fn page(&self, index: u32) -> BoxFuture<'static, Result<Arc<dyn PageSource>, Fault>>;
    /// Returns the document as a PDF whose pages contain this text invisibly: a PDF with additions at its end, or the
    /// pictures of another file as pages. A fault `document_not_composable` where the document does not permit it, or has what
    /// the standard forbids.
    fn compose(
        &self,
        pages: Vec<PageText>,
        standard: PdfStandard,
    ) -> BoxFuture<'static, Result<Composed, Fault>> {
        drop((pages, standard));
        let message = "This document cannot become a searchable PDF: request another format.";
        let fault = Fault::new(Kind::Invalid, "document_not_composable", message);
        Box::pin(std::future::ready(Err(fault)))
    }
}
