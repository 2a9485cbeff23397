//! The interface `document`: the page of the call.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::port::PageKind;
use lector_core::{Blame, Fault, Image, Kind, PageSource, SharedTranscript};
use tokio::sync::Semaphore;
use tracing::Instrument;
use wasmtime::component::{Accessor, Resource};

use super::{Answer, tell, until};
use crate::abort::AbortReason;
use crate::bindings::lector::ocr::{document, model};
use crate::call_state::CallState;
use crate::convert;
use crate::handles::{HeldTranscripts, ImageHandle, PageHandle};
use crate::view::{DocumentCtx, View};

/// Bytes of a pixel.
const PIXEL_BYTES: u64 = 3;
/// Maximum resolution of a rendering, in dots per inch; no text needs a finer one.
const DPI_MAX: f32 = 4800.0;

impl document::Host for View<'_, DocumentCtx> {}

impl document::HostPage for View<'_, DocumentCtx> {
    fn index(&mut self, page: Resource<PageHandle>) -> wasmtime::Result<u32> {
        self.enter()?;
        Ok(self.table.get(&page)?.info.index)
    }

    fn kind(&mut self, page: Resource<PageHandle>) -> wasmtime::Result<document::PageKind> {
        self.enter()?;
        Ok(match self.table.get(&page)?.info.kind {
            PageKind::Pdf => document::PageKind::Pdf,
            PageKind::Raster => document::PageKind::Raster,
        })
    }

    fn size_pt(&mut self, page: Resource<PageHandle>) -> wasmtime::Result<(f32, f32)> {
        self.enter()?;
        let info = &self.table.get(&page)?.info;
        Ok((info.width_pt, info.height_pt))
    }

    fn native_dpi(&mut self, page: Resource<PageHandle>) -> wasmtime::Result<Option<f32>> {
        self.enter()?;
        Ok(self.table.get(&page)?.info.native_dpi)
    }

    fn pixels_max(&mut self, _page: Resource<PageHandle>) -> wasmtime::Result<u64> {
        self.enter()?;
        Ok(pixels_max(self))
    }

    fn drop(&mut self, page: Resource<PageHandle>) -> wasmtime::Result<()> {
        self.table.delete(page)?;
        Ok(())
    }

    fn share(&mut self, page: Resource<PageHandle>) -> wasmtime::Result<Resource<PageHandle>> {
        self.enter()?;
        let page = self.table.get(&page)?.clone();
        self.keep(page)
    }
}

impl document::HostTranscripts for View<'_, DocumentCtx> {
    fn from_list(&mut self, pages: Vec<model::Transcript>) -> Answer<Resource<HeldTranscripts>> {
        self.enter()?;
        let checked: Result<VecDeque<_>, Fault> = pages
            .into_iter()
            .map(|page| self.checked(page).map(|page| Arc::new(page) as SharedTranscript))
            .collect();
        let bytes = |pages: &VecDeque<SharedTranscript>| {
            pages.iter().map(|page| (**page).as_ref().memory_bytes()).sum()
        };
        match checked.and_then(|pages| Ok((self.charge(bytes(&pages))?, pages))) {
            Ok((charge, pages)) => Ok(Ok(self.keep(HeldTranscripts { pages, charge })?)),
            Err(fault) => Ok(Err(self.tell(fault))),
        }
    }

    fn drop(&mut self, transcripts: Resource<HeldTranscripts>) -> wasmtime::Result<()> {
        drop(self.table.delete(transcripts)?.charge);
        Ok(())
    }
}

impl<T: Send + 'static> document::HostTranscriptsWithStore<T> for DocumentCtx {
    async fn next(
        store: &Accessor<T, Self>,
        transcripts: Resource<HeldTranscripts>,
    ) -> Answer<Option<model::Transcript>> {
        store.with(|mut access| {
            let state = &mut access.get();
            state.enter()?;
            let next = state.table.get_mut(&transcripts)?.pages.pop_front();
            Ok(Ok(next.map(|page| convert::transcript_out((*page).as_ref()))))
        })
    }
}

fn pixels_max(state: &CallState) -> u64 {
    state.call.budget.pixels_max.min(state.call.budget.host_bytes / PIXEL_BYTES)
}

