//! A fake document: pages without pixels, and a composed file that states their words.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use lector_core::port::{PageInfo, PageKind};
use lector_core::{Composed, Fault, Image, Kind, OpenDocument, PageSource, PageText, PdfStandard, TextLayer};

pub(super) struct FakeDocument {
    pub(super) pages: u32,
    /// Called when the document is closed.
    pub(super) closed: Box<dyn Fn() + Send + Sync>,
}

struct FakePage(u32);

impl Drop for FakeDocument {
    fn drop(&mut self) {
        (self.closed)();
    }
}

impl OpenDocument for FakeDocument {
    fn content_type(&self) -> &'static str {
        "application/pdf"
    }

    fn page_count(&self) -> u32 {
        self.pages
    }

    fn page(&self, index: u32) -> BoxFuture<'static, Result<Arc<dyn PageSource>, Fault>> {
        async move { Ok(Arc::new(FakePage(index)) as Arc<dyn PageSource>) }.boxed()
    }

    /// A file that states the words of each page; a page with the word `refuse` cannot be composed.
    fn compose(
        &self,
        pages: Vec<PageText>,
        standard: PdfStandard,
    ) -> BoxFuture<'static, Result<Composed, Fault>> {
        let page = |page: &PageText| {
            let words: Vec<&str> = page.words.iter().map(|word| word.text.as_str()).collect();
            format!("{}: {}\n", page.index, words.join("+"))
        };
        let name = if standard == PdfStandard::A2b { "%PDF/A" } else { "%PDF" };
        let file = format!("{name} of {} pages\n{}", self.pages, pages.iter().map(page).collect::<String>());
        let refused = pages.iter().flat_map(|page| &page.words).any(|word| word.text.contains("refuse"));
        async move {
            if refused {
                return Err(Fault::new(Kind::Invalid, "document_not_composable", "The document is sealed."));
            }
            let chunks: Vec<_> = file.as_bytes().chunks(16).map(|chunk| Ok(chunk.to_vec())).collect();
            Ok(Composed::new(file.len() as u64, chunks.into_iter()))
        }
        .boxed()
    }
}

impl PageSource for FakePage {
    fn info(&self) -> PageInfo {
        PageInfo { index: self.0, kind: PageKind::Pdf, width_pt: 1.0, height_pt: 1.0, native_dpi: None }
    }

    fn text_layer(&self) -> BoxFuture<'static, Result<TextLayer, Fault>> {
        async { Ok(TextLayer::default()) }.boxed()
    }

    fn render(&self, _: f32, _: u64) -> BoxFuture<'static, Result<Image, Fault>> {
        async { Err(Fault::new(Kind::Unavailable, "no_pixels", "A fake page has no pixels.")) }.boxed()
    }
}
