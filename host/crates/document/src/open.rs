//! Implements the document ports of `lector_core` on the pool.
//!
//! Owns the checks that the host makes itself: whether the bytes of a document may be parsed, and the number of pixels
//! of a rendering, which is checked here before any memory is allocated.

use std::sync::Arc;

use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt, ready};
use lector_core::fair::Account;
use lector_core::port::{DocumentHint, PageInfo, PageKind};
use lector_core::{
    Composed, Documents, Fault, Image, OpenDocument, PageSource, PageText, PdfStandard, Size, TextLayer,
};
use lector_pixels::SIDE_MAX;

use crate::config::{DocumentConfig, DocumentError};
use crate::faults::{self, Refusal};
use crate::kind::Kind;
use crate::pool;
use crate::pool::dispatch::Pool;
use crate::pool::job::{Answer, ComposedFile, DocumentHandle, Job, Task};
use crate::pool::status::WorkersStatus;
use crate::shared;
use crate::wire::PageFacts;

const POINTS_PER_INCH: f32 = 72.0;
/// Bytes of a chunk of a composed file.
const CHUNK_BYTES: u64 = 256 << 10;

/// A pool of sandboxed render workers. Dropping it kills the workers; [`DocumentWorkers::shutdown`] also waits for
/// their end.
pub struct DocumentWorkers {
    pool: Arc<Pool>,
}

impl DocumentWorkers {
    /// Starts the workers and returns when all are ready. The error of a missing library or of a worker that does not
    /// start states what to do.
    pub async fn start(config: DocumentConfig) -> Result<Arc<Self>, DocumentError> {
        let pool = pool::start(config).await?;
        Ok(Arc::new(Self { pool }))
    }

    /// Returns a snapshot for metrics and readiness.
    pub fn status(&self) -> WorkersStatus {
        self.pool.status()
    }

    /// Fails waiting requests, kills the workers and returns when every process has been reaped.
    pub async fn shutdown(&self) {
        self.pool.stop();
        let pool = self.pool.clone();
        let (sender, done) = oneshot::channel();
        // Worker supervisors end within one tick, but joining a thread must not block the caller's executor.
        let joiner = std::thread::Builder::new().name("documents-end".into()).spawn(move || {
            pool.join();
            let _ = sender.send(());
        });
        if joiner.is_ok() {
            // An error means that the joining thread panicked; there is nothing left to wait for.
            let _ = done.await;
        }
    }
}

impl Drop for DocumentWorkers {
    fn drop(&mut self) {
        self.pool.stop();
        self.pool.join();
    }
}

impl Documents for DocumentWorkers {
    fn open(
        &self,
        account: Account,
        bytes: Arc<Vec<u8>>,
        hint: DocumentHint,
    ) -> BoxFuture<'static, Result<Arc<dyn OpenDocument>, Fault>> {
        let pool = self.pool.clone();
        async move {
            let kind = Kind::of(&bytes, hint.content_type.as_deref())?;
            let handle = pool.document(account, kind, hint.password);
            let opened = ask(&pool, &handle, |answer| Task::Open { bytes, answer }).await?;
            let document = Opened { pool, handle, pages: opened.pages, facts: opened.facts };
            Ok(Arc::new(document) as Arc<dyn OpenDocument>)
        }
        .boxed()
    }
}

/// Submits a request to the pool and waits for the answer. Dropping the future withdraws it.
async fn ask<T>(
    pool: &Pool,
    handle: &Arc<DocumentHandle>,
    task: impl FnOnce(Answer<T>) -> Task,
) -> Result<T, Fault> {
    let (sender, receiver) = oneshot::channel();
    pool.submit(Job::new(handle.clone(), task(sender)))?;
    receiver.await.unwrap_or_else(|_| Err(faults::unavailable("the worker supervisor dropped a request")))
}

/// A document that has been opened once; workers open it again when they need it.
struct Opened {
    pool: Arc<Pool>,
    handle: Arc<DocumentHandle>,
    pages: u32,
    /// Facts of the first pages, as far as known.
    facts: Vec<Option<PageFacts>>,
}