impl<T: Send + 'static> document::HostPageWithStore<T> for DocumentCtx {
    async fn text_layer(
        store: &Accessor<T, Self>,
        page: Resource<PageHandle>,
    ) -> Answer<document::TextLayer> {
        let (source, flight, one) = store.with(|mut access| {
            let state = &mut access.get();
            state.enter()?;
            let source = state.table.get(&page)?.source.clone();
            Ok::<_, wasmtime::Error>((source, state.accounting.begin(), state.ctx.text_layer.clone()))
        })?;
        // The semaphore is never closed.
        let _one = one.acquire_owned().await;
        let began = Instant::now();
        let layer = source.text_layer().await;
        drop(flight);
        store.with(|mut access| {
            let state = &mut access.get();
            state.timing.text_layer += began.elapsed();
            // Release the previous reservation first: the previous layer has long been copied into the guest.
            state.ctx.text_layer_charge = None;
            let layer = layer.and_then(|layer| Ok((state.charge(layer.memory_bytes())?, layer)));
            Ok(match layer {
                Ok((charge, layer)) => {
                    state.ctx.text_layer_charge = Some(charge);
                    Ok(convert::text_layer(layer))
                }
                Err(fault) => Err(state.tell(fault)),
            })
        })
    }

    async fn render(
        store: &Accessor<T, Self>,
        page: Resource<PageHandle>,
        dpi: f32,
    ) -> Answer<Resource<ImageHandle>> {
        let begun = store.with(|mut access| {
            let state = &mut access.get();
            state.enter()?;
            let handle = state.table.get(&page)?;
            let (source, info) = (handle.source.clone(), handle.info);
            // The chooser of the resolution is to blame for a failure caused by it.
            let chooser = if handle.dpi_asked == Some(dpi) { Blame::Client } else { Blame::Guest };
            let max = pixels_max(state);
            let pixels = match estimate(info.width_pt, info.height_pt, dpi, max, chooser) {
                Ok(pixels) => pixels,
                Err(fault) => return Ok(Err(fault)),
            };
            let charge = match state.charge(pixels.saturating_mul(PIXEL_BYTES)) {
                Ok(charge) => charge,
                Err(fault) => return Ok(Err(fault)),
            };
            Ok::<_, wasmtime::Error>(Ok((
                source,
                max,
                charge,
                state.accounting.begin(),
                state.ctx.renders.clone(),
            )))
        })?;
        let (source, max, mut charge, flight, permits) = match begun {
            Ok(begun) => begun,
            Err(fault) => return Ok(Err(tell(store, fault))),
        };
        let deadline = || store.with(|mut access| access.get().deadline.end());
        let (image, took) = render_within(&permits, deadline, &*source, dpi, max).await;
        drop(flight);
        store.with(|mut access| {
            let state = &mut access.get();
            state.timing.render += took;
            let image = match image {
                Ok(image) => image,
                Err(fault) => return Ok(Err(state.tell(fault))),
            };
            if image.size().pixels() > max {
                return Err(AbortReason::Defect("a rendering has more pixels than requested".into()).into());
            }
            if let Err(fault) = charge.resize(image.bytes()) {
                return Ok(Err(state.tell(fault)));
            }
            state.rendered(image.size().pixels());
            Ok(Ok(state.keep(ImageHandle { image, charge })?))
        })
    }
}

/// Renders the page when a permit is free, but not after the deadline, which may have moved by then. Returns the time
/// without the wait, too.
async fn render_within(
    permits: &Semaphore,
    deadline: impl FnOnce() -> Instant,
    source: &dyn PageSource,
    dpi: f32,
    max: u64,
) -> (Result<Image, Fault>, Duration) {
    // The semaphore is never closed.
    let _one = permits.acquire().await;
    let began = Instant::now();
    let image = if until(deadline()).is_zero() {
        let message = "the page was not rendered, because its deadline has passed";
        Err(Fault::new(Kind::Deadline, "guest_deadline", message))
    } else {
        source.render(dpi, max).instrument(tracing::debug_span!("render", dpi)).await
    };
    (image, began.elapsed())
}

