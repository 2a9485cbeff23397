//! Searchable PDFs of documents that were read.
//!
//! Owns the step after the pages: a [`Composer`] holds the open document with the permit of its tenant, and has the
//! document workers put the text in, before the deadline of the request. Independent of output formats: the caller makes
//! the text of the pages from the result (`lector_export::page_texts`).

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_control::{DocumentMemory, Principal, Reservation};
use lector_core::port::DocumentHint;
use lector_core::{Composed, Fault, PageText, PdfStandard};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::admission::{AnswerMemory, Permit};
use crate::collector::DocumentResult;
use crate::faults::{deadline_exceeded, shutting_down};
use crate::request::Event;
use crate::retained::Retained;
use crate::service::{DocumentService, Session, Upload};

/// A document that can be composed. It counts as in flight, and its bytes as held, until it is dropped.
pub struct Composer {
    retained: Retained,
    /// The account of the composed file.
    memory: Arc<DocumentMemory>,
    cut_off: CancellationToken,
}

impl Composer {
    fn new(retained: Retained, cut_off: CancellationToken) -> Self {
        Self { memory: retained.permit.memory(), retained, cut_off }
    }

    /// Counts the composed file on the account of an answer. An answer that is in memory until its file is made would wait
    /// for itself on another account.
    pub fn for_answer(self, answer: &AnswerMemory) -> Self {
        Self { memory: answer.account().clone(), ..self }
    }

    /// Composes the searchable PDF. `pages` need not contain all pages of the document. Faults:
    /// `document_not_composable`, `document_compose_crashed`, `document_compose_timeout`,
    /// `document_compose_cpu_exceeded`, `document_memory_exceeded`, `deadline_exceeded`, `shutting_down`.
    pub async fn searchable_pdf(
        self,
        pages: Vec<PageText>,
        standard: PdfStandard,
    ) -> Result<SearchablePdf, Fault> {
        let Self { retained: Retained { document, permit, deadline }, memory, cut_off } = self;
        let composing = async {
            // The file is about as large as the document; its true size is known at the end.
            let mut reservation = memory.reserve(permit.held_bytes()).await;
            let composed = document.compose(pages, standard).await?;
            reservation.set(composed.bytes());
            Ok(SearchablePdf { composed, reservation })
        };
        tokio::select! {
            biased;
            () = cut_off.cancelled() => Err(shutting_down()),
            outcome = tokio::time::timeout_at(deadline.into(), composing) => {
                outcome.unwrap_or_else(|_| Err(deadline_exceeded("before the PDF was composed")))
            }
        }
    }
}

/// A searchable PDF, in chunks of bounded size. Its bytes count as held by its tenant until it is dropped.
#[derive(Debug)]
pub struct SearchablePdf {
    composed: Composed,
    reservation: Reservation,
}

impl SearchablePdf {
    /// Returns the size in bytes.
    pub fn bytes(&self) -> u64 {
        self.composed.bytes()
    }

    /// Returns the memory reservation of the file.
    pub fn reservation(&self) -> &Reservation {
        &self.reservation
    }

    /// Returns the whole file.
    pub fn into_vec(mut self) -> io::Result<Vec<u8>> {
        let mut file = Vec::with_capacity(usize::try_from(self.bytes()).unwrap_or(0));
        for chunk in &mut self {
            file.extend(chunk?);
        }
        Ok(file)
    }
}

impl Iterator for SearchablePdf {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.composed.next().map(|chunk| chunk.map_err(io::Error::other))
    }
}