impl OpenDocument for Opened {
    fn content_type(&self) -> &'static str {
        self.handle.kind.content_type()
    }

    fn page_count(&self) -> u32 {
        self.pages
    }

    fn page(&self, index: u32) -> BoxFuture<'static, Result<Arc<dyn PageSource>, Fault>> {
        if index >= self.pages {
            let refusal = Refusal::PageOutOfRange { index, pages: self.pages };
            return ready(Err(refusal.into())).boxed();
        }
        let (pool, handle) = (self.pool.clone(), self.handle.clone());
        let known = usize::try_from(index).ok().and_then(|place| self.facts.get(place).copied().flatten());
        async move {
            let facts = match known {
                Some(facts) => facts,
                None => ask(&pool, &handle, |answer| Task::Facts { index, answer }).await?,
            };
            Ok(Arc::new(Page { pool, handle, index, facts }) as Arc<dyn PageSource>)
        }
        .boxed()
    }

    fn compose(
        &self,
        pages: Vec<PageText>,
        standard: PdfStandard,
    ) -> BoxFuture<'static, Result<Composed, Fault>> {
        let pages = pages_to_compose(pages, self.handle.kind, self.pages);
        let (pool, handle) = (self.pool.clone(), self.handle.clone());
        async move {
            let task = |answer| Task::Compose { pages, standard, answer };
            ask(&pool, &handle, task).await.map(in_chunks)
        }
        .boxed()
    }
}

/// Returns the pages of a composition in page order. Pictures need all pages of the file, those without text, too.
fn pages_to_compose(mut texts: Vec<PageText>, kind: Kind, pages: u32) -> Vec<PageText> {
    texts.retain(|text| text.index < pages);
    texts.sort_by_key(|text| text.index);
    texts.dedup_by_key(|text| text.index);
    if kind == Kind::Pdf {
        return texts;
    }
    let mut texts = texts.into_iter().peekable();
    let blank = |index| PageText { index, size: Size { width: 1, height: 1 }, words: Vec::new() };
    (0..pages)
        .map(|index| texts.next_if(|text| text.index == index).unwrap_or_else(|| blank(index)))
        .collect()
}

/// Returns the file in chunks. A worker may change it until it has ended; it is the worker's own statement in any case.
fn in_chunks(composed: ComposedFile) -> Composed {
    let ComposedFile { file, bytes } = composed;
    let starts = (0..bytes).step_by(usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX));
    let chunks = starts.map(move |start| {
        let len = usize::try_from(CHUNK_BYTES.min(bytes - start)).unwrap_or(0);
        let chunk = shared::copy_range(&file, start, len);
        chunk.map_err(|error| faults::unavailable(format!("reading a composed file: {error}")))
    });
    Composed::new(bytes, chunks)
}

struct Page {
    pool: Arc<Pool>,
    handle: Arc<DocumentHandle>,
    index: u32,
    facts: PageFacts,
}

impl PageSource for Page {
    fn info(&self) -> PageInfo {
        let index = self.index;
        match self.facts {
            PageFacts::Pdf { width_pt, height_pt } => {
                PageInfo { index, kind: PageKind::Pdf, width_pt, height_pt, native_dpi: None }
            }
            PageFacts::Raster { size, dpi } => PageInfo {
                index,
                kind: PageKind::Raster,
                width_pt: size.width as f32 * POINTS_PER_INCH / dpi,
                height_pt: size.height as f32 * POINTS_PER_INCH / dpi,
                native_dpi: Some(dpi),
            },
        }
    }

    fn text_layer(&self) -> BoxFuture<'static, Result<TextLayer, Fault>> {
        if let PageFacts::Raster { .. } = self.facts {
            return ready(Ok(TextLayer::default())).boxed();
        }
        let (pool, handle, index) = (self.pool.clone(), self.handle.clone(), self.index);
        async move { ask(&pool, &handle, |answer| Task::Text { index, answer }).await }.boxed()
    }

    fn render(&self, dpi: f32, pixels_max: u64) -> BoxFuture<'static, Result<Image, Fault>> {
        let size = match pixel_size(&self.facts, dpi, pixels_max) {
            Ok(size) => size,
            Err(refusal) => return ready(Err(refusal.into())).boxed(),
        };
        let (pool, handle, index) = (self.pool.clone(), self.handle.clone(), self.index);
        async move { ask(&pool, &handle, |answer| Task::Render { index, size, answer }).await }.boxed()
    }
}