/// Estimates the pixels of a page of that size in points at `dpi`; fails if they are too many or `dpi` is invalid. A
/// renderer may round each side up by one.
fn estimate(width_pt: f32, height_pt: f32, dpi: f32, max: u64, chooser: Blame) -> Result<u64, Fault> {
    if !dpi.is_finite() || dpi <= 0.0 || dpi > DPI_MAX {
        let message =
            format!("{dpi} dpi is not a valid resolution; it must be above 0 and at most {DPI_MAX}");
        return Err(Fault::new(Kind::Invalid, "render_dpi_invalid", message).blaming(chooser));
    }
    let side = |points: f32| (f64::from(points) / 72.0 * f64::from(dpi)).round().max(1.0);
    let pixels = side(width_pt) * side(height_pt);
    if pixels > max as f64 {
        // Rounded down twice, so that the advised resolution is accepted however a renderer rounds.
        let fits = (f64::from(dpi) * (max as f64 / pixels).sqrt() * 0.999).floor().max(1.0);
        let message = format!(
            "The page would have {pixels:.0} pixels at {dpi} dpi, and at most {max} are allowed: request {fits} dpi or less."
        );
        return Err(Fault::new(Kind::TooLarge, "page_too_many_pixels", message).blaming(chooser));
    }
    Ok(pixels as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use futures::future::{BoxFuture, FutureExt, join_all};
    use lector_core::port::PageInfo;
    use lector_core::{Size, TextLayer};

    use super::*;

    /// A page whose renderings end when the test releases them.
    struct SlowPage {
        begun: AtomicUsize,
        go: Arc<Semaphore>,
    }

    impl Default for SlowPage {
        fn default() -> Self {
            Self { begun: AtomicUsize::new(0), go: Arc::new(Semaphore::new(0)) }
        }
    }

    impl PageSource for SlowPage {
        fn info(&self) -> PageInfo {
            PageInfo { index: 0, kind: PageKind::Pdf, width_pt: 1.0, height_pt: 1.0, native_dpi: None }
        }

        fn text_layer(&self) -> BoxFuture<'static, Result<TextLayer, Fault>> {
            async { Ok(TextLayer::default()) }.boxed()
        }

        fn render(&self, _: f32, _: u64) -> BoxFuture<'static, Result<Image, Fault>> {
            self.begun.fetch_add(1, SeqCst);
            let go = self.go.clone();
            async move {
                go.acquire_owned().await.unwrap().forget();
                Ok(Image::from_rgb(Size { width: 1, height: 1 }, vec![0; 3]).unwrap())
            }
            .boxed()
        }
    }

    /// Without a bound, a guest could fill the queue of the document workers with renderings of one pixel.
    #[test]
    fn a_call_renders_a_bounded_number_at_once() {
        let (page, permits) = (SlowPage::default(), DocumentCtx::default().renders);
        let later = || Instant::now() + Duration::from_secs(600);
        let mut all = Box::pin(join_all((0..100).map(|_| render_within(&permits, later, &page, 1.0, 1))));
        let most = permits.available_permits();
        assert!((2..=8).contains(&most), "{most}");
        // A poll begins every rendering that may begin.
        assert!(all.as_mut().now_or_never().is_none());
        assert_eq!(page.begun.load(SeqCst), most);
        page.go.add_permits(1);
        assert!(all.as_mut().now_or_never().is_none());
        assert_eq!(page.begun.load(SeqCst), most + 1, "the end of one lets the next one begin");
        page.go.add_permits(99);
        let images = loop {
            if let Some(images) = all.as_mut().now_or_never() {
                break images;
            }
        };
        assert!(images.iter().all(|(image, _)| image.is_ok()) && page.begun.load(SeqCst) == 100);
    }

    #[test]
    fn a_page_is_not_rendered_after_its_deadline() {
        let (page, permits) = (SlowPage::default(), Semaphore::new(1));
        let (image, _) = render_within(&permits, Instant::now, &page, 1.0, 1).now_or_never().unwrap();
        assert_eq!((image.unwrap_err().code, page.begun.load(SeqCst)), ("guest_deadline", 0));
    }
}
