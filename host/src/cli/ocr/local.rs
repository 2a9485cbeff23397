//! Reads documents in this process, with the same platform as the server and without HTTP.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::StreamExt;
use lector_core::port::DocumentHint;
use lector_core::{Fault, Kind, PdfStandard, RequestId};
use lector_export::Several;
use lector_export::json::DocumentError;
use lector_export::ndjson::{self, Totals};
use lector_serving::{
    Composer, DocumentRequest, DocumentResult, Event, Order, Permit, Session, TimeoutStart, Upload,
};

use super::super::failure::Failure;
use super::super::files::{bytes_of, name_of};
use super::super::terminal;
use super::output::Output;
use super::progress::Progress;
use super::request::{Read, Request, report};
use crate::app::Host;
use crate::config::Config;
use crate::events;

/// The user interrupts a command that takes too long; the API requires a deadline.
const NO_DEADLINE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Reads all files, several at once, and writes their results in order. Returns whether anything failed.
pub(super) async fn read_all(
    config: &Config,
    files: &[PathBuf],
    request: &Request,
    output: Output,
    progress: &Progress,
) -> Result<bool, Failure> {
    let host = Host::start(config).await?;
    let failed = through(&host, config, files, request, output, progress).await;
    host.stop().await;
    Ok(failed?)
}

async fn through(
    host: &Host,
    config: &Config,
    files: &[PathBuf],
    request: &Request,
    mut output: Output,
    progress: &Progress,
) -> anyhow::Result<bool> {
    let started = Instant::now();
    let id = RequestId::from(uuid::Uuid::now_v7().to_string());
    let asked = DocumentRequest {
        deployment: request.deployment.clone(),
        hint: DocumentHint { content_type: None, password: request.password.clone() },
        pages: request.pages.clone(),
        options: request.options,
        languages: request.languages.clone(),
        guest_options: request.guest_options.clone(),
        order: Order::Completion,
        ..DocumentRequest::new(id.clone(), NO_DEADLINE)
    };
    // An unknown deployment is one failure, not one for each file.
    let session = host.service.begin(&host.control.of_this_machine()?, asked, TimeoutStart::PerDocument)?;
    let reading = Reading { session: &session, config, request, progress, live: output.is_stream() };
    if reading.live {
        emit(progress, &ndjson::meta(&id, session.deployment(), Some(files.len())))?;
    }
    // Enough concurrent documents to fill every page slot, and no more bytes in memory than that needs.
    let at_once = config.serving.documents_max.min(config.serving.pages_in_flight_max);
    let mut reads = futures::stream::iter(files.iter().enumerate())
        .map(|(number, file)| reading.one(number, file))
        .buffered(at_once);
    let (mut failed, mut number, mut totals) = (false, 0, Totals::default());
    while let Some(read) = reads.next().await {
        let (read, counts) = read?;
        failed |= report(&read, progress);
        totals = counts.onto(totals);
        if let Some((file, text)) = files.get(number).zip(read.bytes.as_deref()) {
            progress.pause(|| output.document(number, &name_of(file), text))?;
        }
        number += 1;
    }
    if reading.live {
        emit(progress, &ndjson::end(totals, started.elapsed()))?;
    }
    output.end()?;
    Ok(failed)
}

fn emit(progress: &Progress, event: &ndjson::Line) -> anyhow::Result<()> {
    progress.pause(|| terminal::print(&event.to_string()))
}

/// Counts that a document adds to the totals.
#[derive(Clone, Copy)]
struct Counts {
    read: bool,
    pages_ok: u32,
    pages_failed: u32,
}

impl Counts {
    const FAILED: Self = Self { read: false, pages_ok: 0, pages_failed: 0 };

    fn onto(self, totals: Totals) -> Totals {
        Totals {
            documents_ok: totals.documents_ok + usize::from(self.read),
            documents_failed: totals.documents_failed + usize::from(!self.read),
            pages_ok: totals.pages_ok + u64::from(self.pages_ok),
            pages_failed: totals.pages_failed + u64::from(self.pages_failed),
        }
    }
}

struct Reading<'a> {
    session: &'a Session,
    config: &'a Config,
    request: &'a Request,
    progress: &'a Progress,
    /// Whether events are printed as they happen.
    live: bool,
}

