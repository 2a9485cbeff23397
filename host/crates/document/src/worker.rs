//! The main loop of a render worker process: one host, one request at a time, no connection except the socket.
//!
//! Owns all code that parses document bytes (pdfium, the codecs), and enters the sandbox before the first of them. Independent of the pool.
//! Started by the hidden subcommand `lector render-worker`, not by users.

mod compose;
mod document;
mod library;
mod pdf;
mod raster;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use lector_sandbox::Role;

use crate::channel::{Channel, ChannelError};
use crate::faults::Refusal;
use crate::kind::Kind;
use crate::shared::Mapping;
use crate::wire::{DocumentId, Limits, Opened, PageFacts, Reply, Request, Setup};
use compose::Composer;
use document::{Document, internal};
use library::Library;

/// Largest number of pages whose facts are sent with the answer to `Open`.
const FACTS_WITH_OPEN_MAX: u32 = 256;

/// Serves the host on standard input until the host closes the socket. Must be called before the process has started a
/// thread: landlock and seccomp apply to a thread and its children, so there must be no other thread.
pub fn worker_main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        // Standard error is discarded in service; it is visible to a user who starts a worker by hand.
        Err(reason) => {
            let _ = rustix::io::write(rustix::stdio::stderr(), format!("{reason}\n").as_bytes());
            ExitCode::from(2)
        }
    }
}

fn serve() -> Result<(), String> {
    let socket = lector_sandbox::isolate().map_err(|reason| {
        format!("{reason}; a render worker is started only by the Lector host; run `lector serve` instead")
    })?;
    let channel = Channel::over(socket);
    let (request, _) = channel.receive(|| true).map_err(|e| e.to_string())?;
    let Request::Setup(setup) = request else { return Err("the first message was not a setup".into()) };
    let library = match Library::load(&setup.pdfium_library) {
        Ok(library) => library,
        Err(detail) => {
            let refused = Reply::Refused(Refusal::Internal { detail: detail.clone() });
            let _ = channel.send(&refused, None);
            return Err(detail);
        }
    };
    let report = lector_sandbox::enter(Role::RenderWorker { memory_bytes: setup.memory_bytes });
    channel.send(&Reply::Ready(report), None).map_err(|e| e.to_string())?;
    let mut worker = Worker { setup, library, documents: HashMap::new(), composing: None };
    loop {
        let (request, fd) = match channel.receive(|| true) {
            Ok(received) => received,
            Err(ChannelError::Closed) => return Ok(()),
            Err(other) => return Err(other.to_string()),
        };
        let Some(reply) = worker.answer(request, fd) else { continue };
        channel.send(&reply, None).map_err(|e| e.to_string())?;
    }
}

struct Worker {
    setup: Setup,
    library: Library,
    documents: HashMap<DocumentId, Document>,
    /// The searchable PDF in progress: there is one at a time.
    composing: Option<(DocumentId, Composer)>,
}

impl Worker {
    fn answer(&mut self, request: Request, fd: Option<OwnedFd>) -> Option<Reply> {
        let result = match request {
            Request::Setup(_) => Err(internal("a second setup")),
            Request::Open { document, kind, password, limits } => {
                self.open(document, kind, password, limits, fd).map(Reply::Opened)
            }
            Request::Facts { document, index } => self.facts(document, index).map(Reply::Facts),
            Request::Text { document, index } => match self.documents.get_mut(&document) {
                Some(Document::Pdf(pdf)) => pdf.text_layer(index).map(Reply::Text),
                Some(Document::Raster(_)) => Ok(Reply::Text(lector_core::TextLayer::default())),
                None => Err(internal("an unknown document")),
            },
            Request::Render { document, index, size } => {
                self.render(document, index, size, fd).map(|()| Reply::Rendered)
            }
            Request::ComposeBegin { document, password, standard } => {
                self.compose_begin(document, password, standard).map(|()| Reply::Done)
            }
            Request::ComposePage { document, text } => {
                self.compose_page(document, &text).map(|()| Reply::Done)
            }
            Request::ComposeEnd { document, bytes_max } => {
                self.compose_end(document, bytes_max, fd).map(|bytes| Reply::Composed { bytes })
            }
            Request::Close { document } => {
                drop(self.composing.take_if(|(composing, _)| *composing == document));
                self.documents.remove(&document);
                return None;
            }
        };
        Some(result.unwrap_or_else(Reply::Refused))
    }

