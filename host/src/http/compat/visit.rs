//! From an authenticated request to a read document: the upload slot, the body, the admission, the reading.
//!
//! The order is that of Lector's own API: what does not need the body is checked before the body is read, and bytes
//! count against the tenant as they arrive.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::request::Parts;
use futures::StreamExt;
use lector_control::Principal;
use lector_core::{DeploymentName, Fault, TextLayerPolicy};
use lector_serving::{
    DocumentRequest, Event, PageSelection, ReceivedBytes, Session, TimeoutStart, Upload, UploadSlot,
};

use super::call::Call;
use super::form::{Form, too_large};
use super::json_body::{JsonBody, REST_BYTES_MAX};
use super::reading::Reading;
use crate::http::AppState;
use crate::http::body::{LimitedBody, declared_bytes};
use crate::http::middleware::RequestCtx;
use crate::http::parsing::apart;

/// Room for what is beside the document in a body: members of JSON, fields of a form.
const BESIDE_BYTES_MAX: u64 = REST_BYTES_MAX as u64;

/// A request to read a document.
pub(super) struct Visit {
    pub(super) state: AppState,
    pub(super) ctx: RequestCtx,
    pub(super) principal: Principal,
    session: Session,
    slot: UploadSlot,
    received: ReceivedBytes,
    timeout: Duration,
}

/// The options of a dialect.
#[derive(Debug, Default)]
pub(super) struct Ask {
    pub(super) deployment: Option<DeploymentName>,
    pub(super) pages: PageSelection,
    pub(super) words: bool,
    pub(super) text_layer: Option<TextLayerPolicy>,
    /// The client's name for the document.
    pub(super) name: Option<String>,
}

impl Ask {
    /// Sets the options of a request, except the name, which belongs to the upload.
    fn apply(self, request: &mut DocumentRequest) {
        request.deployment = self.deployment;
        request.pages = self.pages;
        request.options.words = self.words;
        request.options.text_layer = self.text_layer;
    }
}

/// Returns the longest time of a request.
pub(super) fn timeout(state: &AppState, principal: &Principal) -> Duration {
    let most = state.config.request_timeout;
    match principal.limits().request_timeout_ms {
        0 => most,
        own => Duration::from_millis(own).min(most),
    }
}

/// Returns the most bytes of JSON that contains a document of `bytes_max` bytes in base64.
pub(super) fn in_json(bytes_max: u64) -> u64 {
    bytes_max.div_ceil(3).saturating_mul(4).saturating_add(BESIDE_BYTES_MAX)
}

/// Returns a body under the limits of the server.
pub(super) fn limited(
    state: &AppState,
    head: &Parts,
    body: Body,
    bytes_max: u64,
    timeout: Duration,
) -> Result<LimitedBody, Fault> {
    let limits = state.body_limits(bytes_max, timeout, Instant::now() + timeout);
    LimitedBody::new(&head.headers, body, limits)
}

/// Receives a whole body; its bytes count as they arrive.
pub(super) async fn whole(mut body: LimitedBody, received: &mut ReceivedBytes) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        received.arrived((bytes.len() + chunk.len()) as u64).await?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Takes a JSON body apart, and counts the memory of its parsed values and of its document, before there is any.
pub(super) async fn json_body(body: Vec<u8>, received: &mut ReceivedBytes) -> Result<JsonBody, Fault> {
    let body = apart(body.len(), move || JsonBody::new(body)).await?;
    received.arrived(received.bytes().saturating_add(body.memory_bytes())).await?;
    Ok(body)
}

/// Copies a document that the server has; the copy counts before it is made.
pub(super) async fn copied(document: &[u8], received: &mut ReceivedBytes) -> Result<Vec<u8>, Fault> {
    received.arrived(received.bytes().saturating_add(document.len() as u64)).await?;
    Ok(document.to_vec())
}

impl Visit {
    /// Begins a synchronous request: the document waits for its place at most as long as in Lector's own API.
    pub(super) fn begin(call: Call) -> Result<(Self, Parts, Body), Fault> {
        Self::enter(call, false)
    }

    /// Begins an asynchronous request, which is not refused for the load of the server: the document is read later.
    pub(super) fn begin_task(call: Call) -> Result<(Self, Parts, Body), Fault> {
        call.state.jobs()?;
        Self::enter(call, true)
    }