impl Reading<'_> {
    async fn one(&self, number: usize, file: &Path) -> anyhow::Result<(Read, Counts)> {
        let name = name_of(file);
        let bytes = match bytes_of(file, self.config.serving.held_bytes_max).await {
            Ok(bytes) => bytes,
            Err(error) => {
                let fault = Fault::new(Kind::Invalid, "file_unreadable", format!("{name}: {error:#}"));
                return self.failed(number, &name, &fault, fault.message.clone());
            }
        };
        // While the server is overloaded by this command's own documents, this waits.
        let permit = match self.session.admitted_whole(bytes.len() as u64).await {
            Ok(permit) => permit,
            Err(fault) => return self.failed(number, &name, &fault, format!("{name}: {fault}")),
        };
        self.submitted(number, &name, permit, bytes).await
    }

    async fn submitted(
        &self,
        number: usize,
        name: &str,
        permit: Permit,
        bytes: Vec<u8>,
    ) -> anyhow::Result<(Read, Counts)> {
        let mut failures = Vec::new();
        let mut printed = Ok(());
        let upload = Upload { name: Some(name.to_owned()), content_type: None, bytes };
        let see = |event: &Event| {
            match event {
                Event::Opened { selected, .. } => self.progress.expect(selected.len()),
                Event::Page { .. } => self.progress.page(),
                Event::PageError { index, fault, .. } => {
                    self.progress.page();
                    failures.push(format!("{name}: page {}: {fault}", u64::from(*index) + 1));
                }
                Event::End { summary_fault, .. } => {
                    failures.extend(summary_fault.iter().map(|fault| format!("{name}: {fault}")));
                }
                // A failed document has its own event.
                Event::Failed(_) => return,
            }
            if self.live && printed.is_ok() {
                printed = emit(self.progress, &events::line(number, Some(name), event));
            }
        };
        let read = match self.request.format.info().composed {
            Some(standard) => {
                let read = self.session.read_composing(permit, upload, see).await;
                read.map(|(result, composer)| (result, Some((composer, standard))))
            }
            None => self.session.read(permit, upload, see).await.map(|result| (result, None)),
        };
        printed?;
        match read {
            Err(fault) => self.failed(number, name, &fault, format!("{name}: {fault}")),
            Ok((result, composer)) => {
                let counts =
                    Counts { read: true, pages_ok: result.pages_ok, pages_failed: result.pages_failed };
                if self.live {
                    return Ok((Read { bytes: None, failures }, counts));
                }
                let written = match composer {
                    Some((composer, standard)) => composed(composer, &result, standard).await,
                    None => lector_export::document(self.request.format, &*result).map_err(Fault::from),
                };
                match written {
                    Ok(bytes) => Ok((Read { bytes: Some(bytes), failures }, counts)),
                    Err(fault) => self.failed(number, name, &fault, format!("{name}: {fault}")),
                }
            }
        }
    }

    fn failed(
        &self,
        number: usize,
        name: &str,
        fault: &Fault,
        failure: String,
    ) -> anyhow::Result<(Read, Counts)> {
        if self.live {
            emit(self.progress, &ndjson::document_error(number, Some(name), fault))?;
        }
        // An array of results contains an entry for each failed document.
        let is_array = self.request.format.info().several == Several::JsonArray;
        let error = DocumentError::new(Some(name), fault);
        let bytes = is_array.then(|| serde_json::to_vec_pretty(&error)).transpose()?.map(|mut json| {
            json.push(b'\n');
            json
        });
        Ok((Read { bytes, failures: vec![failure] }, Counts::FAILED))
    }
}

/// Composes the document, in the format that is made from its own bytes.
pub(in crate::cli) async fn composed(
    composer: Composer,
    result: &DocumentResult,
    standard: PdfStandard,
) -> Result<Vec<u8>, Fault> {
    let file = composer.searchable_pdf(lector_export::page_texts(result), standard).await?;
    let unread = |error: std::io::Error| {
        Fault::new(Kind::Unavailable, "documents_unavailable", "The composed file cannot be read.")
            .with_detail(error)
    };
    tokio::task::spawn_blocking(move || file.into_vec().map_err(unread)).await.unwrap_or_else(|error| {
        Err(Fault::new(Kind::Bug, "internal", "Reading the composed file failed.").with_detail(error))
    })
}