    fn open(
        &mut self,
        id: DocumentId,
        kind: Kind,
        password: Option<String>,
        limits: Limits,
        fd: Option<OwnedFd>,
    ) -> Result<Opened, Refusal> {
        let fd = fd.ok_or_else(|| internal("a document without bytes"))?;
        let bytes = Mapping::of_document(fd).map_err(|e| internal(&format!("mapping the document: {e}")))?;
        let (mut document, pages) = match kind {
            Kind::Pdf => {
                let pdf = pdf::Document::open(&self.library, bytes, password.as_deref(), limits)?;
                let pages = pdf.pages();
                (Document::Pdf(pdf), pages)
            }
            picture => {
                let raster = raster::Document::open(bytes, picture, limits, self.setup.memory_bytes)?;
                let pages = raster.pages();
                (Document::Raster(raster), pages)
            }
        };
        if pages > limits.pages_max {
            return Err(Refusal::TooManyPages { pages, pages_max: limits.pages_max });
        }
        let known = pages.min(FACTS_WITH_OPEN_MAX);
        let facts = (0..known).map(|index| document.facts(index).ok()).collect();
        self.documents.insert(id, document);
        Ok(Opened { pages, facts })
    }

    fn facts(&mut self, id: DocumentId, index: u32) -> Result<PageFacts, Refusal> {
        self.documents.get_mut(&id).ok_or_else(|| internal("an unknown document"))?.facts(index)
    }

    fn render(
        &mut self,
        id: DocumentId,
        index: u32,
        size: lector_core::Size,
        fd: Option<OwnedFd>,
    ) -> Result<(), Refusal> {
        let fd = fd.ok_or_else(|| internal("a rendering without a buffer"))?;
        let bytes = size.pixels().checked_mul(3).ok_or_else(|| internal("an impossible size"))?;
        let mut pixels =
            Mapping::of_pixels(fd, bytes).map_err(|e| internal(&format!("mapping the pixels: {e}")))?;
        match self.documents.get_mut(&id) {
            Some(Document::Pdf(pdf)) => pdf.render(index, size, pixels.bytes_mut()),
            Some(Document::Raster(raster)) => raster.render(index, size, pixels.bytes_mut()),
            None => Err(internal("an unknown document")),
        }
    }

    fn compose_begin(
        &mut self,
        id: DocumentId,
        password: Option<String>,
        standard: lector_core::PdfStandard,
    ) -> Result<(), Refusal> {
        self.composing = None;
        let document = self.documents.get(&id).ok_or_else(|| internal("an unknown document"))?;
        self.composing = Some((id, Composer::begin(document, password, standard)?));
        Ok(())
    }

    fn compose_page(&mut self, id: DocumentId, text: &lector_core::PageText) -> Result<(), Refusal> {
        let document = self.documents.get_mut(&id).ok_or_else(|| internal("an unknown document"))?;
        let (_, composer) = self
            .composing
            .as_mut()
            .filter(|(composing, _)| *composing == id)
            .ok_or_else(|| internal("a page of a file that was not begun"))?;
        composer.page(document, text)
    }

    fn compose_end(&mut self, id: DocumentId, bytes_max: u64, fd: Option<OwnedFd>) -> Result<u64, Refusal> {
        let document = self.documents.get(&id).ok_or_else(|| internal("an unknown document"))?;
        let (_, composer) = self
            .composing
            .take_if(|(composing, _)| *composing == id)
            .ok_or_else(|| internal("the end of a file that was not begun"))?;
        let fd = fd.ok_or_else(|| internal("a file without memory"))?;
        let mut space =
            Mapping::of_pixels(fd, bytes_max).map_err(|e| internal(&format!("mapping the file: {e}")))?;
        composer.end(document, space.bytes_mut())
    }
}