/// Returns the size of a page at `dpi`; an error where it has more than `pixels_max` pixels. A raster page at its own
/// resolution has exactly its own pixels.
fn pixel_size(facts: &PageFacts, dpi: f32, pixels_max: u64) -> Result<Size, Refusal> {
    if !(dpi.is_finite() && dpi > 0.0) {
        return Err(Refusal::DpiInvalid { dpi });
    }
    // At 1 dpi, in double precision: pages reach 14,400 pt and requests may name any resolution.
    let (width, height) = match facts {
        PageFacts::Pdf { width_pt, height_pt } => (
            f64::from(*width_pt) / f64::from(POINTS_PER_INCH),
            f64::from(*height_pt) / f64::from(POINTS_PER_INCH),
        ),
        PageFacts::Raster { size, dpi } => {
            (f64::from(size.width) / f64::from(*dpi), f64::from(size.height) / f64::from(*dpi))
        }
    };
    // Float to int saturates; every side has at least one pixel.
    let side = |inches: f64, dpi: f64| (inches * dpi).round().max(1.0) as u64;
    let pixels = |dpi: f64| side(width, dpi).saturating_mul(side(height, dpi));
    let longer = |dpi: f64| side(width, dpi).max(side(height, dpi));
    let at = f64::from(dpi);
    let fits = |value: u64| u32::try_from(value).ok().filter(|&side| side <= SIDE_MAX);
    if let (true, Some(width), Some(height)) =
        (pixels(at) <= pixels_max, fits(side(width, at)), fits(side(height, at)))
    {
        return Ok(Size { width, height });
    }
    // The highest whole dpi that fits, or for huge pages the highest tenth.
    let by_side = f64::from(SIDE_MAX) / width.max(height);
    let highest = (pixels_max as f64 / (width * height)).sqrt().min(by_side).min(at);
    let step = if highest >= 10.0 { 1.0 } else { 10.0 };
    let mut dpi_max = (highest * step).floor() / step;
    if pixels(dpi_max) > pixels_max || longer(dpi_max) > u64::from(SIDE_MAX) {
        dpi_max -= 1.0 / step;
    }
    let dpi_max = dpi_max.max(0.0) as f32;
    Err(Refusal::PageTooManyPixels { width: side(width, at), height: side(height, at), pixels_max, dpi_max })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn pictures_keep_pages_without_text_and_pdfs_need_only_the_others() {
        let text = |index| PageText { index, size: Size { width: 9, height: 9 }, words: Vec::new() };
        let indices = |kind, pages| -> Vec<(u32, u32)> {
            let texts = pages_to_compose(vec![text(3), text(1), text(1), text(7)], kind, pages);
            texts.iter().map(|text| (text.index, text.size.width)).collect()
        };
        assert_eq!(indices(Kind::Pdf, 5), [(1, 9), (3, 9)]);
        assert_eq!(indices(Kind::Tiff, 5), [(0, 1), (1, 9), (2, 1), (3, 9), (4, 1)]);
    }

    #[test]
    fn pixels_are_counted_before_allocation() {
        let a4 = PageFacts::Pdf { width_pt: 595.276, height_pt: 841.89 };
        let size = pixel_size(&a4, 200.0, 40_000_000).unwrap();
        assert_eq!((size.width, size.height), (1654, 2339));
        let photo = PageFacts::Raster { size: Size { width: 4001, height: 2999 }, dpi: 173.3 };
        let size = pixel_size(&photo, 173.3, 40_000_000).unwrap();
        assert_eq!((size.width, size.height), (4001, 2999));
        for dpi in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert_eq!(pixel_size(&a4, dpi, u64::MAX).unwrap_err().code(), "dpi_invalid");
        }
        // A narrow page has few pixels and a side that no image may have.
        let narrow = PageFacts::Pdf { width_pt: 0.1, height_pt: 144_000.0 };
        let Err(Refusal::PageTooManyPixels { dpi_max, .. }) = pixel_size(&narrow, 200.0, 40_000_000) else {
            panic!("a side of 400,000 pixels must not fit");
        };
        assert_eq!(dpi_max, 32.0);
        pixel_size(&narrow, dpi_max, 40_000_000).unwrap();
        let tiny = PageFacts::Pdf { width_pt: 0.1, height_pt: 0.1 };
        assert_eq!(pixel_size(&tiny, 10.0, 1).unwrap(), Size { width: 1, height: 1 });
    }

    #[test]
    fn the_highest_dpi_that_is_named_fits() {
        for side in [595.0_f32, 8400.0, 14400.0, 200_000.0] {
            let page = PageFacts::Pdf { width_pt: side, height_pt: side };
            let Err(Refusal::PageTooManyPixels { dpi_max, .. }) = pixel_size(&page, 5000.0, 40_000_000)
            else {
                panic!("{side} pt at 5000 dpi must not fit");
            };
            assert!(dpi_max > 0.0);
            pixel_size(&page, dpi_max, 40_000_000).unwrap();
            assert!(pixel_size(&page, dpi_max + 1.0, 40_000_000).is_err(), "{dpi_max} is not the highest");
        }
    }
}
