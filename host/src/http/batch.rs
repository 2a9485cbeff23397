//! `POST /api/v1/ocr/batch`: reads several documents and streams their events.
//!
//! Owns one batch: the receiving side, which submits documents to the document service one by one, and the relaying
//! side, which forwards their events. Both run in one task, so that the upload continues while events are sent.
//! Dropping the response body aborts the task and cancels its work.

mod outgoing;
mod relay;

use std::sync::Arc;

use axum::Extension;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::response::Response;
use lector_control::{Reservation, StreamRight};
use lector_core::{Fault, Kind};
use lector_export::ndjson;
use lector_serving::{EventStream, Session, TimeoutStart, UploadSlot};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::AppState;
use super::auth::TenantCtx;
use super::body::{LimitedBody, declared_bytes};
use super::middleware::RequestCtx;
use super::ocr::{NamedDeployment, body_limits, count, file_missing, options, session, uploaded};
use super::options::Endpoint;
use super::problem::Problem;
use super::upload::{Head, Upload, is_form};
use outgoing::{Gone, Outgoing};
use relay::{Arrival, Reading};

/// Documents of one batch in flight, including the one being received. Enough to keep every core busy with one-page
/// documents; few enough that one batch does not use the capacity of the server.
const DOCUMENTS_AT_ONCE_MAX: usize = 4;

/// Reads several documents and streams the results page by page.
///
/// Streams events: first `meta`; for each file `document`, then `page` and `page_error`, then `document_end`, or
/// `document_error` if the whole file failed; last `end`. A response without `end` is incomplete. A file that fails does
/// not affect the others. The format is NDJSON, or server-sent events with `Accept: text/event-stream`. An error before
/// the first file begins to arrive is a problem response. Closing the connection cancels the work. The server buffers at
/// most 8 MiB of unread events; beyond that, the batch waits for the client to read.
#[utoipa::path(
    post,
    path = "/api/v1/ocr/batch",
    operation_id = "ocrBatch",
    tag = "OCR",
    responses((status = 200, description = "The stream of events.", content((ref("#/components/schemas/Event") = "application/x-ndjson"), (String = "text/event-stream")))),
    extensions(
        ("x-problems" = json!(["tenant", "options", "guest_options", "upload", "no_body", "admission"])),
        ("x-parameters" = json!(["pages", "dpi", "text_layer", "words", "languages", "guest_options", "explain", "deployment", "timeout", "request_timeout", "password", "deployment_header", "routing_key", "order"])),
        ("x-body" = json!("Documents"))
    )
)]
pub(super) async fn batch(
    State(state): State<AppState>,
    Extension(ctx): Extension<RequestCtx>,
    TenantCtx(principal): TenantCtx,
    named: NamedDeployment,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let is_empty = body.is_end_stream();
    let options = options(&state, Endpoint::Batch, &principal, &parts, named)?;
    // The timeout applies to each document, from its arrival.
    let session = session(&state, &ctx, &principal, &options, TimeoutStart::PerDocument)?;
    let files = if is_form(&parts.headers) { state.config.batch_files_max } else { 1 };
    let bytes_max = session.bytes_max(state.config.body_bytes_max);
    let body = LimitedBody::new(&parts.headers, body, body_limits(&state, &ctx, &options, bytes_max, files))?;
    let declared = declared_bytes(&parts.headers).filter(|_| files == 1);
    if is_empty {
        let message = "The request has no body: send a form with files, or one document.";
        return Err(Fault::new(Kind::Invalid, "document_empty", message).into());
    }
    let slot = session.receive(declared)?;
    let mut upload = Upload::new(&parts.headers, body)?;
    // Until the first document begins to arrive, an error can still be a problem response.
    let first = upload.next().await?.ok_or_else(file_missing)?;

    let (outgoing, events) = outgoing::channel(options.sse);
    let right = state.control.stream_right(&principal);
    let batch = Batch { state, ctx, session, right, bytes_max, outgoing };
    let task = tokio::spawn(batch.run(upload, first, slot).in_current_span());
    Ok(events.into_response(AbortOnDropHandle::new(task)))
}