impl Session {
    /// Reads a document like [`read`](Self::read), and keeps it open for its searchable PDF. The words of lines are in
    /// the result if the request asked for them; without, each line is placed as one word.
    pub async fn read_composing(
        &self,
        permit: Permit,
        upload: Upload,
        see: impl FnMut(&Event),
    ) -> Result<(Box<DocumentResult>, Composer), Fault> {
        let (retain, retained) = oneshot::channel();
        let (events, cut_off) = self.stream_retaining(permit, upload, retain);
        let result = events.collected(see).await?;
        // The pipeline hands the document over before its last event.
        let retained = retained.await.map_err(|_| crate::event_stream::broke_off())?;
        Ok((result, Composer::new(retained, cut_off)))
    }
}

impl DocumentService {
    /// Opens a document that was read before, for its searchable PDF: waits for its place in fair order over tenants, at
    /// most `timeout`, which bounds the composition, too. Only then `read` reads its bytes, `size` in number. Faults: those of
    /// admission, of `read` and of opening a document.
    pub async fn composer(
        self: &Arc<Self>,
        principal: &Principal,
        (size, read): (u64, impl Future<Output = Result<Vec<u8>, Fault>>),
        hint: DocumentHint,
        timeout: Duration,
    ) -> Result<Composer, Fault> {
        let deadline = Instant::now() + timeout;
        let tenant = principal.account();
        let plane = self.plane();
        let permit = plane.admission.admit_whole(tenant, size, timeout).await;
        let permit = permit.inspect_err(|_| tenant.usage.rejected())?;
        let opening = async {
            let bytes = read.await?;
            plane.documents.open(tenant.account(), Arc::new(bytes), hint).await
        };
        let document = match tokio::time::timeout_at(deadline.into(), opening).await {
            Ok(opened) => opened?,
            Err(_) => return Err(deadline_exceeded("before the document was open")),
        };
        Ok(Composer::new(Retained { document, permit, deadline }, self.cut_off()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::atomic::Ordering::SeqCst;

    use lector_core::{Direction, Quad, Size, WordText};

    use super::*;
    use crate::fakes::{Behavior, Script, platform, platform_holding, until};
    use crate::request::DocumentRequest;
    use crate::service::TimeoutStart;

    async fn read(platform: &Arc<DocumentService>) -> (Box<DocumentResult>, Composer) {
        let principal = platform.control().of_this_machine().unwrap();
        let request = DocumentRequest::new("r".into(), Duration::from_secs(300));
        let session = platform.begin(&principal, request, TimeoutStart::Since(Instant::now())).unwrap();
        let permit = session.admitted_whole(1).await.unwrap();
        let upload = Upload { bytes: vec![2], ..Upload::default() };
        session.read_composing(permit, upload, |_| {}).await.unwrap()
    }

    fn text(words: &str) -> Vec<PageText> {
        let word = WordText {
            text: words.into(),
            quad: Quad::default(),
            direction: Direction::Ltr,
            space_follows: false,
        };
        vec![PageText { index: 1, size: Size { width: 1, height: 1 }, words: vec![word] }]
    }

    #[tokio::test]
    async fn a_document_is_in_flight_until_it_is_composed_and_its_file_is_held_until_dropped() {
        let script = Script::new(Behavior::Read);
        let platform = platform(&script, 2, 2).await.unwrap();
        let (result, composer) = read(&platform).await;
        drop(result);
        let open = || (platform.status().documents_admitted, script.open.load(SeqCst));
        assert_eq!(open(), (1, 1));
        let pdf = composer.searchable_pdf(text("word"), PdfStandard::Own).await.unwrap();
        assert_eq!(open(), (0, 0));
        assert_eq!(platform.status().held_bytes, pdf.bytes());
        assert_eq!(pdf.into_vec().unwrap(), b"%PDF of 2 pages\n1: word\n");
        until("nothing is held", || platform.status().held_bytes == 0).await;
    }

    #[tokio::test]
    async fn a_composer_that_is_dropped_or_fails_leaves_nothing() {
        let script = Script::new(Behavior::Read);
        let platform = platform(&script, 2, 2).await.unwrap();
        let idle = || {
            let status = platform.status();
            (status.documents_admitted, status.held_bytes, script.open.load(SeqCst)) == (0, 0, 0)
        };
        drop(read(&platform).await);
        until("a dropped composer leaves nothing", idle).await;
        let (_, composer) = read(&platform).await;
        let fault = composer.searchable_pdf(text("refuse"), PdfStandard::Own).await.unwrap_err();
        assert_eq!(fault.code, "document_not_composable");
        until("a failed composition leaves nothing", idle).await;
    }

    #[tokio::test]
    async fn a_document_that_was_read_before_is_opened_again() {
        let script = Script::new(Behavior::Read);
        let platform = platform(&script, 2, 2).await.unwrap();
        let principal = platform.control().of_this_machine().unwrap();
        let time = Duration::from_secs(300);
        let of = |bytes: Vec<u8>| (bytes.len() as u64, async { Ok(bytes) });
        let composer =
            platform.composer(&principal, of(vec![2]), DocumentHint::default(), time).await.unwrap();
        let pdf = composer.searchable_pdf(text("again"), PdfStandard::Own).await.unwrap();
        assert_eq!(pdf.into_vec().unwrap(), b"%PDF of 2 pages\n1: again\n");
        assert_eq!(script.begun().len(), 0, "no page is read again");
        let empty = platform.composer(&principal, of(Vec::new()), DocumentHint::default(), time).await;
        assert_eq!(empty.err().unwrap().code, "document_empty");
    }

    #[tokio::test]
    async fn the_file_of_an_answer_that_exceeds_the_limit_does_not_wait_for_the_answer() {
        let platform = platform_holding(&Script::new(Behavior::Read), 100, 100).await.unwrap();
        let principal = platform.control().of_this_machine().unwrap();
        let of = |bytes: Vec<u8>| (bytes.len() as u64, async { Ok(bytes) });
        let time = Duration::from_secs(60);
        let composer = platform.composer(&principal, of(vec![2]), DocumentHint::default(), time);
        let composer = composer.await.unwrap();
        tokio::time::pause();
        let answer = platform.answer_memory(&principal).unwrap();
        let _texts = (answer.reserve(90).await.unwrap(), answer.reserve(50).await.unwrap());
        let pdf = composer.for_answer(&answer).searchable_pdf(text("word"), PdfStandard::Own).await.unwrap();
        assert_eq!(pdf.into_vec().unwrap(), b"%PDF of 2 pages\n1: word\n");
    }

    #[tokio::test]
    async fn a_document_that_was_read_before_waits_for_its_place_before_its_bytes_are_read() {
        let script = Script::new(Behavior::Read);
        let platform = platform(&script, 1, 1).await.unwrap();
        let principal = platform.control().of_this_machine().unwrap();
        let (result, holder) = read(&platform).await;
        drop(result);
        let reads = std::cell::Cell::new(0);
        let reading = || async {
            assert_eq!(platform.status().documents_admitted, 1);
            reads.set(reads.get() + 1);
            Ok(vec![2])
        };
        let composing = |time| platform.composer(&principal, (1, reading()), DocumentHint::default(), time);
        let full = composing(Duration::ZERO).await.err().unwrap();
        assert_eq!((full.code, reads.get()), ("server_overloaded", 0));
        drop(holder);
        composing(Duration::from_secs(300)).await.map(drop).unwrap();
        assert_eq!(reads.get(), 1);
    }

    #[tokio::test]
    async fn a_drain_cuts_a_composition_off() {
        let script = Script::new(Behavior::Read);
        let platform = platform(&script, 2, 2).await.unwrap();
        let (result, composer) = read(&platform).await;
        let report = platform.drain(Duration::ZERO).await;
        assert_eq!(report.cut_off.len(), 1, "the document is in flight");
        let fault = composer.searchable_pdf(text("late"), PdfStandard::Own).await.unwrap_err();
        assert_eq!(fault.code, "shutting_down");
        drop(result);
    }
}