    fn enter(call: Call, is_task: bool) -> Result<(Self, Parts, Body), Fault> {
        let principal = call.principal()?;
        let Call { state, ctx, head, body } = call;
        let timeout = timeout(&state, &principal);
        let request = DocumentRequest::new(ctx.id.clone(), timeout);
        let session = state.service.begin(&principal, request, TimeoutStart::Since(ctx.began))?;
        let declared = declared_bytes(&head.headers);
        let slot = match is_task {
            false => session.receive(declared)?,
            true => state.service.receive_component(&principal, declared)?,
        };
        let received = slot.begin(true)?;
        Ok((Self { state, ctx, principal, session, slot, received, timeout }, head, body))
    }

    /// Returns the maximum size of a document.
    pub(super) fn bytes_max(&self) -> u64 {
        self.session.bytes_max(self.state.config.body_bytes_max)
    }

    fn limited(&self, head: &Parts, body: Body, bytes_max: u64) -> Result<LimitedBody, Fault> {
        limited(&self.state, head, body, bytes_max, self.timeout)
    }

    /// Receives the whole body: a document, or JSON that contains one in base64.
    pub(super) async fn body(&mut self, head: &Parts, body: Body) -> Result<Vec<u8>, Fault> {
        whole(self.limited(head, body, in_json(self.bytes_max()))?, &mut self.received).await
    }

    /// Receives a JSON body that contains a document in base64, and parses it with `parse`.
    pub(super) async fn json<T: Send + 'static>(
        &mut self,
        head: &Parts,
        body: Body,
        parse: impl FnOnce(&JsonBody) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let body = self.body(head, body).await?;
        self.parsed(body, parse).await
    }

    /// Parses such a body. Its values and its document are counted before they are made.
    pub(super) async fn parsed<T: Send + 'static>(
        &mut self,
        body: Vec<u8>,
        parse: impl FnOnce(&JsonBody) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let body = json_body(body, &mut self.received).await?;
        apart(body.bytes(), move || parse(&body)).await
    }

    /// Copies a document that the server has; see [`copied`].
    pub(super) async fn copied(&mut self, document: &[u8]) -> Result<Vec<u8>, Fault> {
        copied(document, &mut self.received).await
    }

    /// Receives a form.
    pub(super) async fn form(&mut self, head: &Parts, body: Body) -> Result<Form, Fault> {
        let bytes_max = self.bytes_max();
        let body = self.limited(head, body, bytes_max.saturating_add(BESIDE_BYTES_MAX))?;
        Form::receive(&head.headers, body, &mut self.received, bytes_max).await
    }

    /// Ends the visit without reading: the bytes stay counted.
    pub(super) fn into_received(self) -> ReceivedBytes {
        self.received
    }

    /// Checks the size of the document and returns the request to read it later. The bytes stay counted as long as the
    /// second value.
    pub(super) fn into_request(
        self,
        ask: Ask,
        bytes: u64,
    ) -> Result<(DocumentRequest, ReceivedBytes), Fault> {
        let bytes_max = self.bytes_max();
        if bytes > bytes_max {
            return Err(too_large(bytes_max));
        }
        let mut request = DocumentRequest::new(self.ctx.id.clone(), self.timeout);
        ask.apply(&mut request);
        Ok((request, self.received))
    }

    /// Reads a document.
    pub(super) async fn read(self, mut ask: Ask, document: Vec<u8>) -> Result<Reading, Fault> {
        let (bytes, bytes_max) = (document.len() as u64, self.bytes_max());
        if bytes > bytes_max {
            return Err(too_large(bytes_max));
        }
        let Self { state, session, slot, received, .. } = self;
        let name = ask.name.take();
        let session = session.with_request(|request| ask.apply(request))?;
        state.metrics.document_received(document.len());
        let permit = session.admitted(&slot, received).await?;
        drop(slot);
        // Without the client's type, which is wrong too often: the bytes decide.
        let upload = Upload { name, content_type: None, bytes: document };
        let counted = |event: &Event| {
            if let Event::Page { timing, .. } | Event::PageError { timing, .. } = event {
                state.metrics.page(timing);
            }
        };
        Reading::new(session.read(permit, upload, counted).await?, bytes)
    }
}