/// Reads several documents and streams the results page by page.
///
/// Streams events: first `meta`; for each file `document`, then `page` and `page_error`, then `document_end`, or
/// `document_error` if the whole file failed; last `end`. A response without `end` is incomplete. A file that fails does
/// not affect the others. The format is NDJSON, or server-sent events with `Accept: text/event-stream`. An error before
/// the first file begins to arrive is a problem response. Closing the connection cancels the work. The server buffers at
/// most 8 MiB of unread events; beyond that, the batch waits for the client to read.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{name}/ocr/batch",
    operation_id = "ocrBatchByDeployment",
    tag = "OCR",
    responses((status = 200, description = "The stream of events.", content((ref("#/components/schemas/Event") = "application/x-ndjson"), (String = "text/event-stream")))),
    extensions(
        ("x-problems" = json!(["tenant", "options", "guest_options", "upload", "no_body", "admission"])),
        ("x-parameters" = json!(["name", "pages", "dpi", "text_layer", "words", "languages", "guest_options", "explain", "deployment", "timeout", "request_timeout", "password", "deployment_header", "routing_key", "order"])),
        ("x-body" = json!("Documents"))
    )
)]
pub(super) async fn batch_by_deployment(
    state: State<AppState>,
    ctx: Extension<RequestCtx>,
    tenant: TenantCtx,
    named: NamedDeployment,
    request: Request,
) -> Result<Response, Problem> {
    batch(state, ctx, tenant, named, request).await
}

struct Batch {
    state: AppState,
    ctx: RequestCtx,
    session: Session,
    /// The right of the client, which is checked before each document.
    right: StreamRight,
    /// Maximum size of one document.
    bytes_max: u64,
    outgoing: Outgoing,
}

impl Batch {
    async fn run(self, upload: Upload, first: Head, slot: UploadSlot) {
        // An error means that the client is gone. The work ends with this task.
        let _ = self.answer(upload, first, slot).await;
    }

    async fn answer(&self, upload: Upload, first: Head, slot: UploadSlot) -> Result<(), Gone> {
        let files = upload.is_raw().then_some(1);
        let meta = ndjson::meta(&self.ctx.id, self.session.deployment(), files);
        self.outgoing.send(meta, Reservation::default()).await?;
        let (arrivals, arrived) = mpsc::channel(1);
        let receiving = self.receive(upload, first, slot, arrivals);
        let relaying = relay::relay(arrived, &self.outgoing, |event| count(&self.state.metrics, event));
        let ((), totals) = tokio::join!(receiving, relaying);
        self.outgoing.end(ndjson::end(totals?, self.ctx.began.elapsed())).await
    }

    /// Receives documents until the upload ends, and submits each one as soon as it is complete. A document takes its
    /// place in the server only then, so that a slow client holds none.
    async fn receive(
        &self,
        mut upload: Upload,
        first: Head,
        upload_slot: UploadSlot,
        arrivals: mpsc::Sender<Arrival<EventStream>>,
    ) {
        let slots = Arc::new(Semaphore::new(DOCUMENTS_AT_ONCE_MAX));
        let mut next = Ok(Some(first));
        for index in 0.. {
            let arrival = match next {
                Ok(None) => return,
                Err(fault) => Arrival::Failed { index, name: None, fault },
                Ok(Some(_)) if index >= self.state.config.batch_files_max => Arrival::Failed {
                    index,
                    name: None,
                    fault: too_many_files(self.state.config.batch_files_max),
                },
                Ok(Some(head)) => {
                    let name = head.name.clone();
                    // The semaphore is never closed.
                    let Ok(slot) = slots.clone().acquire_owned().await else { return };
                    match self.document(&mut upload, head, &upload_slot, index == 0).await {
                        Ok(events) => {
                            let name = name.map(Arc::from);
                            Arrival::Reading(Reading { index, name, events, slot: Some(slot) })
                        }
                        Err(fault) => Arrival::Failed { index, name, fault },
                    }
                }
            };
            let over = upload.is_broken() || matches!(&arrival, Arrival::Failed { fault, .. } if ends(fault));
            if arrivals.send(arrival).await.is_err() || over {
                return;
            }
            next = upload.next().await;
        }
    }

    /// Receives one document and submits it to the document service.
    async fn document(
        &self,
        upload: &mut Upload,
        head: Head,
        slot: &UploadSlot,
        first: bool,
    ) -> Result<EventStream, Fault> {
        self.right.check()?;
        let mut received = slot.begin(first)?;
        let bytes = upload.read(&mut received, self.bytes_max).await?;
        // The upload may take minutes. Documents in progress are finished, and no further one begins.
        self.right.check()?;
        self.state.metrics.document_received(bytes.len());
        let permit = self.session.admitted(slot, received).await?;
        Ok(self.session.stream(permit, uploaded(head, bytes)))
    }
}

/// Returns whether no document after one with this fault is received: there are too many, or the key has ended.
fn ends(fault: &Fault) -> bool {
    fault.code == "too_many_files" || fault.kind == Kind::Denied
}

fn too_many_files(most: usize) -> Fault {
    let message = format!(
        "A batch holds at most {most} files, and this one has more: send the remaining files in another batch."
    );
    Fault::new(Kind::Invalid, "too_many_files", message)
}
