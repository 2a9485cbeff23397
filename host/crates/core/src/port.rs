//! The seams: what the rooms behind the guests offer, without a word about how.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;

use crate::batching::{BatchingHints, Planner};
pub use crate::composition::BatchComposition;
use crate::fair::Account;
use crate::fault::Fault;
use crate::id::{ModelName, TenantName};
use crate::image::Image;
use crate::model::ModelInfo;
use crate::tensor::Tensor;
use crate::text::TextLayer;

/// One run of a model, on its way to a lane.
#[derive(Clone, Debug)]
pub struct WorkItem {
    /// Which model.
    pub model: ModelName,
    /// For whom.
    pub tenant: TenantName,
    /// Inputs by name.
    pub inputs: Vec<(String, Tensor)>,
    /// Outputs wanted, by name, in the order of the answer.
    pub outputs: Vec<String>,
    /// When the answer is of no more use; the item is dropped unrun after that.
    pub deadline: Instant,
    /// How it shares the engine with others.
    pub scheduling: Scheduling,
}

/// On which terms an item shares an engine with others.
#[derive(Clone, Debug)]
pub struct Scheduling {
    /// Share of the tenant in the lane, next to those of the others; 1 or more.
    pub weight: u32,
    /// What the revision declared for this model.
    pub hints: BatchingHints,
    /// The revision's own program for its batches, where it has one.
    pub planner: Option<Arc<dyn Planner>>,
    /// Part of the input that is content, 0 to 1; the rest is padding.
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
    /// The outputs, in the order asked for.
    pub outputs: Vec<Tensor>,
    /// From the offer to the start of the run.
    pub queue_wait: Duration,
    /// The run itself, which is that of all that ran together.
    pub run: Duration,
    /// With whom it ran.
    pub composition: BatchComposition,
    /// Who computed it: provider and precision, e.g. `openvino` and `bf16`; empty where that is not known.
    pub variant: (&'static str, &'static str),
}

/// An engine that could not be built or loaded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FailedEngine {
    /// Of which model.
    pub model: ModelName,
    /// Provider and precision, e.g. `openvino/bf16`.
    pub variant: String,
    /// Why.
    #[serde(rename = "last_error")]
    pub why: String,
}

/// The inference plane as `runtime` sees it. Implemented by `lector-inference`.
///
/// Dropping the future of `infer` withdraws the item: an item whose caller is gone is never run.
pub trait Engines: Send + Sync + 'static {
    /// The model of that name; `None` where the catalog has none or no lane is open for it.
    fn model(&self, name: &ModelName) -> Option<Arc<ModelInfo>>;
    /// Opens a lane for each of these models that has none yet. Calls may overlap and repeat; a lane that is open is
    /// left alone. A fault names the model and what is missing: `model_not_found`, `model_unavailable`.
    fn prepare(&self, models: Vec<ModelName>) -> BoxFuture<'static, Result<(), Fault>>;
    /// Closes every lane but those of these models, lets their runs end and answers which were closed. The caller sees
    /// to it that no `prepare` for other models is under way: it would be undone.
    fn retain(&self, models: Vec<ModelName>) -> BoxFuture<'static, Vec<ModelName>>;
    /// Engines that could not be built or loaded, of one model or of all: `model_unknown` for a name that the catalog does
    /// not have. Nothing where engines do not fail.
    fn failed(&self, model: Option<&ModelName>) -> Result<Vec<FailedEngine>, Fault> {
        let _ = model;
        Ok(Vec::new())
    }
    /// Has those tried again, from the beginning of their patience. Waits for nothing.
    fn retry(&self, failed: &[FailedEngine]) {
        let _ = failed;
    }
    /// Runs one item. A full lane answers at once with a fault of kind `Busy`.
    fn infer(&self, item: WorkItem) -> BoxFuture<'static, Result<WorkDone, Fault>>;
}

/// What a page is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// A PDF page, rendered at any resolution.
    Pdf,
    /// A picture.
    Raster,
}

/// What is known of a page without rendering it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageInfo {
    /// Position in the document, from 0.
    pub index: u32,
    /// What it is made of.
    pub kind: PageKind,
    /// Points (1/72 inch) as displayed.
    pub width_pt: f32,
    /// Points as displayed.
    pub height_pt: f32,
    /// Resolution of a raster page (nominal where the file states none); `None` for PDF.
    pub native_dpi: Option<f32>,
}

/// One page, rendered when asked. Implemented by `lector-document`; called by `runtime`.
pub trait PageSource: Send + Sync + 'static {
    /// What is known without rendering.
    fn info(&self) -> PageInfo;
    /// The embedded text; empty for a raster page.
    fn text_layer(&self) -> BoxFuture<'static, Result<TextLayer, Fault>>;
    /// The page at `dpi`; at most `pixels_max` pixels, else a fault `page_too_many_pixels`.
    fn render(&self, dpi: f32, pixels_max: u64) -> BoxFuture<'static, Result<Image, Fault>>;
}

/// What is known of bytes before they are opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DocumentHint {
    /// `Content-Type` as the client stated it. The bytes decide; a contradiction is a fault.
    pub content_type: Option<String>,
    /// Password of an encrypted PDF.
    pub password: Option<String>,
}

/// Opens documents. Implemented by `lector-document`; called by `control` and `serving`.
pub trait Documents: Send + Sync + 'static {
    /// Opens a document from its bytes: a PDF or an image. This and all work on its pages is charged to `account`, by whose
    /// share it waits for a worker.
    fn open(
        &self,
        account: Account,
        bytes: Arc<Vec<u8>>,
        hint: DocumentHint,
    ) -> BoxFuture<'static, Result<Arc<dyn OpenDocument>, Fault>>;
}

/// An opened document. Dropping it frees what the workers hold of it.
pub trait OpenDocument: Send + Sync + 'static {
    /// `application/pdf`, `image/png`, ...
    fn content_type(&self) -> &'static str;
    /// Number of pages, 1 or more.
    fn page_count(&self) -> u32;
    /// The page at `index`; a fault `page_out_of_range` beyond the last one.
    fn page(&self, index: u32) -> BoxFuture<'static, Result<Arc<dyn PageSource>, Fault>>;
}
